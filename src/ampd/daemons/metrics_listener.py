"""Where a worker tells its metrics: a port of its own, for it serves nothing else."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from ampd.config_values import split_address
from ampd.errors import AmpError, ErrorCode
from ampd.telemetry.metrics import exposition

if TYPE_CHECKING:
    from aiohttp import web

_log = structlog.get_logger(__name__)

_MEND = "change worker.metrics_addr in the config file (or AMP_CONFIG_WORKER__METRICS_ADDR; every worker needs its own)"


@asynccontextmanager
async def serve_metrics(address: str | None) -> AsyncIterator[None]:
    """Serve ``/metrics`` at ``address`` (host:port) until the block ends; None: nowhere.

    :raises AmpError: ADDRESS_IN_USE, or CONFIG_INVALID for an address that is none of this machine's.
    """
    if address is None:
        yield
        return
    from aiohttp import web  # noqa: PLC0415 - half of the library, for those alone who want it

    application = web.Application()
    application.router.add_get("/metrics", _answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        host, port = split_address(address)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise _listening_error(error, address) from None
        bound = runner.addresses[0]
        _log.info("worker.metrics_served", url=f"http://{bound[0]}:{bound[1]}/metrics")
        yield
    finally:
        await runner.cleanup()


async def _answer(request: web.Request) -> web.Response:
    from aiohttp import web  # noqa: PLC0415

    page, content_type = exposition(request.headers.get("Accept"))
    return web.Response(body=page, headers={"Content-Type": content_type})


def _listening_error(error: OSError, address: str) -> AmpError:
    if error.errno == errno.EADDRINUSE:
        message = f"cannot serve metrics on {address}: another process listens there; stop it, or {_MEND}"
        return AmpError(ErrorCode.ADDRESS_IN_USE, message)
    return AmpError(ErrorCode.CONFIG_INVALID, f"cannot serve metrics on {address}: {error.strerror}; {_MEND}")
