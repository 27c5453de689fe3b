"""Streams for the dashboard (server-sent events): what has changed, so that pages ask again for what they show.

One watcher looks for all viewers of a controller, once a second, from the first viewer to the last. What a viewer has
not taken yet is kept as one message that grows no further: who is slow is told that much has changed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog

from ampd.admin_api.bodies.timestamps import rfc3339
from ampd.admin_api.streams.event_streams import DEFAULT_STREAMS, HEARTBEAT_SECONDS, EventStreamResponse, StillOpen
from ampd.data_store import TableChanges
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import ChangedJobs, JobChanges
from ampd.tasks import wait_until
from ampd.webhooks import WebhookChanges

log = structlog.get_logger(__name__)

MOST_JOBS: Final = 200
_LOOK_SECONDS: Final = 1.0
_RETRY_AFTER_SECONDS: Final = 5.0
_RECONNECT_MS: Final = 2000


@dataclass(frozen=True)
class ChangeSources:
    """What one watcher looks at."""

    jobs: JobChanges
    tables: TableChanges
    webhooks: WebhookChanges


class Viewer:
    """What one viewer has not been told yet. ``namespaces`` are those that they see, None: everything."""

    def __init__(self, namespaces: tuple[str, ...] | None) -> None:
        self.has_news = asyncio.Event()
        self.is_over = False
        self._sees = None if namespaces is None else frozenset(namespaces)
        self._clear()

    def _clear(self) -> None:
        self._jobs: set[int] | None = set()
        self._workers = self._tables = self._webhooks = False

    def take(self) -> dict[str, Any] | None:
        """Return the data of the next event, and begin anew; None: nothing has changed."""
        self.has_news.clear()
        if self._jobs == set() and not (self._workers or self._tables or self._webhooks):
            return None
        told = {
            "jobs": None if self._jobs is None else sorted(self._jobs),
            "workers": self._workers,
            "tables": self._tables,
            "webhooks": self._webhooks,
        }
        self._clear()
        return told

    def add_jobs(self, changed: ChangedJobs) -> None:
        """Note changed jobs. Whose job one was that is gone by now nobody knows: lists have to be asked for again."""
        jobs = self._seen(changed)
        has_worker_news = changed.workers or bool(jobs and jobs & changed.on_workers)
        self._workers |= has_worker_news
        if jobs is None or self._jobs is None or len(self._jobs | jobs) > MOST_JOBS:
            self._jobs = None
        else:
            self._jobs |= jobs
        self._wake(jobs is None or bool(jobs) or has_worker_news)

    def _seen(self, changed: ChangedJobs) -> set[int] | None:
        if changed.jobs is None:
            return None
        if self._sees is None:
            return set(changed.jobs)
        namespaces = changed.jobs.values()
        return None if None in namespaces else {id_ for id_, each in changed.jobs.items() if each in self._sees}

    def add_tables(self, namespaces: frozenset[str] | None) -> None:
        """Note the namespaces of changed tables; None: all."""
        changed = namespaces is None or bool(namespaces if self._sees is None else namespaces & self._sees)
        self._tables |= changed
        self._wake(changed)

    def add_webhooks(self, filters: list[frozenset[str] | None]) -> None:
        """Note the namespaces of changed webhooks: a limited viewer sees webhooks that are limited to the same."""
        sees = self._sees
        changed = bool(filters) if sees is None else any(each is not None and each <= sees for each in filters)
        self._webhooks |= changed
        self._wake(changed)

    def _wake(self, changed: bool) -> None:
        if changed:
            self.has_news.set()


class LiveStreams:
    """The viewers of one controller, ``most`` at once. ``sources`` gives a watcher what it looks at; ``now`` tells the
    time.
    """

    def __init__(
        self,
        sources: Callable[[], ChangeSources],
        now: Callable[[], Awaitable[datetime]],
        *,
        version: str,
        most: int = DEFAULT_STREAMS,
    ) -> None:
        self._sources = sources
        self._now = now
        self._version = version
        self._most = most
        self._open = 0
        self._viewers: set[Viewer] = set()
        self._starting = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self._closing = False
        self._wakes = asyncio.Event()

    def close(self) -> None:
        """End all streams, for good: their viewers connect again, to another controller or to this one's successor."""
        self._closing = True
        self._wakes.set()
        for viewer in self._viewers:
            viewer.has_news.set()

    async def response(
        self, namespaces: tuple[str, ...] | None, *, still_open: StillOpen, follow: bool = True
    ) -> EventStreamResponse:
        """Return the answer that tells what changes from now on, of what is in ``namespaces`` (None: of everything);
        without ``follow`` it ends behind its first event.

        :raises AmpError: TOO_MANY_STREAMS, METADATA_DB_UNREACHABLE.
        """
        if self._closing or self._open >= self._most:
            raise AmpError(
                ErrorCode.TOO_MANY_STREAMS,
                f"this controller has {self._most} viewers already, or is about to end: come back later, or raise "
                "worker_events.max_streams",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        self._open += 1
        viewer = Viewer(namespaces)
        try:
            hello = {"version": self._version, "at": rfc3339(await self._now())}
            await self._watch_for(viewer)
        except BaseException:
            self._left(viewer)
            raise
        viewer.is_over = not follow
        return EventStreamResponse(self._read(viewer, hello, still_open), lambda: self._left(viewer))

    async def _watch_for(self, viewer: Viewer) -> None:
        """See to it that whatever is committed from now on comes to a viewer."""
        async with self._starting:
            if self._watcher is None:
                sources = self._sources()
                # The first look tells nothing: what comes behind it does.
                await sources.jobs.look()
                await sources.tables.look()
                await sources.webhooks.look()
                self._viewers.add(viewer)
                self._watcher = asyncio.create_task(self._watch(sources), name="live")
            else:
                self._viewers.add(viewer)

    def _left(self, viewer: Viewer) -> None:
        self._open -= 1
        self._viewers.discard(viewer)
        if not self._viewers:
            self._wakes.set()

    async def _watch(self, sources: ChangeSources) -> None:
        """Look once a second while somebody wants to know."""
        is_away = False
        try:
            while self._viewers and not self._closing:
                try:
                    await self._look(sources)
                    is_away = False
                except AmpError as error:
                    if not is_away:
                        log.warning("admin_api.live_blind", error_code=error.code, error=error.message)
                    is_away = True
                self._wakes.clear()
                await wait_until(self._wakes, _LOOK_SECONDS)
        finally:
            # There is no pause since the look at the viewers: whoever comes now starts another watcher. Where there are
            # some all the same something is wrong with this one, and they connect again.
            self._watcher = None
            for viewer in self._viewers:
                viewer.is_over = True
                viewer.has_news.set()

    async def _look(self, sources: ChangeSources) -> None:
        """Tell each viewer at once what was found: a look that fails behind it must not lose it."""
        jobs = await sources.jobs.look()
        for viewer in self._viewers:
            viewer.add_jobs(jobs)
        tables = await sources.tables.look()
        for viewer in self._viewers:
            viewer.add_tables(tables)
        webhooks = list(await sources.webhooks.look())
        for viewer in self._viewers:
            viewer.add_webhooks(webhooks)

    async def _read(self, viewer: Viewer, hello: dict[str, Any], still_open: StillOpen) -> AsyncIterator[bytes]:
        """Give the text of the stream, piece by piece."""
        yield f"retry: {_RECONNECT_MS}\n".encode() + _event("hello", hello)
        looked_at = time.monotonic()
        try:
            while not self._closing and not viewer.is_over:
                if time.monotonic() - looked_at >= HEARTBEAT_SECONDS:
                    if not await still_open():
                        return
                    looked_at = time.monotonic()
                    yield b": still here\n\n"
                changed = viewer.take()
                if changed is not None:
                    yield _event("changed", changed)
                await wait_until(viewer.has_news, max(0.0, looked_at + HEARTBEAT_SECONDS - time.monotonic()))
        except AmpError as error:
            # The viewer comes back, and is told then what is wrong.
            log.info("admin_api.live_stream_ended", error_code=error.code, error=error.message)


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
