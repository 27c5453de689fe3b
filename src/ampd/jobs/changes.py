"""What has changed of jobs and workers since the last look, for those who watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ampd.jobs.store import DEFAULT_LEASE_SECONDS
from ampd.metadata_db import MetadataDb, sql
from ampd.metadata_db.late_ids import LateIds, LatePage


@dataclass(frozen=True)
class ChangedJobs:
    """The jobs that have changed, with their namespaces (empty: of no dataset; None: the job is gone); ``jobs`` None:
    too many to tell. ``on_workers`` are those of them that a worker has part in; ``workers`` says whether a worker has
    come or gone, or is drained.
    """

    jobs: Mapping[int, str | None] | None
    on_workers: frozenset[int]
    workers: bool


class JobChanges:
    """One watcher's looks at the jobs and workers of a metadata database: no change is missed, however late its
    transaction commits, and none is told twice. What only time changes, as what a job waits for, is no change.
    """

    def __init__(self, db: MetadataDb, *, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> None:
        self._db = db
        self._lease_seconds = lease_seconds
        self._events = LateIds()
        self._held: dict[int, str] | None = None
        self._workers: str | None = None

    async def look(self) -> ChangedJobs:
        """Return what has changed since the last look; nothing at the first one.

        :raises AmpError: METADATA_DB_UNREACHABLE; the next look tells what this one would have told.
        """
        parameters = {**self._events.bounds, "lease_seconds": self._lease_seconds}
        row = await self._db.fetch_one(sql("jobs", "changes_of_jobs"), parameters)
        assert row is not None  # noqa: S101 - a SELECT without FROM gives its row
        fresh = self._events.take(LatePage.of(row, (each[0] for each in row["events"])))
        written = self._written(row["held"])
        has_worker_news = self._workers not in (None, row["workers"])
        self._workers = row["workers"]
        if fresh is None:
            return ChangedJobs(None, frozenset(), workers=True)
        events = [each for each in row["events"] if each[0] in fresh]
        jobs = {job_id: namespace for _, job_id, namespace, _ in events} | written
        on_workers = written.keys() | {job_id for _, job_id, _, is_on_worker in events if is_on_worker}
        return ChangedJobs(jobs, frozenset(on_workers), has_worker_news)

    def _written(self, held: list[Any]) -> dict[int, str | None]:
        """Return the jobs whose versions are not those of the last look."""
        before, self._held = self._held, {job_id: version for job_id, _, version in held}
        if before is None:
            return {}
        return {job_id: namespace for job_id, namespace, version in held if before.get(job_id) != version}
