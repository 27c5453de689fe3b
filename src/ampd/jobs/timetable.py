"""Timetables in the database: fire times become executions, each time once (design section 4.5).

A firing is a row of its fire time, written in the transaction that advances the job's ``next_run_at`` and makes the
execution due. Any number of controllers may fire; what one of them has locked the others pass over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ampd.jobs.dependencies import share_dependency_graph
from ampd.jobs.firing_plan import Firing, Plan, plan_firing
from ampd.jobs.states import Transition
from ampd.jobs.transition import DEFAULT_STOP_SECONDS, Change, apply_transitions
from ampd.metadata_db import Connection, MetadataDb, Row, sql

# So many that one transaction does not hold others up for long.
MOST_JOBS: Final = 500


@dataclass(frozen=True)
class Fired:
    """What one look at the timetables has done. ``looked_at`` jobs had a time due; of ``begun`` an execution is due
    now; ``stopping`` are pairs of a worker and a job whose execution it shall end; ``ended`` have no time to come.
    """

    looked_at: int
    begun: list[int]
    stopping: list[tuple[str, int]]
    ended: list[int]


async def fire_due_jobs(db: MetadataDb, *, actor: str, stop_seconds: float = DEFAULT_STOP_SECONDS) -> Fired:
    """Fire a portion of what is due, in one transaction, and end jobs whose timetable is over, in another.

    When ``looked_at`` is not 0 there may be more.
    """
    async with db.transaction() as connection:
        rows = await _rows(connection, "lock_due_timetables") + await _rows(connection, "lock_queued_timetables")
        plans = await _plan(connection, list({row["id"]: row for row in rows}.values()))
        begun = await _fire(connection, plans, actor) if plans else []
        overtaken = [Change(plan.job_id, actor) for plan in plans if plan.cancels]
        stopped = (
            await apply_transitions(connection, Transition.REQUEST_NEXT, overtaken, stop_seconds=stop_seconds)
            if overtaken
            else []
        )
    ended = await _end_exhausted(db, actor)
    stopping = [(row["worker_id"], row["id"]) for row in stopped]
    return Fired(len(plans), [row["id"] for row in begun], stopping, ended)


async def seconds_to_next_firing(db: MetadataDb) -> float | None:
    """Return how long it is until the next fire time, by the database's clock: 0 or less when it has come; None when
    there is none.
    """
    row = await db.fetch_one(sql("jobs", "seconds_to_next_firing"))
    return None if row is None else float(row["seconds"])


async def _rows(connection: Connection, operation: str) -> list[Row]:
    return await (await connection.execute(sql("jobs", operation), {"limit": MOST_JOBS})).fetchall()


async def _plan(connection: Connection, rows: Sequence[Row]) -> list[Plan]:
    waiting = [row["id"] for row in rows if row["rests"] and row["queued_firings"]]
    first = {}
    if waiting:
        query = sql("jobs", "first_queued_firings")
        found = await (await connection.execute(query, {"job_ids": waiting})).fetchall()
        first = {row["job_id"]: row["fire_time"] for row in found}
    return [plan_firing(row, first.get(row["id"])) for row in rows]


async def _fire(connection: Connection, plans: Sequence[Plan], actor: str) -> list[Row]:
    firings: list[tuple[int, Firing]] = [(plan.job_id, firing) for plan in plans for firing in plan.firings]
    parameters = {
        "actor": actor,
        "job_ids": [plan.job_id for plan in plans],
        "next_run_ats": [plan.next_run_at for plan in plans],
        "queued_firings": [plan.queued_firings for plan in plans],
        "queued_begins": [plan.begins_queued for plan in plans],
        "fired_job_ids": [job_id for job_id, _ in firings],
        "fire_times": [firing.fire_time for _, firing in firings],
        "outcomes": [firing.outcome for _, firing in firings],
        "last_times": [firing.last_time for _, firing in firings],
        "times": [firing.times for _, firing in firings],
    }
    return await (await connection.execute(sql("jobs", "fire_jobs"), parameters)).fetchall()


async def _end_exhausted(db: MetadataDb, actor: str) -> list[int]:
    async with db.transaction() as connection:
        if not await _rows(connection, "lock_exhausted_timetables"):
            return []
    async with db.transaction() as connection:
        # A completion takes this first; what was found is judged again after it.
        await share_dependency_graph(connection)
        changes = [Change(row["id"], actor) for row in await _rows(connection, "lock_exhausted_timetables")]
        moved = await apply_transitions(connection, Transition.EXHAUST, changes) if changes else []
    return [row["id"] for row in moved]
