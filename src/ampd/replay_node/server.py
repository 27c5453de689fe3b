"""The replay node as an HTTP server, inside a test's event loop or as a process of its own."""

from __future__ import annotations

import asyncio
import errno
import gzip as gzip_codec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from ampd.errors import AmpError, ErrorCode
from ampd.replay_node.chain import ReplayChain
from ampd.replay_node.faults import BatchFaultChooser, DropConnection, FaultChooser, HttpAnswer
from ampd.replay_node.methods import ChainMethods
from ampd.replay_node.rpc import RpcEndpoint
from ampd.replay_node.streams import serve_stream, serve_websocket
from ampd.tasks import cancel_all

MAX_REQUEST_BYTES = 5 * 1024 * 1024  # as geth has it
MIN_GZIP_BYTES = 1024  # below this the header costs more than compression saves
GZIP_LEVEL = 1  # the node must be quick; level 1 makes a block a fifth of its size

_SHUTDOWN_SECONDS = 1.0  # for answers under way


class ReplayNode:
    """A JSON-RPC node over a :class:`ReplayChain`, in the running event loop.

    ``async with ReplayNode(chain) as node`` serves on ``node.url``, and by WebSocket on ``node.ws_url``, until the
    block ends; with ``ipc_path`` on a Unix socket there as well. ``port`` 0 takes any free
    port. With ``gzip`` large answers are compressed for clients that accept it (some 100 MB/s of JSON: leave it off
    when speed counts). ``latency_seconds`` delays every HTTP answer. ``faults`` sees every call and may choose a fault
    for its answer; ``batch_faults`` sees every batch that was answered.

    Raises :class:`AmpError` (``ADDRESS_IN_USE``) on entering when the address cannot be bound.
    """

    def __init__(
        self,
        chain: ReplayChain,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        gzip: bool = True,
        latency_seconds: float = 0.0,
        faults: FaultChooser | None = None,
        batch_faults: BatchFaultChooser | None = None,
        ipc_path: Path | None = None,
    ) -> None:
        self.chain = chain
        self._methods = ChainMethods(chain)
        self._endpoint = RpcEndpoint(self._methods, faults, batch_faults)
        self._host = host
        self._port = port
        self._gzip = gzip
        self._latency_seconds = latency_seconds
        self._runner: web.AppRunner | None = None
        self._ipc_path = ipc_path
        self._ipc: asyncio.Server | None = None
        self._connections: set[asyncio.Future[Any]] = set()

    @property
    def url(self) -> str:
        """The URL to send requests to; every path is the same."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def ws_url(self) -> str:
        """The URL for WebSocket connections."""
        return self.url.replace("http://", "ws://")

    @property
    def head(self) -> int:
        """The highest block that exists so far, at first the last of the chain. Set it to let the chain grow."""
        return self._methods.head

    @head.setter
    def head(self, number: int) -> None:
        if number not in self.chain:
            raise ValueError(
                f"head {number} is outside the chain ({self.chain.first_block} to {self.chain.last_block})"
            )
        self._methods.head = number

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.router.add_post("/{path:.*}", self._handle)
        application.router.add_get("/{path:.*}", self._upgrade)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except (OSError, OverflowError) as error:  # OverflowError: not a port number
            await runner.cleanup()
            raise _address_error(error, self._host, self._port) from error
        self._runner = runner
        self._port = runner.addresses[0][1]
        if self._ipc_path is not None:
            self._ipc = await asyncio.start_unix_server(self._serve_ipc, self._ipc_path, limit=MAX_REQUEST_BYTES)
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ipc is not None:
            self._ipc.close()
        await cancel_all(self._connections)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=405, headers={"Allow": "POST"})
        connection = asyncio.ensure_future(serve_websocket(request, self._endpoint, self._latency_seconds))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        return await connection

    async def _serve_ipc(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.ensure_future(serve_stream(reader, writer, self._endpoint, self._latency_seconds))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        await asyncio.wait({connection})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        response = await self._endpoint.respond(await request.read())
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        match response.fault:
            case HttpAnswer() as fault:
                return web.Response(
                    status=fault.status,
                    text=fault.body,
                    headers=fault.headers,
                    content_type=fault.content_type,
                )
            case DropConnection() as fault:
                return await _drop_connection(request, b"".join(response.parts), fault)
        if not response.parts:
            return web.Response(status=204)
        return await self._json_response(request, b"".join(response.parts))

    async def _json_response(self, request: web.Request, body: bytes) -> web.Response:
        headers = {"Content-Type": "application/json"}
        if self._gzip:
            headers["Vary"] = "Accept-Encoding"
            if len(body) >= MIN_GZIP_BYTES and _accepts_gzip(request.headers.get("Accept-Encoding", "")):
                # zlib releases the GIL: other requests go on meanwhile.
                body = await asyncio.to_thread(gzip_codec.compress, body, GZIP_LEVEL, mtime=0)
                headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)


async def _drop_connection(request: web.Request, body: bytes, fault: DropConnection) -> web.StreamResponse:
    """Close the connection before the answer or in its middle."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    if fault.after_bytes is not None:
        await response.prepare(request)
        await response.write(body[: fault.after_bytes])
    if request.transport is not None:
        request.transport.close()
    return response


def _accepts_gzip(accept_encoding: str) -> bool:
    for item in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        if coding in ("gzip", "*"):
            return not any(parameter.startswith("q=") and not _quality(parameter) for parameter in parameters)
    return False


def _quality(parameter: str) -> float:
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0


def _address_error(error: OSError | OverflowError, host: str, port: int) -> AmpError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        problem = "another process listens there; stop it, or give another port (0 takes any free one)"
    else:
        problem = f"{error}; give another host or port"
    return AmpError(ErrorCode.ADDRESS_IN_USE, f"The replay node cannot listen on {host}:{port}: {problem}.")
