"""A connection through a middle that counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass
class Proxy:
    """``bytes_down`` counts what came from the server."""

    port: int = 0
    bytes_down: int = 0


@asynccontextmanager
async def counting_proxy(port: int) -> AsyncIterator[Proxy]:
    """Give a proxy before a port of this machine."""
    proxy, serving = Proxy(), set[asyncio.Task[None]]()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool) -> None:
        try:
            with suppress(OSError):
                while piece := await reader.read(65536):
                    proxy.bytes_down += len(piece) if down else 0
                    writer.write(piece)
                    await writer.drain()
        finally:
            writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, up_writer, down=False), copy(up_reader, writer, down=True))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
