"""Jobs that wait for other jobs (design section 4.4)."""

from __future__ import annotations

from collections.abc import Sequence

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.models import Dependency
from ampd.jobs.states import JobState
from ampd.metadata_db import Connection, MetadataDb, Row, sql


async def hold_dependencies(connection: Connection, dependencies: Sequence[Dependency]) -> bool:
    """Keep what a new execution depends on as it is until the caller's transaction ends, and tell whether all has
    completed.

    Call it before anything else is locked: see :func:`share_dependency_graph`.

    :raises AmpError: DEPENDENCY_NOT_FOUND for the id of a job that there is not.
    """
    if not dependencies:
        return True
    await connection.execute(sql("jobs", "lock_dependency_graph"))
    parameters = {
        "job_ids": [each.job_id for each in dependencies if each.job_id is not None],
        "keys": [each.key for each in dependencies if each.key is not None],
    }
    rows = await (await connection.execute(sql("jobs", "lock_dependencies"), parameters)).fetchall()
    by_id = {row["id"]: row["state"] for row in rows}
    by_key = {row["idempotency_key"]: row["state"] for row in rows}
    missing = [each.reference for each in dependencies if each.job_id is not None and each.job_id not in by_id]
    if missing:
        raise AmpError(
            ErrorCode.DEPENDENCY_NOT_FOUND,
            f"depends_on names job {', '.join(missing)}, which does not exist; see: ampctl job list --status all",
        )
    states = [by_key.get(each.key) if each.job_id is None else by_id[each.job_id] for each in dependencies]
    return all(state == JobState.COMPLETED for state in states)


async def share_dependency_graph(connection: Connection) -> None:
    """Keep deploys that name dependencies away until the caller's transaction, which completes jobs, ends.

    Deploys and completions both call on rows of several jobs, in whatever order of their ids: one that waits for the
    other holds no row yet (docs/decisions/0015).
    """
    await connection.execute(sql("jobs", "share_dependency_graph"))


async def set_dependencies(connection: Connection, job_id: int, dependencies: Sequence[Dependency]) -> None:
    """Note what a job depends on from now on, inside the caller's transaction.

    :raises AmpError: DEPENDENCY_CYCLE when it would wait for itself.
    """
    parameters = {
        "job_id": job_id,
        "references": [each.reference for each in dependencies],
        "ids": [each.job_id for each in dependencies],
        "keys": [each.key for each in dependencies],
    }
    await connection.execute(sql("jobs", "set_dependencies"), parameters)
    if not dependencies:
        return
    row = await (await connection.execute(sql("jobs", "depends_on_itself"), {"job_id": job_id})).fetchone()
    if row and row["cycle"]:
        named = ", ".join(each.reference for each in dependencies)
        raise AmpError(
            ErrorCode.DEPENDENCY_CYCLE,
            f"the job would wait for itself: {named} depends on it, directly or by way of other jobs",
        )


async def list_references(connection: Connection, job_id: int) -> set[str]:
    """Return what a job depends on, as it was written."""
    rows = await (await connection.execute(sql("jobs", "list_dependencies"), {"job_id": job_id})).fetchall()
    return {row["reference"] for row in rows}


async def release_dependents(connection: Connection, completed: Sequence[Row]) -> None:
    """Let the jobs go that waited for nothing but the ``completed`` ones (inside the transaction that completes
    them).
    """
    parameters = {
        "job_ids": [row["id"] for row in completed],
        "keys": [row["idempotency_key"] for row in completed if row["idempotency_key"] is not None],
    }
    rows = await (await connection.execute(sql("jobs", "lock_dependents"), parameters)).fetchall()
    await _release(connection, rows)


async def release_all_dependents(db: MetadataDb) -> list[int]:
    """Let all jobs go that wait for nothing any more, and return their ids.

    The net below :func:`release_dependents`, for what nobody has thought of: a job must not wait for ever.
    """
    released: list[int] = []
    after_id = 0
    while True:
        async with db.transaction() as connection:
            parameters = {"after_id": after_id}
            rows = await (await connection.execute(sql("jobs", "lock_all_dependents"), parameters)).fetchall()
            if not rows:
                return released
            released += await _release(connection, rows)
        after_id = rows[-1]["id"]


async def _release(connection: Connection, locked: Sequence[Row]) -> list[int]:
    if not locked:
        return []
    parameters = {"job_ids": [row["id"] for row in locked]}
    rows = await (await connection.execute(sql("jobs", "release_dependents"), parameters)).fetchall()
    return [int(row["id"]) for row in rows]
