"""Bodies of answers about jobs. Beside each timestamp of the second lifecycle stands the precise instant: milliseconds
since the epoch, in a field whose name ends in ``_ms``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from ampd.admin_api.bodies.models import HASH, INSTANT, LATER, JsonObject, Timestamp, example
from ampd.jobs import JobState

INSTANT_MS: Final = 1_772_618_400_000
LATER_MS: Final = 1_772_623_800_000
Milliseconds = Annotated[int, Field(examples=[INSTANT_MS])]


class JobDataset(BaseModel):
    """The dataset that a job extracts. ``version`` is its semantic version, or else the revision that was deployed."""

    namespace: str
    name: str
    version: str


_INPUT: JsonObject = {
    "kind": "materialize-raw",
    "end_block": None,
    "max_writers": 1,
    "dataset_namespace": "ethereum",
    "dataset_name": "mainnet",
    "manifest_hash": HASH,
    "verify": "sample",
}
_JOB_EXAMPLE: JsonObject = {
    "id": 12345,
    "status": "RUNNING",
    "lifecycle": "running",
    "kind": "extraction",
    "dataset": {"namespace": "ethereum", "name": "mainnet", "version": "1.0.0"},
    "manifest_hash": HASH,
    "worker_id": "worker-01",
    "node_id": "worker-01",
    "namespace": "extraction",
    "product": None,
    "env": None,
    "input": _INPUT,
    "descriptor": _INPUT,
    "end_block": None,
    "parallelism": 1,
    "priority": 0,
    "run_at": INSTANT,
    "scheduled_at": INSTANT,
    "scheduled_at_ms": INSTANT_MS,
    "started_at": INSTANT,
    "started_at_ms": INSTANT_MS,
    "completed_at": None,
    "completed_at_ms": None,
    "recurring": False,
    "cron": None,
    "tz": None,
    "every_ms": None,
    "next_run_at": None,
    "next_run_at_ms": None,
    "execution_count": 1,
    "limit": None,
    "end_date": None,
    "end_date_ms": None,
    "schedule": None,
    "labels": {"dataset_version": "1.0.0"},
    "execution_number": 1,
    "retries": None,
    "retry_count": 0,
    "total_retries": 0,
    "last_error": None,
    "depends_on": [{"reference": "ethereum/base@1.0.0", "job_id": 12001, "status": "COMPLETED"}],
    "waiting_for": None,
    "stop_intent": None,
    "stop_reason": None,
    "result": None,
    "created_at": INSTANT,
    "created_at_ms": INSTANT_MS,
    "updated_at": LATER,
    "updated_at_ms": LATER_MS,
}


class DependencyBody(BaseModel):
    """What a job waits for before it runs. ``status`` is null while, or since, there is no such job."""

    reference: str
    job_id: int | None
    status: str | None


class JobBody(BaseModel):
    """A job. While no worker has it ``worker_id`` is null and ``node_id`` an empty text, for clients that want text."""

    model_config = example(_JOB_EXAMPLE)

    id: int
    status: str = Field(description=", ".join(JobState))
    lifecycle: str = Field(description="scheduled, queued, running, paused, completed, cancelled or failed")
    kind: str
    namespace: str = Field(description="the kind, by its name in the second lifecycle")
    product: str | None = Field(description="the label of this name")
    env: str | None = Field(description="the label of this name")
    dataset: JobDataset | None
    manifest_hash: str | None
    worker_id: str | None
    node_id: str
    input: JsonObject
    descriptor: JsonObject = Field(description="the input, by its older name")
    end_block: str | None
    parallelism: int
    priority: int
    run_at: Timestamp
    scheduled_at: Timestamp = Field(description="when it is, or was, due: run_at by its name in the second lifecycle")
    scheduled_at_ms: Milliseconds
    started_at: Timestamp | None = Field(description="when the first attempt of this execution began")
    started_at_ms: Milliseconds | None
    completed_at: Timestamp | None = Field(description="when it ended, in whatever way")
    completed_at_ms: Milliseconds | None
    recurring: bool
    cron: str | None
    tz: str | None = Field(description="the time zone of cron")
    every_ms: int | None
    next_run_at: Timestamp | None = Field(description="when its timetable fires next; null when it does not")
    next_run_at_ms: Milliseconds | None
    execution_count: int = Field(description="how many executions have begun; with a timetable, since the last deploy")
    limit: int | None
    end_date: Timestamp | None
    end_date_ms: Milliseconds | None
    schedule: JsonObject | None = Field(
        description="the whole schedule, as a request may have it: what is not at its default"
    )
    labels: dict[str, str]
    execution_number: int = Field(description="how often it was deployed; a history numbers its entries by it")
    retries: int | None = Field(description="how often a failure is tried again; null: without limit")
    retry_count: int = Field(description="how often it was tried again since it last got on")
    total_retries: int = Field(description="how often it was tried again since the last deploy")
    last_error: JsonObject | None
    depends_on: list[DependencyBody]
    waiting_for: str | None = Field(
        description="why a SCHEDULED job waits: dependency, failed_dependency, run_at, retry, worker, handler, slot "
        "or start"
    )
    stop_intent: str | None = Field(
        description="while it is being stopped, what becomes of it: STOP (it ends), PAUSE (it is set aside) or NEXT "
        "(it goes on with its next attempt or execution)"
    )
    stop_reason: str | None = Field(description="why an operator has stopped or paused it")
    result: Any = Field(description="what the last execution gave: a JSON value; null while there is none")
    created_at: Timestamp
    created_at_ms: Milliseconds
    updated_at: Timestamp
    updated_at_ms: Milliseconds


class DatasetJobBody(JobBody):
    """A job of a dataset, with the names of the tables that it writes."""

    model_config = example(_JOB_EXAMPLE | {"tables": ["blocks", "transactions", "logs"]})

    tables: list[str]


class JobListBody(BaseModel):
    """One page of jobs, the newest first. ``next_cursor`` is there only when there is a next page."""

    model_config = example({"jobs": [_JOB_EXAMPLE], "next_cursor": 12345})

    jobs: list[JobBody]
    next_cursor: int = 0


class DatasetJobListBody(BaseModel):
    """All jobs of a dataset's revision, the newest first."""

    jobs: list[DatasetJobBody]


class BulkBody(BaseModel):
    """What an operation on many jobs has done: so many did the filter find, so many of them were changed, and so many
    not: they were so already, or their state did not allow it. After a dry run: would be.
    """

    model_config = example({"matched": 120, "changed": 117, "skipped": 3, "count": 117, "dry_run": False})

    matched: int
    changed: int
    skipped: int
    count: int = Field(description="changed, by its name in the second lifecycle")
    dry_run: bool


class AttemptBody(BaseModel):
    """One try of an execution on one worker; ``started_at`` is null when it did not begin."""

    number: int
    worker_id: str
    started_at: Timestamp | None
    started_at_ms: Milliseconds | None
    completed_at: Timestamp | None
    completed_at_ms: Milliseconds | None
    outcome: str | None = Field(
        description="COMPLETED, STOPPED, FAILED, PAUSED, RETRYING, HANDED_BACK or LOST; null: it goes on"
    )
    error: JsonObject | None


class ExecutionBody(BaseModel):
    """One run of a job. ``started_at`` is null when it ended before it began."""

    number: int
    started_at: Timestamp | None
    started_at_ms: Milliseconds | None
    completed_at: Timestamp | None
    completed_at_ms: Milliseconds | None
    duration_ms: int | None = Field(description="from its first attempt to its end; null until then")
    status: str = Field(description="completed, failed or cancelled; before its end what the job's lifecycle says")
    error: str | None = Field(description="the message of the error that ended it")
    error_detail: JsonObject | None
    result: Any = Field(description="what it gave: a JSON value")
    attempt_count: int
    attempts: list[AttemptBody] = Field(description="the newest 100, the newest first")


_ATTEMPT: Final[JsonObject] = {
    "number": 1,
    "worker_id": "worker-01",
    "started_at": INSTANT,
    "started_at_ms": INSTANT_MS,
    "completed_at": LATER,
    "completed_at_ms": LATER_MS,
    "outcome": "COMPLETED",
    "error": None,
}


class JobHistoryBody(BaseModel):
    """The newest executions of a job that have begun, the newest first, and how all of them have ended."""

    model_config = example(
        {
            "job_id": 12345,
            "total_executions": 1,
            "successful_executions": 1,
            "failed_executions": 0,
            "executions": [
                {
                    "number": 1,
                    "started_at": INSTANT,
                    "started_at_ms": INSTANT_MS,
                    "completed_at": LATER,
                    "completed_at_ms": LATER_MS,
                    "duration_ms": LATER_MS - INSTANT_MS,
                    "status": "completed",
                    "error": None,
                    "error_detail": None,
                    "result": None,
                    "attempt_count": 1,
                    "attempts": [_ATTEMPT],
                }
            ],
        }
    )

    job_id: int
    total_executions: int
    successful_executions: int
    failed_executions: int
    executions: list[ExecutionBody]


class JobStatsBody(BaseModel):
    """How many jobs stand where. ``success_rate``: of those that completed or failed, the share (0 to 1) that
    completed; null while there are none.
    """

    model_config = example(
        {
            "total": 1200,
            "scheduled": 20,
            "queued": 4,
            "running": 6,
            "paused": 0,
            "completed": 1150,
            "cancelled": 10,
            "failed": 10,
            "success_rate": 0.9914,
            "completed_first_try": 1100,
            "completed_after_retry": 50,
            "avg_retry_count": 0.07,
        }
    )

    total: int
    scheduled: int = Field(description="their time is to come")
    queued: int = Field(description="they wait for a worker, or for other jobs")
    running: int
    paused: int
    completed: int
    cancelled: int
    failed: int
    success_rate: float | None
    completed_first_try: int
    completed_after_retry: int
    avg_retry_count: float | None = Field(description="of those that completed or failed; null while there are none")
