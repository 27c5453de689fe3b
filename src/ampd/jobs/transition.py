"""The one place that changes the state of jobs in the database: the transition table made SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from ampd.jobs.dependencies import release_dependents, share_dependency_graph
from ampd.jobs.models import Lease
from ampd.jobs.states import HELD_STATES, INTENTS, STOP_STATES, TERMINAL_STATES, JobState, Transition, moves
from ampd.metadata_db import Connection, Row, sql

# How long a stop may last before it is forced (seconds), unless the configuration says otherwise.
DEFAULT_STOP_SECONDS = 60.0
# How the attempt ended, when the job waits again.
_OUTCOMES = {
    Transition.RETRY: "RETRYING",
    Transition.HAND_BACK: "HANDED_BACK",
    Transition.LOSE_WORKER: "LOST",
}


@dataclass(frozen=True)
class Change:
    """A transition of one job. With a ``lease`` (every write of a worker) it counts only while that is the current one.

    ``delay_seconds`` and ``retry_count`` are those of a retry; None leaves what is there. ``reason`` is what an
    operator gives who asks for a stop or a pause. ``execution_outcome`` (COMPLETED, FAILED or STOPPED) ends the
    execution although the job goes on.
    """

    job_id: int
    actor: str
    lease: Lease | None = None
    delay_seconds: float | None = None
    retry_count: int | None = None
    error: dict[str, Any] | None = None
    detail: dict[str, Any] | None = None
    reason: str | None = None
    execution_outcome: str | None = None


async def apply_transitions(
    connection: Connection,
    transition: Transition,
    changes: Sequence[Change],
    *,
    lost_workers: int = 0,
    clear_error: bool = False,
    stop_seconds: float = DEFAULT_STOP_SECONDS,
) -> list[Row]:
    """Apply ``transition`` to jobs inside the caller's transaction: states, attempts, executions and events together.

    Returns a row for each job that has moved. The others are in no state that the table allows, or their lease is
    stale: of them nothing has changed. A completion also releases the jobs that waited for it; it must be the first
    thing in its transaction that locks.
    """
    if transition is Transition.COMPLETE:
        await share_dependency_graph(connection)
    rows = moves(transition)
    parameters = {
        "job_ids": [change.job_id for change in changes],
        "lease_epochs": [change.lease and change.lease.lease_epoch for change in changes],
        "incarnations": [change.lease and change.lease.incarnation for change in changes],
        "node_ids": [change.lease and change.lease.worker_id for change in changes],
        "actors": [change.actor for change in changes],
        "delays": [change.delay_seconds for change in changes],
        "retry_counts": [change.retry_count for change in changes],
        "errors": [_jsonb(change.error) for change in changes],
        "details": [_jsonb(change.detail) for change in changes],
        "reasons": [storable(change.reason) for change in changes],
        "execution_outcomes": [change.execution_outcome for change in changes],
        "from_states": [row.source for row in rows],
        "from_intents": [row.intent for row in rows],
        "to_states": [row.target for row in rows],
        "new_intent": INTENTS.get(transition),
        "stop_states": list(STOP_STATES),
        "held_states": list(HELD_STATES),
        "terminal_states": list(TERMINAL_STATES),
        "lost_workers": lost_workers,
        "clear_error": clear_error,
        "stop_seconds": stop_seconds,
        "outcome": _OUTCOMES.get(transition, "STOPPED"),
        "is_retry": transition is Transition.RETRY,
    }
    moved = await (await connection.execute(sql("jobs", "transition"), parameters)).fetchall()
    completed = [row for row in moved if row["state"] == JobState.COMPLETED]
    if completed:
        await release_dependents(connection, completed)
    return moved


async def apply_transition(
    connection: Connection, transition: Transition, change: Change, **options: Any
) -> Row | None:
    """Apply ``transition`` to one job; None when nothing has changed. See :func:`apply_transitions`."""
    moved = await apply_transitions(connection, transition, [change], **options)
    return moved[0] if moved else None


def _jsonb(value: dict[str, Any] | None) -> Jsonb | None:
    return None if value is None else Jsonb(storable(value))


def storable(value: Any) -> Any:
    """Replace what PostgreSQL's JSON cannot keep: NULs, and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list | tuple) else value
