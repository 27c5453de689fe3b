"""Writes the files of segments into the store, for those who extract and those who compact. None counts before its
commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyarrow as pa

from ampd.data_store import Revision, Segment, SegmentFile, describe_segment, segment_file_name
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.parts import Parts, Target
from ampd.object_store import PutResult
from ampd.telemetry.stages import stage

# Makes the Parquet file with a description in its footer, and tells how many rows it has.
Encode = Callable[[dict[str, Any]], tuple[int, pa.Buffer]]


class SegmentFiles:
    """The files that one writer has under way. ``lease_is_valid`` is asked before anything is written: a worker that
    may have been replaced stops by itself.
    """

    def __init__(self, parts: Parts, target: Target, lease_is_valid: Callable[[], bool]) -> None:
        self._parts = parts
        self._target = target
        self._lease_is_valid = lease_is_valid
        self._puts: set[asyncio.Future[PutResult]] = set()

    def new_paths(self, start_block: int) -> dict[str, Revision]:
        """Return a path for each table of a segment that begins at ``start_block``, which nobody else uses."""
        revisions = self._target.revisions.values()
        return {f"{revision.path}/{segment_file_name(start_block)}": revision for revision in revisions}

    async def write(
        self, path: str, revision: Revision, segment: Segment, created_at: datetime, encode: Encode
    ) -> SegmentFile:
        """Have a file encoded on another thread, and store it.

        :raises AmpError: LEASE_LOST; DATA_STORE_*.
        """
        description = describe_segment(
            segment,
            table=revision.table_name,
            file_name=path.rpartition("/")[2],
            network=self._target.network,
            created_at=created_at,
        )
        loop = asyncio.get_running_loop()
        with stage("encode", table=revision.table_name):
            row_count, buffer = await loop.run_in_executor(self._parts.executor, encode, description)
        self.check_lease()
        with stage("write", table=revision.table_name, bytes=buffer.size):
            put = await self._put(path, buffer)
        self._target.meter.put(revision.table_name)
        return SegmentFile(
            revision_id=revision.id,
            file_name=description["filename"],
            row_count=row_count,
            size=put.size,
            e_tag=put.e_tag,
            version=put.version,
            description=description,
        )

    async def _put(self, path: str, buffer: pa.Buffer) -> PutResult:
        """Store a file. It goes on when we are cut off: a file that is deleted must not appear after that."""
        putting = asyncio.ensure_future(self._parts.lake.put(path, buffer))
        self._puts.add(putting)
        putting.add_done_callback(self._puts.discard)
        return await asyncio.shield(putting)

    def check_lease(self) -> None:
        """Make sure that this process may still write.

        :raises AmpError: LEASE_LOST.
        """
        if not self._lease_is_valid():
            raise AmpError(
                ErrorCode.LEASE_LOST,
                f"job {self._target.job_id}: this worker could not renew its lease and stopped writing",
                recoverable=True,
            )

    async def disown(self, files: dict[str, Revision]) -> None:
        """Delete files (by path) that will not count, once none is on its way any more."""
        await asyncio.gather(*self._puts, return_exceptions=True)
        await self._parts.leftovers.disown(files)
