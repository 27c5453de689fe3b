"""Jobs as an operator sees them: deploy, look, stop, delete. Every change is one transaction with its event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg.types.json import Jsonb

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import notification
from ampd.jobs.models import Deployment, Job, JobEvent, event_from_row, job_from_row
from ampd.jobs.states import TERMINAL_STATES, JobState, Transition, targets
from ampd.jobs.transition import apply_transition
from ampd.metadata_db import Connection, MetadataDb, Row, sql

DEFAULT_LEASE_SECONDS = 5.0


class JobStore:
    """The jobs of one metadata database. ``lease_seconds`` is the age from which a silent worker counts as dead."""

    def __init__(self, db: MetadataDb, *, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> None:
        self._db = db
        self._lease_seconds = lease_seconds

    async def deploy(self, deployment: Deployment, *, actor: str) -> Job:
        """Make the job of ``deployment`` wait to run, and return it.

        The same options while it is active: the job as it is. When it is terminal: the same job runs again. The
        decision is taken under the row's lock.

        :raises AmpError: ACTIVE_JOB_CONFLICT when it is active with other options.
        """
        parameters = {
            "kind": deployment.kind,
            "idempotency_key": deployment.idempotency_key,
            "input": Jsonb(deployment.input),
            "labels": Jsonb(deployment.labels),
            "worker_selector": deployment.worker_selector,
            "priority": deployment.priority,
            "retries": deployment.retries,
            "actor": actor,
        }
        async with self._db.transaction() as connection:
            inserted = await (await connection.execute(sql("jobs", "insert_job"), parameters)).fetchone()
            job_id = inserted["id"] if inserted else await self._redeploy(connection, deployment, parameters)
            await notification.wake_placement(connection)
        return await self.get(job_id)

    async def _redeploy(self, connection: Connection, deployment: Deployment, parameters: dict[str, Any]) -> int:
        row = await (await connection.execute(sql("jobs", "lock_job_by_key"), parameters)).fetchone()
        if row is None:  # deleted between the two statements: the next try inserts it
            raise AmpError(
                ErrorCode.JOB_CONFLICT,
                "the job of this dataset was deleted at this moment; deploy again",
                recoverable=True,
            )
        state = JobState(row["state"])
        if state in targets(Transition.DEPLOY):
            redeploy = {
                **parameters,
                "id": row["id"],
                "from_state": state,
                "from_states": list(targets(Transition.DEPLOY)),
            }
            await connection.execute(sql("jobs", "redeploy_job"), redeploy)
        elif not _same_options(row, deployment):
            raise AmpError(
                ErrorCode.ACTIVE_JOB_CONFLICT,
                f"an active job (id={row['id']}) already exists for this dataset with different options; "
                f"stop it first (ampctl job stop {row['id']})",
                context={"job_id": row["id"]},
            )
        return int(row["id"])

    async def get(self, job_id: int) -> Job:
        """Return a job.

        :raises AmpError: JOB_NOT_FOUND.
        """
        rows = await self._list(id=job_id)
        if not rows:
            raise AmpError(ErrorCode.JOB_NOT_FOUND, f"job '{job_id}' not found", context={"job_id": job_id})
        return job_from_row(rows[0])

    async def list_page(
        self, *, states: frozenset[JobState] | None, limit: int, before_id: int | None
    ) -> tuple[list[Job], bool]:
        """Return jobs with ids below ``before_id``, the newest first, and whether there are more."""
        rows = await self._list(states=None if states is None else list(states), before_id=before_id, limit=limit + 1)
        return [job_from_row(row) for row in rows[:limit]], len(rows) > limit

    async def list_of_dataset(self, namespace: str, name: str, manifest_hash: str) -> list[Job]:
        """Return the jobs of a dataset's manifest, the newest first."""
        rows = await self._list(namespace=namespace, name=name, manifest_hash=manifest_hash)
        return [job_from_row(row) for row in rows]

    async def _list(self, **filters: Any) -> list[Row]:
        parameters = dict.fromkeys(("id", "states", "before_id", "namespace", "name", "manifest_hash"))
        parameters |= {"limit": 1000, "lease_seconds": self._lease_seconds} | filters
        return await self._db.fetch_all(sql("jobs", "list_jobs"), parameters)

    async def request_stop(self, job_id: int, *, actor: str) -> Job:
        """Ask for the end of a job; asking again, or asking a job that has ended, changes nothing.

        :raises AmpError: JOB_NOT_FOUND.
        """
        async with self._db.transaction() as connection:
            await connection.execute(sql("jobs", "lock_job"), {"job_id": job_id})
            moved = await apply_transition(connection, Transition.REQUEST_STOP, job_id=job_id, actor=actor)
            if moved is not None and moved["worker_id"] is not None:
                await notification.notify_worker(connection, moved["worker_id"], job_id, "STOP")
        return await self.get(job_id)

    async def delete(self, job_id: int, *, actor: str) -> bool:
        """Delete a job that has ended; its events stay. False when there is no such job.

        :raises AmpError: JOB_CONFLICT when it has not ended.
        """
        if await self._delete(TERMINAL_STATES, actor=actor, job_id=job_id):
            return True
        try:
            job = await self.get(job_id)
        except AmpError as error:
            if error.code is ErrorCode.JOB_NOT_FOUND:
                return False
            raise
        raise AmpError(
            ErrorCode.JOB_CONFLICT,
            f"job '{job_id}' cannot be deleted from current state: {job.state}; "
            f"stop it first (ampctl job stop {job_id})",
        )

    async def delete_in_states(self, states: Iterable[JobState], *, actor: str) -> int:
        """Delete the jobs in ``states`` (terminal ones) and return how many there were."""
        return await self._delete(frozenset(states) & TERMINAL_STATES, actor=actor, job_id=None)

    async def _delete(self, states: frozenset[JobState], *, actor: str, job_id: int | None) -> int:
        highest = await self._db.fetch_one(sql("jobs", "highest_job_id"))
        parameters = {
            "states": list(states),
            "id": job_id,
            "actor": actor,
            "max_id": highest["id"] if highest else 0,
        }
        total = 0
        while True:
            async with self._db.transaction() as connection:
                if job_id is not None:  # not to be passed over when another one has it locked
                    await connection.execute(sql("jobs", "lock_job"), {"job_id": job_id})
                row = await (await connection.execute(sql("jobs", "delete_jobs"), parameters)).fetchone()
            deleted = int(row["deleted"]) if row else 0
            total += deleted
            if not deleted:
                return total

    async def events(self, job_id: int) -> list[JobEvent]:
        """Return the history of a job, oldest first; that of a deleted job too, while it is kept.

        :raises AmpError: JOB_NOT_FOUND when there neither is nor was such a job.
        """
        rows = await self._db.fetch_all(sql("jobs", "list_events"), {"job_id": job_id, "event_id": None})
        if not rows:
            await self.get(job_id)
        return [event_from_row(row) for row in rows]

    async def event(self, job_id: int, event_id: int) -> JobEvent:
        """Return one event of a job.

        :raises AmpError: JOB_NOT_FOUND, EVENT_NOT_FOUND.
        """
        row = await self._db.fetch_one(sql("jobs", "list_events"), {"job_id": job_id, "event_id": event_id})
        if row is None:
            await self.events(job_id)
            raise AmpError(ErrorCode.EVENT_NOT_FOUND, f"event '{event_id}' not found for job '{job_id}'")
        return event_from_row(row)


def _same_options(row: Row, deployment: Deployment) -> bool:
    return bool(
        row["input"] == deployment.input
        and row["worker_selector"] == deployment.worker_selector
        and row["priority"] == deployment.priority
        and row["retries"] == deployment.retries
    )
