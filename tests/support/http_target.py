"""A real HTTP server on this machine that answers as a test says, down to the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Got:
    """A request as it came. The names of headers are in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answer(status: str = "200 OK", body: bytes = b"", **headers: str) -> bytes:
    """Return a whole answer; ``_`` in the name of a header stands for ``-``."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *lines])
    return head.encode("latin-1") + b"\r\n\r\n" + body


@dataclass
class Target:
    """``answers`` is what is sent for the requests to come, in their order, then ``usually``; a function of the
    request, or bytes. After each the connection is closed. None: it is never answered.
    """

    port: int = 0
    got: list[Got] = field(default_factory=list)
    answers: list[bytes | Callable[[Got], bytes] | None] = field(default_factory=list)
    usually: bytes | Callable[[Got], bytes] | None = field(default_factory=answer)
    hangs: bool = False  # what was sent stays without its end
    silence_ends: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            self.got.append(request)
            found = self.answers.pop(0) if self.answers else self.usually
            if found is None:
                await self.silence_ends.wait()
            else:
                writer.write(found if isinstance(found, bytes) else found(request))
                await writer.drain()
                if self.hangs:
                    await self.silence_ends.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller has had enough
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Got:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Got(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@asynccontextmanager
async def http_target() -> AsyncIterator[Target]:
    """Give a server that runs."""
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        target.silence_ends.set()
        server.close()
        await server.wait_closed()
