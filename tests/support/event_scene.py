"""Worker events over a real database: extraction jobs that a test leads, and the log that comes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ampd.data_store import PlannedRange
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import Lease, place_due_jobs
from ampd.metadata_db import MetadataDb
from ampd.worker_events import (
    EventFilter,
    WorkerEvent,
    WorkerEventLog,
    collect_events,
    set_recorded,
)
from support.ranges import LEASE_SECONDS, Ranges, running_extraction, segment

TRANSIENT = AmpError(ErrorCode.NODE_UNREACHABLE, "gone for now", recoverable=True)
FATAL = AmpError(ErrorCode.NETWORK_MISMATCH, "another chain")
EVERYTHING = EventFilter()
HOUR = 3600.0


class EventScene:
    """A running extraction job of the tables ``blocks`` and ``logs``, whose events are recorded."""

    def __init__(self, ranges: Ranges) -> None:
        self.ranges = ranges
        self.db = ranges.db
        self.log = WorkerEventLog(ranges.db)

    async def begin(self, *, end_block: int | None = None) -> None:
        """Begin the plan of the attempt, as its handler does."""
        report = {"start_block": 0, "end_block": end_block, "latest_block": 1000}
        assert await self.ranges.leased.report_progress(self.ranges.lease, report)
        await self.ranges.store.begin_plan(self.ranges.lease, 4)

    async def extract(self, start: int, end: int) -> None:
        """Commit a segment of both tables."""
        await self.ranges.store.plan_more(self.ranges.lease, [PlannedRange(start, end)], done=[])
        await self.ranges.commit(await self.ranges.take(), segment(start, end))

    async def collect(self, *, interval: float = 0.0) -> None:
        while await collect_events(self.db, progress_interval_seconds=interval):
            pass

    async def told(self, *, interval: float = 0.0, wanted: EventFilter = EVERYTHING) -> list[WorkerEvent]:
        """Return the whole log, as it is when all is collected."""
        await self.collect(interval=interval)
        state = await self.log.state()
        return list((await self.log.read(wanted, after_id=0, last_id=state.last_id, limit=100_000)).events)

    async def types(self, table: str = "blocks", *, interval: float = 0.0) -> list[str]:
        """Return what was told of a table."""
        return [
            each.event_type.removeprefix("sync.")
            for each in await self.told(interval=interval)
            if each.table_name == table
        ]

    async def next_attempt(self) -> Lease:
        """Let the worker begin the next attempt of the job."""
        await self.ranges.run("UPDATE jobs SET run_at = now() WHERE state = 'SCHEDULED'")
        await self.ranges.run("UPDATE worker_heartbeats SET heartbeat_at = now()")
        (lease,) = await place_due_jobs(self.db, lease_seconds=LEASE_SECONDS)
        assert await self.ranges.leased.start(lease) is not None
        self.ranges.lease = lease
        return lease

    async def count(self, table: str) -> int:
        queries: dict[str, Any] = {
            "outbox": "SELECT count(*) AS n FROM worker_event_outbox",
            "syncs": "SELECT count(*) AS n FROM worker_event_syncs",
            "log": "SELECT count(*) AS n FROM worker_events",
        }
        return int((await self.ranges.run(queries[table]))[0]["n"])

    async def age(self, seconds: float) -> None:
        """Let all that is in the log be so much older."""
        await self.ranges.run("UPDATE worker_events SET created_at = created_at - make_interval(secs => %s)", seconds)


@asynccontextmanager
async def event_scene(db: MetadataDb, *, recorded: bool = True) -> AsyncIterator[EventScene]:
    await set_recorded(db, recorded=recorded)
    async with running_extraction(db) as ranges:
        yield EventScene(ranges)
