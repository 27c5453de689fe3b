"""What became of executions in each minute: counted once, by whichever controller comes first, and kept for charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from ampd.jobs.counted_minutes import ALL, LATE_SECONDS, Connection, MinuteStatements, count_minute
from ampd.jobs.states import HELD_STATES
from ampd.metadata_db import MetadataDb, sql

_STATEMENTS: Final = MinuteStatements(
    "jobs", "lock_minutes", "next_job_minute", "add_job_minutes", "expire_job_minutes"
)
# Durations are counted in steps of an eighth of a doubling: each is told with an error of 4.5 % at most.
_STEPS_OF_A_DOUBLING: Final = 8


@dataclass(frozen=True)
class JobTrend:
    """What became of executions in some time: how many attempts ended to be tried again, how many executions failed,
    and how long those took that completed or failed: {step: how many}.
    """

    retries: int
    failures: int
    durations: Mapping[int, int]

    def duration(self, share: float) -> float | None:
        """Return the seconds that ``share`` (0 to 1) of the executions did not exceed; None: none has ended."""
        total = sum(self.durations.values())
        seen = 0
        for step, count in sorted(self.durations.items()):
            seen += count
            if seen >= share * total:
                return float(2 ** ((step + 0.5) / _STEPS_OF_A_DOUBLING))
        return None


@dataclass
class _Counted:
    retries: int = 0
    failures: int = 0
    durations: Counter[int] = field(default_factory=Counter)


async def count_job_minute(db: MetadataDb) -> bool:
    """Count the next minute, if it is over for good; tell whether there may be another one to count:
    not when another process is counting.

    :raises AmpError: METADATA_DB_UNREACHABLE.
    """
    return await count_minute(db, _STATEMENTS, _measure)


async def _measure(connection: Connection, at: datetime) -> dict[str, Any]:
    minute = {"late_seconds": LATE_SECONDS, "at": at, "held_states": list(HELD_STATES)}
    found = await (await connection.execute(sql("jobs", "outcomes_of_minute"), minute)).fetchall()
    return _rows(at, found)


def _rows(at: datetime, found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    counted = {ALL: _Counted()}
    for row in found:
        for namespace in (ALL, row["namespace"]):
            of = counted.setdefault(namespace, _Counted())
            of.retries += row["retries"]
            of.failures += row["failures"]
            if row["step"] is not None:
                of.durations[row["step"]] += row["ended"]
    return {
        "at": at,
        "namespaces": list(counted),
        "retries": [each.retries for each in counted.values()],
        "failures": [each.failures for each in counted.values()],
        "durations": [Jsonb(each.durations) for each in counted.values()],
    }


async def read_job_trend(
    db: MetadataDb, visible: Sequence[str] | None, since: int, step_seconds: int, points: int
) -> Sequence[JobTrend | None]:
    """See :meth:`ampd.jobs.JobOverview.trend`."""
    steps = steps_of_trend(visible, since, step_seconds, points)
    rows = await db.fetch_all(sql("jobs", "job_trend"), steps)
    found = {row["step"]: _trend(row) for row in rows}
    return [found.get(step) for step in range(points)]


def _trend(row: Mapping[str, Any]) -> JobTrend:
    durations = {int(step): count for step, count in row["durations"].items()}
    return JobTrend(row["retries"], row["failures"], durations)


def steps_of_trend(visible: Sequence[str] | None, since: int, step_seconds: int, points: int) -> dict[str, Any]:
    """Return the parameters of a trend's statement. The rows of the whole cluster tell which minutes are known, those
    of the ``visible`` namespaces (None: all) what is shown.
    """
    return {
        "since": since,
        "until": since + points * step_seconds,
        "step_seconds": step_seconds,
        "known_by": [ALL],
        "shown": [ALL] if visible is None else list(visible),
    }
