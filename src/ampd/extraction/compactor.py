"""Compacts the small segments that jobs at the tip leave: beside the other work of such a job, or as a job itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from ampd.data_store import (
    CompactionStore,
    Revision,
    Segment,
    StoredFile,
    WrittenSegment,
    encode_segment,
)
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.compaction import Candidate, CompactionLimits, choose, in_step
from ampd.extraction.held_ranges import HeldRanges
from ampd.extraction.parts import Parts, Target
from ampd.extraction.segment_files import SegmentFiles
from ampd.jobs import JobContext, Lease
from ampd.tasks import wait_until
from ampd.telemetry.stages import stage

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Swapped:
    """What one step has done: so many files, of so many bytes, took the place of others. ``goes_on`` tells whether
    there may be more to do.
    """

    goes_on: bool
    files_replaced: int = 0
    bytes_replaced: int = 0
    files_written: int = 0
    bytes_written: int = 0
    end_block: int | None = None


class Compaction:
    """Compacts the revisions of ``target``, step by step, under the lease of a job.

    ``cooldown_seconds`` None: that of the store.
    """

    def __init__(
        self,
        parts: Parts,
        target: Target,
        held: HeldRanges,
        context: JobContext,
        *,
        limits: CompactionLimits,
        cooldown_seconds: float | None = None,
    ) -> None:
        self._parts = parts
        self._revisions = list(target.revisions.values())
        self._held = held
        self._lease: Lease = context.lease
        self._limits = limits
        self._cooldown_seconds = cooldown_seconds
        self._files = SegmentFiles(parts, target, context.lease_is_valid)
        self._meter = target.meter

    async def step(self, store: CompactionStore) -> Swapped:
        """Do what is to be done next. May be cancelled at any time.

        :raises AmpError: LEASE_LOST, FilesReplacedError, DATA_STORE_*.
        """
        files = await store.next_files(self._revisions, cooldown_seconds=self._cooldown_seconds)
        candidates = in_step(files, len(self._revisions))
        choice = choose(candidates, self._limits)
        if choice.done_to is not None:
            await store.set_done_to(self._revisions, choice.done_to)
        if choice.group:
            return await self._compact(store, choice.group)
        if not candidates and files and files[0].is_cool:
            # The tables are out of step here; what lacks blocks will be written anew.
            _log.info("compaction.out_of_step", start_block=files[0].start_block)
        return Swapped(goes_on=choice.done_to is not None)

    async def _compact(self, store: CompactionStore, group: Sequence[Candidate]) -> Swapped:
        started = time.monotonic()
        begun = self._files.new_paths(group[0].start_block)
        old = [file for each in group for file in each.files]
        is_swapped = False
        try:
            new = await self._write(store, group, begun)
            self._files.check_lease()
            with stage("commit", segments=len(group), start_block=new.segment.start_block):
                await store.swap(self._lease, old, new)
            is_swapped = True
        finally:
            if not is_swapped:
                self._meter.not_compacted()
                await self._held.see_through(self._files.disown(begun))
        swapped = Swapped(
            goes_on=True,
            files_replaced=len(old),
            bytes_replaced=sum(file.object_size for file in old),
            files_written=len(new.files),
            bytes_written=sum(file.size for file in new.files.values()),
            end_block=new.segment.end_block,
        )
        self._meter.compacted(
            files=len(old),
            bytes_before=swapped.bytes_replaced,
            bytes_after=swapped.bytes_written,
            seconds=time.monotonic() - started,
        )
        _log.info(
            "segments.compacted",
            start_block=new.segment.start_block,
            end_block=new.segment.end_block,
            segments=len(group),
            bytes=swapped.bytes_written,
        )
        return swapped

    async def _write(
        self, store: CompactionStore, group: Sequence[Candidate], begun: dict[str, Revision]
    ) -> WrittenSegment:
        first, last = group[0].files[0], group[-1].files[0]
        segment = Segment(first.start_block, last.end_block, first.start_parent_hash, last.end_hash, last.end_timestamp)
        created_at = await store.begin_files(self._lease, begun)
        files = {}
        for path, revision in begun.items():
            old = [file for each in group for file in each.files if file.revision_id == revision.id]
            contents = [await self._content(file) for file in old]
            merge = partial(self._merge, revision.table_name, contents, [file.id for file in old])
            files[path] = await self._files.write(path, revision, segment, created_at, merge)
        return WrittenSegment(segment, files)

    def _merge(
        self, name: str, contents: Sequence[bytes], parents: Sequence[int], description: dict[str, Any]
    ) -> tuple[int, pa.Buffer]:
        tables = [pq.read_table(pa.BufferReader(content)).replace_schema_metadata(None) for content in contents]
        table = pa.concat_tables(tables).combine_chunks()
        compression = self._parts.settings.compression
        return table.num_rows, encode_segment(name, [table], description, compression, parents=parents)

    async def _content(self, file: StoredFile) -> bytes:
        content = await self._parts.lake.get(file.path)
        if content is None:
            raise AmpError(
                ErrorCode.DATA_STORE_ERROR,
                f"'{file.path}' counts and is not in {self._parts.lake.place}: restore it, or have its blocks "
                "extracted again",
                recoverable=True,
            )
        return content


class Compactor:
    """Has small segments of one extraction compacted every ``interval_seconds``, until ``stop`` is set. What goes wrong
    with it does not concern the job: the next look tries again.
    """

    def __init__(self, compaction: Compaction, *, stop: asyncio.Event, interval_seconds: float) -> None:
        self._compaction = compaction
        self._stop = stop
        self._interval_seconds = interval_seconds

    async def run(self, store: CompactionStore) -> None:
        """Compact until the job stops; may be cancelled at any time."""
        goes_on = True
        while not await wait_until(self._stop, 0.0 if goes_on else self._interval_seconds):
            try:
                goes_on = (await self._compaction.step(store)).goes_on
            except AmpError as error:
                goes_on = False
                _log.warning("compaction.failed", code=error.code, error=error.message)
            except Exception:
                goes_on = False
                _log.exception("compaction.crashed")
