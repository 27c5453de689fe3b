"""What there is to see of the whole lake at one glance: how fast it grows, and which datasets lag behind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ampd.data_store.figures import TableFigures, read_table_figures
from ampd.data_store.minutes import LakeTrend, read_lake_trend
from ampd.metadata_db import LimitedStore, MetadataDb, sql

_WINDOW_SECONDS: Final = 60


@dataclass(frozen=True)
class Throughput:
    """What came to count per second, over the last minute."""

    blocks: float
    rows: float
    bytes: float


@dataclass(frozen=True)
class DatasetLag:
    """How far a job is with a dataset: ``front_block`` is the last block up to which all tables have everything (None:
    they have nothing), ``head_block`` the newest one that it may take, ``lag_blocks`` how many are missing up to the
    block that is to be reached and can be; the last two are None when nobody knows. See
    :class:`ampd.data_store.TableFigures`.
    """

    namespace: str
    name: str
    manifest_hash: str
    network: str | None
    job_id: int | None
    front_block: int | None
    head_block: int | None
    lag_blocks: int | None


class LakeOverview(LimitedStore):
    """The lake of a metadata database at one glance; limited, the datasets in the namespaces."""

    def __init__(self, db: MetadataDb) -> None:
        self._db = db

    async def throughput(self, now: datetime) -> Throughput:
        """Return what came to count in the minute before ``now``, by the database's clock."""
        parameters = {"since": now - timedelta(seconds=_WINDOW_SECONDS), "until": now, **self._scope()}
        rows = await self._db.fetch_all(sql("data_store", "lake_throughput"), parameters)
        sums = (sum(row[name] for row in rows) for name in ("blocks", "row_count", "bytes"))
        return Throughput(*(total / _WINDOW_SECONDS for total in sums))

    async def lags(self, *, limit: int) -> Sequence[DatasetLag]:
        """Return the datasets that somebody wants to be complete, those that lag most first, those of which nobody
        knows it last.
        """
        tables, _ = await read_table_figures(self._db, self._visible)
        lags = [_lag(each) for each in _by_job(table for table in tables if table.is_wanted)]
        lags.sort(key=lambda each: (each.lag_blocks is None, -(each.lag_blocks or 0), each.namespace, each.name))
        return lags[:limit]

    async def trend(self, *, since: int, step_seconds: int, points: int) -> Sequence[LakeTrend]:
        """Return what came to count in each of ``points`` steps, the first of which begins at ``since`` (Unix seconds,
        a whole minute).
        """
        return await read_lake_trend(self._db, self._scope(), since, step_seconds, points)


def _by_job(tables: Iterable[TableFigures]) -> Iterable[Sequence[TableFigures]]:
    found: dict[tuple[str, str, str, int | None], list[TableFigures]] = {}
    for table in tables:
        key = (table.dataset_namespace, table.dataset_name, table.manifest_hash, table.job_id)
        found.setdefault(key, []).append(table)
    return found.values()


def _lag(tables: Sequence[TableFigures]) -> DatasetLag:
    first = tables[0]
    fronts = [table.current_block for table in tables]
    known = [block for block in fronts if block is not None]
    return DatasetLag(
        first.dataset_namespace,
        first.dataset_name,
        first.manifest_hash,
        next((table.network for table in tables if table.network is not None), None),
        first.job_id,
        min(known) if len(known) == len(fronts) else None,
        first.latest_block,
        max((table.lag for table in tables if table.lag is not None), default=None),
    )
