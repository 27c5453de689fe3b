"""Serving the Admin API inside a process that has its own signal handling."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from ampd.admin_api.gate.connections import ConnectionLimits, protocol_with
from ampd.errors import AmpError, ErrorCode

GRACEFUL_SHUTDOWN_SECONDS = 5
MAX_PORT = 65535


@dataclass(frozen=True)
class Tls:
    """A certificate (with those between it and the authority's, PEM) and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Listening:
    """How connections are taken. ``guarded``: there are tokens, or will nobody be let in without one."""

    guarded: bool = False
    tls: Tls | None = None
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)


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
    listening: Listening | None = None,
    ending: Callable[[], None] = lambda: None,
) -> None:
    """Serve ``app`` until ``stop`` is set; ``ending`` is called then: answers that would go on have to end.

    ``started`` is called once with the address that takes connections (port 0: a free one).

    :raises AmpError: ADDRESS_IN_USE; CONFIG_INVALID for an address that is none, or that other machines reach
        while there are no tokens (design section 5.3), and for a certificate that cannot be used.
    """
    how = listening or Listening()
    tls = _tls_options(how.tls)
    listener = _bind(host, port, may_be_reached=insecure or how.guarded)
    server = _Server(
        uvicorn.Config(
            app,
            http=protocol_with(how.limits),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
            **tls,
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
        ending()
        server.should_exit = True
        await serving
        listener.close()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches ``host``; False for a name that nobody knows."""
    try:
        return ip_address(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]).is_loopback
    except (OSError, UnicodeError):
        return False


def _tls_options(tls: Tls | None) -> dict[str, Any]:
    """Return uvicorn's options for ``tls``, after a look at what they name: uvicorn would say little."""
    if tls is None:
        return {}
    mend = "check admin_api.tls_cert_file and admin_api.tls_key_file"
    for file in (tls.certificate, tls.key):
        try:
            file.read_bytes()
        except OSError as error:
            raise AmpError(ErrorCode.CONFIG_INVALID, f"cannot read {file}: {error.strerror}; {mend}") from None
    try:
        # No password is asked for: nobody sits at a daemon.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "no certificate and key in PEM form"
        what = (
            f"{tls.certificate} and {tls.key} are no certificate and its key ({reason}; the key must have no password)"
        )
        raise AmpError(ErrorCode.CONFIG_INVALID, f"{what}; {mend}") from None
    return {"ssl_certfile": tls.certificate, "ssl_keyfile": tls.key}


def _bind(host: str, port: int, *, may_be_reached: bool) -> socket.socket:
    mend = "change admin_api_addr in the config file (or AMP_CONFIG_ADMIN_API_ADDR)"
    if not 0 <= port <= MAX_PORT:  # getaddrinfo would take it modulo 65536
        raise AmpError(ErrorCode.CONFIG_INVALID, f"cannot listen on {host}:{port}: ports end at {MAX_PORT}; {mend}")
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise AmpError(ErrorCode.CONFIG_INVALID, f"cannot listen on {host}:{port} ({error}); {mend}") from None
    if not may_be_reached and not ip_address(address[0]).is_loopback:
        raise AmpError(
            ErrorCode.CONFIG_INVALID,
            f"there are no tokens yet: the Admin API does not listen on {host}:{port}, where other machines reach it. "
            "Make the first one ('ampd token create --role admin' with the same config file); or "
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
