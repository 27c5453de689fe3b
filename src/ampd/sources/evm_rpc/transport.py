"""How requests reach an endpoint: one protocol for HTTP, WebSocket and Unix sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp

from ampd.errors import describe_exception

# Answers are large: with the library's buffer of 64 KiB reading pauses and resumes all the time.
_READ_BUFFER_BYTES: Final = 1024 * 1024
CONNECT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Call:
    """A call of a method; ``id`` is free for the caller to choose."""

    id: int
    method: str
    params: list[Any]

    def to_json(self, call_id: int | None = None) -> dict[str, Any]:
        """Return the JSON-RPC request, under another id if one is given."""
        call_id = self.id if call_id is None else call_id
        return {"jsonrpc": "2.0", "id": call_id, "method": self.method, "params": self.params}


@dataclass(frozen=True)
class Reply:
    """What came back. ``headers`` have names in lower case; ``request_bytes`` is the size of what was sent."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    request_bytes: int = 0


class TransportError(Exception):
    """The endpoint was not reached, or its answer did not come whole. The text says why and holds no secret."""


class Transport(Protocol):
    """A way to an endpoint. Several exchanges may be under way at the same time."""

    takes_batches: bool

    async def exchange(self, calls: Sequence[Call], *, as_batch: bool) -> Reply:
        """Send one call, or several as a batch, and return the answer, whose ids are those of the calls.

        :raises TransportError: when there is no (whole) answer.
        """

    async def close(self) -> None:
        """Let go of connections; exchanges that are under way fail."""


def encoded(message: Any) -> bytes:
    """Return the JSON text of a request."""
    return json.dumps(message, separators=(",", ":")).encode()


class HttpTransport:
    """POST requests. ``timeout_seconds`` is the longest silence: a slow answer that goes on coming is waited for."""

    takes_batches = True

    def __init__(self, url: str, headers: Mapping[str, str], *, connections: int, timeout_seconds: float) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=timeout_seconds),
            headers={"Content-Type": "application/json", "Accept-Encoding": "gzip", **headers},
            read_bufsize=_READ_BUFFER_BYTES,
            auto_decompress=False,
        )

    async def exchange(self, calls: Sequence[Call], *, as_batch: bool) -> Reply:
        """See :class:`Transport`."""
        request = encoded([call.to_json() for call in calls] if as_batch else calls[0].to_json())
        try:
            async with self._session.post(self._url, data=request) as response:
                body = await response.read()
                headers = {name.lower(): value for name, value in response.headers.items()}
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise TransportError(_reason(error)) from None
        if headers.get("content-encoding", "").lower() in ("gzip", "x-gzip"):
            body = await _decompressed(body)
        return Reply(body, status, headers, len(request))

    async def close(self) -> None:
        """See :class:`Transport`."""
        await self._session.close()


async def _decompressed(body: bytes) -> bytes:
    """Decompress on another thread: zlib lets go of the interpreter meanwhile."""
    try:
        return await asyncio.get_running_loop().run_in_executor(None, gzip.decompress, body)
    except (OSError, EOFError, zlib.error):
        raise TransportError("its answer says that it is compressed, and cannot be decompressed") from None


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it broke off its answer"
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return "its url cannot be used"  # the text of the error would repeat the URL
    return " ".join(describe_exception(error).split()).rstrip(".")


def shown_url(url: str) -> str:
    """Return ``url`` without account, path and parameters: providers put keys into all of them."""
    parts = urlsplit(url)
    if parts.scheme == "ipc":
        return url  # a path on this machine is no secret, and there may be several
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}"
