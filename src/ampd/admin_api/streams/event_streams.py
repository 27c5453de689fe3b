"""Streams of worker events (server-sent events): many readers of one log, each at its own pace.

A stream holds one page of events at most, and no connection to the database while it writes. A reader that stands still
is cut off by the server (connections.py), and goes on later where it was.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ampd.admin_api.bodies.event_models import event_json
from ampd.errors import AmpError, ErrorCode
from ampd.tasks import wait_until
from ampd.worker_events import EventFilter, LogState, WorkerEvent, WorkerEventLog

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.5
_RETRY_AFTER_SECONDS: Final = 5.0
_RECONNECT_MS: Final = 2000
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
DEFAULT_STREAMS: Final = 100

# Whether the one who reads may still do so.
StillOpen = Callable[[], Awaitable[bool]]


class EventStreams:
    """The streams of one controller, ``most`` at once: all look at the log through one pair of eyes."""

    def __init__(self, events: WorkerEventLog, *, most: int = DEFAULT_STREAMS) -> None:
        self._events = events
        self._most = most
        self._open = 0
        self._closing = asyncio.Event()
        self._looking = asyncio.Lock()
        self._state = LogState(recorded=False, expired_to=0, last_id=0)
        self._seen_at = -float("inf")

    def close(self) -> None:
        """End all streams, for good: their readers go on at another controller, or at this one's successor."""
        self._closing.set()

    def response(
        self,
        events: WorkerEventLog,
        wanted: EventFilter,
        *,
        after_id: int,
        follow: bool,
        still_open: StillOpen,
    ) -> EventStreamResponse:
        """Return the answer that tells what is ``wanted`` behind an id; ``events`` is the log as its reader sees it.

        :raises AmpError: TOO_MANY_STREAMS.
        """
        if self._closing.is_set() or self._open >= self._most:
            raise AmpError(
                ErrorCode.TOO_MANY_STREAMS,
                f"this controller has {self._most} streams of events already, or is about to end: come back later, or "
                "raise worker_events.max_streams",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        self._open += 1
        reader = _Reader(self, events, wanted, after_id)
        return EventStreamResponse(reader.read(follow=follow, still_open=still_open), self._released)

    def _released(self) -> None:
        self._open -= 1

    @property
    def is_closing(self) -> bool:
        """Whether all streams are to end."""
        return self._closing.is_set()

    async def look(self) -> LogState:
        """Return what the log holds, as of now or half a second ago."""
        async with self._looking:
            if time.monotonic() - self._seen_at >= _LOOK_SECONDS:
                self._state = await self._events.state()
                self._seen_at = time.monotonic()
        return self._state

    async def pause(self) -> None:
        """Wait until it is worth while to look again, or all ends."""
        await wait_until(self._closing, _LOOK_SECONDS)


class EventStreamResponse(StreamingResponse):
    """The answer that goes on. ``released`` is called when it has ended, however that came."""

    media_type = "text/event-stream"

    def __init__(self, content: Any = b"", released: Callable[[], None] = lambda: None) -> None:
        super().__init__(content, headers=_HEADERS)
        self._released = released

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._released()


class _Reader:
    """One stream. ``_read_to`` is the id up to which its reader has seen the log."""

    def __init__(self, streams: EventStreams, events: WorkerEventLog, wanted: EventFilter, after_id: int) -> None:
        self._streams = streams
        self._events = events
        self._wanted = wanted
        self._read_to = after_id
        self._told_at = time.monotonic()

    async def read(self, *, follow: bool, still_open: StillOpen) -> AsyncIterator[bytes]:
        """Give the text of the stream, piece by piece."""
        # An id without data: who loses the connection before the first event knows where to go on.
        yield f"retry: {_RECONNECT_MS}\nid: {self._read_to}\n\n".encode()
        try:
            while not self._streams.is_closing:
                async for piece in self._what_is_new():
                    yield piece
                if not follow:
                    return
                if time.monotonic() - self._told_at >= HEARTBEAT_SECONDS:
                    if not await still_open():
                        return
                    self._told_at = time.monotonic()
                    yield f": still here\nid: {self._read_to}\n\n".encode()
                await self._streams.pause()
        except AmpError as error:
            # The reader comes back with the last id, and is told then what is wrong.
            log.info("admin_api.event_stream_ended", error_code=error.code, error=error.message)

    async def _what_is_new(self) -> AsyncIterator[bytes]:
        state = await self._streams.look()
        while self._read_to < state.last_id and not self._streams.is_closing:
            page = await self._events.read(self._wanted, after_id=self._read_to, last_id=state.last_id)
            # What was removed meanwhile is not passed over in silence.
            if (await self._streams.look()).expired_to > self._read_to:
                raise AmpError(ErrorCode.EVENTS_EXPIRED, f"a reader was slower than the log is kept: {self._read_to}")
            self._read_to = page.read_to
            if page.events:
                yield "".join(map(_text, page.events)).encode()


def _text(event: WorkerEvent) -> str:
    # ASCII alone: no reader finds an end of line within it.
    data = json.dumps(event_json(event), separators=(",", ":"))
    return f"event: {event.event_type}\nid: {event.id}\ndata: {data}\n\n"
