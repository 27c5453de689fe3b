"""The ranges that this process has, for its own jobs and for those of other workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import structlog

from ampd.data_store import RangeLease, RangeStore
from ampd.errors import AmpError
from ampd.jobs import WorkerIdentity

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who reads a range in this process: ``stop`` is set when it should finish what is in hand, ``lose`` is called when
    the range is not ours any more.
    """

    stop: asyncio.Event
    lose: Callable[[], object]


class HeldRanges:
    """Keeps what this process believes to have in step with what the database says."""

    def __init__(self, ranges: RangeStore, worker: WorkerIdentity) -> None:
        self._ranges = ranges
        self._worker = worker
        self._holders: dict[tuple[int, int], Holder] = {}
        # A range that is being leased at the moment of a look would seem to be nobody's.
        self._leasing = asyncio.Lock()
        self._going_on: set[asyncio.Task[None]] = set()
        self._listeners: dict[int, Callable[[], object]] = {}

    def listen(self, job_id: int, on_change: Callable[[], object] | None) -> None:
        """Have ``on_change`` called when a range of a job is leased, committed or released here; None: no more."""
        if on_change is None:
            self._listeners.pop(job_id, None)
        else:
            self._listeners[job_id] = on_change

    def changed(self, job_id: int) -> None:
        """Say that a range of a job has been leased, committed or released."""
        if job_id in self._listeners:
            self._listeners[job_id]()

    async def lease_next(self, job_id: int, holder: Holder, *, closing: RangeLease | None = None) -> RangeLease | None:
        """Lease the lowest free range of a job for ``holder``; see :meth:`ampd.data_store.RangeStore.lease_next`."""
        async with self._leasing:
            lease = await self._ranges.lease_next(job_id, self._worker, closing=closing)
            if lease is not None:
                self._holders[lease.id, lease.epoch] = holder
        if lease is not None:
            self.changed(job_id)
        return lease

    def forget(self, lease: RangeLease) -> None:
        """The range has been committed to its end."""
        self._holders.pop((lease.id, lease.epoch), None)
        self.changed(lease.job_id)

    def disclaim(self, lease: RangeLease) -> None:
        """The range is not worked on any more: if it is not given back, a look does that."""
        self._holders.pop((lease.id, lease.epoch), None)

    async def see_through(self, work: Coroutine[None, None, None]) -> None:
        """Await ``work``; it goes on also when the waiting task is cancelled."""
        task = asyncio.create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._end)
        await asyncio.shield(task)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._going_on.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("range.not_let_go", exc_info=task.exception())

    async def release(self, lease: RangeLease) -> None:
        """Give back what is left of a range. When the database is away, the next look that succeeds does it."""
        self._holders.pop((lease.id, lease.epoch), None)
        try:
            await self._ranges.release(lease.id, lease.epoch, self._worker.incarnation)
        except AmpError as error:
            _log.warning("range.not_released", job_id=lease.job_id, range_id=lease.id, error=error.message)
        self.changed(lease.job_id)

    async def look(self) -> None:
        """Compare with the database: let go of what is not ours any more, give back what nobody here has, and pass on
        that a job stops.
        """
        async with self._leasing:
            believed = dict(self._holders)
            rows = await self._ranges.held_by(self._worker.incarnation)
        for row in rows:
            holder = self._holders.get((row.id, row.epoch))
            if holder is None and (row.id, row.epoch) not in believed:
                _log.info("range.given_back", job_id=row.job_id, range_id=row.id)
                await self._ranges.release(row.id, row.epoch, self._worker.incarnation)
            elif holder is not None and row.is_over:
                holder.lose()
            elif holder is not None and row.stops:
                holder.stop.set()
        ours = {(row.id, row.epoch) for row in rows}
        for key, holder in believed.items():
            if key not in ours and key in self._holders:
                holder.lose()
