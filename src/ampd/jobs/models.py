"""What the job engine tells about jobs, events and workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from ampd.jobs.recurrence import Schedule
from ampd.jobs.retry import RetryPolicy
from ampd.jobs.states import TERMINAL_STATES, JobState, lifecycle
from ampd.metadata_db import Row


@dataclass(frozen=True)
class Job:
    """A durable intent; its id never changes. ``input`` is what the handler of ``kind`` needs.

    ``worker_id`` is the worker that has it, or had it last when it ended; None while it waits for one. ``waiting_for``
    tells why a SCHEDULED job does not run: ``dependency`` (another job has not completed yet), ``failed_dependency``
    (and will not by itself), ``run_at`` (its time), ``retry`` (a backoff), ``worker`` (no live worker fits),
    ``handler`` (none of those that fit runs its kind), ``slot`` (they are full) or ``start`` (assigned just now).

    ``started_at`` is when the first attempt of this execution began, ``ended_at`` when the job ended. ``stop_intent``
    tells what becomes of it while it is being stopped (STOP, PAUSE or NEXT), ``stop_reason`` why an operator stopped or
    paused it. ``retry_count`` counts the failures since it last got on, ``total_retries`` all since the last deploy.
    ``result`` is what its last execution gave, ``next_run_at`` when its timetable fires next, ``execution_count``
    how many of its times have begun an execution since the last deploy; None: it runs once.
    """

    id: int
    kind: str
    state: JobState
    lifecycle: str
    input: dict[str, Any]
    labels: dict[str, str]
    worker_selector: str | None
    worker_id: str | None
    priority: int
    run_at: datetime
    retries: int | None
    retry_policy: RetryPolicy
    retry_count: int
    last_error: dict[str, Any] | None
    total_retries: int
    execution_number: int
    schedule: Schedule | None
    recurring: bool
    next_run_at: datetime | None
    execution_count: int | None
    started_at: datetime | None
    ended_at: datetime | None
    stop_intent: str | None
    stop_reason: str | None
    result: Any
    depends_on: list[DependencyStatus]
    waiting_for: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Dependency:
    """What an execution waits for: the job with an id, or whatever job has an idempotency key (one of both is given).

    ``reference`` is how the operator named it.
    """

    reference: str
    job_id: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class DependencyStatus:
    """A dependency of a job, and the state of the job that it names; None when there is no such job (any more)."""

    reference: str
    job_id: int | None
    status: str | None


@dataclass(frozen=True)
class JobEvent:
    """One entry of a job's history: ``event_type`` is the state it entered, ``actor`` who did it."""

    id: int
    job_id: int
    created_at: datetime
    actor: str
    event_type: str
    from_state: str | None
    node_id: str | None
    execution_number: int
    lease_epoch: int
    detail: dict[str, Any] | None


@dataclass(frozen=True)
class Deployment:
    """What a job should do. The same ``idempotency_key`` is the same job for ever.

    ``labels`` only name and sort it: a deploy with other labels is the same deploy. ``retry_policy`` None is the
    workers' default. The job waits until everything in ``depends_on`` has completed. ``earlier_inputs`` are what
    releases before this one wrote for the same options: an active job with one of them is the same deploy. ``schedule``
    None is now, once.
    """

    kind: str
    idempotency_key: str
    input: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)
    worker_selector: str | None = None
    priority: int = 0
    retries: int | None = None
    retry_policy: RetryPolicy | None = None
    depends_on: tuple[Dependency, ...] = ()
    earlier_inputs: tuple[dict[str, Any], ...] = ()
    schedule: Schedule | None = None


@dataclass(frozen=True)
class Worker:
    """A registered worker; ``live`` says that its last heartbeat is younger than a lease, ``draining`` that it gets no
    new work.
    """

    node_id: str
    info: dict[str, Any]
    slots: int
    draining: bool
    running_jobs: int
    live: bool
    created_at: datetime
    registered_at: datetime
    heartbeat_at: datetime

    @property
    def kinds(self) -> list[str]:
        """The kinds of jobs that it runs; none when it is of a release that does not say."""
        told = self.info.get("kinds")
        return told if isinstance(told, list) else []


@dataclass(frozen=True)
class Lease:
    """The right of one worker process to write for one attempt of a job (design section 4.3)."""

    job_id: int
    lease_epoch: int
    worker_id: str
    incarnation: UUID


def job_from_row(row: Row) -> Job:
    """Return the job of a row of ``list_jobs.sql``."""
    state = JobState(row["state"])
    schedule = None if row["schedule"] is None else Schedule.from_json(row["schedule"])
    return Job(
        id=row["id"],
        kind=row["kind"],
        state=state,
        lifecycle=lifecycle(state, due=row["due"]),
        input=row["input"],
        labels=row["labels"],
        worker_selector=row["worker_selector"],
        worker_id=row["worker_id"],
        priority=row["priority"],
        run_at=row["run_at"],
        retries=row["retries"],
        retry_policy=RetryPolicy().changed_by(row["retry_policy"]),
        retry_count=row["retry_count"],
        last_error=row["last_error"],
        total_retries=row["total_retries"],
        execution_number=row["execution_number"],
        schedule=schedule,
        recurring=row["recurring"],
        next_run_at=_next_run_at(row, schedule),
        execution_count=row["execution_count"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        stop_intent=row["stop_intent"],
        stop_reason=row["stop_reason"],
        result=row["result"],
        depends_on=[DependencyStatus(**each) for each in row["depends_on"]],
        waiting_for=row["waiting_for"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _next_run_at(row: Row, schedule: Schedule | None) -> datetime | None:
    """Return the time at which a job with a timetable fires next; None while it does not fire."""
    next_run_at: datetime | None = row["next_run_at"]
    if row["state"] in TERMINAL_STATES or row["state"] == JobState.PAUSED:
        return None
    resumed_at = row["fires_after"]
    if schedule is not None and next_run_at is not None and resumed_at is not None and next_run_at <= resumed_at:
        return schedule.next(resumed_at)  # the controller comes to the same
    return next_run_at


def event_from_row(row: Row) -> JobEvent:
    """Return the event of a row of ``job_events``."""
    return JobEvent(**row)


def worker_from_row(row: Row) -> Worker:
    """Return the worker of a row of ``list_workers.sql``."""
    return Worker(**row)
