"""The replay node over WebSocket and a Unix socket: many calls under way on one connection, answers as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import WSMsgType, web

from ampd.replay_node.faults import DropConnection, HttpAnswer
from ampd.replay_node.rpc import RpcEndpoint
from ampd.tasks import cancel_all

_MOST_REQUEST_BYTES = 5 * 1024 * 1024

Send = Callable[[bytes], Awaitable[None]]


async def serve_websocket(request: web.Request, endpoint: RpcEndpoint, latency_seconds: float) -> web.StreamResponse:
    """Answer the calls of one WebSocket connection until it ends."""
    socket = web.WebSocketResponse(max_msg_size=_MOST_REQUEST_BYTES)
    await socket.prepare(request)
    connection = _Connection(endpoint, latency_seconds, lambda text: socket.send_str(text.decode()))

    def cut() -> None:
        if request.transport is not None:
            request.transport.close()

    try:
        async for message in socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                body = message.data.encode() if isinstance(message.data, str) else message.data
                connection.take(body, cut)
    finally:
        await connection.close()
    return socket


async def serve_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, endpoint: RpcEndpoint, latency_seconds: float
) -> None:
    """Answer the calls of one connection to a Unix socket, one JSON text per line, until it ends."""

    async def send(text: bytes) -> None:
        writer.write(text)
        await writer.drain()

    connection = _Connection(endpoint, latency_seconds, send)
    try:
        while line := await reader.readline():
            if line.strip():
                connection.take(line, writer.close)
    except (OSError, ValueError):
        pass  # the other side went away, or sent a line without an end
    finally:
        await connection.close()
        writer.close()


class _Connection:
    def __init__(self, endpoint: RpcEndpoint, latency_seconds: float, send: Send) -> None:
        self._endpoint = endpoint
        self._latency_seconds = latency_seconds
        self._send = send
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, body: bytes, cut: Callable[[], None]) -> None:
        """Answer one request in the background."""
        task = asyncio.create_task(self._answer(body, cut))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        await cancel_all(self._tasks)

    async def _answer(self, body: bytes, cut: Callable[[], None]) -> None:
        response = await self._endpoint.respond(body)
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        text = b"".join(response.parts)
        try:
            match response.fault:
                case HttpAnswer() as fault:
                    await self._send(_as_error(body, fault))
                case DropConnection() as fault:
                    await self._send_part(text, fault)
                    cut()
                case _:
                    await self._send(text)
        except OSError:
            return  # the other side went away

    async def _send_part(self, text: bytes, fault: DropConnection) -> None:
        if fault.after_bytes is not None:
            await self._send(text[: fault.after_bytes])


def _as_error(body: bytes, fault: HttpAnswer) -> bytes:
    """Say as a JSON-RPC error what would be an HTTP status elsewhere: streams have no other way."""
    message = json.loads(body)
    call_id = message.get("id") if isinstance(message, dict) else None
    error = {"code": fault.status, "message": fault.body}
    return json.dumps({"jsonrpc": "2.0", "id": call_id, "error": error}).encode()
