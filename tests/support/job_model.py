"""A model of the job engine made of the transition table alone, and what the rows of a database must tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    ACTIVE_STATES,
    HELD_STATES,
    TERMINAL_STATES,
    Dependency,
    DependencyStatus,
    JobState,
    Lease,
    Operation,
    StopIntent,
    Transition,
)
from ampd.jobs.states import TRANSITIONS, Standing

LEGAL_MOVES: Final = {(str(source.state), str(to.state)) for (source, _), to in TRANSITIONS.items()}
# Every row of the engine, and whether a job's time is still to come, in one round trip.
SNAPSHOT: Final = """
SELECT
  (SELECT coalesce(jsonb_agg(to_jsonb(j) || jsonb_build_object('later', j.run_at > now()) ORDER BY j.id), '[]')
   FROM jobs j) AS jobs,
  (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.job_id, e.number), '[]') FROM job_executions e) AS executions,
  (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.job_id, a.lease_epoch), '[]') FROM job_attempts a) AS attempts,
  (SELECT coalesce(jsonb_agg(to_jsonb(v) ORDER BY v.job_id, v.id), '[]') FROM job_events v) AS events,
  (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.job_id), '[]') FROM job_progress p) AS progress,
  (SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.job_id, d.reference), '[]')
   FROM job_dependencies d) AS dependencies,
  (SELECT coalesce(jsonb_agg(to_jsonb(w) ORDER BY w.node_id), '[]') FROM workers w) AS workers,
  (SELECT coalesce(jsonb_agg(to_jsonb(h) ORDER BY h.node_id), '[]') FROM worker_heartbeats h) AS heartbeats
"""
WRITES: Final = (
    "start", "complete", "fail for now", "fail for good", "acknowledge_stop", "stop", "hand_back", "unassign",
    "report progress", "register a file",
)  # fmt: skip
FORGERIES: Final = ("none", "next epoch", "epoch before", "newest epoch", "newest process", "another process")
# Those that a worker writes for several jobs at once.
TOGETHER: Final = tuple(write for write in WRITES if write not in ("report progress", "register a file"))
# Those after which the worker goes on: drawn apart, so that jobs live long enough to see them.
GOING_ON: Final = ("acknowledge_stop", "fail for now", "report progress", "register a file")
STOPS: Final = (JobState.STOP_REQUESTED, JobState.STOPPING)
Rows = dict[str, list[dict[str, Any]]]


@dataclass
class Node:
    """What the database should know of a worker's name."""

    registered: UUID
    beating: UUID | None
    fresh: bool
    slots: int
    draining: bool = False
    cordoned: bool = False

    @property
    def is_alive(self) -> bool:
        return self.beating == self.registered and self.fresh

    @property
    def takes_work(self) -> bool:
        return self.is_alive and not (self.draining or self.cordoned)


@dataclass
class ModelJob:
    """What the database should know of a job; ``holder`` is the process that it is assigned to."""

    id: int
    key: str
    options: tuple[int, str | None]
    retries: int | None
    state: JobState = JobState.SCHEDULED
    execution: int = 1
    epoch: int = 0
    holder: tuple[str, UUID] | None = None
    worker_id: str | None = None
    intent: StopIntent | None = None
    reason: str | None = None
    retry_count: int = 0
    retries_before: int = 0
    total_retries: int = 0
    lost: int = 0
    later: bool = False
    overdue: bool = False
    depends_on: tuple[Dependency, ...] = ()
    is_met: bool = True

    def allows(self, event: Transition) -> bool:
        return (Standing(self.state, self.intent), event) in TRANSITIONS

    def move(self, event: Transition, reason: str | None = None) -> None:
        self.state, self.intent = TRANSITIONS[(Standing(self.state, self.intent), event)]
        if event in (Transition.REQUEST_STOP, Transition.REQUEST_PAUSE, Transition.RESUME):
            self.reason = reason
        elif self.state not in (*STOPS, JobState.STOPPED, JobState.PAUSED):
            self.reason = None
        if self.state in (JobState.SCHEDULED, JobState.PAUSED):
            self.holder = self.worker_id = None
        elif self.state in TERMINAL_STATES:
            self.holder = None
        if self.state not in STOPS:
            self.overdue = False

    def is_leased(self, lease: Lease) -> bool:
        holder = None if self.holder is None else self.holder[1]
        return (holder, self.epoch) == (lease.incarnation, lease.lease_epoch)


@dataclass
class Model:
    jobs: dict[int, ModelJob] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    name_locks: dict[str, UUID] = field(default_factory=dict)

    def is_dead(self, holder: tuple[str, UUID]) -> bool:
        node = self.nodes[holder[0]]
        return node.beating != holder[1] or not node.fresh

    def of_key(self, key: str) -> ModelJob | None:
        return next((job for job in self.jobs.values() if job.key == key), None)

    # --- dependencies

    def named_by(self, dependency: Dependency) -> ModelJob | None:
        if dependency.job_id is not None:
            return self.jobs.get(dependency.job_id)
        assert dependency.key is not None
        return self.of_key(dependency.key)

    def are_met(self, dependencies: tuple[Dependency, ...]) -> bool:
        named = [self.named_by(each) for each in dependencies]
        return all(job is not None and job.state is JobState.COMPLETED for job in named)

    def is_unknown(self, dependency: Dependency) -> bool:
        return dependency.job_id is not None and dependency.job_id not in self.jobs

    def would_wait_for_itself(self, key: str, dependencies: tuple[Dependency, ...]) -> bool:
        """Follow every path from what the job of ``key`` would depend on, and see whether one leads back to it."""
        paths, seen = list(dependencies), set[str]()
        while paths:
            dependency = paths.pop()
            job = self.named_by(dependency)
            reached = dependency.key if job is None else job.key
            if reached == key:
                return True
            if job is not None and job.key not in seen:
                seen.add(job.key)
                paths += job.depends_on
        return False

    def released_by(self, completed: set[int]) -> set[int]:
        """The jobs that wait for some of the ``completed`` ones and, since these are, for nothing any more."""
        may_go_on = (JobState.SCHEDULED, JobState.PAUSED, JobState.STOPPED)
        waiting = [job for job in self.jobs.values() if job.state in may_go_on and not job.is_met]
        return {
            job.id
            for job in waiting
            if self.are_met(job.depends_on)
            and any((named := self.named_by(each)) and named.id in completed for each in job.depends_on)
        }

    def dependencies_of(self, job: ModelJob) -> list[DependencyStatus]:
        """What an operator is shown of them."""
        shown = []
        for each in sorted(job.depends_on, key=lambda each: each.reference):
            named = self.named_by(each)
            if named is None:
                shown.append(DependencyStatus(each.reference, each.job_id, None))
            else:
                shown.append(DependencyStatus(each.reference, named.id, str(named.state)))
        return shown

    def waiting_for(self, job: ModelJob) -> str | None:
        if job.state is not JobState.SCHEDULED:
            return None
        if not job.is_met:
            never = any(
                self.is_unknown(each)
                or ((named := self.named_by(each)) and named.state in (JobState.FAILED, JobState.STOPPED))
                for each in job.depends_on
            )
            return "failed_dependency" if never else "dependency"
        if job.later:
            return "retry" if job.retry_count else "run_at"
        if job.holder is not None:
            return "start"
        selector = job.options[1]
        fits = any(node.takes_work and selector in (None, name, "w*") for name, node in self.nodes.items())
        return "slot" if fits else "worker"


def check_story(job: dict[str, Any] | None, events: list[dict[str, Any]]) -> None:
    """The events of a job lead from nothing to where it stands, each step legal, none left out."""
    assert (events[0]["from_state"], events[0]["event_type"]) == (None, "SCHEDULED")
    for earlier, event in pairwise(events):
        assert event["from_state"] == earlier["event_type"], events
        assert event["lease_epoch"] >= earlier["lease_epoch"], events
        again = event["from_state"] in TERMINAL_STATES and event["event_type"] == "SCHEDULED"
        assert event["execution_number"] == earlier["execution_number"] + again, events
        if event["event_type"] == "DELETED":
            assert event["from_state"] in TERMINAL_STATES
            assert event is events[-1]
        elif event["detail"] != {"hastened": True}:  # that changes a time, and no state
            assert (event["from_state"], event["event_type"]) in LEGAL_MOVES, events
    last = events[-1]
    assert last["event_type"] == ("DELETED" if job is None else job["state"])
    if job is not None:
        assert last["lease_epoch"] <= job["lease_epoch"]
        assert last["execution_number"] == job["execution_number"]


def check_job(job: dict[str, Any]) -> None:
    assigned = job["worker_id"] is not None and job["worker_incarnation"] is not None
    if job["state"] in HELD_STATES:
        assert assigned, job
    elif job["state"] in TERMINAL_STATES:
        assert job["worker_incarnation"] is None, job
    else:
        assert assigned or (job["worker_id"] is None and job["worker_incarnation"] is None), job
    if assigned and job["state"] == "SCHEDULED":
        assert not job["later"], "placed before its time"
    if assigned and job["state"] in ACTIVE_STATES:
        assert job["dependencies_met"], "placed before what it depends on"
    assert (job["stop_deadline"] is not None) == (job["state"] in STOPS), "a stop has a deadline, and nothing else has"
    assert (job["stop_intent"] is not None) == (job["state"] in STOPS), "a stop is for something"
    assert (job["ended_at"] is not None) == (job["state"] in TERMINAL_STATES), job
    assert job["started_at"] is not None or job["state"] not in {*HELD_STATES, "COMPLETED", "FAILED"}, job
    assert job["retries_before"] <= job["retry_count"], job


def check_attempts(job: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    """One attempt per epoch; one is unfinished exactly while someone has the job: the newest, and it is theirs."""
    assert [attempt["lease_epoch"] for attempt in attempts] == list(range(1, job["lease_epoch"] + 1))
    has_worker = job["state"] in ACTIVE_STATES and job["worker_incarnation"] is not None
    unfinished = [attempt for attempt in attempts if attempt["finished_at"] is None]
    assert unfinished == (attempts[-1:] if has_worker else []), (job, attempts)
    for attempt in unfinished:
        assert attempt["worker_id"] == job["worker_id"]
        assert attempt["worker_incarnation"] == job["worker_incarnation"]
        assert attempt["execution_number"] == job["execution_number"]
        assert (attempt["started_at"] is not None) == (job["state"] in HELD_STATES)
    for attempt in attempts:
        assert (attempt["finished_at"] is None) == (attempt["outcome"] is None), attempt


def check_executions(
    job: dict[str, Any], executions: list[dict[str, Any]], attempts: list[dict[str, Any]], events: list[dict[str, Any]]
) -> None:
    """Each execution ended as the events say; all but the last have ended, and with them their attempts."""
    assert [execution["number"] for execution in executions] == list(range(1, job["execution_number"] + 1))
    ends = {event["execution_number"]: event["event_type"] for event in events}
    for execution in executions:
        end = ends[execution["number"]]
        assert execution["outcome"] == (end if end in TERMINAL_STATES else None), execution
        assert (execution["finished_at"] is None) == (execution["outcome"] is None), execution
        later = [attempt for attempt in attempts if attempt["lease_epoch"] > execution["from_epoch"]]
        assert later == [a for a in attempts if a["execution_number"] >= execution["number"]], execution
        if execution["number"] < job["execution_number"] or job["state"] in TERMINAL_STATES:
            assert execution["finished_at"] is not None, execution
            ended = [attempt for attempt in attempts if attempt["execution_number"] == execution["number"]]
            assert all(attempt["finished_at"] is not None for attempt in ended), ended


def rows_of(rows: Rows, table: str, job_id: int) -> list[dict[str, Any]]:
    return [row for row in rows[table] if row["id" if table == "jobs" else "job_id"] == job_id]


def expected_placement(rows: Rows, model: Model) -> list[tuple[int, str]]:
    """Place in plain Python what the database should place: (job, worker) in the order of placement."""
    free = {name: node for name, node in model.nodes.items() if node.takes_work}
    held = {
        name: sum(1 for job in rows["jobs"] if job["worker_id"] == name and job["state"] in ACTIVE_STATES)
        for name in free
    }
    due = [
        job
        for job in rows["jobs"]
        if job["state"] == "SCHEDULED" and job["worker_id"] is None and not job["later"] and job["dependencies_met"]
    ]
    placed = []
    for job in sorted(due, key=lambda job: (-job["priority"], job["run_at"], job["id"])):
        fitting = [
            name for name in free if job["worker_selector"] in (None, name, "w*") and held[name] < free[name].slots
        ]
        if fitting:
            name = min(fitting, key=lambda name: (held[name] / free[name].slots, name))
            held[name] += 1
            placed.append((job["id"], name))
    return placed


def is_allowed(job: ModelJob, write: str) -> bool:
    """Tell whether the holder of the lease may write this in the job's state."""
    if write == "unassign":
        return job.state is JobState.SCHEDULED
    if write in ("report progress", "register a file"):
        return job.state in HELD_STATES
    return job.allows(transition_of(job, write))


def transition_of(job: ModelJob, write: str) -> Transition:
    if write == "fail for now":
        fresh = job.retry_count - job.retries_before
        return Transition.RETRY if job.retries is None or fresh < job.retries else Transition.FAIL
    return Transition.FAIL if write == "fail for good" else Transition(write)


def accept(job: ModelJob, write: str) -> None:
    """Do to the model what an accepted write does."""
    if write == "unassign":
        job.holder = job.worker_id = None
    elif write == "register a file":
        job.retry_count = job.retries_before = job.lost = 0
    elif write != "report progress":
        event = transition_of(job, write)
        if event is Transition.RETRY:
            job.retry_count, job.total_retries, job.later = job.retry_count + 1, job.total_retries + 1, True
        elif event is Transition.COMPLETE:
            job.retry_count = job.retries_before = 0
        job.move(event)


ASKED: Final = {
    Operation.CANCEL: Transition.REQUEST_STOP,
    Operation.PAUSE: Transition.REQUEST_PAUSE,
    Operation.RESUME: Transition.RESUME,
    Operation.RETRY: Transition.RETRY_BY_OPERATOR,
}


def answer_to(job: ModelJob, operation: Operation) -> bool | None:
    """What an operator is told who asks for this: True, it is done; None, it is so already; False, a conflict."""
    if operation is Operation.DELETE:
        return job.state in TERMINAL_STATES
    waits_to_retry = job.state is JobState.SCHEDULED and job.later and job.holder is None and job.retry_count > 0
    if job.allows(ASKED[operation]) or (operation is Operation.RETRY and waits_to_retry):
        return True
    is_so = {
        Operation.CANCEL: True,
        Operation.PAUSE: job.state is JobState.PAUSED or job.intent is StopIntent.PAUSE,
        Operation.RESUME: job.state in ACTIVE_STATES,
        Operation.RETRY: job.state is JobState.SCHEDULED,
    }
    return None if is_so[operation] else False


def obey(model: Model, job: ModelJob, operation: Operation, *, reason: str | None, later: bool) -> None:
    """Do to the model what is asked and is done."""
    if operation is Operation.DELETE:
        del model.jobs[job.id]
        return
    if operation is not Operation.RETRY:
        job.move(ASKED[operation], reason)
        job.later = job.later and operation is not Operation.RESUME
        return
    if job.state in TERMINAL_STATES:
        job.move(ASKED[operation])
        job.execution, job.lost, job.retries_before = job.execution + 1, 0, job.retry_count
    job.later = later


def refusal_of(action: Callable[[], object]) -> ErrorCode:
    """Return the code of the error that ``action`` must raise."""
    with pytest.raises(AmpError) as refused:
        action()
    return refused.value.code
