"""What has become of the executions of a job, and of many jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ampd.jobs.job_filter import JobFilter
from ampd.metadata_db import MetadataDb, sql

# Of an execution that is tried again for ever only the newest attempts are shown.
MOST_ATTEMPTS: Final = 100


@dataclass(frozen=True)
class ExecutionAttempt:
    """One try of an execution on one worker. ``outcome`` None: it goes on; it is one of COMPLETED, STOPPED, FAILED,
    PAUSED, RETRYING, HANDED_BACK and LOST. ``started_at`` None: it was assigned and did not begin.
    """

    number: int
    worker_id: str
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    error: dict[str, Any] | None


@dataclass(frozen=True)
class Execution:
    """One run of a job. ``outcome`` None: it has not ended; else COMPLETED, STOPPED or FAILED. ``result`` is what it
    gave. ``attempts`` are the newest, the newest first, of ``attempt_count``.
    """

    number: int
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    error: dict[str, Any] | None
    result: Any
    attempt_count: int
    attempts: list[ExecutionAttempt]


@dataclass(frozen=True)
class JobHistory:
    """The newest executions of a job, the newest first, and how all of them have ended that have begun."""

    total: int
    successful: int
    failed: int
    executions: list[Execution]


@dataclass(frozen=True)
class JobStatistics:
    """How many jobs stand where, by the words of the second lifecycle. ``avg_retry_count`` is over those that have
    completed or failed; None when there are none.
    """

    total: int
    scheduled: int
    queued: int
    running: int
    paused: int
    completed: int
    cancelled: int
    failed: int
    completed_first_try: int
    completed_after_retry: int
    avg_retry_count: float | None

    @property
    def success_rate(self) -> float | None:
        """The share of the jobs that have completed among those that have completed or failed; None: there are none."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None


async def read_history(db: MetadataDb, job_id: int, *, limit: int) -> JobHistory:
    """Return the ``limit`` newest executions of a job, and how many there are."""
    parameters = {"job_id": job_id, "limit": limit, "most_attempts": MOST_ATTEMPTS}
    async with db.transaction() as connection:
        counts = await (await connection.execute(sql("jobs", "count_executions"), parameters)).fetchone()
        rows = await (await connection.execute(sql("jobs", "list_executions"), parameters)).fetchall()
    executions = [Execution(**row | {"attempts": [_attempt(each) for each in row["attempts"]]}) for row in rows]
    assert counts is not None  # noqa: S101 - it counts, also to nothing
    return JobHistory(counts["total"], counts["successful"], counts["failed"], executions)


def _attempt(told: dict[str, Any]) -> ExecutionAttempt:
    moments = {key: told[key] and datetime.fromisoformat(told[key]) for key in ("started_at", "finished_at")}
    return ExecutionAttempt(**told | moments)


async def read_statistics(db: MetadataDb, wanted: JobFilter) -> JobStatistics:
    """Count the ``wanted`` jobs: without reading them where the database has counted them already."""
    operation = "job_statistics_by_counts" if wanted.is_counted else "job_statistics"
    query = sql("jobs", operation).replace("{conditions}", wanted.conditions())
    row = await db.fetch_one(query, wanted.parameters())
    assert row is not None  # noqa: S101 - it counts, also to nothing
    return JobStatistics(**row)
