"""Serving the Admin API inside a process that has its own signal handling."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from ampd.errors import AmpError, ErrorCode

GRACEFUL_SHUTDOWN_SECONDS = 5
MAX_PORT = 65535


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides when it ends."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process."""
        yield


async def serve_admin_api(
    app: FastAPI,
    *,
    host: str,
    port: int,
    started: Callable[[str, int], None],
    stop: asyncio.Event,
    insecure: bool = False,
) -> None:
    """Serve ``app`` until ``stop`` is set.

    ``started`` is called once with the address that takes connections (port 0: a free one).

    :raises AmpError: ADDRESS_IN_USE; CONFIG_INVALID for an address that is none, or that other machines reach
        (design section 5.3).
    """
    listener = _bind(host, port, insecure=insecure)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="admin-api")
    stopping = asyncio.create_task(stop.wait())
    try:
        # The socket listens already: a client that connects now waits for the server, it is not refused.
        bound_host, bound_port = listener.getsockname()[:2]
        started(bound_host, bound_port)
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
        listener.close()


def _bind(host: str, port: int, *, insecure: bool) -> socket.socket:
    mend = "change admin_api_addr in the config file (or AMP_CONFIG_ADMIN_API_ADDR)"
    if not 0 <= port <= MAX_PORT:  # getaddrinfo would take it modulo 65536
        raise AmpError(ErrorCode.CONFIG_INVALID, f"cannot listen on {host}:{port}: ports end at {MAX_PORT}; {mend}")
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise AmpError(ErrorCode.CONFIG_INVALID, f"cannot listen on {host}:{port} ({error}); {mend}") from None
    if not insecure and not ip_address(address[0]).is_loopback:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"the Admin API knows no tokens yet: it does not listen on {host}:{port}, where other machines reach it; "
            f"{mend} to 127.0.0.1:{port}, or start with --insecure when the network itself is guarded",
        )
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _bind_error(error, f"{host}:{port}", mend) from None
    return listener


def _bind_error(error: OSError, address: str, mend: str) -> AmpError:
    if error.errno == errno.EADDRINUSE:
        message = f"cannot serve the Admin API on {address}: another process listens there; stop it, or {mend}"
        return AmpError(ErrorCode.ADDRESS_IN_USE, message)
    message = f"cannot serve the Admin API on {address}: {error.strerror}; {mend}"
    return AmpError(ErrorCode.CONFIG_INVALID, message)
