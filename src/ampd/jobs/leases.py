"""Jobs as a worker sees them: every write carries its lease and changes nothing when that is stale (design section
4.3).
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.batches import Batcher
from ampd.jobs.ends import Outcome, end_executions, lock_ended
from ampd.jobs.handlers import Completed
from ampd.jobs.models import Lease
from ampd.jobs.notification import PLACE, Notifier
from ampd.jobs.retry import RetryPolicy, may_retry
from ampd.jobs.states import HELD_STATES, JobState, Transition
from ampd.jobs.transition import Change, apply_transitions, storable
from ampd.metadata_db import Connection, MetadataDb, Row, sql
from ampd.telemetry.job_metrics import FAILURES, RETRIES


@dataclass(frozen=True)
class StartedJob:
    """An attempt that has begun: which one of the execution, counted from 1, and which execution of the job."""

    lease: Lease
    kind: str
    input: dict[str, Any]
    execution_number: int
    attempt: int


@dataclass(frozen=True)
class _Completion:
    lease: Lease
    completed: Completed | None


@dataclass(frozen=True)
class _Failure:
    lease: Lease
    error: AmpError


def lease_lost(lease: Lease) -> AmpError:
    """Return the error of a worker that writes for a job which another one has now."""
    return AmpError(
        ErrorCode.LEASE_LOST,
        f"job {lease.job_id} no longer belongs to this worker (lease epoch {lease.lease_epoch}): nothing was written",
        recoverable=True,
    )


async def hold_lease(connection: Connection, lease: Lease) -> None:
    """Make sure, until the caller's transaction ends, that ``lease`` is the current one.

    :raises AmpError: LEASE_LOST.
    """
    parameters = {**_fence(lease), "held_states": list(HELD_STATES)}
    if await (await connection.execute(sql("jobs", "lock_lease"), parameters)).fetchone() is None:
        raise lease_lost(lease)


async def note_success(connection: Connection, lease: Lease) -> None:
    """Forget failures and lost workers: the job has got on since (inside the caller's transaction, which holds the
    lease).
    """
    await connection.execute(sql("jobs", "note_success"), _fence(lease))


async def start_jobs(connection: Connection, leases: Sequence[Lease]) -> list[StartedJob]:
    """Begin the attempts of ``leases`` inside the caller's transaction; those that were stopped, or given to another,
    in the meantime are left out.
    """
    changes = [_change(lease) for lease in leases]
    moved = await apply_transitions(connection, Transition.START, changes)
    epochs = {row["id"]: row["lease_epoch"] for row in moved}
    by_id = {lease.job_id: lease for lease in leases if epochs.get(lease.job_id) == lease.lease_epoch}
    if not moved:
        return []
    parameters = {"job_ids": [row["id"] for row in moved]}
    loaded = await (await connection.execute(sql("jobs", "load_started_jobs"), parameters)).fetchall()
    return [
        StartedJob(by_id[row["id"]], row["kind"], row["input"], row["execution_number"], row["attempt"])
        for row in loaded
    ]


class LeasedJobs:
    """What one worker process does to the jobs it was given. Each call answers False when the lease is stale: then the
    worker drops the job.

    Calls that come together are written in one transaction; each is still a transition of its own, with its event.
    """

    def __init__(
        self, db: MetadataDb, *, retry_policy: RetryPolicy | None = None, notifier: Notifier | None = None
    ) -> None:
        self._db = db
        self._retry_policy = retry_policy or RetryPolicy()
        self._notifier = notifier or Notifier(db)
        self._starts = Batcher(self._write_starts)
        self._completions = Batcher(self._write_completions)
        self._failures = Batcher(self._write_failures)
        self._unassignments = Batcher(self._write_unassignments)
        self._writers = {
            transition: Batcher(self._writer_of(transition))
            for transition in (Transition.ACKNOWLEDGE_STOP, Transition.STOP, Transition.HAND_BACK)
        }

    async def start(self, lease: Lease) -> StartedJob | None:
        """Begin the attempt; None when it was stopped, or given to another, in the meantime."""
        return await self._starts.submit(lease)

    async def complete(self, lease: Lease, completed: Completed | None = None) -> bool:
        """The handler is done; what it gave is kept, if it says so."""
        return await self._completions.submit(_Completion(lease, completed))

    async def acknowledge_stop(self, lease: Lease) -> bool:
        """The worker heard that it should stop."""
        return await self._writers[Transition.ACKNOWLEDGE_STOP].submit(lease)

    async def stop(self, lease: Lease) -> bool:
        """The worker has finished what it held, after a stop."""
        return await self._writers[Transition.STOP].submit(lease)

    async def hand_back(self, lease: Lease) -> bool:
        """A draining worker gives the job up, for another one to go on."""
        return await self._writers[Transition.HAND_BACK].submit(lease)

    async def fail(self, lease: Lease, error: AmpError) -> bool:
        """The handler failed: the job is tried again when that can help and its policy allows it, else it is FAILED."""
        return await self._failures.submit(_Failure(lease, error))

    async def unassign(self, lease: Lease) -> bool:
        """Give back a job that was assigned and not started."""
        return await self._unassignments.submit(lease)

    async def report_progress(self, lease: Lease, data: dict[str, Any]) -> bool:
        """Keep what the handler says of its progress (shown with the job; the last word counts)."""
        parameters = {**_fence(lease), "data": Jsonb(data), "held_states": list(HELD_STATES)}
        return await self._db.fetch_one(sql("jobs", "report_progress"), parameters) is not None

    async def last_progress(self, lease: Lease) -> dict[str, Any] | None:
        """Return what was said last of the job's progress in this execution, by this attempt or one before it."""
        row = await self._db.fetch_one(sql("jobs", "read_progress"), {"job_id": lease.job_id})
        return None if row is None else row["data"]

    async def _write_starts(self, leases: Sequence[Lease]) -> list[StartedJob | None]:
        async with self._db.transaction() as connection:
            started = {job.lease: job for job in await start_jobs(connection, leases)}
        return [started.get(lease) for lease in leases]

    def _writer_of(self, transition: Transition) -> Callable[[Sequence[Lease]], Awaitable[list[bool]]]:
        async def write(leases: Sequence[Lease]) -> list[bool]:
            async with self._db.transaction() as connection:
                moved = await apply_transitions(connection, transition, [_change(lease) for lease in leases])
            return self._told(leases, moved)

        return write

    async def _write_completions(self, completions: Sequence[_Completion]) -> list[bool]:
        leases = [each.lease for each in completions]
        changes = [_change(lease, retry_count=0) for lease in leases]
        async with self._db.transaction() as connection:
            moved = await end_executions(connection, changes, Outcome.COMPLETED)
            ended = {(row["id"], row["lease_epoch"]) for row in moved}
            gave = [(each.lease.job_id, each.completed) for each in completions if _key(each.lease) in ended]
            results = {job_id: completed.result for job_id, completed in gave if completed is not None}
            if results:
                kept = [None if value is None else Jsonb(storable(value)) for value in results.values()]
                await connection.execute(sql("jobs", "keep_results"), {"job_ids": list(results), "results": kept})
        return self._told(leases, moved)

    async def _write_failures(self, failures: Sequence[_Failure]) -> list[bool]:
        async with self._db.transaction() as connection:
            # All in the order of their ids, before some of them are moved in one way and some in another.
            await lock_ended(connection, [each.lease.job_id for each in failures])
            jobs = {row["id"]: row for row in await _load(connection, [each.lease.job_id for each in failures])}
            known = [(each, jobs[each.lease.job_id]) for each in failures if each.lease.job_id in jobs]
            retries = [self._retry(each, job) for each, job in known if _may_retry(each, job)]
            ends = [_change(each.lease, error=each.error.to_json()) for each, job in known if not _may_retry(each, job)]
            moved = await apply_transitions(connection, Transition.RETRY, retries) if retries else []
            failed = await end_executions(connection, ends, Outcome.FAILED) if ends else []
        for row in moved:
            if row["state"] == JobState.SCHEDULED:
                RETRIES.labels(jobs[row["id"]]["kind"]).inc()
        for row in failed:
            FAILURES.labels(jobs[row["id"]]["kind"]).inc()
        moved += failed
        return self._told([each.lease for each in failures], moved)

    def _retry(self, failure: _Failure, job: Row) -> Change:
        retry_count = job["retry_count"] + 1
        policy = self._retry_policy.changed_by(job["retry_policy"])
        # Who was asked for more time than the policy ever gives has it cut there.
        asked = min(failure.error.retry_after_seconds or 0.0, policy.max_delay)
        fresh = retry_count - job["retries_before"]
        delay = max(asked, policy.delay(fresh, random.random()))  # noqa: S311
        return _change(failure.lease, error=failure.error.to_json(), delay_seconds=delay, retry_count=retry_count)

    async def _write_unassignments(self, leases: Sequence[Lease]) -> list[bool]:
        parameters = {
            "job_ids": [lease.job_id for lease in leases],
            "lease_epochs": [lease.lease_epoch for lease in leases],
            "incarnations": [lease.incarnation for lease in leases],
            "outcome": "HANDED_BACK",
        }
        return self._told(leases, await self._db.fetch_all(sql("jobs", "unassign_jobs"), parameters))

    def _told(self, leases: Sequence[Lease], moved: Sequence[Row]) -> list[bool]:
        """Answer which leases have moved, and hint at the jobs that wait for a worker since."""
        if any(row.get("state", JobState.SCHEDULED) == JobState.SCHEDULED for row in moved):
            self._notifier.hint(PLACE)
        written = {(row["id"], row["lease_epoch"]) for row in moved}
        return [_key(lease) in written for lease in leases]


async def _load(connection: Connection, job_ids: Sequence[int]) -> list[Row]:
    if not job_ids:
        return []
    return await (await connection.execute(sql("jobs", "load_jobs"), {"job_ids": list(job_ids)})).fetchall()


def _may_retry(failure: _Failure, job: Row) -> bool:
    return failure.error.recoverable and may_retry(job["retries"], job["retry_count"] - job["retries_before"])


def _change(lease: Lease, **values: Any) -> Change:
    return Change(lease.job_id, f"worker:{lease.worker_id}", lease, **values)


def _key(lease: Lease) -> tuple[int, int]:
    return lease.job_id, lease.lease_epoch


def _fence(lease: Lease) -> dict[str, Any]:
    return {"job_id": lease.job_id, "lease_epoch": lease.lease_epoch, "incarnation": lease.incarnation}
