"""What became of executions in each minute: counted once, by whichever controller comes first, and kept for charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from ampd.jobs.states import HELD_STATES
from ampd.metadata_db import MetadataDb, sql

KEPT_DAYS: Final = 8
# So many minutes that nobody has counted are made up for: controllers were away.
MOST_BACK: Final = 30
# Whatever was begun so long ago has been committed, or never will be: see ampd.metadata_db.pool.TRANSACTION_SECONDS.
LATE_SECONDS: Final = 30.0
# The row of the whole cluster.
ALL: Final = "*"
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
    late: dict[str, Any] = {"late_seconds": LATE_SECONDS}
    async with db.transaction() as connection:
        lock = await (await connection.execute(sql("jobs", "lock_minutes"))).fetchone()
        if lock is None or not lock["taken"]:
            return False
        bounds = late | {"most_back": MOST_BACK}
        row = await (await connection.execute(sql("jobs", "next_job_minute"), bounds)).fetchone()
        if row is None or row["at"] is None:
            return False
        minute = late | {"at": row["at"], "held_states": list(HELD_STATES)}
        found = await (await connection.execute(sql("jobs", "outcomes_of_minute"), minute)).fetchall()
        await connection.execute(sql("jobs", "add_job_minutes"), _rows(row["at"], found))
        await connection.execute(sql("jobs", "expire_job_minutes"), {"kept_days": KEPT_DAYS})
    return True


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
    db: MetadataDb, scope: dict[str, Any], since: int, step_seconds: int, points: int
) -> Sequence[JobTrend | None]:
    """See :meth:`ampd.jobs.JobOverview.trend`."""
    bounds = {"since": since, "until": since + points * step_seconds, "step_seconds": step_seconds}
    rows = await db.fetch_all(sql("jobs", "job_trend"), bounds | scope)
    found = {row["step"]: JobTrend(row["retries"], row["failures"], _sum(row["durations"] or ())) for row in rows}
    return [found.get(step) for step in range(points)]


def _sum(durations: Iterable[Mapping[str, int]]) -> Mapping[int, int]:
    total: Counter[int] = Counter()
    for each in durations:
        for step, count in each.items():
            total[int(step)] += count
    return total
