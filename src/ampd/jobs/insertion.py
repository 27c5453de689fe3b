"""A new job's row, for deployed jobs and for those that are asked for by their kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from ampd.jobs.dependencies import hold_dependencies
from ampd.jobs.models import Deployment, NewJob
from ampd.jobs.timetable_store import schedule_columns
from ampd.metadata_db import Connection


async def job_columns(
    connection: Connection,
    wanted: Deployment | NewJob,
    *,
    key: str | None,
    actor: str,
    request_hash: str | None = None,
    secrets: Sequence[Any] = (),
) -> dict[str, Any]:
    """Return the parameters of ``insert_job.sql``, and hold what the job depends on until the transaction ends.

    :raises AmpError: DEPENDENCY_NOT_FOUND, DEPENDENCY_CYCLE; INVALID_SCHEDULE when it would never run.
    """
    policy = wanted.retry_policy
    return {
        "kind": wanted.kind,
        "idempotency_key": key,
        "request_hash": request_hash,
        "input": Jsonb(wanted.input),
        "secrets": Jsonb(list(secrets)) if secrets else None,
        "labels": Jsonb(wanted.labels),
        "worker_selector": wanted.worker_selector,
        "priority": wanted.priority,
        "retries": wanted.retries,
        "retry_policy": Jsonb({} if policy is None else policy.to_json()),
        "actor": actor,
        "dependencies_met": await hold_dependencies(connection, wanted.depends_on),
        **await schedule_columns(connection, wanted.schedule),
    }
