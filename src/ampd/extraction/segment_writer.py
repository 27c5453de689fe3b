"""Batches become segments: Parquet files of all tables of a range, then one commit that makes them count (design
section 7.1).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import structlog

from ampd.data_store import (
    Compression,
    Revision,
    Segment,
    SegmentFile,
    TableStore,
    describe_segment,
    encode_segment,
    segment_file_name,
)
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import Lease
from ampd.object_store import ObjectStore, PutResult
from ampd.sources.blocks import BlockBatch
from ampd.tasks import cancel_all

_log = structlog.get_logger(__name__)

_FIRST_SEGMENT_SECONDS = 1.0
# After these nothing of a commit counts.
_REFUSALS = frozenset({ErrorCode.LEASE_LOST, ErrorCode.RANGE_ALREADY_COMMITTED})


@dataclass(frozen=True)
class SegmentLimits:
    """When a segment is closed: seconds since its first block was asked for, blocks, bytes of Arrow data."""

    seconds: float
    blocks: int
    bytes: int


class SegmentWriter:
    """Collects batches and writes segments, one behind the other; the next is collected while the last is written.

    ``lease_is_valid`` is asked before anything is written: a worker that may have been replaced stops by itself.
    """

    def __init__(
        self,
        *,
        lease: Lease,
        revisions: dict[str, Revision],
        network: str,
        tables: TableStore,
        lake: ObjectStore,
        executor: Executor,
        compression: Compression,
        limits: SegmentLimits,
        lease_is_valid: Callable[[], bool],
    ) -> None:
        self._lease = lease
        self._revisions = revisions
        self._network = network
        self._tables = tables
        self._lake = lake
        self._executor = executor
        self._compression = compression
        self._limits = limits
        self._lease_is_valid = lease_is_valid
        self._batches: list[BlockBatch] = []
        # Files that were put, or are about to be, and are not known to count.
        self._loose_files: dict[str, asyncio.Future[PutResult]] = {}
        self._opened_at = time.monotonic()
        # The first segments are short, so that progress shows early.
        self._seconds = min(_FIRST_SEGMENT_SECONDS, limits.seconds)
        self._writing: asyncio.Task[None] | None = None

    async def add(self, batch: BlockBatch) -> None:
        """Take the next blocks; close the segment when it is large or old enough, or would have too many blocks."""
        if self._batches and batch.end_block - self._batches[0].start_block + 1 > self._limits.blocks:
            await self.close_segment()
        self._batches.append(batch)
        blocks = batch.end_block - self._batches[0].start_block + 1
        size = sum(table.nbytes for held in self._batches for table in held.tables.values())
        is_old = time.monotonic() - self._opened_at >= self._seconds
        if is_old or blocks >= self._limits.blocks or size >= self._limits.bytes:
            await self.close_segment()

    async def close_segment(self) -> None:
        """Begin to write what has been collected; at most one segment is being written at a time."""
        await self.wait()
        if self._batches:
            batches, self._batches = self._batches, []
            self._writing = asyncio.create_task(self._write(batches))
            self._seconds = min(2 * self._seconds, self._limits.seconds)
        self._opened_at = time.monotonic()

    async def wait(self) -> None:
        """Wait until the segment that is being written counts.

        :raises AmpError: what went wrong with it; nothing of it counts then.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def finish(self) -> None:
        """Write and commit everything that was collected."""
        await self.close_segment()
        await self.wait()

    async def abandon(self) -> None:
        """Forget what is not committed, and delete what was written of it: when another worker has the job meanwhile,
        and ends it, no later attempt comes to do that.
        """
        self._batches = []
        writing, self._writing = self._writing, None
        if writing is not None:
            await cancel_all([writing])
        await self._delete_loose_files()

    async def _write(self, batches: list[BlockBatch]) -> None:
        segment = Segment(
            start_block=batches[0].start_block,
            end_block=batches[-1].end_block,
            start_parent_hash=batches[0].start_parent_hash,
            end_hash=batches[-1].end_hash,
            end_timestamp=batches[-1].end_timestamp,
        )
        started = time.monotonic()
        created_at = await self._tables.database_time()
        files = [
            await self._write_file(revision, segment, [batch.tables[name] for batch in batches], created_at)
            for name, revision in self._revisions.items()
        ]
        self._check_lease()
        await self._commit(segment, files)
        _log.info(
            "segment.committed",
            job_id=self._lease.job_id,
            start_block=segment.start_block,
            end_block=segment.end_block,
            rows=sum(file.row_count for file in files),
            bytes=sum(file.size for file in files),
            write_ms=round((time.monotonic() - started) * 1000),
        )

    async def _commit(self, segment: Segment, files: list[SegmentFile]) -> None:
        files_of_it, self._loose_files = self._loose_files, {}
        try:
            await self._tables.commit_segment(self._lease, segment, files)
        except AmpError as error:
            # After any other error the files may count: the answer to the commit itself may have been lost.
            if error.code in _REFUSALS:
                self._loose_files = files_of_it
            raise

    async def _write_file(
        self, revision: Revision, segment: Segment, tables: list[pa.Table], created_at: datetime
    ) -> SegmentFile:
        name = revision.table_name
        file_name = segment_file_name(segment.start_block)
        description = describe_segment(
            segment, table=name, file_name=file_name, network=self._network, created_at=created_at
        )
        loop = asyncio.get_running_loop()
        buffer = await loop.run_in_executor(
            self._executor, encode_segment, name, tables, description, self._compression
        )
        self._check_lease()
        put = await self._put(f"{revision.path}/{file_name}", buffer)
        return SegmentFile(
            revision_id=revision.id,
            file_name=file_name,
            row_count=sum(table.num_rows for table in tables),
            size=put.size,
            e_tag=put.e_tag,
            version=put.version,
            description=description,
        )

    async def _put(self, path: str, buffer: pa.Buffer) -> PutResult:
        putting = asyncio.ensure_future(self._lake.put(path, buffer))
        self._loose_files[path] = putting
        # It goes on when we are cut off: a file that is deleted must not appear after that.
        return await asyncio.shield(putting)

    async def _delete_loose_files(self) -> None:
        for path, putting in self._loose_files.items():
            await asyncio.wait([putting])
            try:
                putting.result()
                await self._lake.delete(path)
            except AmpError as error:
                # The next attempt removes it, if there is one.
                _log.warning("orphan.left", path=path, error=error.message)
            else:
                _log.info("orphan.removed", path=path)
        self._loose_files = {}

    def _check_lease(self) -> None:
        if not self._lease_is_valid():
            raise AmpError(
                ErrorCode.LEASE_LOST,
                f"job {self._lease.job_id}: this worker could not renew its lease and stopped writing",
                recoverable=True,
            )
