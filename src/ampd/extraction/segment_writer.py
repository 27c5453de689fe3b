"""Batches become segments: Parquet files of all tables, then one commit that makes them count (design section 7.1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import structlog

from ampd.data_store import (
    Cost,
    RangeLease,
    Revision,
    Segment,
    WrittenSegment,
    encode_segment,
)
from ampd.errors import AmpError
from ampd.extraction.parts import Extraction, Parts
from ampd.extraction.segment_files import SegmentFiles
from ampd.sources.blocks import BlockBatch
from ampd.tasks import cancel_all
from ampd.telemetry.extraction_metrics import Written
from ampd.telemetry.stages import stage

_log = structlog.get_logger(__name__)

# A range is cut so that it is one segment. One that takes this many times longer than it should becomes several.
_OVERTIME = 3


class SegmentWriter:
    """Collects the batches of one range and writes them, as one segment, or as several when it is larger than was
    thought; the next is collected while the last is written. Each is committed when it is written; those of a range
    that replaces others all together at its end.

    ``lease_is_valid`` is asked before anything is written: a worker that may have been replaced stops by itself.
    """

    def __init__(
        self, parts: Parts, extraction: Extraction, lease: RangeLease, lease_is_valid: Callable[[], bool]
    ) -> None:
        self._parts = parts
        self._extraction = extraction
        self._lease = lease
        self._files = SegmentFiles(parts, extraction.target, lease_is_valid)
        self._limits = parts.settings.limits
        self._batches: list[BlockBatch] = []
        self._bytes = 0
        self._begun_at = time.monotonic()
        self._opened_at = self._begun_at
        self._after: asyncio.Future[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        # Files that were begun, and of which is not certain that they count.
        self._unsettled: dict[str, Revision] = {}
        self._written: list[WrittenSegment] = []
        self._written_bytes = 0

    def begin(self, after: asyncio.Future[None] | None) -> None:
        """Count the time from now on: the range before has been read. Nothing is committed until ``after`` has ended,
        in which that one is written.
        """
        self._begun_at = self._opened_at = time.monotonic()
        self._after = after

    async def add(self, batch: BlockBatch) -> None:
        """Take the next blocks; close the segment when it is large or old, or would have too many blocks."""
        if self._batches and batch.end_block - self._batches[0].start_block + 1 > self._limits.blocks:
            await self.close_segment()
        self._batches.append(batch)
        self._bytes += batch.row_bytes
        blocks = batch.end_block - self._batches[0].start_block + 1
        is_old = time.monotonic() - self._opened_at >= _OVERTIME * self._limits.seconds
        if is_old or blocks >= self._limits.blocks or self._bytes >= self._limits.bytes:
            await self.close_segment()

    async def close_segment(self) -> None:
        """Begin to write what has been collected; at most one segment is being written at a time."""
        await self.wait()
        if self._batches:
            batches, self._batches, self._bytes = self._batches, [], 0
            self._writing = asyncio.create_task(self._write(batches, time.monotonic() - self._begun_at))
        self._opened_at = time.monotonic()

    async def wait(self) -> None:
        """Wait until the segment that is being written counts.

        :raises AmpError: what went wrong with it; nothing of it counts then, unless the database was lost in the moment
            of the commit.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def finish(self) -> None:
        """Write and commit everything that was collected."""
        await self.close_segment()
        await self.wait()
        if self._written:
            await self._commit(self._written, Cost(self._written_bytes, time.monotonic() - self._begun_at))

    async def abandon(self) -> None:
        """Forget what is not committed, and delete its files."""
        self._batches, self._written = [], []
        writing, self._writing = self._writing, None
        if writing is not None:
            await cancel_all([writing])
        unsettled, self._unsettled = self._unsettled, {}
        try:
            await self._files.disown(unsettled)
        except AmpError as error:
            # Their rows tell of them: a sweep deletes them when this is mended.
            _log.warning("segment.files_left", files=len(unsettled), error=error.message)

    async def _write(self, batches: list[BlockBatch], seconds: float) -> None:
        segment = Segment(
            start_block=batches[0].start_block,
            end_block=batches[-1].end_block,
            start_parent_hash=batches[0].start_parent_hash,
            end_hash=batches[-1].end_hash,
            end_timestamp=batches[-1].end_timestamp,
        )
        started = time.monotonic()
        begun = self._files.new_paths(segment.start_block)
        self._files.check_lease()
        self._unsettled |= begun
        created_at = await self._parts.ranges.begin_files(self._lease, begun)
        files = {
            path: await self._files.write(
                path, revision, segment, created_at, partial(self._encode, revision.table_name, batches)
            )
            for path, revision in begun.items()
        }
        written = WrittenSegment(segment, files, batches[-1].cursor)
        if self._lease.replaces:
            self._written.append(written)
            self._written_bytes += _size(batches)
        else:
            await self._commit([written], Cost(bytes=_size(batches), seconds=seconds))
        _log.info(
            "segment.written" if self._lease.replaces else "segment.committed",
            job_id=self._lease.job_id,
            start_block=segment.start_block,
            end_block=segment.end_block,
            rows=sum(file.row_count for file in files.values()),
            bytes=sum(file.size for file in files.values()),
            write_ms=round((time.monotonic() - started) * 1000),
        )

    def _encode(self, name: str, batches: list[BlockBatch], description: dict[str, Any]) -> tuple[int, pa.Buffer]:
        tables = [batch.tables[name] for batch in batches]
        buffer = encode_segment(name, tables, description, self._parts.settings.compression)
        return sum(table.num_rows for table in tables), buffer

    async def _commit(self, segments: list[WrittenSegment], cost: Cost) -> None:
        if self._after is not None:
            await asyncio.wait({self._after})
        self._files.check_lease()
        with stage("commit", segments=len(segments), start_block=segments[0].segment.start_block):
            await self._parts.ranges.commit(self._lease, segments, cost)
        for written in segments:
            for path in written.files:
                del self._unsettled[path]
            self._count(written)
        self._written = []
        if self._lease.replaces:
            start, end = segments[0].segment.start_block, segments[-1].segment.end_block
            self._extraction.meter.reorg_repaired()
            _log.warning("reorg.repaired", job_id=self._lease.job_id, start_block=start, end_block=end)

    def _count(self, written: WrittenSegment) -> None:
        segment, names = written.segment, {each.id: name for name, each in self._extraction.revisions.items()}
        self._extraction.meter.committed(
            {names[file.revision_id]: Written(file.row_count, file.size) for file in written.files.values()},
            blocks=segment.end_block - segment.start_block + 1,
            end_block=segment.end_block,
            end_timestamp=segment.end_timestamp,
        )


def _size(batches: list[BlockBatch]) -> int:
    return sum(batch.row_bytes for batch in batches)
