"""What there is to do and who does it, counted over the whole cluster, for metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ampd.jobs.states import JobState
from ampd.jobs.waiting import with_waiting
from ampd.metadata_db import MetadataDb

WORKER_STATUSES = ("live", "draining", "dead")


@dataclass(frozen=True)
class Queued:
    """SCHEDULED jobs of one kind that wait for the same (see ``waiting_for`` of :class:`ampd.jobs.Job`); ``seconds`` is
    how long the first of them has waited for a worker, None: that is not what they wait for.
    """

    kind: str
    waiting_for: str
    jobs: int
    seconds: float | None


@dataclass(frozen=True)
class JobFigures:
    """Jobs by state, what the waiting ones wait for, workers by :data:`WORKER_STATUSES`, the slots of live workers that
    take work, and the age (seconds) of the oldest last heartbeat among workers that have jobs; None: none has.
    """

    states: Mapping[JobState, int]
    queue: Sequence[Queued]
    workers: Mapping[str, int]
    slots: int
    slots_taken: int
    lease_age: float | None


async def read_job_figures(db: MetadataDb, *, lease_seconds: float) -> JobFigures:
    """Count jobs and workers.

    :raises AmpError: METADATA_DB_UNREACHABLE.
    """
    row = await db.fetch_one(with_waiting("job_figures"), {"lease_seconds": lease_seconds})
    assert row is not None  # noqa: S101 - a SELECT without FROM gives its row
    return JobFigures(
        states={state: row["states"].get(state, 0) for state in JobState},
        queue=[Queued(*each) for each in row["queue"]],
        workers={status: row["workers"].get(status, 0) for status in WORKER_STATUSES},
        slots=row["slots"],
        slots_taken=row["slots_taken"],
        lease_age=row["lease_age"],
    )
