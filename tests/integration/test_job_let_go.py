"""A worker lets go of a job that it has lost: once, however long that takes and however often it is told again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from ampd.jobs import Deployment, JobContext, JobStore, LeasedJobs, WorkerIdentity, force_overdue_stops
from ampd.metadata_db import MetadataDb
from ampd.worker import HeartbeatSettings, WorkerNode, WorkerSettings

SECONDS = 30.0  # no wait here lasts longer
BEAT = "SELECT heartbeat_at FROM worker_heartbeats"


class TidyHandler:
    """Works until it is cancelled, then tidies up until it may go; counts how often it was interrupted."""

    def __init__(self) -> None:
        self.works = asyncio.Event()
        self.tidies_up = asyncio.Event()
        self.may_go = asyncio.Event()
        self.has_gone = asyncio.Event()
        self.interruptions = 0

    async def run(self, context: JobContext) -> bool:
        self.works.set()
        try:
            await self._until_interrupted(asyncio.Event())
        finally:
            self.tidies_up.set()
            try:
                await self._until_interrupted(self.may_go)
            finally:
                self.has_gone.set()
        return True

    async def _until_interrupted(self, event: asyncio.Event) -> None:
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.interruptions += 1
            raise


@asynccontextmanager
async def worker(db: MetadataDb, handler: TidyHandler) -> AsyncIterator[None]:
    heartbeat = HeartbeatSettings(interval_seconds=0.05, lease_seconds=20.0)
    settings = WorkerSettings(heartbeat, drain_timeout_seconds=0.1)
    identity = WorkerIdentity("w1", uuid4())
    node = WorkerNode(db, identity, {"noop": handler}, LeasedJobs(db), settings, info={})
    stop = asyncio.Event()
    running = asyncio.create_task(node.run(stop))
    try:
        yield
    finally:
        handler.may_go.set()
        stop.set()
        await running


async def test_the_tidying_up_of_a_lost_job_is_not_interrupted_by_the_next_beats(
    metadata_db: MetadataDb,
) -> None:
    """A second interruption in the middle of it made a crash of a loss that is nothing special."""
    handler = TidyHandler()
    store = JobStore(metadata_db, stop_seconds=0.0)
    async with asyncio.timeout(SECONDS), worker(metadata_db, handler):
        job = await store.deploy(Deployment(kind="noop", idempotency_key="k", input={}), actor="a")
        await handler.works.wait()
        await store.request_stop(job.id, actor="a")
        while not await force_overdue_stops(metadata_db, actor="a"):
            pass  # the worker was just writing that it had heard of the stop
        await handler.tidies_up.wait()
        seen = set()
        while len(seen) < 5:  # each of them says again that the job is lost
            seen.add(str(await metadata_db.fetch_one(BEAT)))
        handler.may_go.set()
        await handler.has_gone.wait()
    assert handler.interruptions == 1
