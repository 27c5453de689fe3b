"""How events come into the log. Each is recorded in the transaction in which it happens; progress is read off what
commits have made of the tables, so that a commit itself writes nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ampd.metadata_db import Connection, MetadataDb, sql

_BATCH: Final = 1000
_EXPIRED_AT_ONCE: Final = 5000


async def record_started(connection: Connection, job_id: int, worker_id: str) -> None:
    """Record that an attempt begins to write the tables of a job, inside the caller's transaction, which holds the
    lease of the job.
    """
    await connection.execute(sql("worker_events", "begin_syncs"), {"job_id": job_id, "worker_id": worker_id})


async def set_recorded(db: MetadataDb, *, recorded: bool) -> None:
    """Say whether events are recorded from now on, by all processes."""
    await db.execute(sql("worker_events", "set_recorded"), {"recorded": recorded})


async def collect_events(db: MetadataDb, *, progress_interval_seconds: float) -> bool:
    """Record what progress is due, and move a portion of what was recorded into the log; tell whether there may be
    more. When another process does so at this moment it is left to that one.
    """
    async with db.transaction() as connection:
        lock = await (await connection.execute(sql("worker_events", "lock_log"))).fetchone()
        if not (lock and lock["taken"]):
            return False
        interval = {"interval_seconds": progress_interval_seconds}
        await connection.execute(sql("worker_events", "record_progress"), interval)
        row = await (await connection.execute(sql("worker_events", "move_to_log"), {"batch": _BATCH})).fetchone()
    return row is not None and row["moved"] == _BATCH


@dataclass(frozen=True)
class Expired:
    """How many events have left the log, and how many of them no broker has taken although one was to."""

    deleted: int = 0
    unsent: int = 0


async def expire_events_of_log(db: MetadataDb, *, kept_seconds: float, unsent_seconds: float) -> Expired:
    """Remove from the log what is older than ``kept_seconds``; what waits for the broker not before
    ``unsent_seconds``.
    """
    parameters = {
        "kept_seconds": kept_seconds,
        "unsent_seconds": max(kept_seconds, unsent_seconds),
        "batch": _EXPIRED_AT_ONCE,
    }
    deleted = unsent = 0
    while True:
        async with db.transaction() as connection:
            lock = await (await connection.execute(sql("worker_events", "lock_log"))).fetchone()
            if not (lock and lock["taken"]):
                break
            row = await (await connection.execute(sql("worker_events", "expire_log"), parameters)).fetchone()
        assert row is not None  # noqa: S101 - a SELECT without FROM gives its row
        deleted += row["deleted"]
        unsent += row["unsent"]
        if row["deleted"] < _EXPIRED_AT_ONCE:
            break
    return Expired(deleted, unsent)
