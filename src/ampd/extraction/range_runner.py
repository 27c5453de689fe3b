"""One slot's work: ranges, one after the other. The next is begun while the last blocks of one come in, and read while
that is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from ampd.data_store import RangeLease
from ampd.extraction.held_ranges import HeldRanges
from ampd.extraction.parts import Extraction, Parts
from ampd.extraction.segment_writer import SegmentWriter
from ampd.sources.blocks import BlockBatch
from ampd.tasks import cancel_all

# Gives the next range: None when there is none (for now, when ``closing`` is given; for good otherwise). ``closing`` is
# a range of which nearly all blocks have come.
Acquire = Callable[[RangeLease | None], Awaitable[RangeLease | None]]

# The next range is begun when so many batches like the last one are still to come: as many as a source has in flight.
_BATCHES_AHEAD = 3


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
        self._finishing: asyncio.Task[None] | None = None

    async def run(self, acquire: Acquire, first: RangeLease | None = None) -> None:
        """Work through what ``acquire`` gives, after ``first``.

        :raises AmpError: what went wrong with a range; what was committed before counts.
        """
        try:
            coming = None if first is None else self._begin(first)
            while not self._stop.is_set() or coming is not None:
                lease = None if coming is not None else await acquire(None)
                reading = coming or (None if lease is None else self._begin(lease))
                if reading is None:
                    break
                coming = await self._read(reading, acquire)
            await self._finish_last()
        finally:
            await self._abandon()

    def _begin(self, lease: RangeLease) -> _Reading:
        batches = self._extraction.source.read(
            lease.start_block, lease.end_block, most_blocks=self._parts.settings.limits.blocks
        )
        writer = SegmentWriter(self._parts, self._extraction, lease, self._lease_is_valid)
        reading = _Reading(lease, batches, writer)
        self._open.append(reading)
        return reading

    async def _read(self, reading: _Reading, acquire: Acquire) -> _Reading | None:
        """Read a range to its end, and begin to finish it; return the next one when that has begun already."""
        coming: _Reading | None = None
        while (batch := await reading.next(self._stop)) is not None:
            if self._finishing is not None and self._finishing.done():
                await self._finish_last()
            await reading.writer.add(batch)
            left = reading.lease.end_block - batch.end_block
            if coming is None and 0 < left <= _BATCHES_AHEAD * (batch.end_block - batch.start_block + 1):
                next_lease = None if self._stop.is_set() else await acquire(reading.lease)
                coming = None if next_lease is None else self._begin(next_lease)
        await self._finish_last()
        self._finishing = asyncio.create_task(self._finish(reading))
        return coming

    async def _finish(self, reading: _Reading) -> None:
        await reading.close()
        await reading.writer.finish()
        self._open.remove(reading)
        if reading.reached == reading.lease.end_block:
            self._held.forget(reading.lease)
        else:
            await self._held.release(reading.lease)

    async def _finish_last(self) -> None:
        finishing, self._finishing = self._finishing, None
        if finishing is not None:
            await finishing

    async def _abandon(self) -> None:
        """Let go of what could not be finished."""
        finishing, self._finishing = self._finishing, None
        if finishing is not None:
            await cancel_all([finishing])
        while self._open:
            reading = self._open.pop()
            try:
                await reading.close()
                await reading.writer.abandon()
            finally:
                await self._held.release(reading.lease)


class _Reading:
    """A range that is being read: the first batches are asked for at once."""

    def __init__(self, lease: RangeLease, batches: AsyncGenerator[BlockBatch, None], writer: SegmentWriter) -> None:
        self.lease = lease
        self.writer = writer
        self.reached = lease.start_block - 1
        self._batches = batches
        self._coming: asyncio.Future[BlockBatch | None] | None = asyncio.ensure_future(anext(batches, None))

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
