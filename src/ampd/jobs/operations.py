"""What an operator asks of jobs: to end, to be set aside, to go on, to run again, to be removed (design sections 4.2,
4.6). One job and many are judged by the same rules, under the locks of their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.notification import PLACE, JobAction, Notifier
from ampd.jobs.states import (
    ACTIVE_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    JobState,
    Standing,
    StopIntent,
    Transition,
    sources,
)
from ampd.jobs.transition import DEFAULT_STOP_SECONDS, Change, apply_transitions
from ampd.metadata_db import Connection, Row, sql


class Operation(StrEnum):
    """What can be asked of a job."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    DELETE = "delete"


@dataclass(frozen=True)
class Ask:
    """One operation, and who asks for it. ``reason`` goes with a cancel or a pause, ``delay_seconds`` with a retry."""

    operation: Operation
    actor: str
    reason: str | None = None
    delay_seconds: float = 0.0
    stop_seconds: float = DEFAULT_STOP_SECONDS


class Verdict(StrEnum):
    """What an operation does to a job: it changes it, finds it as it should be, or cannot be had."""

    CHANGES = "changes"
    NEEDLESS = "needless"
    CONFLICTS = "conflicts"


_TRANSITION_OF: Final = {
    Operation.CANCEL: Transition.REQUEST_STOP,
    Operation.PAUSE: Transition.REQUEST_PAUSE,
    Operation.RESUME: Transition.RESUME,
    Operation.RETRY: Transition.RETRY_BY_OPERATOR,
}
# What to do instead, or first.
_ADVICE: Final = {
    Operation.PAUSE: "only a job that has not ended, and is not being stopped, can be paused",
    Operation.RESUME: "a job that has ended runs again when it is retried or deployed",
    Operation.RETRY: "only a job that has failed, was stopped, or waits for a retry can be retried",
    Operation.DELETE: "stop it first (ampctl job stop {job_id})",
}
_PAST: Final = {
    Operation.PAUSE: "paused",
    Operation.RESUME: "resumed",
    Operation.RETRY: "retried",
    Operation.DELETE: "deleted",
}


def judge(operation: Operation, row: Row) -> Verdict:
    """Tell what ``operation`` does to the job of a row of ``lock_job.sql``. Pure."""
    state = JobState(row["state"])
    if operation is Operation.DELETE:
        return Verdict.CHANGES if state in TERMINAL_STATES else Verdict.CONFLICTS
    intent = None if row["stop_intent"] is None else StopIntent(row["stop_intent"])
    if (Standing(state, intent), _TRANSITION_OF[operation]) in TRANSITIONS:
        return Verdict.CHANGES
    if operation is Operation.RETRY and state is JobState.SCHEDULED and row["waits_to_retry"]:
        return Verdict.CHANGES
    return Verdict.NEEDLESS if _is_as_wanted(operation, state, intent) else Verdict.CONFLICTS


def _is_as_wanted(operation: Operation, state: JobState, intent: StopIntent | None) -> bool:
    match operation:
        case Operation.CANCEL:
            return True
        case Operation.PAUSE:
            return state is JobState.PAUSED or intent is StopIntent.PAUSE
        case Operation.RESUME:
            return state in ACTIVE_STATES
        case _:
            return state is JobState.SCHEDULED


def conflict(ask: Ask, row: Row) -> AmpError:
    """Return the error of an operation that the job of ``row`` is not in the state for."""
    job_id, operation = row["id"], ask.operation
    return AmpError(
        ErrorCode.JOB_CONFLICT,
        f"job '{job_id}' cannot be {_PAST[operation]} from current state: {row['state']}; "
        + _ADVICE[operation].format(job_id=job_id),
        context={"job_id": job_id},
    )


async def operate(connection: Connection, ask: Ask, rows: Sequence[Row]) -> list[Row]:
    """Do what is asked to those of the locked ``rows`` that it changes, inside the caller's transaction, and return a
    row (id, state, worker_id) for each of them.
    """
    changing = [row for row in rows if judge(ask.operation, row) is Verdict.CHANGES]
    if not changing:
        return []
    if ask.operation is Operation.DELETE:
        return await _run(connection, "remove_jobs", ask, changing, terminal_states=list(TERMINAL_STATES))
    if ask.operation is Operation.RETRY:
        return await _retry(connection, ask, changing)
    delay = 0.0 if ask.operation is Operation.RESUME else None
    changes = [Change(row["id"], ask.actor, reason=ask.reason, delay_seconds=delay) for row in changing]
    transition = _TRANSITION_OF[ask.operation]
    return await apply_transitions(connection, transition, changes, stop_seconds=ask.stop_seconds)


async def _retry(connection: Connection, ask: Ask, rows: Sequence[Row]) -> list[Row]:
    waiting = [row for row in rows if row["state"] == JobState.SCHEDULED]
    ended = [row for row in rows if row["state"] != JobState.SCHEDULED]
    hastened = await _run(connection, "hasten_retries", ask, waiting) if waiting else []
    from_states = sources(Transition.RETRY_BY_OPERATOR)
    return hastened + (await _run(connection, "retry_jobs", ask, ended, from_states=from_states) if ended else [])


async def _run(connection: Connection, operation: str, ask: Ask, rows: Sequence[Row], **parameters: Any) -> list[Row]:
    parameters |= {
        "job_ids": [row["id"] for row in rows],
        "actor": ask.actor,
        "delay_seconds": ask.delay_seconds,
    }
    return await (await connection.execute(sql("jobs", operation), parameters)).fetchall()


def hint_at(notifier: Notifier, moved: Sequence[Row]) -> None:
    """Let workers know what :func:`operate` has changed, once that is committed."""
    for row in moved:
        if row["state"] == JobState.STOP_REQUESTED:
            notifier.hint(JobAction(row["worker_id"], row["id"], "STOP"))
        elif row["state"] == JobState.SCHEDULED:
            notifier.hint(PLACE)
