"""WebSocket and Unix sockets: one connection, many calls under way, answers in any order and matched by id."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, Protocol

import aiohttp

from ampd.sources.evm_rpc.json_pieces import BrokenJsonError, Framer, answer_id, with_id
from ampd.sources.evm_rpc.transport import CONNECT_SECONDS, Call, Reply, TransportError, encoded
from ampd.tasks import cancel_all

_READ_BYTES: Final = 1024 * 1024
_CLOSE_SECONDS: Final = 1.0
# An answer that never comes, on a connection where others do, is given up after this many time-outs.
_MOST_WAITS: Final = 10


class Channel(Protocol):
    """A connection that carries JSON texts both ways."""

    async def send(self, text: bytes) -> None:
        """Send one JSON text."""

    def texts(self, on_progress: Callable[[], None]) -> AsyncIterator[bytes]:
        """Give the JSON texts that come, until the other side closes; ``on_progress`` hears of parts of them."""

    async def close(self) -> None:
        """Close; a second time does nothing."""


class StreamTransport:
    """Calls over channels that :meth:`open` makes; a broken one is replaced at the next call.

    Every call has an id of its own on the wire, so that the late answer to a call that was given up is never taken for
    the answer to another one. Batches are of no use here: calls do not wait for each other.
    """

    takes_batches = False

    def __init__(self, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._ids = itertools.count(1)
        self._opening = asyncio.Lock()
        self._channel: Channel | None = None
        self._readers: set[asyncio.Task[None]] = set()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._heard_at = 0.0

    async def open(self) -> Channel:
        """Connect.

        :raises TransportError: when that fails.
        """
        raise NotImplementedError

    async def exchange(self, calls: Sequence[Call], *, as_batch: bool) -> Reply:
        """See :class:`ampd.sources.evm_rpc.transport.Transport`."""
        (call,) = calls
        channel = await self._connected()
        wire_id = next(self._ids)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[wire_id] = answer
        try:
            request = encoded(call.to_json(wire_id))
            await channel.send(request)
            return Reply(with_id(await self._awaited(answer, channel), call.id), request_bytes=len(request))
        except (OSError, aiohttp.ClientError) as error:
            raise TransportError(str(error) or "its connection broke") from None
        except BrokenJsonError:
            raise TransportError("it did not answer with JSON") from None
        finally:
            self._waiting.pop(wire_id, None)
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # whoever gave up before it came has no use for it

    async def close(self) -> None:
        """See :class:`ampd.sources.evm_rpc.transport.Transport`."""
        channel = self._channel
        await cancel_all(self._readers)
        if channel is not None:
            await channel.close()

    async def _awaited(self, answer: asyncio.Future[bytes], channel: Channel) -> bytes:
        """Wait for an answer as long as anything comes: one of many megabytes holds up those behind it.

        A connection on which nothing comes at all may be dead: the next call opens another one.
        """
        loop = asyncio.get_running_loop()
        for _ in range(_MOST_WAITS):
            started = loop.time()
            await asyncio.wait({answer}, timeout=self._timeout_seconds)
            if answer.done():
                return answer.result()
            if self._heard_at < started:
                if self._channel is channel:
                    self._channel = None
                await channel.close()
                break
        raise TransportError("it did not answer in time")

    async def _connected(self) -> Channel:
        async with self._opening:
            if self._channel is None:
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        self._channel = await self.open()
                except TimeoutError:
                    raise TransportError("it did not answer in time") from None
                reader = asyncio.create_task(self._read(self._channel))
                self._readers.add(reader)
                reader.add_done_callback(self._readers.discard)
            return self._channel

    async def _read(self, channel: Channel) -> None:
        """Hand out answers until the connection ends; then fail those who still wait."""
        why = "it closed the connection"
        try:
            async for text in channel.texts(self._heard):
                self._heard()
                self._hand_out(text)
        except (OSError, aiohttp.ClientError, BrokenJsonError) as error:
            why = f"its connection broke: {error}"
        finally:
            if self._channel is channel:
                self._channel = None
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(TransportError(why))
            await channel.close()

    def _heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()

    def _hand_out(self, text: bytes) -> None:
        wire_id = answer_id(text)
        waiting = self._waiting.get(wire_id) if isinstance(wire_id, int) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(text)
        elif wire_id is None and len(self._waiting) == 1:
            # An error without an id can only mean the one call that waits.
            (only,) = self._waiting.values()
            if not only.done():
                only.set_result(text)


class _WebSocket:
    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._session = session
        self._socket = socket

    async def send(self, text: bytes) -> None:
        await self._socket.send_str(text.decode())

    async def texts(self, on_progress: Callable[[], None]) -> AsyncIterator[bytes]:
        async for message in self._socket:
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                yield message.data

    async def close(self) -> None:
        try:
            await self._socket.close()
        finally:
            await self._session.close()


class WebSocketTransport(StreamTransport):
    """``ws://`` and ``wss://``."""

    def __init__(self, url: str, headers: Mapping[str, str], *, timeout_seconds: float) -> None:
        super().__init__(timeout_seconds=timeout_seconds)
        self._url = url
        self._headers = dict(headers)

    async def open(self) -> Channel:
        """See :class:`StreamTransport`."""
        session = aiohttp.ClientSession(headers=self._headers, read_bufsize=_READ_BYTES)
        try:
            # Answers may have any size; the number of calls under way is what bounds memory.
            socket = await session.ws_connect(
                self._url,
                max_msg_size=0,
                decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
            )
        except BaseException as error:
            await session.close()
            if isinstance(error, aiohttp.WSServerHandshakeError):
                raise _RefusedError(error.status, {k.lower(): v for k, v in (error.headers or {}).items()}) from None
            if isinstance(error, aiohttp.InvalidURL | ValueError):
                raise TransportError("its url cannot be used") from None
            if isinstance(error, aiohttp.ClientError | OSError):
                raise TransportError(" ".join(str(error).split()).rstrip(".")) from None
            raise
        return _WebSocket(session, socket)

    async def exchange(self, calls: Sequence[Call], *, as_batch: bool) -> Reply:
        """See :class:`ampd.sources.evm_rpc.transport.Transport`; a refused handshake is an HTTP answer."""
        try:
            return await super().exchange(calls, as_batch=as_batch)
        except _RefusedError as refused:
            return Reply(b"", refused.status, refused.headers)


class _RefusedError(Exception):
    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers


class _Pipe:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, text: bytes) -> None:
        self._writer.write(text + b"\n")
        await self._writer.drain()

    async def texts(self, on_progress: Callable[[], None]) -> AsyncIterator[bytes]:
        framer = Framer()
        while piece := await self._reader.read(_READ_BYTES):
            on_progress()
            for text in framer.feed(piece):
                yield text

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):  # the other side may have closed it already
            await self._writer.wait_closed()


class IpcTransport(StreamTransport):
    """A Unix socket (``ipc:///path``), as nodes open it on their own machine."""

    def __init__(self, path: str, *, timeout_seconds: float) -> None:
        super().__init__(timeout_seconds=timeout_seconds)
        self._path = path

    async def open(self) -> Channel:
        """See :class:`StreamTransport`."""
        try:
            return _Pipe(*await asyncio.open_unix_connection(self._path, limit=4 * _READ_BYTES))
        except OSError as error:
            raise TransportError(f"{error.strerror or error} ({self._path})") from None
