"""The job engine on a real database, with workers that do what a test says, and moments that a test can hold.

A moment is made, not waited for: a session holds the row of a job until PostgreSQL says that others wait for it, or a
transaction stands still before its commit, or before one of its statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, LiteralString, Self
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    Dependency,
    Deployment,
    Job,
    JobStore,
    Lease,
    LeasedJobs,
    RetryPolicy,
    WorkerIdentity,
    WorkerSession,
    place_due_jobs,
)
from ampd.metadata_db import MetadataDb, sql

LEASE_SECONDS: Final = 60.0
SECONDS: Final = 20.0  # no wait here lasts longer
TRANSIENT: Final = AmpError(ErrorCode.NODE_UNREACHABLE, "gone for now", recoverable=True)
FATAL: Final = AmpError(ErrorCode.NETWORK_MISMATCH, "another chain")
Session = psycopg.AsyncConnection[dict[str, Any]]


def deployment(key: str = "k", **changes: Any) -> Deployment:
    return Deployment(**{"kind": "noop", "idempotency_key": key, "input": {}} | changes)


def on_job(job_id: int) -> Dependency:
    return Dependency(str(job_id), job_id=job_id)


def on_key(key: str) -> Dependency:
    """What a deploy that names a dataset makes of it."""
    return Dependency(f"set/{key}", key=key)


@contextmanager
def worker_session(url: str, name: str = "w1", *, slots: int = 1000) -> Iterator[WorkerSession]:
    """Give a registered worker that has just beaten; its life is longer than any test."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        session = WorkerSession(connection, WorkerIdentity(name, uuid4()), lease_seconds=LEASE_SECONDS)
        session.register(info={}, slots=slots)
        yield session


class Engine:
    """The stores over one database, and one worker that has room for everything."""

    def __init__(self, db: MetadataDb, worker: WorkerSession, policy: RetryPolicy | None = None) -> None:
        self.db = db
        self.worker = worker
        self.store = JobStore(db, lease_seconds=LEASE_SECONDS)
        self.leased = LeasedJobs(db, retry_policy=policy)

    async def deploy(self, key: str, *depends_on: Dependency, **changes: Any) -> Job:
        return await self.store.deploy(deployment(key, depends_on=depends_on, **changes), actor="operator")

    async def place(self) -> set[int]:
        """Place what can be placed and return the ids of these jobs."""
        return {lease.job_id for lease in await place_due_jobs(self.db, lease_seconds=LEASE_SECONDS)}

    def lease_of(self, job_id: int) -> Lease:
        """Return the lease that the worker has of a job."""
        return next(want.lease(self.worker._identity) for want in self.worker.beat().wanted if want.job_id == job_id)

    async def start(self, *job_ids: int) -> list[Lease]:
        """Place what can be placed, and have the worker start these jobs."""
        await self.place()
        leases = [self.lease_of(job_id) for job_id in job_ids]
        assert None not in await asyncio.gather(*(self.leased.start(lease) for lease in leases))
        return leases

    async def complete(self, *job_ids: int) -> None:
        """Have the worker run these jobs to their end."""
        leases = await self.start(*job_ids)
        assert all(await asyncio.gather(*(self.leased.complete(lease) for lease in leases)))

    async def end(self, job_id: int, state: str) -> None:
        """Have a job end in one of the terminal states."""
        if state == "STOPPED":
            await self.store.request_stop(job_id, actor="operator")
        elif state == "COMPLETED":
            await self.complete(job_id)
        else:
            (lease,) = await self.start(job_id)
            assert await self.leased.fail(lease, FATAL)

    async def waiting_for(self, job_id: int) -> str | None:
        return (await self.store.get(job_id)).waiting_for

    async def path(self, job_id: int) -> list[str]:
        """Return the states that a job entered."""
        return [event.event_type for event in (await self.store.events(job_id))[0]]

    async def change(self, statement: LiteralString, *parameters: Any) -> None:
        """Change rows behind the engine's back."""
        async with self.db.transaction() as connection:
            await connection.execute(statement, parameters)


# --- moments


class RowHolder:
    """Holds the row of a job against all others, and tells when so many sessions wait for it."""

    def __init__(self, holder: Session, watcher: Session) -> None:
        self._holder, self._watcher = holder, watcher

    @asynccontextmanager
    async def held(self, job_id: int) -> AsyncIterator[None]:
        async with self._holder.transaction():
            await self._holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [job_id])
            yield

    async def put_off(self, job_id: int) -> None:
        """Give a job that is held a later time."""
        await self._holder.execute("UPDATE jobs SET run_at = now() + interval '1 hour' WHERE id = %s", [job_id])

    @asynccontextmanager
    async def executions_held(self) -> AsyncIterator[None]:
        """Hold every transition: jobs are placed, but none is started or ends."""
        async with self._holder.transaction():
            await self._holder.execute("LOCK TABLE job_executions IN SHARE MODE")
            yield

    async def until_waiting(self, *tasks: asyncio.Task[Any]) -> None:
        """Return when every task waits for a lock, or is done: it saw at once that it had nothing to do."""
        async with asyncio.timeout(SECONDS):
            while await self.waiting() < sum(not task.done() for task in tasks):
                pass

    async def waiting(self) -> int:
        """Return how many sessions of this database wait for a lock."""
        query = """SELECT count(*) AS n FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()"""
        row = await (await self._watcher.execute(query)).fetchone()
        assert row is not None
        return int(row["n"])


@asynccontextmanager
async def row_holder(url: str) -> AsyncIterator[RowHolder]:
    async with _session(url) as holder, _session(url) as watcher:
        yield RowHolder(holder, watcher)


@asynccontextmanager
async def _session(url: str) -> AsyncIterator[Session]:
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row, autocommit=True) as connection:
        yield connection


class HeldUpDb(MetadataDb):
    """A database whose transactions stand still, before their commit or before the operation ``before`` of the job
    engine (the name of its SQL file), until :meth:`go_on`.
    """

    def __init__(self, url: str, *, before: str | None = None) -> None:
        super().__init__(url, max_connections=2)
        self._before = before
        self._reached, self._goes_on = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    def go_on(self) -> None:
        self._goes_on.set()

    async def until_held(self, task: asyncio.Task[Any]) -> None:
        """Return when the transaction of ``task`` has reached its place."""
        reached = asyncio.ensure_future(self._reached.wait())
        await asyncio.wait({reached, task}, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert reached.done(), f"the transaction did not come that far: {task}"

    def is_held(self) -> bool:
        return self._reached.is_set() and not self._goes_on.is_set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with super().transaction() as connection:
            if self._before is None:
                yield connection
                await self._stand_still()
            else:
                yield _Watched(connection, self)

    async def _stand_still(self) -> None:
        self._reached.set()
        async with asyncio.timeout(SECONDS):
            await self._goes_on.wait()

    async def before(self, query: str) -> None:
        assert self._before is not None
        if query == sql("jobs", self._before):
            await self._stand_still()


class _Watched:
    """A connection that tells its database of each statement first."""

    def __init__(self, connection: Any, db: HeldUpDb) -> None:
        self._connection, self._db = connection, db

    async def execute(self, query: LiteralString, parameters: Any = None) -> Any:
        await self._db.before(query)
        return await self._connection.execute(query, parameters)
