"""Operators, placement, workers that crash and come back, a rescuer and the clock act on one real database in any
order; after each step the database must tell what a model made of the transition table alone tells.
One acts at a time; what needs two at once stands in tests/integration/test_job_races.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from psycopg.rows import dict_row

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    TERMINAL_STATES,
    JobState,
    Lease,
    Operation,
    Transition,
    WorkerIdentity,
    WorkerSession,
    expire_jobs,
    force_overdue_stops,
    hold_lease,
    note_success,
    place_due_jobs,
    release_all_dependents,
    rescue_jobs_of_lost_workers,
)
from ampd.jobs.placement import POISON_LIMIT
from support.job_machine import LEASE_SECONDS, Process
from support.job_model import (
    FORGERIES,
    GOING_ON,
    STOPS,
    TOGETHER,
    WRITES,
    Node,
    accept,
    expected_placement,
    is_allowed,
    refusal_of,
    rows_of,
)
from support.job_operators import NODES, JobOperators

PROFILE: Final = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
RECOVERABLE: Final = AmpError(ErrorCode.NODE_UNREACHABLE, "gone for now", recoverable=True)
FATAL: Final = AmpError(ErrorCode.NETWORK_MISMATCH, "another chain")


class JobEngine(JobOperators):
    """Operators, and all that acts by itself."""

    def teardown(self) -> None:
        try:
            if self.sound:
                self.all_workers_die_and_one_new_worker_ends_every_job()
        finally:
            self.close()

    # --- placement, rescue, time

    @rule(what=st.sampled_from(("place", "place", "rescue", "the_net_below_the_releases")))
    def a_controller_looks(self, what: str) -> None:
        getattr(self, what)()

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

    def backoffs_pass(self) -> None:
        due = "UPDATE jobs SET run_at = now() WHERE run_at > now() AND state = 'SCHEDULED'"
        self._step(lambda: self.admin.execute(due), touches=set(self.model.jobs))
        for job in self.model.jobs.values():
            job.later = False
        self._agree()

    @precondition(lambda self: any(job.later or job.state in STOPS for job in self.model.jobs.values()))
    @rule(what=st.sampled_from(("backoffs", "stops", "stops in time")))
    def time_passes(self, what: str) -> None:
        if what == "backoffs":
            self.backoffs_pass()
        else:
            self.stops_last_too_long(what == "stops")

    def stops_last_too_long(self, forced: bool) -> None:
        """With ``forced`` False their deadlines are still to come."""
        if forced:
            overdue = "UPDATE jobs SET stop_deadline = now() - interval '1 second' WHERE stop_deadline IS NOT NULL"
            self._step(lambda: self.admin.execute(overdue), touches=set(self.model.jobs))
            for job in self.model.jobs.values():
                job.overdue = job.state in STOPS
        doomed = {job.id for job in self.model.jobs.values() if job.overdue}
        _, answer = self._step(lambda: self._await(force_overdue_stops(self.db, actor="controller")), touches=doomed)
        assert set(answer) == doomed
        for job_id in doomed:
            self.model.jobs[job_id].move(Transition.FORCE_STOP)
        self._agree()

    @precondition(lambda self: self.known_ids())
    @rule(which=st.integers(0, 20))
    def a_job_grows_old(self, which: int) -> None:
        """Retention removes it when it has ended, and leaves all others alone."""
        job_id = self.known_ids()[which % len(self.known_ids())]
        job = self.model.jobs.get(job_id)
        ageing = "UPDATE jobs SET updated_at = now() - interval '11 days' WHERE id = %s"
        self._step(lambda: self.admin.execute(ageing, [job_id]), touches={job_id})
        before, removed = self._step(
            lambda: self._await(expire_jobs(self.db, days=10, actor="retention", batch=2)), touches={job_id}
        )
        assert removed == (job is not None and job.state in TERMINAL_STATES)
        if removed:
            del self.model.jobs[job_id]
        else:
            assert before == self.rows
        self._agree()

    def the_net_below_the_releases(self) -> None:
        """It finds nobody: who waits for nothing any more was released by the completion."""
        before, released = self._step(lambda: self._await(release_all_dependents(self.db)))
        assert released == []
        assert before == self.rows
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
        if node is None or has_lock or not node.is_alive:
            self._step(lambda: process.session.register(info={}, slots=slots))
            cordoned = node is not None and node.cordoned
            self.model.nodes[name] = Node(
                identity.incarnation, identity.incarnation, fresh=True, slots=slots, cordoned=cordoned
            )
        else:
            before, refusal = self._step(lambda: refusal_of(lambda: process.session.register(info={}, slots=slots)))
            assert refusal is ErrorCode.NODE_ID_IN_USE
            assert before == self.rows
            self._end_process(process)
        self._agree()

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
            assert beat.cordoned is node.cordoned
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

    @precondition(lambda self: self.current_leases())
    @rule(which=st.integers(0, 20), write=st.sampled_from(WRITES))
    def work(self, which: int, write: str) -> None:
        leases = self.current_leases()
        self._write(leases[which % len(leases)], write)

    @precondition(lambda self: self.current_leases())
    @rule(which=st.integers(0, 20), write=st.sampled_from(GOING_ON))
    def work_goes_on(self, which: int, write: str) -> None:
        leases = self.current_leases()
        lease = leases[which % len(leases)]
        if write == "acknowledge_stop":
            self.ask_one(lease.job_id, Operation.CANCEL)
        self._write(lease, write)
        self.place()

    @precondition(lambda self: self.current_leases())
    @rule(
        which=st.integers(0, 20),
        first=st.sampled_from((Operation.CANCEL, Operation.PAUSE, Operation.PAUSE)),
        heard=st.booleans(),
        second=st.sampled_from((None, Operation.CANCEL, Operation.PAUSE, Operation.RESUME)),
        end=st.sampled_from((None, "force", "lose the worker", "stop", "complete", "fail for now", "hand_back")),
    )
    def a_stop_begins(
        self, which: int, first: Operation, heard: bool, second: Operation | None, end: str | None
    ) -> None:
        """Or a pause. The worker hears of it or not; the operator changes his mind or does not; and then it ends in
        one of the ways in which it can, or goes on.
        """
        leases = self.current_leases()
        lease = leases[which % len(leases)]
        self._write(lease, "start")
        self.ask_one(lease.job_id, first)
        if heard:
            self._write(lease, "acknowledge_stop")
        if second is not None:
            self.ask_one(lease.job_id, second)
        if end == "lose the worker":
            self.heartbeats_grow_old(lease.worker_id)
            self.rescue()
        elif end in (None, "force"):
            self.stops_last_too_long(end is not None)
        else:
            self._write(lease, end)

    @rule(keys=st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True), which=st.integers(0, 20))
    def work_begins(self, keys: list[str], which: int) -> None:
        """The short way to running jobs: a worker for each name, a deploy, placement, a beat, a start.

        Other jobs wait for the first one, and for any other.
        """
        for name, node in list(self.model.nodes.items()):
            if node.cordoned:
                self.cordon(name, False)
            if not node.takes_work:
                self.heartbeats_grow_old(name)
                self.register(name, 1)
        self.deploy(keys[0], 1, None, None, ())
        for key in keys[1:]:
            self.deploy(key, 1, None, None, (keys[0], str(which)) if which % 3 == 0 else (keys[0],))
        self.place()
        for process in range(len(self.processes)):
            self.beat(process)
        for lease in self.current_leases():
            self._write(lease, "start")

    @precondition(lambda self: self.current_leases())
    @rule(write=st.sampled_from(("complete", "complete", "fail for good", "fail for now", "hand_back")))
    def work_ends(self, write: str) -> None:
        """All that is in hand ends in one moment, and what waited for it may begin."""
        leases = self.current_leases()
        self._write_all(leases, "start")
        self._write_all(leases, write)
        self.place()

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
        self._write_all([lease], write)

    @precondition(lambda self: self.leases)
    @rule(
        which=st.lists(st.integers(0, 50), min_size=2, max_size=6),
        write=st.sampled_from(TOGETHER),
        current=st.booleans(),
    )
    def write_together(self, which: list[int], write: str, current: bool) -> None:
        """A worker writes for several jobs in one moment, with whatever leases it ever had; or with all it has, too."""
        leases = [self.leases[each % len(self.leases)] for each in which]
        self._write_all(list(dict.fromkeys(leases + (self.current_leases() if current else []))), write)

    def _write_all(self, leases: Sequence[Lease], write: str) -> None:
        """Exactly the leases that are current are accepted; the others change nothing."""
        jobs = [self.model.jobs.get(lease.job_id) for lease in leases]
        accepted = [
            job is not None and job.is_leased(lease) and is_allowed(job, write)
            for lease, job in zip(leases, jobs, strict=True)
        ]
        moved = {job.id for job, is_accepted in zip(jobs, accepted, strict=True) if job is not None and is_accepted}
        for job_id in moved:
            accept(self.model.jobs[job_id], write)
        released = self.model.released_by(moved) if write == "complete" else set[int]()
        for job_id in released:
            self.model.jobs[job_id].is_met = True
        before, answers = self._step(
            lambda: self._await(self._send_all(leases, write)), touches={lease.job_id for lease in leases} | released
        )
        assert answers == accepted, f"{write} with {leases}: {answers}"
        for lease in (lease for lease, is_accepted in zip(leases, accepted, strict=True) if is_accepted):
            (row,) = rows_of(before, "jobs", lease.job_id)
            assert (row["lease_epoch"], row["worker_incarnation"]) == (lease.lease_epoch, str(lease.incarnation))
        assert moved or before == self.rows, "a refused write changed something"
        unmoved = {lease.job_id for lease in leases} - moved
        for table in ("jobs", "attempts", "events", "progress"):
            for job_id in unmoved:
                assert rows_of(before, table, job_id) == rows_of(self.rows, table, job_id), "a refused write counted"
        self._agree()

    async def _send_all(self, leases: Sequence[Lease], write: str) -> list[bool]:
        return list(await asyncio.gather(*(self._send(lease, write) for lease in leases)))

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
            self.cordon(name, False)
        self.backoffs_pass()
        self.rescue()
        for job in list(self.model.jobs.values()):
            if job.state is JobState.PAUSED:
                self.ask_one(job.id, Operation.RESUME)
        self.register("w1", len(self.model.jobs) or 1)
        while self._everything_that_can_run_completes():
            pass
        self.the_net_below_the_releases()
        for job in list(self.model.jobs.values()):
            if job.state is JobState.SCHEDULED:
                assert not self.model.are_met(job.depends_on), f"stuck: {job}"
                self.ask_one(job.id, Operation.CANCEL)
        assert {job["state"] for job in self.rows["jobs"]} <= TERMINAL_STATES

    def _everything_that_can_run_completes(self) -> bool:
        self.place()
        self.beat(0)
        leases = self.current_leases()
        for lease in leases:
            self._write(lease, "start")
        if leases:
            self._write_all(leases, "complete")
        return bool(leases)


@pytest.mark.parametrize("fate", ["retires", "freezes", "crashes"])
def test_the_name_of_a_worker_that_is_gone_is_free(module_database_url: str, fate: str) -> None:
    state = type("Engine", (JobEngine,), {"url": module_database_url})()
    state.two_workers()
    state.a_worker_fails(which=1, fate=fate)
    state.register(name=NODES[1], slots=1)
    state.teardown()


def test_whatever_the_actors_do_the_database_keeps_to_the_transition_table_and_no_job_is_stuck(
    module_database_url: str,
) -> None:
    machine = type("Engine", (JobEngine,), {"url": module_database_url})
    run_state_machine_as_test(machine, settings=PROFILE)


@pytest.mark.long
def test_the_same_in_many_more_ways(module_database_url: str) -> None:
    machine = type("Engine", (JobEngine,), {"url": module_database_url})
    run_state_machine_as_test(machine, settings=settings(PROFILE, max_examples=300))
