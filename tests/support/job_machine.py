"""What every step of the job engine's state machine stands on: a real database, the model beside it, and the look at
both after each step. The rules are in tests/integration/test_job_state_machine.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import psycopg
from hypothesis.stateful import RuleBasedStateMachine
from psycopg.rows import dict_row

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    JobFilter,
    JobState,
    JobStatistics,
    JobStore,
    Lease,
    LeasedJobs,
    RetryPolicy,
    WorkerIdentity,
    WorkerSession,
    WorkerStore,
)
from ampd.metadata_db import MetadataDb
from support.job_model import (
    SNAPSHOT,
    Model,
    Rows,
    check_attempts,
    check_executions,
    check_job,
    check_story,
    rows_of,
)

# So long that nothing grows old by itself while an example runs: time passes by the rules only.
LEASE_SECONDS: Final = 600.0
BACKOFF: Final = RetryPolicy(initial_delay=3600, max_delay=7200)
Answer = TypeVar("Answer")
# It finds all jobs as well, and they are counted one by one.
UNCOUNTED: Final = JobFilter(before_id=2**62)


@dataclass
class Process:
    """One incarnation of a worker, and the session that may hold its name's lock."""

    identity: WorkerIdentity
    session: WorkerSession
    connection: psycopg.Connection[Any]


class JobMachine(RuleBasedStateMachine):
    """Each rule acts on the database and on the model (``_step``), and then compares (``_agree``)."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.admin = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)
        self.admin.execute("TRUNCATE jobs, job_attempts, workers, job_events, job_firings RESTART IDENTITY CASCADE")
        self.db = MetadataDb(self.url, max_connections=2)
        self._await(self.db.open())
        self.store = JobStore(self.db, lease_seconds=LEASE_SECONDS, stop_seconds=LEASE_SECONDS)
        self.workers = WorkerStore(self.db, lease_seconds=LEASE_SECONDS)
        self.leased = LeasedJobs(self.db, retry_policy=BACKOFF)
        self.model = Model()
        self.processes: list[Process] = []
        self.leases: list[Lease] = []  # all that were ever given out: a zombie forgets none
        self.rows = self._read()
        self._shown: Rows | None = None  # the rows that an operator was shown
        self.sound = True

    def close(self) -> None:
        for process in list(self.processes):
            self._end_process(process)
        self._await(self.db.close())
        self.admin.close()
        self.loop.close()

    def _end_process(self, process: Process) -> None:
        """End a session as a crash does; the server lets go of its locks a moment later, here at once."""
        process.connection.execute("SELECT pg_advisory_unlock_all()")
        process.connection.close()
        self.processes.remove(process)
        if self.model.name_locks.get(process.identity.node_id) == process.identity.incarnation:
            del self.model.name_locks[process.identity.node_id]

    def _await(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(coroutine)

    def _told(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer | ErrorCode:
        """What somebody is told who asks for this: an answer, or the code of an error."""
        try:
            return self._await(coroutine)
        except AmpError as error:
            return error.code

    def _read(self) -> Rows:
        row = self.admin.execute(SNAPSHOT).fetchone()
        assert row is not None
        return row

    def _step(self, action: Callable[[], Answer], *, touches: set[int] | None = None) -> tuple[Rows, Answer]:
        """Act; the jobs that the action is not about must keep every row. Returns the rows of before and the answer."""
        self.sound = False
        before, answer = self.rows, action()
        rows = self._read()
        self.rows = before if rows == before else rows
        touched = touches or set()
        for table in ("jobs", "executions", "attempts", "events", "progress", "dependencies"):
            key = "id" if table == "jobs" else "job_id"
            others = [[row for row in rows[table] if row[key] not in touched] for rows in (before, self.rows)]
            assert others[0] == others[1], f"{table}: rows of other jobs changed"
        return before, answer

    def _agree(self) -> None:
        """The database says what the model says, and its own tables agree with each other."""
        told = {
            job["id"]: (
                job["state"], job["worker_id"], job["worker_incarnation"], job["lease_epoch"], job["execution_number"],
                job["retry_count"], job["lost_worker_count"], job["state"] == "SCHEDULED" and job["later"],
                job["dependencies_met"], job["stop_intent"], job["stop_reason"], job["retries_before"],
                job["total_retries"],
            )
            for job in self.rows["jobs"]
        }  # fmt: skip
        assert told == {
            job.id: (
                job.state, job.worker_id, str(job.holder[1]) if job.holder else None, job.epoch, job.execution,
                job.retry_count, job.lost, job.state is JobState.SCHEDULED and job.later, job.is_met,
                job.intent, job.reason, job.retries_before, job.total_retries,
            )
            for job in self.model.jobs.values()
        }  # fmt: skip
        jobs = {job["id"]: job for job in self.rows["jobs"]}
        for job_id in {event["job_id"] for event in self.rows["events"]} | jobs.keys():
            events = rows_of(self.rows, "events", job_id)
            check_story(jobs.get(job_id), events)
            if job := jobs.get(job_id):
                attempts = rows_of(self.rows, "attempts", job_id)
                check_job(job)
                check_attempts(job, attempts)
                check_executions(job, rows_of(self.rows, "executions", job_id), attempts, events)
        self._slots_hold()
        if self.rows is not self._shown:
            self._operators_see_it()
        self.sound = True

    def _operators_see_it(self) -> None:
        """What the list of jobs tells of each: for what it waits, and what becomes of that."""
        jobs, more = self._await(self.store.list_page(JobFilter(), limit=1000))
        assert not more
        assert [job.id for job in jobs] == sorted(self.model.jobs, reverse=True)
        for job in jobs:
            known = self.model.jobs[job.id]
            assert job.waiting_for == self.model.waiting_for(known), job
            assert job.depends_on == self.model.dependencies_of(known), job
        assert self._statistics(JobFilter()) == self._statistics(UNCOUNTED)
        self._shown = self.rows

    def _statistics(self, wanted: JobFilter) -> JobStatistics:
        """Count jobs; some become due between one count and the next."""
        found = self._await(self.store.statistics(wanted))
        return replace(found, scheduled=0, queued=found.scheduled + found.queued)

    def _slots_hold(self) -> None:
        for name, node in self.model.nodes.items():
            theirs = [
                job
                for job in self.rows["jobs"]
                if (job["worker_id"], job["worker_incarnation"]) == (name, str(node.registered))
            ]
            assert len(theirs) <= node.slots

    def known_ids(self) -> list[int]:
        """The ids of all jobs that there are, or were."""
        return sorted({event["job_id"] for event in self.rows["events"]})

    def current_leases(self) -> list[Lease]:
        return [lease for lease in self.leases if (job := self.model.jobs.get(lease.job_id)) and job.is_leased(lease)]
