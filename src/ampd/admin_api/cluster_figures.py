"""The figures of the whole cluster, as families of Prometheus metrics: read at most every few seconds, however many
scrapers ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client.metrics_core import Metric

from ampd.data_store import LakeFigures, TableFigures
from ampd.errors import AmpError
from ampd.jobs import JobFigures
from ampd.telemetry import cluster_metrics as told
from ampd.worker_events import EventFigures

log = structlog.get_logger(__name__)

FRESH_SECONDS: Final = 5.0
# Reading them takes no larger share of one of the database's cores than one in so many.
_SHARE: Final = 20
# So much of a manifest's hash tells it from the others of its dataset.
_HASH_DIGITS: Final = 12


@dataclass(frozen=True)
class FigureSources:
    """Where the figures come from; ``resting_endpoints`` counts those that nobody asks for a while."""

    jobs: Callable[[], Awaitable[JobFigures]]
    lake: Callable[[], Awaitable[LakeFigures]]
    resting_endpoints: Callable[[], Awaitable[int]]
    worker_events: Callable[[], Awaitable[EventFigures]]


class ClusterFigures:
    """What every controller tells of the cluster: see :mod:`ampd.telemetry.cluster_metrics`.

    Two scrapes within ``fresh_seconds`` get the same; when reading has taken long, for longer.
    """

    def __init__(self, sources: FigureSources, *, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._sources = sources
        self._fresh_seconds = fresh_seconds
        self._reading = asyncio.Lock()
        self._fresh_until = float("-inf")
        self._families: Sequence[Metric] = ()

    async def families(self) -> Sequence[Metric]:
        """Return the families. When the metadata database is away they say that, and nothing else."""
        async with self._reading:  # who comes while they are read gets what was read
            if time.monotonic() >= self._fresh_until:
                started = time.monotonic()
                self._families = await self._read(started)
                took = time.monotonic() - started
                self._fresh_until = time.monotonic() + max(self._fresh_seconds, _SHARE * took)
            return self._families

    async def _read(self, started: float) -> Sequence[Metric]:
        try:
            jobs = await self._sources.jobs()
            lake = await self._sources.lake()
            resting = await self._sources.resting_endpoints()
            events = await self._sources.worker_events()
        except AmpError as error:
            log.warning("metrics.cluster_unknown", error_code=str(error.code), error=error.message)
            return [told.UP.one(0)]
        took = time.monotonic() - started
        return [
            told.UP.one(1),
            told.READ_SECONDS.one(took),
            told.RESTING.one(resting),
            *_of_events(events),
            *_of_jobs(jobs),
            *_of_ranges(lake),
            *_of_tables(lake),
        ]


def _of_events(figures: EventFigures) -> Iterator[Metric]:
    yield told.EVENT_OUTBOX.one(figures.outbox)
    sends = [] if figures.unsent is None else [figures.unsent]
    yield told.EVENTS_UNSENT.of(((), unsent) for unsent in sends)
    yield told.EVENTS_UNSENT_AGE.of(((), figures.oldest_unsent_seconds or 0.0) for _ in sends)


def _of_jobs(figures: JobFigures) -> Iterator[Metric]:
    yield told.JOBS.of(((state,), count) for state, count in figures.states.items())
    yield told.QUEUE.of(((each.kind, each.waiting_for), each.jobs) for each in figures.queue)
    ages: dict[str, float] = {}
    for each in figures.queue:
        if each.seconds is not None:
            ages[each.kind] = max(each.seconds, ages.get(each.kind, 0.0))
    yield told.QUEUE_AGE.of(((kind,), seconds) for kind, seconds in ages.items())
    yield told.WORKERS.of(((status,), count) for status, count in figures.workers.items())
    yield told.SLOTS.one(figures.slots)
    yield told.SLOTS_TAKEN.one(figures.slots_taken)
    yield told.LEASE_AGE.one(figures.lease_age or 0.0)


def _of_ranges(figures: LakeFigures) -> Iterator[Metric]:
    yield told.RANGES.of(((state,), count) for state, count in figures.ranges.items())
    yield told.RANGE_AGE.one(figures.oldest_range_seconds or 0.0)


def _of_tables(figures: LakeFigures) -> Iterator[Metric]:
    tables = [(_labels(table), table) for table in figures.tables]
    yield told.FRONT.of((labels, t.current_block) for labels, t in tables if t.current_block is not None)
    yield told.FRONT_TIME.of((labels, t.front_timestamp) for labels, t in tables if t.front_timestamp is not None)
    yield told.LAG.of((labels, t.lag) for labels, t in tables if t.lag is not None)
    yield told.ROWS.of((labels, t.row_count) for labels, t in tables)
    yield told.FILES.of((labels, t.files_count) for labels, t in tables)
    yield told.BYTES.of((labels, t.total_size_bytes) for labels, t in tables)
    heads = {labels[:3]: t.latest_block for labels, t in tables if t.latest_block is not None}
    yield told.HEAD.of(heads.items())
    yield told.LEFT_OUT.one(figures.left_out)


def _labels(table: TableFigures) -> tuple[str, str, str, str]:
    return table.dataset_namespace, table.dataset_name, table.manifest_hash[:_HASH_DIGITS], table.table_name
