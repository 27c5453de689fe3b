"""How executions end that a worker has brought to their end: with their job, or before the next one of a timetable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from ampd.jobs.dependencies import share_dependency_graph
from ampd.jobs.states import JobState, Transition
from ampd.jobs.transition import Change, apply_transitions
from ampd.metadata_db import Connection, Row, sql


class Outcome(StrEnum):
    """What has become of an execution."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


_LAST: Final = {Outcome.COMPLETED: Transition.COMPLETE, Outcome.FAILED: Transition.FAIL}
_PAUSED_BY_FAILURE: Final = "an execution has failed, and the schedule says pause_on_failure"


async def end_executions(connection: Connection, changes: Sequence[Change], outcome: Outcome) -> list[Row]:
    """End the executions of ``changes`` inside the caller's transaction, in which nothing has been locked before but
    by :func:`lock_ended`, and return a row for each job that has moved.

    The job ends with its execution, unless it has a timetable with times to come: then it waits for the next, or is
    paused when the execution failed and its schedule says so.
    """
    is_completion = outcome is Outcome.COMPLETED
    ended = await lock_ended(connection, [change.job_id for change in changes])
    goes_on = [change for change in changes if change.job_id in ended and not ended[change.job_id]["is_last"]]
    last = [change for change in changes if change not in goes_on]
    moved = await apply_transitions(connection, _LAST[outcome], last, clear_error=is_completion) if last else []
    if goes_on:
        told = [replace(each, execution_outcome=outcome, detail={"execution_outcome": outcome}) for each in goes_on]
        waiting = await apply_transitions(connection, Transition.FINISH_EXECUTION, told, clear_error=is_completion)
        if not is_completion:
            await _pause(connection, waiting, ended)
        moved += waiting
    return moved


async def lock_ended(connection: Connection, job_ids: Sequence[int]) -> dict[int, Row]:
    """Lock the jobs, when one of them has a timetable, and return those that have one, each with what that makes of the
    end of an execution.
    """
    parameters = {"job_ids": list(job_ids)}
    if await (await connection.execute(sql("jobs", "list_recurring"), parameters)).fetchone() is None:
        return {}
    # A completion takes this before any other lock.
    await share_dependency_graph(connection)
    rows = await (await connection.execute(sql("jobs", "lock_ended_executions"), parameters)).fetchall()
    return {row["id"]: row for row in rows if row["recurring"]}


async def _pause(connection: Connection, moved: Sequence[Row], ended: dict[int, Row]) -> None:
    """Set aside the jobs that a failure pauses. One that was being stopped has moved elsewhere."""
    waiting = [row["id"] for row in moved if row["state"] == JobState.SCHEDULED]
    changes = [
        Change(job_id, "timetable", reason=_PAUSED_BY_FAILURE)
        for job_id in waiting
        if ended[job_id]["pause_on_failure"]
    ]
    if changes:
        await apply_transitions(connection, Transition.REQUEST_PAUSE, changes)
