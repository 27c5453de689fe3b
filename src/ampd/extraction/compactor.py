"""Compacts the small segments that a job at the tip leaves, beside the job's other work."""

from __future__ import annotations

from collections.abc import Sequence
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
from ampd.extraction.parts import Extraction, Parts
from ampd.extraction.segment_files import SegmentFiles
from ampd.jobs import JobContext
from ampd.tasks import wait_until

_log = structlog.get_logger(__name__)


class Compactor:
    """Looks for small segments of one extraction every ``interval_seconds``, until the job stops. What goes wrong with
    it does not concern the job: the next look tries again.
    """

    def __init__(
        self,
        parts: Parts,
        extraction: Extraction,
        held: HeldRanges,
        context: JobContext,
        *,
        limits: CompactionLimits,
        interval_seconds: float,
    ) -> None:
        self._parts = parts
        self._extraction = extraction
        self._held = held
        self._context = context
        self._limits = limits
        self._interval_seconds = interval_seconds
        self._files = SegmentFiles(parts, extraction, context.lease_is_valid)

    async def run(self, store: CompactionStore) -> None:
        """Compact until the job stops; may be cancelled at any time."""
        goes_on = True
        while not await wait_until(self._context.stop, 0.0 if goes_on else self._interval_seconds):
            try:
                goes_on = await self._look(store)
            except AmpError as error:
                goes_on = False
                _log.warning("compaction.failed", code=error.code, error=error.message)
            except Exception:
                goes_on = False
                _log.exception("compaction.crashed")

    async def _look(self, store: CompactionStore) -> bool:
        """Do what is to be done next; False when there is nothing."""
        revisions = list(self._extraction.revisions.values())
        files = await store.next_files(revisions)
        candidates = in_step(files, len(revisions))
        choice = choose(candidates, self._limits)
        if choice.done_to is not None:
            await store.set_done_to(revisions, choice.done_to)
        if choice.group:
            await self._compact(store, choice.group)
        elif not candidates and files and files[0].is_cool:
            # The tables are out of step here; what lacks blocks will be written anew.
            _log.info("compaction.out_of_step", start_block=files[0].start_block)
        return bool(choice.group) or choice.done_to is not None

    async def _compact(self, store: CompactionStore, group: Sequence[Candidate]) -> None:
        begun = self._files.new_paths(group[0].start_block)
        is_swapped = False
        try:
            new = await self._write(store, group, begun)
            self._files.check_lease()
            await store.swap(self._context.lease, [file for each in group for file in each.files], new)
            is_swapped = True
        finally:
            if not is_swapped:
                await self._held.see_through(self._files.disown(begun))
        _log.info(
            "segments.compacted",
            start_block=new.segment.start_block,
            end_block=new.segment.end_block,
            segments=len(group),
            bytes=sum(file.size for file in new.files.values()),
        )

    async def _write(
        self, store: CompactionStore, group: Sequence[Candidate], begun: dict[str, Revision]
    ) -> WrittenSegment:
        first, last = group[0].files[0], group[-1].files[0]
        segment = Segment(first.start_block, last.end_block, first.start_parent_hash, last.end_hash, last.end_timestamp)
        created_at = await store.begin_files(self._context.lease, begun)
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
