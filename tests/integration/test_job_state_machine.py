"""Operators, placement, workers that crash and come back, a rescuer and the clock act on one real database in any
order; after each step the database must tell what a model made of the transition table alone tells.
One acts at a time; what needs two at once stands in tests/integration/test_job_races.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from psycopg.rows import dict_row

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    TERMINAL_STATES,
    Deployment,
    JobState,
    JobStore,
    Lease,
    LeasedJobs,
    RetryPolicy,
    Transition,
    WorkerIdentity,
    WorkerSession,
    hold_lease,
    note_success,
    place_due_jobs,
    rescue_jobs_of_lost_workers,
)
from ampd.jobs.placement import POISON_LIMIT
from ampd.metadata_db import EmbeddedPostgres, MetadataDb
from support.databases import fresh_database
from support.job_model import (
    FORGERIES,
    GOING_ON,
    SNAPSHOT,
    WRITES,
    Model,
    ModelJob,
    Node,
    Rows,
    accept,
    check_attempts,
    check_executions,
    check_job,
    check_story,
    expected_placement,
    is_allowed,
    refusal_of,
    rows_of,
)

# So long that nothing grows old by itself while an example runs: time passes by the rules only.
LEASE_SECONDS: Final = 600.0
BACKOFF: Final = RetryPolicy(initial_delay=3600, max_delay=7200)
PROFILE: Final = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
NODES: Final = ("w1", "w2")
SELECTORS: Final = (None, "w1", "w*")
Answer = TypeVar("Answer")
RECOVERABLE: Final = AmpError(ErrorCode.NODE_UNREACHABLE, "gone for now", recoverable=True)
FATAL: Final = AmpError(ErrorCode.NETWORK_MISMATCH, "another chain")


@dataclass
class Process:
    """One incarnation of a worker, and the session that may hold its name's lock."""

    identity: WorkerIdentity
    session: WorkerSession
    connection: psycopg.Connection[Any]


class JobEngine(RuleBasedStateMachine):
    """The actors. Each rule acts on the database and on the model, and then compares (``_step``)."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.admin = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)
        self.admin.execute("TRUNCATE jobs, job_attempts, workers, job_events RESTART IDENTITY CASCADE")
        self.db = MetadataDb(self.url, max_connections=2)
        self._await(self.db.open())
        self.store = JobStore(self.db, lease_seconds=LEASE_SECONDS)
        self.leased = LeasedJobs(self.db, retry_policy=BACKOFF)
        self.model = Model()
        self.processes: list[Process] = []
        self.leases: list[Lease] = []  # all that were ever given out: a zombie forgets none
        self.rows = self._read()
        self.sound = True

    def teardown(self) -> None:
        try:
            if self.sound:
                self.all_workers_die_and_one_new_worker_ends_every_job()
        finally:
            for process in list(self.processes):
                self._end_process(process)
            self._await(self.db.close())
            self.admin.close()
            self.loop.close()

    def _await(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(coroutine)

    def _read(self) -> Rows:
        row = self.admin.execute(SNAPSHOT).fetchone()
        assert row is not None
        return row

    def _step(self, action: Callable[[], Answer], *, touches: set[int] | None = None) -> tuple[Rows, Answer]:
        """Act; the jobs that the action is not about must keep every row. Returns the rows of before and the answer."""
        self.sound = False
        before, answer = self.rows, action()
        self.rows = self._read()
        touched = touches or set()
        for table in ("jobs", "executions", "attempts", "events", "progress"):
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
            )
            for job in self.rows["jobs"]
        }  # fmt: skip
        assert told == {
            job.id: (
                job.state, job.worker_id, str(job.holder[1]) if job.holder else None, job.epoch, job.execution,
                job.retry_count, job.lost, job.state is JobState.SCHEDULED and job.later,
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
        self.sound = True

    def _slots_hold(self) -> None:
        for name, node in self.model.nodes.items():
            theirs = [
                job
                for job in self.rows["jobs"]
                if (job["worker_id"], job["worker_incarnation"]) == (name, str(node.registered))
            ]
            assert len(theirs) <= node.slots

    # --- operators

    @rule(
        key=st.sampled_from("abcd"),
        version=st.integers(1, 2),
        selector=st.sampled_from(SELECTORS),
        retries=st.sampled_from((None, 1)),
    )
    def deploy(self, key: str, version: int, selector: str | None, retries: int | None) -> None:
        known = self.model.of_key(key)
        deployment = Deployment("noop", key, {"version": version}, worker_selector=selector, retries=retries)

        def act() -> int | ErrorCode:
            try:
                return self._await(self.store.deploy(deployment, actor="operator")).id
            except AmpError as error:
                return error.code

        if known is None:
            before, answer = self._step(act, touches=self._ids_to_come())
            assert isinstance(answer, int)
            self.model.jobs[answer] = ModelJob(answer, key, (version, selector), retries)
        elif known.allows(Transition.DEPLOY):
            before, answer = self._step(act, touches={known.id})
            assert answer == known.id
            again = ModelJob(
                known.id, key, (version, selector), retries, execution=known.execution + 1, epoch=known.epoch
            )
            self.model.jobs[known.id] = again
        else:
            before, answer = self._step(act)
            same = (known.options, known.retries) == ((version, selector), retries)
            assert answer == (known.id if same else ErrorCode.ACTIVE_JOB_CONFLICT)
            assert before == self.rows
        self._agree()

    def _ids_to_come(self) -> set[int]:
        """A deploy that finds its job uses up an id too, so that the next one is not known."""
        newest = max(self.known_ids(), default=0)
        return set(range(newest + 1, newest + 100))

    def known_ids(self) -> list[int]:
        return sorted({event["job_id"] for event in self.rows["events"]})

    @precondition(lambda self: self.known_ids())
    @rule(which=st.integers(0, 20))
    def request_stop(self, which: int) -> None:
        job_id = self.known_ids()[which % len(self.known_ids())]
        job = self.model.jobs.get(job_id)

        def act() -> JobState | ErrorCode:
            try:
                return self._await(self.store.request_stop(job_id, actor="operator")).state
            except AmpError as error:
                return error.code

        before, answer = self._step(act, touches={job_id})
        if job is not None and job.allows(Transition.REQUEST_STOP):
            job.move(Transition.REQUEST_STOP)
        else:
            assert before == self.rows
        assert answer == (ErrorCode.JOB_NOT_FOUND if job is None else job.state)
        self._agree()

    @precondition(lambda self: self.known_ids())
    @rule(which=st.integers(0, 20))
    def delete(self, which: int) -> None:
        job_id = self.known_ids()[which % len(self.known_ids())]
        job = self.model.jobs.get(job_id)

        def act() -> bool | ErrorCode:
            try:
                return self._await(self.store.delete(job_id, actor="operator"))
            except AmpError as error:
                return error.code

        before, answer = self._step(act, touches={job_id})
        if job is not None and job.state in TERMINAL_STATES:
            assert answer is True
            del self.model.jobs[job_id]
        else:
            assert answer == (False if job is None else ErrorCode.JOB_CONFLICT)
            assert before == self.rows
        self._agree()

    # --- placement, rescue, time

    @rule()
    def place(self) -> None:
        expected = expected_placement(self.rows, self.model)
        _, leases = self._step(
            lambda: self._await(place_due_jobs(self.db, lease_seconds=LEASE_SECONDS)),
            touches={id for id, _ in expected},
        )
        assert {(lease.job_id, lease.worker_id) for lease in leases} == set(expected)
        for job_id, name in expected:
            job = self.model.jobs[job_id]
            job.holder, job.worker_id, job.epoch = (name, self.model.nodes[name].registered), name, job.epoch + 1
        self._agree()

    @rule()
    def rescue(self) -> None:
        lost = {job.id for job in self.model.jobs.values() if job.holder and self.model.is_dead(job.holder)}
        rescuing = rescue_jobs_of_lost_workers(self.db, lease_seconds=LEASE_SECONDS, actor="rescue")
        _, answer = self._step(lambda: self._await(rescuing), touches=lost)
        assert set(answer) == lost
        for job in (self.model.jobs[id] for id in lost):
            if job.state is JobState.SCHEDULED:
                job.holder = job.worker_id = None
                continue
            job.lost += 1
            is_poison = job.state is JobState.RUNNING and job.lost >= POISON_LIMIT
            job.move(Transition.FAIL if is_poison else Transition.LOSE_WORKER)
        self._agree()

    def heartbeats_grow_old(self, name: str) -> None:
        ageing = "UPDATE worker_heartbeats SET heartbeat_at = now() - interval '1 day' WHERE node_id = %s"
        self._step(lambda: self.admin.execute(ageing, [name]))
        if node := self.model.nodes.get(name):
            node.fresh = False
        self._agree()

    @precondition(lambda self: any(job.later for job in self.model.jobs.values()))
    @rule()
    def backoffs_pass(self) -> None:
        due = "UPDATE jobs SET run_at = now() WHERE run_at > now() AND state = 'SCHEDULED'"
        self._step(lambda: self.admin.execute(due), touches=set(self.model.jobs))
        for job in self.model.jobs.values():
            job.later = False
        self._agree()

    # --- worker processes

    @initialize()
    def two_workers(self) -> None:
        for name in NODES:
            self.register(name, 1)

    @rule(name=st.sampled_from(NODES), slots=st.integers(1, 2))
    def register(self, name: str, slots: int) -> None:
        connection = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)
        identity = WorkerIdentity(name, uuid4())
        process = Process(identity, WorkerSession(connection, identity, lease_seconds=LEASE_SECONDS), connection)
        self.processes.append(process)
        node, has_lock = self.model.nodes.get(name), name not in self.model.name_locks
        if has_lock:
            self.model.name_locks[name] = identity.incarnation
        if node is None or has_lock or not node.fresh:
            self._step(lambda: process.session.register(info={}, slots=slots))
            self.model.nodes[name] = Node(identity.incarnation, identity.incarnation, fresh=True, slots=slots)
        else:
            before, refusal = self._step(lambda: refusal_of(lambda: process.session.register(info={}, slots=slots)))
            assert refusal is ErrorCode.NODE_ID_IN_USE
            assert before == self.rows
            self._end_process(process)
        self._agree()

    def _end_process(self, process: Process) -> None:
        """End a session as a crash does; the server lets go of its locks a moment later, here at once."""
        process.connection.execute("SELECT pg_advisory_unlock_all()")
        process.connection.close()
        self.processes.remove(process)
        if self.model.name_locks.get(process.identity.node_id) == process.identity.incarnation:
            del self.model.name_locks[process.identity.node_id]

    @precondition(lambda self: self.processes)
    @rule(which=st.integers(0, 20))
    def beat(self, which: int) -> None:
        process = self.processes[which % len(self.processes)]
        name, incarnation = process.identity.node_id, process.identity.incarnation
        node = self.model.nodes[name]
        if node.beating != incarnation:
            before, refusal = self._step(lambda: refusal_of(process.session.beat))
            assert refusal is ErrorCode.NODE_ID_IN_USE
            assert before == self.rows
        else:
            _, beat = self._step(process.session.beat)
            wanted = beat.wanted
            node.fresh = True
            theirs = {job.id: job for job in self.model.jobs.values() if job.holder == (name, incarnation)}
            assert {want.job_id: (want.state, want.lease_epoch) for want in wanted} == {
                id: (job.state, job.epoch) for id, job in theirs.items()
            }
            known = set(self.leases)
            self.leases += [lease for want in wanted if (lease := want.lease(process.identity)) not in known]
        self._agree()

    @precondition(lambda self: self.processes)
    @rule(which=st.integers(0, 20), fate=st.sampled_from(("freezes", "crashes", "retires", "drains")))
    def a_worker_fails(self, which: int, fate: str) -> None:
        process = self.processes[which % len(self.processes)]
        node, incarnation = self.model.nodes[process.identity.node_id], process.identity.incarnation
        if fate == "freezes":
            self.heartbeats_grow_old(process.identity.node_id)
        elif fate == "crashes":
            self._step(lambda: self._end_process(process))
        else:
            before, _ = self._step(process.session.retire if fate == "retires" else process.session.set_draining)
            if fate == "retires" and node.beating == incarnation:
                node.beating = None
            elif fate == "drains" and node.registered == incarnation:
                node.draining = True
            else:
                assert before == self.rows
        self._agree()

    # --- what worker processes write with their leases, current or long lost

    def _current_leases(self) -> list[Lease]:
        return [lease for lease in self.leases if (job := self.model.jobs.get(lease.job_id)) and job.is_leased(lease)]

    @precondition(lambda self: self._current_leases())
    @rule(which=st.integers(0, 20), write=st.sampled_from(WRITES))
    def work(self, which: int, write: str) -> None:
        leases = self._current_leases()
        self._write(leases[which % len(leases)], write)

    @precondition(lambda self: self._current_leases())
    @rule(which=st.integers(0, 20), write=st.sampled_from(GOING_ON))
    def work_goes_on(self, which: int, write: str) -> None:
        leases = self._current_leases()
        lease = leases[which % len(leases)]
        if write == "acknowledge_stop":
            self.request_stop(self.known_ids().index(lease.job_id))
        self._write(lease, write)
        self.place()

    @rule(key=st.sampled_from("abcd"))
    def work_begins(self, key: str) -> None:
        """The short way to running jobs: a worker for each name, a deploy, placement, a beat, a start."""
        for name, node in list(self.model.nodes.items()):
            if node.draining or self.model.is_dead((name, node.registered)):
                self.heartbeats_grow_old(name)
                self.register(name, 1)
        self.deploy(key, 1, None, None)
        self.place()
        for which in range(len(self.processes)):
            self.beat(which)
        for lease in self._current_leases():
            self._write(lease, "start")

    @precondition(lambda self: self.leases)
    @rule(which=st.integers(0, 50), write=st.sampled_from(WRITES), forgery=st.sampled_from(FORGERIES))
    def zombie_writes(self, which: int, write: str, forgery: str) -> None:
        """Any lease that was ever given out (of a job that someone has, if there is one), as it was or forged."""
        jobs = self.model.jobs
        leases = [lease for lease in self.leases if lease.job_id in jobs and jobs[lease.job_id].holder] or self.leases
        lease = leases[which % len(leases)]
        if forgery in ("next epoch", "epoch before"):
            lease = replace(lease, lease_epoch=lease.lease_epoch + (1 if forgery == "next epoch" else -1))
        elif forgery == "another process":
            lease = replace(lease, incarnation=uuid4())
        elif forgery == "newest epoch" and (job := self.model.jobs.get(lease.job_id)):
            lease = replace(lease, lease_epoch=job.epoch)
        elif forgery == "newest process":
            lease = replace(lease, incarnation=self.model.nodes[lease.worker_id].registered)
        self._write(lease, write)

    def _write(self, lease: Lease, write: str) -> None:
        job = self.model.jobs.get(lease.job_id)
        accepted = job is not None and job.is_leased(lease) and is_allowed(job, write)
        before, answer = self._step(lambda: self._await(self._send(lease, write)), touches={lease.job_id})
        assert answer is accepted, f"{write} with {lease}: {answer}"
        if job is not None and accepted:
            (row,) = rows_of(before, "jobs", lease.job_id)
            assert (row["lease_epoch"], row["worker_incarnation"]) == (lease.lease_epoch, str(lease.incarnation))
            accept(job, write)
        else:
            assert before == self.rows, "a refused write changed something"
        self._agree()

    async def _send(self, lease: Lease, write: str) -> bool:
        match write:
            case "fail for now" | "fail for good":
                return await self.leased.fail(lease, RECOVERABLE if write == "fail for now" else FATAL)
            case "report progress":
                return await self.leased.report_progress(lease, {"blocks": lease.lease_epoch})
            case "register a file":
                return await self._register_a_file(lease)
            case "start":
                return await self.leased.start(lease) is not None
            case _:
                answer: bool = await getattr(self.leased, write)(lease)
                return answer

    async def _register_a_file(self, lease: Lease) -> bool:
        """What the lake does when a file is done: hold the lease, write its rows, note the success."""
        try:
            async with self.db.transaction() as connection:
                await hold_lease(connection, lease)
                await note_success(connection, lease)
        except AmpError as error:
            assert error.code is ErrorCode.LEASE_LOST
            return False
        return True

    # --- nothing is stuck

    def all_workers_die_and_one_new_worker_ends_every_job(self) -> None:
        for process in list(self.processes):
            self._end_process(process)
        for name in NODES:
            self.heartbeats_grow_old(name)
        self.backoffs_pass()
        self.rescue()
        self.register("w1", len(self.model.jobs) or 1)
        self.place()
        self.beat(0)
        for lease in self._current_leases():
            self._write(lease, "start")
            self._write(lease, "complete")
        assert {job["state"] for job in self.rows["jobs"]} <= TERMINAL_STATES


@pytest.fixture(scope="module")
def module_database_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """One migrated database for all examples; each begins with empty tables."""
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


def test_whatever_the_actors_do_the_database_keeps_to_the_transition_table_and_no_job_is_stuck(
    module_database_url: str,
) -> None:
    class Engine(JobEngine):
        url = module_database_url

    run_state_machine_as_test(Engine, settings=PROFILE)
