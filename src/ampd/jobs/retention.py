"""What is too old goes, in portions that hold nothing up (design section 4.6)."""

from __future__ import annotations

from dataclasses import dataclass

from ampd.jobs.states import TERMINAL_STATES
from ampd.metadata_db import Connection, MetadataDb, sql

BATCH = 5000
SECONDS_OF_A_DAY = 86_400.0


@dataclass(frozen=True)
class RetentionPolicy:
    """For how many days events and fire times are kept, and jobs after their end; 0: for ever."""

    event_days: float = 90.0
    terminal_job_days: float = 0.0


async def expire_events(db: MetadataDb, *, days: float, batch: int = BATCH) -> int:
    """Delete the events that are older than ``days``, in batches, and return how many."""
    return await _expire(db, "expire_events", days, batch)


async def expire_firings(db: MetadataDb, *, days: float, batch: int = BATCH) -> int:
    """Delete what is kept of fire times that were looked at more than ``days`` ago, in batches; return how much."""
    return await _expire(db, "expire_firings", days, batch)


async def _expire(db: MetadataDb, operation: str, days: float, batch: int) -> int:
    parameters = {"age_seconds": days * SECONDS_OF_A_DAY, "batch": batch}
    total = 0
    while True:
        async with db.transaction() as connection:
            if not await _is_ours(connection):
                return total
            row = await (await connection.execute(sql("jobs", operation), parameters)).fetchone()
        deleted = int(row["deleted"]) if row else 0
        total += deleted
        if deleted < batch:
            return total


async def expire_jobs(db: MetadataDb, *, days: float, actor: str, batch: int = BATCH) -> int:
    """Delete the jobs that ended more than ``days`` ago, in batches, and return how many. Their events stay."""
    parameters = {
        "age_seconds": days * SECONDS_OF_A_DAY,
        "batch": batch,
        "actor": actor,
        "terminal_states": list(TERMINAL_STATES),
    }
    total, after_id = 0, 0
    while True:
        async with db.transaction() as connection:
            if not await _is_ours(connection):
                return total
            query = sql("jobs", "expire_jobs")
            row = await (await connection.execute(query, parameters | {"after_id": after_id})).fetchone()
        if row is None or row["last_id"] is None:
            return total
        total += int(row["deleted"])
        after_id = row["last_id"]


async def fold_job_counts(db: MetadataDb) -> None:
    """Bring together what all sessions have counted of jobs, so that statistics have few rows to add up."""
    async with db.transaction() as connection:
        if await _is_ours(connection):
            await connection.execute(sql("jobs", "fold_job_counts"))


async def _is_ours(connection: Connection) -> bool:
    """Tell whether no other process is removing what is too old at this moment."""
    row = await (await connection.execute(sql("jobs", "lock_retention"))).fetchone()
    return bool(row and row["taken"])
