"""Reorgs: which blocks of the lake are not of the chain any more (design section 7.5)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import structlog

from ampd.data_store import PlanView, RangeStore, Revision, Run, StoredSegment
from ampd.data_store.ranges import BlockRange
from ampd.errors import AmpError, ErrorCode
from ampd.sources.blocks import BlockSource

_log = structlog.get_logger(__name__)

_FIRST_PAGE = 16
_LARGEST_PAGE = 4096


class _IsShorterError(Exception):
    """The chain has become shorter than what is looked for."""


def has_break(view: PlanView) -> bool:
    """Tell whether blocks follow each other that do not hang on each other by hash."""
    return any(_breaks(runs) for runs in view.runs.values())


class ReorgFinder:
    """Compares the lake with the chain as the node has it now."""

    def __init__(self, source: BlockSource, ranges: RangeStore, revisions: Sequence[Revision]) -> None:
        self._source = source
        self._ranges = ranges
        self._revisions = revisions

    async def find_at_breaks(self, view: PlanView) -> BlockRange | None:
        """Return the blocks to be replaced where blocks do not hang on each other: those that are not of the chain,
        before the break when these are, else behind it. None also while the chain is shorter than they are.
        """
        for revision in self._revisions:
            for left, right in _breaks(view.runs[revision.id]):
                is_of_chain = await self._is_of_chain(left)
                if is_of_chain:
                    return right.start_block, right.end_block
                if is_of_chain is not None:
                    return await self._walk_back(revision, left)
        return None

    async def find_at_end(self, view: PlanView) -> BlockRange | None:
        """Return the blocks to be replaced when the last block that is there is not of the chain any more.

        A chain that has become shorter is waited for: what is there stays until the new one is as long.
        """
        revision = self._revisions[0]
        runs = view.runs[revision.id]
        if runs and await self._is_of_chain(runs[-1]) is False:
            return await self._walk_back(revision, runs[-1])
        return None

    async def _is_of_chain(self, run: Run) -> bool | None:
        """Tell whether the last block of a run is of the chain; None when that is not as long."""
        found = await self._source.block_hash(run.end_block)
        return None if found is None else found == run.end_hash

    async def _walk_back(self, revision: Revision, run: Run) -> BlockRange | None:
        """Return the segments at the end of a run that are not of the chain: from the last one that still hangs on it.
        None while the chain is shorter than what has to be looked at: sources take their blocks back one by one.
        """
        try:
            start = await self._last_start_on_chain(revision, run)
        except _IsShorterError:
            return None
        _log.warning("reorg.found", table=revision.table_name, start_block=start, end_block=run.end_block)
        return start, run.end_block

    async def _last_start_on_chain(self, revision: Revision, run: Run) -> int:
        """Return the first block of the last segment of a run that hangs on the chain.

        There is no limit: ever larger steps back, then halves of the last one.
        """
        before, page_size = run.end_block + 1, _FIRST_PAGE
        while page := await self._ranges.segments_back(revision, run.start_block, before, limit=page_size):
            if await self._hangs_on_chain(page[-1], run):
                return (await self._last_that_hangs(page, run)).start_block
            before, page_size = page[-1].start_block, min(2 * page_size, _LARGEST_PAGE)
        return run.start_block

    async def _last_that_hangs(self, page: Sequence[StoredSegment], run: Run) -> StoredSegment:
        """Return the newest of some segments, the newest first, of which the last one hangs on the chain."""
        first, last = 0, len(page) - 1
        while first < last:
            middle = (first + last) // 2
            if await self._hangs_on_chain(page[middle], run):
                last = middle
            else:
                first = middle + 1
        return page[first]

    async def _hangs_on_chain(self, segment: StoredSegment, run: Run) -> bool:
        if segment.start_block == run.start_block:
            return True  # there is nothing before it to go back to
        return await self._hash_of(segment.start_block - 1) == segment.start_parent_hash

    async def _hash_of(self, number: int) -> bytes:
        """Return the hash of a block of the chain.

        :raises _IsShorterError: the chain does not reach so far at the moment.
        :raises AmpError: BLOCK_NOT_AVAILABLE when it does, and the node does not have this block all the same.
        """
        found = await self._source.block_hash(number)
        if found is None:
            newest = await self._source.latest_block(finalized=False)
            if newest is None or newest < number:
                raise _IsShorterError
            found = await self._source.block_hash(number)  # the chain may just have grown again
        if found is None:
            raise AmpError(
                ErrorCode.BLOCK_NOT_AVAILABLE,
                f"the node has block {newest}, and none at {number}: how deep the chain has reorganised cannot be "
                "told. Use a node that keeps older blocks",
                recoverable=True,
            )
        return found


def _breaks(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    return [(left, right) for left, right in pairwise(runs) if left.end_block + 1 == right.start_block]
