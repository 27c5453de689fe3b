"""The one place that changes a job's state in the database: the transition table made SQL."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from ampd.jobs.models import Lease
from ampd.jobs.states import HELD_STATES, TERMINAL_STATES, Transition, targets
from ampd.metadata_db import Connection, Row, sql

# How the attempt ended, when the job did not end with it.
_OUTCOMES = {
    Transition.RETRY: "RETRYING",
    Transition.HAND_BACK: "HANDED_BACK",
    Transition.LOSE_WORKER: "LOST",
}


async def apply_transition(
    connection: Connection,
    transition: Transition,
    *,
    actor: str,
    job_id: int | None = None,
    lease: Lease | None = None,
    delay_seconds: float | None = None,
    retry_count: int | None = None,
    lost_workers: int = 0,
    error: dict[str, Any] | None = None,
    clear_error: bool = False,
    detail: dict[str, Any] | None = None,
) -> Row | None:
    """Apply ``transition`` inside the caller's transaction: state, attempt, execution and event together.

    With a ``lease`` (every write of a worker) it counts only while that lease is the current one. None: nothing has
    changed, because the job is in no state that the table allows, or the lease is stale.
    """
    moves = targets(transition)
    parameters = {
        "job_id": lease.job_id if lease else job_id,
        "lease_epoch": lease.lease_epoch if lease else None,
        "incarnation": lease.incarnation if lease else None,
        "node_id": lease.worker_id if lease else None,
        "actor": actor,
        "from_states": list(moves),
        "to_states": list(moves.values()),
        "held_states": list(HELD_STATES),
        "terminal_states": list(TERMINAL_STATES),
        "delay_seconds": delay_seconds,
        "retry_count": retry_count,
        "lost_workers": lost_workers,
        "error": None if error is None else Jsonb(error),
        "clear_error": clear_error,
        "detail": None if detail is None else Jsonb(detail),
        "outcome": _OUTCOMES.get(transition),
    }
    return await (await connection.execute(sql("jobs", "transition"), parameters)).fetchone()
