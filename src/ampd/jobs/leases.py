"""Jobs as a worker sees them: every write carries its lease and changes nothing when that is stale (design section
4.3).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.models import Lease
from ampd.jobs.retry import RetryPolicy, may_retry
from ampd.jobs.states import HELD_STATES, Transition
from ampd.jobs.transition import apply_transition
from ampd.metadata_db import Connection, MetadataDb, sql


@dataclass(frozen=True)
class StartedJob:
    """An attempt that has begun."""

    lease: Lease
    kind: str
    input: dict[str, Any]


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


def _fence(lease: Lease) -> dict[str, Any]:
    return {"job_id": lease.job_id, "lease_epoch": lease.lease_epoch, "incarnation": lease.incarnation}


class LeasedJobs:
    """What one worker process does to the jobs it was given. Each call answers False when the lease is stale: then the
    worker drops the job.
    """

    def __init__(self, db: MetadataDb, *, retry_policy: RetryPolicy | None = None) -> None:
        self._db = db
        self._retry_policy = retry_policy or RetryPolicy()

    async def start(self, lease: Lease) -> StartedJob | None:
        """Begin the attempt; None when it was stopped, or given to another, in the meantime."""
        async with self._db.transaction() as connection:
            if await apply_transition(connection, Transition.START, lease=lease, actor=_actor(lease)) is None:
                return None
            row = await (await connection.execute(sql("jobs", "load_input"), {"job_id": lease.job_id})).fetchone()
        return None if row is None else StartedJob(lease=lease, kind=row["kind"], input=row["input"])

    async def complete(self, lease: Lease) -> bool:
        """The handler is done."""
        return await self._apply(Transition.COMPLETE, lease, clear_error=True, retry_count=0)

    async def acknowledge_stop(self, lease: Lease) -> bool:
        """The worker heard that it should stop."""
        return await self._apply(Transition.ACKNOWLEDGE_STOP, lease)

    async def stop(self, lease: Lease) -> bool:
        """The worker has finished what it held, after a stop."""
        return await self._apply(Transition.STOP, lease)

    async def hand_back(self, lease: Lease) -> bool:
        """A draining worker gives the job up, for another one to go on."""
        return await self._apply(Transition.HAND_BACK, lease)

    async def fail(self, lease: Lease, error: AmpError) -> bool:
        """The handler failed: the job is tried again when that can help and its policy allows it, else it is FAILED."""
        async with self._db.transaction() as connection:
            row = await (await connection.execute(sql("jobs", "load_input"), {"job_id": lease.job_id})).fetchone()
            if row is None:
                return False
            transition, delay, retry_count = Transition.FAIL, None, None
            if error.recoverable and may_retry(row["retries"], row["retry_count"]):
                retry_count = row["retry_count"] + 1
                transition = Transition.RETRY
                delay = self._retry_policy.delay(retry_count, random.random())  # noqa: S311 - jitter
            moved = await apply_transition(
                connection,
                transition,
                lease=lease,
                actor=_actor(lease),
                error=error.to_json(),
                delay_seconds=delay,
                retry_count=retry_count,
            )
        return moved is not None

    async def report_progress(self, lease: Lease, data: dict[str, Any]) -> bool:
        """Keep what the handler says of its progress (shown with the job; the last word counts)."""
        parameters = {**_fence(lease), "data": Jsonb(data), "held_states": list(HELD_STATES)}
        return await self._db.fetch_one(sql("jobs", "report_progress"), parameters) is not None

    async def unassign(self, lease: Lease) -> bool:
        """Give back a job that was assigned and not started."""
        parameters = {**_fence(lease), "outcome": "HANDED_BACK"}
        return await self._db.fetch_one(sql("jobs", "unassign_job"), parameters) is not None

    async def _apply(
        self,
        transition: Transition,
        lease: Lease,
        *,
        clear_error: bool = False,
        retry_count: int | None = None,
    ) -> bool:
        async with self._db.transaction() as connection:
            moved = await apply_transition(
                connection,
                transition,
                lease=lease,
                actor=_actor(lease),
                clear_error=clear_error,
                retry_count=retry_count,
            )
        return moved is not None


def _actor(lease: Lease) -> str:
    return f"worker:{lease.worker_id}"
