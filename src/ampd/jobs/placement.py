"""Which worker runs what: placement of due jobs, and rescue from workers that are gone (design section 4.4)."""

from __future__ import annotations

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import notification
from ampd.jobs.states import JobState, Transition
from ampd.jobs.transition import apply_transition
from ampd.metadata_db import Connection, MetadataDb, Row, sql

# A job that has outlived this many workers is the likely cause of their end.
POISON_LIMIT = 5


async def place_due_jobs(db: MetadataDb, *, lease_seconds: float) -> int:
    """Assign every due job that fits a free slot, and return how many were."""
    placed = 0
    while True:
        async with db.transaction() as connection:
            await connection.execute(sql("jobs", "lock_placement"))
            query = sql("jobs", "place_one_job")
            row = await (await connection.execute(query, {"lease_seconds": lease_seconds})).fetchone()
            if row is None:
                return placed
            await notification.notify_worker(connection, row["worker_id"], row["id"], "START")
            placed += 1


async def rescue_jobs_of_lost_workers(db: MetadataDb, *, lease_seconds: float, actor: str) -> list[int]:
    """Take the jobs of dead or replaced worker processes back, and return their ids.

    They wait for another worker then; those that were being stopped are STOPPED; one that has outlived POISON_LIMIT
    workers is FAILED.
    """
    async with db.transaction() as connection:
        parameters = {"lease_seconds": lease_seconds}
        locked = await (await connection.execute(sql("jobs", "lock_jobs_with_worker"), parameters)).fetchall()
        if not locked:
            return []
        found = parameters | {"ids": [row["id"] for row in locked]}
        rows = await (await connection.execute(sql("jobs", "list_lost_jobs"), found)).fetchall()
        for row in rows:
            await _rescue(connection, row, actor)
    return [int(row["id"]) for row in rows]


async def _rescue(connection: Connection, row: Row, actor: str) -> None:
    if row["state"] == JobState.SCHEDULED:
        parameters = {"job_id": row["id"], "incarnation": None, "lease_epoch": None, "outcome": "LOST"}
        await connection.execute(sql("jobs", "unassign_job"), parameters)
    elif row["lost_worker_count"] + 1 >= POISON_LIMIT and row["state"] == JobState.RUNNING:
        error = AmpError(
            ErrorCode.POISONOUS_JOB,
            f"the job was running on {POISON_LIMIT} workers when they died, the last was {row['worker_id']}: "
            "look into their logs, then deploy again",
        )
        await apply_transition(
            connection, Transition.FAIL, job_id=row["id"], actor=actor, error=error.to_json(), lost_workers=1
        )
    else:
        detail = {"lost_worker": row["worker_id"]}
        await apply_transition(
            connection, Transition.LOSE_WORKER, job_id=row["id"], actor=actor, lost_workers=1, detail=detail
        )
