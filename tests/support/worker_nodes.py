"""Worker nodes in this process, with a handler that the test holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

from ampd.errors import AmpError
from ampd.jobs import JobContext, JobHandler, LeasedJobs, Notifier, RetryPolicy, WorkerIdentity
from ampd.metadata_db import MetadataDb
from ampd.tasks import cancel_all
from ampd.worker import HeartbeatSettings, WorkerNode, WorkerSettings
from support.engine import LEASE_SECONDS, SECONDS

KIND = "noop"
BEAT_SECONDS = 0.05
Found = TypeVar("Found")


async def until(what: str, probe: Callable[[], Awaitable[Found | None]], seconds: float = SECONDS) -> Found:
    """Ask ``probe`` until it gives something true; fail after ``seconds``, naming ``what``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while loop.time() < deadline:
        if found := await probe():
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")


class Run:
    """One run of a job by a handler: ``finish`` completes it."""

    def __init__(self, context: JobContext) -> None:
        self.context = context
        self.finish = asyncio.Event()
        self.has_ended = asyncio.Event()
        self.was_cancelled = False

    @property
    def job_id(self) -> int:
        return self.context.lease.job_id


class Handler:
    """Runs each job until the test finishes it or, unless ``ignores_stop``, somebody wants it to stop.

    ``holds`` makes it go on after it has heard a stop until the test lets go of it, as a handler does that has a range
    in hand.
    """

    def __init__(self, *, ignores_stop: bool = False, holds: bool = False) -> None:
        self.runs: list[Run] = []
        self.lets_go = asyncio.Event()
        self._ignores_stop = ignores_stop
        if not holds:
            self.lets_go.set()

    async def run(self, context: JobContext) -> bool:
        run = Run(context)
        self.runs.append(run)
        try:
            return await self._work(run)
        except asyncio.CancelledError:
            run.was_cancelled = True
            raise
        finally:
            run.has_ended.set()

    async def _work(self, run: Run) -> bool:
        if self._ignores_stop:
            return await run.finish.wait()
        waits = [asyncio.ensure_future(event.wait()) for event in (run.finish, run.context.stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_all(waits)
        await self.lets_go.wait()
        return run.finish.is_set()

    async def next_run(self, count: int = 1) -> Run:
        """Wait until this handler has begun ``count`` runs and return the last of these."""

        async def there() -> bool:
            return len(self.runs) >= count

        await until(f"run {count} of a job", there)
        return self.runs[count - 1]


class Node:
    """A worker node that runs as a task of this loop."""

    def __init__(self, node: WorkerNode, task: asyncio.Task[None], stop: asyncio.Event) -> None:
        self.node = node
        self.task = task
        self._stop = stop

    async def end(self) -> None:
        """Ask the node to end, as SIGTERM does, and wait for it."""
        self._stop.set()
        async with asyncio.timeout(SECONDS):
            await self.task


@asynccontextmanager
async def worker_node(
    url: str,
    name: str,
    handler: JobHandler,
    *,
    kind: str = KIND,
    slots: int = 4,
    drain_timeout_seconds: float = 5.0,
    retry_policy: RetryPolicy | None = None,
) -> AsyncIterator[Node]:
    """Run a registered node until the block ends."""
    stop = asyncio.Event()
    async with MetadataDb(url, max_connections=4) as db:
        notifier = Notifier(db)
        identity = WorkerIdentity(name, uuid4())
        settings = WorkerSettings(
            heartbeat=HeartbeatSettings(BEAT_SECONDS, LEASE_SECONDS),
            slots=slots,
            reconcile_interval_seconds=SECONDS,
            drain_timeout_seconds=drain_timeout_seconds,
        )
        leased_jobs = LeasedJobs(db, retry_policy=retry_policy, notifier=notifier)
        handlers: dict[str, Any] = {kind: handler}
        node = WorkerNode(db, identity, handlers, leased_jobs, settings, info={}, notifier=notifier)
        task = asyncio.create_task(node.run(stop))
        try:
            await until(f"{name} to be registered", lambda: _is_registered(db, identity, task))
            yield Node(node, task, stop)
        finally:
            stop.set()
            async with asyncio.timeout(SECONDS):
                await asyncio.wait([task])
            error = task.exception()
        if error is not None and not isinstance(error, AmpError):
            # Its own trace may be thousands of calls deep.
            raise AssertionError(f"{name} has ended by itself: {error!r}"[:500]) from None


async def _is_registered(db: MetadataDb, identity: WorkerIdentity, task: asyncio.Task[None]) -> bool:
    if task.done():
        task.result()
    query = "SELECT FROM workers WHERE node_id = %(node_id)s AND incarnation = %(incarnation)s"
    return await db.fetch_one(query, vars(identity)) is not None
