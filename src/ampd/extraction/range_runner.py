"""One slot's work: ranges, one after the other. The next is begun while the last blocks of one come in, and read while
that is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import structlog

from ampd.data_store import RangeLease
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.held_ranges import HeldRanges
from ampd.extraction.parts import Extraction, Parts
from ampd.extraction.segment_writer import SegmentWriter
from ampd.sources.blocks import BlockBatch
from ampd.tasks import cancel_all
from ampd.telemetry.traces import LongSpan, here

_log = structlog.get_logger(__name__)


class Acquire(Protocol):
    """Gives the next range, or None: when there is none at the moment, or, if it ``waits``, when there will be none.
    ``closing`` is a range of which all blocks have come, or nearly: it is not read any more.
    """

    def __call__(self, closing: RangeLease | None, *, waits: bool) -> Awaitable[RangeLease | None]:
        """Lease it."""


# The next range is begun when so many batches like the last one are still to come: as many as a source has in flight.
_BATCHES_AHEAD = 3
# What a node answers while its chain reorganises. So many times in a row it is no news any more.
_CHANGES_OF_CHAIN = frozenset({ErrorCode.PARENT_HASH_MISMATCH, ErrorCode.BLOCK_NOT_AVAILABLE})
_MOST_CHANGES = 3
# Why a commit is refused that replaces others: another look at what is to be replaced mends it.
_OUTDATED = frozenset({ErrorCode.PARENT_HASH_MISMATCH, ErrorCode.RANGE_ALREADY_COMMITTED})


class RangeRunner:
    """Reads, writes and commits ranges of one extraction until there are none, or until ``stop`` is set: then what has
    been read counts, and the rest is given back.
    """

    def __init__(
        self,
        parts: Parts,
        extraction: Extraction,
        held: HeldRanges,
        *,
        stop: asyncio.Event,
        lease_is_valid: Callable[[], bool],
    ) -> None:
        self._parts = parts
        self._extraction = extraction
        self._held = held
        self._stop = stop
        self._lease_is_valid = lease_is_valid
        self._open: list[_Reading] = []
        self._changes = 0
        self._traced_in = here()
        self._finishing: asyncio.Task[None] | None = None

    async def run(self, acquire: Acquire, first: RangeLease | None = None) -> None:
        """Work through what ``acquire`` gives, after ``first``.

        :raises AmpError: what went wrong with a range; what was committed before counts.
        """
        try:
            coming = None if first is None else self._begin(first)
            last: RangeLease | None = None
            while not self._stop.is_set() or coming is not None:
                lease = None if coming is not None else await acquire(last, waits=True)
                reading = coming or (None if lease is None else self._begin(lease))
                if reading is None:
                    break
                coming, last = await self._read(reading, acquire), reading.lease
            await self._finish_last()
        except AmpError as error:
            self._extraction.meter.range_failed(str(error.code))
            for reading in self._open:
                reading.place.end(error)
            raise
        finally:
            await self._abandon()

    def _begin(self, lease: RangeLease) -> _Reading:
        place = LongSpan(
            "range",
            self._traced_in,
            job_id=lease.job_id,
            range_id=lease.id,
            epoch=lease.epoch,
            start_block=lease.start_block,
            end_block=lease.end_block,
            replaces=lease.replaces,
        )
        batches = self._extraction.source.read(
            lease.start_block,
            lease.end_block,
            most_blocks=self._parts.settings.limits.blocks,
            cursor=lease.cursor,
        )
        writer = SegmentWriter(self._parts, self._extraction, lease, self._lease_is_valid)
        reading = _Reading(lease, batches, writer, place)
        self._open.append(reading)
        return reading

    async def _read(self, reading: _Reading, acquire: Acquire) -> _Reading | None:
        """Read a range to its end, and begin to finish it; return the next one when that has begun already."""
        coming: _Reading | None = None
        reading.writer.begin(after=self._finishing)
        with reading.part():
            while (batch := await self._next(reading)) is not None:
                if self._finishing is not None and self._finishing.done():
                    await self._finish_last()
                await self._add(reading, batch)
                left = reading.lease.end_block - batch.end_block
                if coming is None and 0 < left <= _BATCHES_AHEAD * (batch.end_block - batch.start_block + 1):
                    next_lease = None if self._stop.is_set() else await acquire(reading.lease, waits=False)
                    coming = None if next_lease is None else self._begin(next_lease)
            await self._finish_last()
            self._finishing = asyncio.create_task(self._finish(reading))
        return coming

    async def _add(self, reading: _Reading, batch: BlockBatch) -> None:
        """Collect a batch; when all ranges of this worker have too much in memory, write what this one has."""
        await reading.writer.add(batch)
        if self._parts.collected.add(reading, batch.row_bytes):
            await reading.writer.close_segment()
            await reading.writer.wait()
            self._parts.collected.forget(reading)

    async def _next(self, reading: _Reading) -> BlockBatch | None:
        """Return the next batch of a range. When the chain changes while it is read, it ends here: what comes next is
        asked for again, as far as the plan still wants it.
        """
        try:
            batch = await reading.next(self._stop)
        except AmpError as error:
            self._changes += 1
            if error.code not in _CHANGES_OF_CHAIN or self._changes > _MOST_CHANGES:
                raise
            _log.info("range.chain_changed", code=error.code, error=error.message)
            return None
        if batch is not None:
            self._changes = 0
        return batch

    async def _finish(self, reading: _Reading) -> None:
        await reading.close()
        is_complete = reading.reached == reading.lease.end_block
        if reading.lease.replaces and not is_complete:
            await reading.writer.abandon()
        elif not await self._commit(reading):
            return
        self._forget(reading)
        reading.place.end()
        if is_complete:
            self._extraction.meter.range_done(time.monotonic() - reading.begun_at)
            self._held.forget(reading.lease)
        else:
            await self._held.release(reading.lease)

    async def _commit(self, reading: _Reading) -> bool:
        """Commit what is left to be committed of a range; False when it was to replace others and the chain has changed
        once more, or the segments have: then it is dropped, for another look.
        """
        try:
            await reading.writer.finish()
        except AmpError as error:
            if error.code not in _OUTDATED or not reading.lease.replaces:
                raise
            _log.info("range.outdated", code=error.code, error=error.message)
            await reading.writer.abandon()
            await self._parts.ranges.drop(reading.lease)
            self._forget(reading)
            reading.place.end(error)
            self._held.forget(reading.lease)
            return False
        return True

    def _forget(self, reading: _Reading) -> None:
        self._parts.collected.forget(reading)
        if reading in self._open:
            self._open.remove(reading)

    async def _finish_last(self) -> None:
        finishing, self._finishing = self._finishing, None
        if finishing is not None:
            await finishing

    async def _abandon(self) -> None:
        """Let go of what could not be finished. At once for what this process believes to have; what takes its time is
        seen through, however often we are cancelled.
        """
        finishing, self._finishing = self._finishing, None
        readings, self._open = self._open, []
        for reading in readings:
            self._held.disclaim(reading.lease)
        if finishing is not None or readings:
            await self._held.see_through(self._let_go(finishing, readings))

    async def _let_go(self, finishing: asyncio.Task[None] | None, readings: list[_Reading]) -> None:
        if finishing is not None:
            await cancel_all([finishing])
        await asyncio.gather(*(self._let_go_of(reading) for reading in readings))

    async def _let_go_of(self, reading: _Reading) -> None:
        try:
            with reading.part():
                await reading.close()
                await reading.writer.abandon()
        finally:
            reading.place.end(asyncio.CancelledError())
            self._parts.collected.forget(reading)
            await self._held.release(reading.lease)


class _Reading:
    """A range that is being read: the first batches are asked for at once. ``place`` traces it."""

    def __init__(
        self, lease: RangeLease, batches: AsyncGenerator[BlockBatch, None], writer: SegmentWriter, place: LongSpan
    ) -> None:
        self.lease = lease
        self.writer = writer
        self.place = place
        self.begun_at = time.monotonic()
        self.reached = lease.start_block - 1
        self._batches = batches
        with self.part():
            self._coming: asyncio.Future[BlockBatch | None] | None = asyncio.ensure_future(anext(batches, None))

    @contextmanager
    def part(self) -> Iterator[None]:
        """Have what is logged and traced in the block, and in tasks that it begins, told as a part of the range."""
        with structlog.contextvars.bound_contextvars(range_id=self.lease.id), self.place.part():
            yield

    async def next(self, stop: asyncio.Event) -> BlockBatch | None:
        """Return the next batch; None at the end, or when ``stop`` is set before it comes."""
        if stop.is_set():
            return None
        coming = self._coming or asyncio.ensure_future(anext(self._batches, None))
        self._coming = coming
        stopping = asyncio.ensure_future(stop.wait())
        try:
            waits: set[asyncio.Future[Any]] = {coming, stopping}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if not coming.done():
            return None
        self._coming = None
        batch = coming.result()
        if batch is not None:
            self.reached = batch.end_block
        return batch

    async def close(self) -> None:
        """Ask for nothing more."""
        coming, self._coming = self._coming, None
        if coming is not None:
            await cancel_all([coming])
        await self._batches.aclose()
