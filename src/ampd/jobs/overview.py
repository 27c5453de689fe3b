"""What there is to see of all jobs at one glance: how many stand where, and what has failed last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ampd.jobs.minutes import JobTrend, read_job_trend
from ampd.jobs.states import JobState
from ampd.metadata_db import LimitedStore, MetadataDb, sql


@dataclass(frozen=True)
class StatesOfJobs:
    """How many jobs are in each state ``at`` a moment, and how many executions failed in the day before it."""

    at: datetime
    states: Mapping[JobState, int]
    failed_last_day: int


@dataclass(frozen=True)
class Failure:
    """An execution that has failed; ``error`` is the ``last_error`` of its job, as it was then."""

    job_id: int
    execution: int
    kind: str
    input: dict[str, Any]
    at: datetime
    error: dict[str, Any] | None


class JobOverview(LimitedStore):
    """All jobs of a metadata database at one glance; limited, those of datasets in the namespaces."""

    def __init__(self, db: MetadataDb) -> None:
        self._db = db

    async def now(self) -> datetime:
        """Return the time of the database's clock."""
        row = await self._db.fetch_one(sql("jobs", "read_clock"))
        assert row is not None  # noqa: S101 - a SELECT without FROM gives its row
        now: datetime = row["now"]
        return now

    async def states(self) -> StatesOfJobs:
        """Count the jobs in each state; no job is read for that."""
        row = await self._db.fetch_one(sql("jobs", "overview_of_jobs"), self._scope())
        assert row is not None  # noqa: S101
        states = {state: row["states"].get(state, 0) for state in JobState}
        return StatesOfJobs(row["at"], states, row["failed_last_day"])

    async def failures(self, *, limit: int) -> Sequence[Failure]:
        """Return the executions that failed last, the newest first."""
        rows = await self._db.fetch_all(sql("jobs", "newest_failures"), {"limit": limit, **self._scope()})
        return [Failure(**row) for row in rows]

    async def trend(self, *, since: int, step_seconds: int, points: int) -> Sequence[JobTrend | None]:
        """Return what became of executions in each of ``points`` steps, the first of which begins at ``since`` (Unix
        seconds, a whole minute); None: nobody counted then.
        """
        return await read_job_trend(self._db, self._scope(), since, step_seconds, points)
