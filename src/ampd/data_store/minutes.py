"""What came to count in the lake in each minute, and how far tables lagged behind: kept for charts, as
:mod:`ampd.jobs.minutes` keeps what became of executions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ampd.data_store.figures import TableFigures, read_table_figures
from ampd.jobs.counted_minutes import ALL, Connection, MinuteStatements, count_minute
from ampd.jobs.minutes import steps_of_trend
from ampd.metadata_db import MetadataDb, sql

_MINUTE: Final = timedelta(minutes=1)
_STATEMENTS: Final = MinuteStatements(
    "data_store", "lock_lake_minutes", "next_lake_minute", "add_lake_minutes", "expire_lake_minutes"
)


@dataclass(frozen=True)
class LakeTrend:
    """What came to count in some time. ``minutes`` is how many minutes of it were counted, ``blocks``, ``rows`` and
    ``bytes`` are None when none was; ``lag_blocks`` is the largest lag that was seen, None: nobody knew one.
    """

    minutes: int
    blocks: int | None
    rows: int | None
    bytes: int | None
    lag_blocks: int | None


async def count_lake_minute(db: MetadataDb) -> bool:
    """Count the next minute, if it is over for good; tell whether there may be another one to count:
    not when another process is counting.

    :raises AmpError: METADATA_DB_UNREACHABLE.
    """
    return await count_minute(db, _STATEMENTS, _measure)


async def _measure(connection: Connection, at: datetime) -> dict[str, Any]:
    minute = {"since": at, "until": at + _MINUTE, "visible": None}
    found = await (await connection.execute(sql("data_store", "lake_throughput"), minute)).fetchall()
    return _rows(at, found)


def _rows(at: datetime, found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    rows = list(found)
    names = ("blocks", "row_count", "bytes")
    whole = {"namespace": ALL} | {name: sum(row[name] for row in rows) for name in names}
    rows.append(whole)
    return {
        "at": at,
        "namespaces": [row["namespace"] for row in rows],
        "blocks": [row["blocks"] for row in rows],
        "row_counts": [row["row_count"] for row in rows],
        "bytes": [row["bytes"] for row in rows],
    }


async def note_lags(db: MetadataDb) -> None:
    """Note how far tables lag behind, unless somebody has done so in this minute.

    :raises AmpError: METADATA_DB_UNREACHABLE.
    """
    if await db.fetch_one(sql("data_store", "is_lag_known")) is not None:
        return
    tables, _ = await read_table_figures(db)
    lags = largest_lags(tables)
    if lags:
        parameters = {"namespaces": list(lags), "lags": list(lags.values())}
        await db.execute(sql("data_store", "add_lag_minutes"), parameters)


def largest_lags(tables: Iterable[TableFigures]) -> dict[str, int]:
    """Return the largest lag of each namespace in which one is known, and of all (:data:`ampd.jobs.minutes.ALL`)."""
    lags: dict[str, int] = {}
    for table in tables:
        lag = table.lag
        for namespace in () if lag is None else (ALL, table.dataset_namespace):
            lags[namespace] = max(lag or 0, lags.get(namespace, 0))
    return lags


async def read_lake_trend(
    db: MetadataDb, visible: Sequence[str] | None, since: int, step_seconds: int, points: int
) -> Sequence[LakeTrend]:
    """See :meth:`ampd.data_store.LakeOverview.trend`."""
    rows = await db.fetch_all(sql("data_store", "lake_trend"), steps_of_trend(visible, since, step_seconds, points))
    found = {row["step"]: row for row in rows}
    return [_trend(found.get(step)) for step in range(points)]


def _trend(row: Mapping[str, Any] | None) -> LakeTrend:
    minutes = (row and row["minutes"]) or 0
    counted = row if row and minutes else {"blocks": None, "row_count": None, "bytes": None}
    lag = row["lag_blocks"] if row else None
    return LakeTrend(minutes, counted["blocks"], counted["row_count"], counted["bytes"], lag)
