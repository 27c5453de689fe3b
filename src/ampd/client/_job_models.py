"""What the Admin API answers about jobs, as frozen dataclasses. Moments are milliseconds (:class:`Instant`), but for
``run_at``. Unknown keys are ignored; ``raw`` keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ampd.client._values import Instant, JobError, JobStatus, Json

TERMINAL_STATES = frozenset({"COMPLETED", "STOPPED", "FAILED"})


@dataclass(frozen=True)
class JobDataset:
    """The dataset that a job extracts."""

    namespace: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}@{self.version}"


@dataclass(frozen=True)
class Dependency:
    """What a job waits for before it runs. ``status`` is None while, or since, there is no such job."""

    reference: str
    job_id: int | None
    status: str | None


@dataclass(frozen=True)
class Job:
    """A job, with the names of the second lifecycle and those of the Admin API.

    ``namespace`` is its ``kind``, ``product`` and ``env`` are labels. ``scheduled_at`` is when it is, or was, due
    (``run_at`` is the same as a datetime), ``started_at`` when its last execution began, ``completed_at`` when it has
    ended, in whatever way. With a timetable it is ``recurring``: by ``cron`` in the time zone ``tz``, or ``every`` so
    many milliseconds, ``limit`` times at most and not after ``end_date``. ``retries`` None: without limit;
    ``retry_count``: how often it was tried again since it last got on. ``result`` is what its last execution gave.
    ``worker_id`` is None while no worker has it; ``tables`` is known only in lists of a dataset's jobs.
    """

    id: int
    status: JobStatus
    lifecycle: str
    kind: str
    namespace: str
    product: str | None
    env: str | None
    dataset: JobDataset | None
    manifest_hash: str | None
    worker_id: str | None
    end_block: str | None
    parallelism: int
    priority: int
    scheduled_at: Instant
    started_at: Instant | None
    completed_at: Instant | None
    recurring: bool
    cron: str | None
    tz: str | None
    every: int | None
    next_run_at: Instant | None
    execution_count: int
    limit: int | None
    end_date: Instant | None
    schedule: Json | None
    labels: dict[str, str]
    execution_number: int
    retries: int | None
    retry_count: int
    total_retries: int
    last_error: JobError | None
    depends_on: tuple[Dependency, ...]
    waiting_for: str | None
    stop_intent: str | None
    stop_reason: str | None
    input: Json
    result: Any
    tables: tuple[str, ...]
    run_at: datetime
    created_at: Instant
    updated_at: Instant
    raw: Json = field(repr=False, compare=False)

    @property
    def state(self) -> str:
        """The state behind ``status``: SCHEDULED, RUNNING, …"""
        return self.status.state

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.state in TERMINAL_STATES

    @classmethod
    def from_json(cls, data: Json) -> Job:
        """Read the answer of GET /jobs/{id}."""
        plain = ("id", "kind", "manifest_hash", "worker_id", "end_block", "parallelism", "priority", "labels")
        counts = ("lifecycle", "execution_number", "retries", "retry_count", "waiting_for")
        # What servers before the second lifecycle do not have.
        newer = ("product", "env", "cron", "tz", "limit", "schedule", "stop_intent", "stop_reason", "result")
        added: Json = {name: data.get(name) for name in newer}
        dataset = data.get("dataset")
        return cls(
            **{name: data[name] for name in (*plain, *counts)},
            **added,
            status=JobStatus(data["lifecycle"], data["status"]),
            namespace=data["namespace"] if "namespace" in data else data["kind"],
            dataset=JobDataset(dataset["namespace"], dataset["name"], dataset["version"]) if dataset else None,
            scheduled_at=Instant.of(data, "scheduled_at" if "scheduled_at" in data else "run_at"),
            started_at=Instant.maybe(data, "started_at"),
            completed_at=Instant.maybe(data, "completed_at"),
            recurring=data.get("recurring", False),
            every=data.get("every_ms"),
            next_run_at=Instant.maybe(data, "next_run_at"),
            execution_count=data["execution_count"] if "execution_count" in data else data["execution_number"],
            end_date=Instant.maybe(data, "end_date"),
            total_retries=data["total_retries"] if "total_retries" in data else data["retry_count"],
            last_error=JobError.maybe(data["last_error"]),
            depends_on=tuple(
                Dependency(each["reference"], each["job_id"], each["status"]) for each in data["depends_on"]
            ),
            input=data["input"] if "input" in data else data["descriptor"],
            tables=tuple(data.get("tables", ())),
            run_at=datetime.fromisoformat(data["run_at"]),
            created_at=Instant.of(data, "created_at"),
            updated_at=Instant.of(data, "updated_at"),
            raw=data,
        )


@dataclass(frozen=True)
class JobPage:
    """One page of jobs, the newest first; a sequence of them. ``next_cursor`` is None on the last."""

    jobs: tuple[Job, ...]
    next_cursor: int | None
    raw: Json = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, place: int) -> Job:
        return self.jobs[place]

    @classmethod
    def from_json(cls, data: Json) -> JobPage:
        """Read the answer of GET /jobs, or of a dataset's jobs."""
        return cls(tuple(Job.from_json(job) for job in data["jobs"]), data.get("next_cursor"), raw=data)


@dataclass(frozen=True)
class BulkResult:
    """What a call about many jobs has done, or, after a dry run, would do.

    So many did the filter find (``matched``), so many of them were changed (``changed``, also ``count``); the others
    (``skipped``) were so already, or their state did not allow it.
    """

    matched: int
    changed: int
    skipped: int
    count: int
    dry_run: bool
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> BulkResult:
        """Read the answer of POST /jobs/cancel, /jobs/pause, …"""
        return cls(data["matched"], data["changed"], data["skipped"], data["count"], data["dry_run"], raw=data)


@dataclass(frozen=True)
class JobAttempt:
    """One try of an execution. ``outcome``: COMPLETED, STOPPED, FAILED, PAUSED, RETRYING, HANDED_BACK or LOST; None: it
    goes on. ``started_at`` is None when it did not begin.
    """

    number: int
    worker_id: str
    started_at: Instant | None
    completed_at: Instant | None
    outcome: str | None
    error: JobError | None

    @classmethod
    def from_json(cls, data: Json) -> JobAttempt:
        """Read an entry of ``attempts``."""
        return cls(
            number=data["number"],
            worker_id=data["worker_id"],
            started_at=Instant.maybe(data, "started_at"),
            completed_at=Instant.maybe(data, "completed_at"),
            outcome=data["outcome"],
            error=JobError.maybe(data["error"]),
        )


@dataclass(frozen=True)
class JobExecution:
    """One run of a job. ``status``: completed, failed or cancelled; before its end what the job's status says.

    ``started_at`` is None when it ended before it began. ``duration_ms`` is from its first attempt to its end, and None
    until then. ``error`` has ended it, ``result`` is what it gave. ``attempts`` are the newest ones of
    ``attempt_count``, the newest first.
    """

    number: int
    started_at: Instant | None
    completed_at: Instant | None
    duration_ms: int | None
    status: str
    error: JobError | None
    result: Any
    attempt_count: int
    attempts: tuple[JobAttempt, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> JobExecution:
        """Read an entry of ``executions``."""
        plain = ("number", "duration_ms", "status", "result", "attempt_count")
        return cls(
            **{name: data[name] for name in plain},
            started_at=Instant.maybe(data, "started_at"),
            completed_at=Instant.maybe(data, "completed_at"),
            error=JobError.maybe(data["error_detail"]),
            attempts=tuple(map(JobAttempt.from_json, data["attempts"])),
            raw=data,
        )


@dataclass(frozen=True)
class JobHistory:
    """The newest ``executions`` of a job that have begun, the newest first, and how all of them have ended."""

    job_id: int
    total_executions: int
    successful_executions: int
    failed_executions: int
    executions: tuple[JobExecution, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> JobHistory:
        """Read the answer of GET /jobs/{id}/history."""
        return cls(
            job_id=data["job_id"],
            total_executions=data["total_executions"],
            successful_executions=data["successful_executions"],
            failed_executions=data["failed_executions"],
            executions=tuple(map(JobExecution.from_json, data["executions"])),
            raw=data,
        )


@dataclass(frozen=True)
class JobStats:
    """How many jobs stand where. ``success_rate`` is the share (0 to 1) that completed of those that completed or
    failed, ``avg_retry_count`` how often one of these was tried again; both are None while there are none.
    """

    total: int
    scheduled: int
    queued: int
    running: int
    paused: int
    completed: int
    cancelled: int
    failed: int
    success_rate: float | None
    completed_first_try: int
    completed_after_retry: int
    avg_retry_count: float | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> JobStats:
        """Read the answer of GET /jobs/stats."""
        states = ("total", "scheduled", "queued", "running", "paused", "completed", "cancelled", "failed")
        shares = ("success_rate", "completed_first_try", "completed_after_retry", "avg_retry_count")
        return cls(**{name: data[name] for name in (*states, *shares)}, raw=data)


@dataclass(frozen=True)
class FireTime:
    """A time at which a job runs. ``local`` is what clocks in its time zone show then, with their offset from UTC."""

    at: Instant
    local: str


@dataclass(frozen=True)
class FireTimes:
    """When a job runs next, the next time first. ``tzdata`` is the release of the time zones that it follows from."""

    tz: str
    tzdata: str
    times: tuple[FireTime, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> FireTimes:
        """Read the answer of GET /jobs/{id}/next, or of POST /schedules/preview."""
        times = tuple(FireTime(Instant.of(each, "at"), each["local"]) for each in data["times"])
        return cls(data["tz"], data["tzdata"], times, raw=data)
