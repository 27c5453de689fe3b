"""Jobs as an operator sees them: deploy, look, stop, delete. Every change is one transaction with its event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.bulk import BulkOperation, BulkResult
from ampd.jobs.dependencies import list_references, set_dependencies
from ampd.jobs.history import JobHistory, JobStatistics, read_history, read_statistics
from ampd.jobs.insertion import job_columns
from ampd.jobs.job_filter import JobFilter
from ampd.jobs.models import Deployment, Job, JobEvent, event_from_row, job_from_row
from ampd.jobs.notification import PLACE, Notifier
from ampd.jobs.operations import Ask, Operation, Verdict, conflict, hint_at, judge, operate
from ampd.jobs.states import TERMINAL_STATES, JobState, Transition, sources
from ampd.jobs.timetable_store import same_schedule
from ampd.jobs.transition import DEFAULT_STOP_SECONDS
from ampd.jobs.waiting import with_waiting
from ampd.metadata_db import Connection, LimitedStore, MetadataDb, Row, sql

DEFAULT_LEASE_SECONDS = 5.0
# The events of one page, unless asked for fewer.
MOST_EVENTS = 1000
# No id is higher: bigint.
_LAST_ID: Final = 2**63 - 1


class JobStore(LimitedStore):
    """The jobs of one metadata database.

    ``lease_seconds`` is the age from which a silent worker counts as dead, ``stop_seconds`` how long a stop may last
    before it is forced. Limited, it has the jobs of datasets in the namespaces.
    """

    def __init__(
        self,
        db: MetadataDb,
        *,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        stop_seconds: float = DEFAULT_STOP_SECONDS,
        notifier: Notifier | None = None,
    ) -> None:
        self._db = db
        self._lease_seconds = lease_seconds
        self._stop_seconds = stop_seconds
        self._notifier = notifier or Notifier(db)

    async def deploy(self, deployment: Deployment, *, actor: str) -> Job:
        """Make the job of ``deployment`` wait to run, and return it.

        The same options while it is active: the job as it is. When it is terminal: the same job runs again. The
        decision is taken under the row's lock.

        :raises AmpError: ACTIVE_JOB_CONFLICT when it is active with other options, DEPENDENCY_NOT_FOUND,
        DEPENDENCY_CYCLE.
        """
        async with self._db.transaction() as connection:
            parameters = await job_columns(connection, deployment, key=deployment.idempotency_key, actor=actor)
            inserted = await (await connection.execute(sql("jobs", "insert_job"), parameters)).fetchone()
            if inserted is None:
                job_id = await self._redeploy(connection, deployment, parameters)
            else:
                job_id = int(inserted["id"])
                await set_dependencies(connection, job_id, deployment.depends_on)
        self._notifier.hint(PLACE)
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
        if state in sources(Transition.DEPLOY):
            redeploy = {
                **parameters,
                "id": row["id"],
                "from_state": state,
                "from_states": sources(Transition.DEPLOY),
            }
            await connection.execute(sql("jobs", "redeploy_job"), redeploy)
            await set_dependencies(connection, row["id"], deployment.depends_on)
        elif not _same_options(row, parameters, deployment) or not await _same_dependencies(
            connection, row["id"], deployment
        ):
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
        rows = await self._list(JobFilter(job_id=job_id), limit=1)
        if not rows:
            raise AmpError(ErrorCode.JOB_NOT_FOUND, f"job '{job_id}' not found", context={"job_id": job_id})
        return rows[0]

    async def last_progress(self, job_id: int) -> dict[str, Any]:
        """Return what the handler said last of its progress in this execution; empty when it said nothing yet.

        :raises AmpError: JOB_NOT_FOUND when whoever asks does not see the job.
        """
        await self._require_seen(job_id)
        row = await self._db.fetch_one(sql("jobs", "read_progress"), {"job_id": job_id})
        return {} if row is None else row["data"]

    async def list_page(self, wanted: JobFilter, *, limit: int, offset: int = 0) -> tuple[list[Job], bool]:
        """Return at most ``limit`` of the ``wanted`` jobs, the newest first, from the ``offset`` on, and whether there
        are more.
        """
        jobs = await self._list(wanted, limit=limit + 1, offset=offset)
        return jobs[:limit], len(jobs) > limit

    async def list_of_dataset(self, namespace: str, name: str, manifest_hash: str) -> list[Job]:
        """Return the jobs of a dataset's manifest, the newest first: one of each kind, unless it was removed."""
        wanted = JobFilter(dataset_namespace=namespace, dataset_name=name, manifest_hash=manifest_hash)
        return await self._list(wanted, limit=1000)

    def _seen(self, wanted: JobFilter) -> JobFilter:
        return replace(wanted, visible=self._visible)

    async def _require_seen(self, job_id: int) -> None:
        """Make sure that whoever asks sees a job. Its namespace never changes: what is done then needs no lock."""
        if self._visible is not None:
            await self.get(job_id)

    async def _list(self, wanted: JobFilter, *, limit: int, offset: int = 0) -> list[Job]:
        wanted = self._seen(wanted)
        query = with_waiting("list_jobs").replace("{chosen}", wanted.rows())
        parameters = wanted.parameters() | {
            "limit": limit,
            "offset": offset,
            "lease_seconds": self._lease_seconds,
        }
        return [job_from_row(row) for row in await self._db.fetch_all(query, parameters)]

    async def request_stop(self, job_id: int, *, actor: str, reason: str | None = None) -> Job:
        """Ask for the end of a job, for a ``reason`` that the job keeps; asking again, or asking a job that has ended,
        changes nothing. A paused job ends at once, one that is being paused is STOPPED then.

        :raises AmpError: JOB_NOT_FOUND.
        """
        return await self._operate(job_id, Ask(Operation.CANCEL, actor, reason, stop_seconds=self._stop_seconds))

    async def pause(self, job_id: int, *, actor: str, reason: str | None = None) -> Job:
        """Set a job aside until it is resumed: at once when no worker has it, else when that has committed what it
        holds. Asking again changes nothing.

        :raises AmpError: JOB_NOT_FOUND; JOB_CONFLICT when it has ended or is being stopped.
        """
        return await self._operate(job_id, Ask(Operation.PAUSE, actor, reason, stop_seconds=self._stop_seconds))

    async def resume(self, job_id: int, *, actor: str) -> Job:
        """Let a paused job go on; one that is being paused goes on with its next attempt. A job that is neither is
        left as it is.

        :raises AmpError: JOB_NOT_FOUND; JOB_CONFLICT when it has ended.
        """
        return await self._operate(job_id, Ask(Operation.RESUME, actor))

    async def retry(self, job_id: int, *, actor: str, delay_seconds: float = 0.0) -> Job:
        """Have a job that has failed or was stopped run again, as another execution with the same options, after a
        delay. One that waits for a retry gets that at this time; one that waits for a worker is left as it is.

        :raises AmpError: JOB_NOT_FOUND; JOB_CONFLICT when it runs, is paused, or has completed.
        """
        return await self._operate(job_id, Ask(Operation.RETRY, actor, delay_seconds=delay_seconds))

    async def _operate(self, job_id: int, ask: Ask) -> Job:
        await self._require_seen(job_id)
        async with self._db.transaction() as connection:
            row = await self._lock(connection, job_id)
            if row is not None and judge(ask.operation, row) is Verdict.CONFLICTS:
                raise conflict(ask, row)
            moved = [] if row is None else await operate(connection, ask, [row])
        hint_at(self._notifier, moved)
        return await self.get(job_id)

    async def _lock(self, connection: Connection, job_id: int) -> Row | None:
        return await (await connection.execute(sql("jobs", "lock_job"), {"job_id": job_id})).fetchone()

    async def delete(self, job_id: int, *, actor: str) -> bool:
        """Delete a job that has ended; its events stay. False when there is no such job.

        :raises AmpError: JOB_CONFLICT when it has not ended.
        """
        ask = Ask(Operation.DELETE, actor)
        if self._visible is not None and not await self._list(JobFilter(job_id=job_id), limit=1):
            return False
        async with self._db.transaction() as connection:
            row = await self._lock(connection, job_id)
            if row is not None and judge(ask.operation, row) is Verdict.CONFLICTS:
                raise conflict(ask, row)
            return bool(row and await operate(connection, ask, [row]))

    async def change_many(
        self,
        operation: Operation,
        wanted: JobFilter,
        *,
        actor: str,
        reason: str | None = None,
        delay_seconds: float = 0.0,
        dry_run: bool = False,
    ) -> BulkResult:
        """Do to all jobs that ``wanted`` finds, of those that there are now, what the method of the same name does to
        one; those that it would refuse are skipped. With ``dry_run`` nothing changes.
        """
        ask = Ask(operation, actor, reason, delay_seconds, self._stop_seconds)
        seen = self._seen(wanted)
        return await BulkOperation(self._db, ask, seen, notifier=self._notifier, dry_run=dry_run).run()

    async def delete_in_states(self, states: Iterable[JobState], *, actor: str) -> int:
        """Delete the jobs in ``states`` (terminal ones) and return how many there were."""
        doomed = JobFilter(states=frozenset(states) & TERMINAL_STATES)
        return (await self.change_many(Operation.DELETE, doomed, actor=actor)).changed

    async def history(self, job_id: int, *, limit: int) -> JobHistory:
        """Return the ``limit`` newest executions of a job, the newest first, with their attempts; none of a job that
        there is not.

        :raises AmpError: JOB_NOT_FOUND when whoever asks does not see the job.
        """
        await self._require_seen(job_id)
        return await read_history(self._db, job_id, limit=limit)

    async def statistics(self, wanted: JobFilter) -> JobStatistics:
        """Count the ``wanted`` jobs by where they stand."""
        return await read_statistics(self._db, self._seen(wanted))

    async def events(
        self, job_id: int, *, limit: int = MOST_EVENTS, after_id: int = 0, newest_first: bool = False
    ) -> tuple[list[JobEvent], bool]:
        """Return a page of the history of a job, oldest or newest first, from behind an event of that order (0: its
        begin), and whether there is more; that of a deleted job too, while it is kept. Whoever sees some namespaces
        only sees none of deleted jobs: of which namespace they were is not known any more.

        :raises AmpError: JOB_NOT_FOUND when there neither is nor was such a job.
        """
        await self._require_seen(job_id)
        parameters = {"job_id": job_id, "after_id": after_id, "before_id": after_id or _LAST_ID, "limit": limit + 1}
        operation = "list_newest_events" if newest_first else "list_events"
        rows = await self._db.fetch_all(sql("jobs", operation), parameters)
        if not rows and not (after_id and await self._has_events(job_id)):
            await self.get(job_id)
        return [event_from_row(row) for row in rows[:limit]], len(rows) > limit

    async def event(self, job_id: int, event_id: int) -> JobEvent:
        """Return one event of a job.

        :raises AmpError: JOB_NOT_FOUND, EVENT_NOT_FOUND.
        """
        await self._require_seen(job_id)
        row = await self._db.fetch_one(sql("jobs", "get_event"), {"job_id": job_id, "event_id": event_id})
        if row is None:
            await self.events(job_id, limit=1)
            raise AmpError(ErrorCode.EVENT_NOT_FOUND, f"event '{event_id}' not found for job '{job_id}'")
        return event_from_row(row)

    async def _has_events(self, job_id: int) -> bool:
        parameters = {"job_id": job_id, "after_id": 0, "limit": 1}
        return await self._db.fetch_one(sql("jobs", "list_events"), parameters) is not None


def _same_options(row: Row, wanted: dict[str, Any], deployment: Deployment) -> bool:
    plain = all(row[name] == wanted[name] for name in ("worker_selector", "priority", "retries"))
    same_input = row["input"] in (deployment.input, *deployment.earlier_inputs)
    same_times = same_schedule(row["schedule"], deployment.schedule)
    return plain and same_input and same_times and row["retry_policy"] == wanted["retry_policy"].obj


async def _same_dependencies(connection: Connection, job_id: int, deployment: Deployment) -> bool:
    return await list_references(connection, job_id) == {each.reference for each in deployment.depends_on}
