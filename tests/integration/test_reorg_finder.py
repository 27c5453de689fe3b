"""What is looked up in a chain that changes between two questions: how deep it has reorganised."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest

from ampd.data_store.ranges import BlockRange
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.reorgs import ReorgFinder
from ampd.metadata_db import MetadataDb
from ampd.sources.blocks import BlockSource
from support.ranges import Ranges, hash_of, running_extraction, segment

SEGMENTS = [(start, start + 4) for start in range(0, 50, 5)]
LAST = 49


@pytest.fixture
async def ranges(metadata_db: MetadataDb) -> AsyncIterator[Ranges]:
    """A lake that has the chain ``0`` up to block LAST, in segments of five blocks."""
    async with running_extraction(metadata_db) as ranges:
        for each in SEGMENTS:
            await ranges.plan(each)
            await ranges.commit(await ranges.take(), segment(*each))
        yield ranges


class Chain:
    """A source's end of a chain that parts from chain ``0`` at block ``forks_at`` and has so many blocks; ``heads`` are
    its newest blocks one question after the other, the last one from then on. Blocks in ``pruned`` are not there.
    """

    def __init__(self, *, forks_at: int, heads: list[int], pruned: range = range(0)) -> None:
        self._forks_at = forks_at
        self._heads = heads
        self._pruned = pruned

    async def latest_block(self, *, finalized: bool) -> int | None:
        assert not finalized
        return self._heads.pop(0) if len(self._heads) > 1 else self._heads[0]

    async def block_hash(self, number: int) -> bytes | None:
        head = await self.latest_block(finalized=False)
        if head is None or number > head or number in self._pruned:
            return None
        return hash_of(number, fork=int(number >= self._forks_at))


async def found_in(ranges: Ranges, chain: Chain) -> BlockRange | None:
    finder = ReorgFinder(cast(BlockSource, chain), ranges.store, [ranges.revisions["blocks"]])
    view = await ranges.store.view(ranges.job_id, list(ranges.revisions.values()))
    return await finder.find_at_end(view)


@pytest.mark.parametrize("forks_at", [49, 46, 45, 44, 31, 5, 0])
async def test_the_segments_from_the_fork_on_are_found(ranges: Ranges, forks_at: int) -> None:
    chain = Chain(forks_at=forks_at, heads=[60])
    assert await found_in(ranges, chain) == (forks_at // 5 * 5, LAST)


async def test_a_chain_that_is_as_it_was_needs_no_repair(ranges: Ranges) -> None:
    assert await found_in(ranges, Chain(forks_at=50, heads=[60])) is None


@pytest.mark.parametrize("newest", [40, 33, 4])
async def test_a_chain_that_is_taken_back_between_two_questions_is_waited_for(ranges: Ranges, newest: int) -> None:
    """Sources hear of blocks that are undone one by one, and of the new ones after that."""
    assert await found_in(ranges, Chain(forks_at=newest, heads=[60, newest])) is None


async def test_a_chain_that_is_as_long_again_at_the_second_look_is_compared(ranges: Ranges) -> None:
    assert await found_in(ranges, Chain(forks_at=31, heads=[60, 40, 60])) == (30, LAST)


async def test_a_node_that_lacks_an_old_block_and_has_newer_ones_is_told_of(ranges: Ranges) -> None:
    with pytest.raises(AmpError, match="the node has block 60, and none at 24: how deep") as told:
        await found_in(ranges, Chain(forks_at=31, heads=[60], pruned=range(45)))
    assert (told.value.code, told.value.recoverable) == (ErrorCode.BLOCK_NOT_AVAILABLE, True)
