"""The chain reorganises at the very moment in which small segments become one: the lake is one chain at any time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ampd.chain.tables import TABLES
from ampd.extraction import CompactionSettings
from ampd.extraction.compaction import CompactionLimits
from ampd.metadata_db import MetadataDb
from ampd.replay_node import ReplayChain
from support.anvil import Anvil
from support.row_reader import Chain, RowReader, hashes_of
from support.staged import HeldPuts, held_commits, held_puts
from support.tip import FIRST_BLOCK, Tip, tip_of

GROUP = 10  # blocks, each a segment, that become one
HEAD = 13  # blocks that are there when the chain reorganises
LONGER = 15


@pytest.fixture
async def tip(metadata_db: MetadataDb) -> AsyncIterator[Tip]:
    """A chain of which the first ten blocks are there. Each block is a segment, and ten become one."""
    async with tip_of(metadata_db, length=60, head=GROUP) as scene:
        scene.segment_blocks = 1
        scene.compaction = _compaction(GROUP)
        yield scene


def _compaction(fewest: int) -> CompactionSettings:
    return CompactionSettings(interval_seconds=0.01, limits=CompactionLimits(fewest=fewest))


# The compaction of the group puts a file of each table. It alone is let go: later ones are another story.
GROUP_PUTS = len(TABLES)


async def _writing_the_group(tip: Tip, compaction: HeldPuts) -> int:
    """Bring the job to where ten segments are being made one, and three more have come."""
    await tip.start_worker()
    job_id = await tip.deploy()
    await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + GROUP - 1)
    await asyncio.wait_for(compaction.arrived.wait(), 30)
    tip.node.head = FIRST_BLOCK + HEAD - 1
    await tip.wait_for_chain(job_id, tip.forks.base, tip.node.head)
    return job_id


async def _assert_tidy(tip: Tip, reader: RowReader, chain: ReplayChain, end: int | None = None) -> None:
    """Check the rows and what the reader saw, and that nobody's files are in the lake."""
    await tip.assert_rows_of(chain, end)
    reader.assert_only_of(map(hashes_of, tip.forks.all))

    async def is_tidy() -> bool:
        known = await tip.db.fetch_all(
            "SELECT path FROM uncounted_files WHERE reason IN ('ORPHANED', 'COMPACTED')"
            " UNION SELECT r.path || '/' || f.file_name FROM files f JOIN table_revisions r ON r.id = f.revision_id"
        )
        return {found.path for found in await tip.lake.list()} == {row["path"] for row in known}

    await tip.until("a lake without leftovers", is_tidy)


async def _counts(tip: Tip, reason: str) -> int:
    query = "SELECT FROM uncounted_files u JOIN table_revisions r ON r.id = u.revision_id WHERE reason = %(reason)s"
    return len(await tip.db.fetch_all(query, {"reason": reason}))


# Where the fork is: within the segments that are being compacted, or right behind them.
EDGE, LAST, MIDDLE, FIRST = GROUP, GROUP - 1, 4, 0


_PLACES = {EDGE: "at the edge", LAST: "at the last block", MIDDLE: "in the middle", FIRST: "at the first block"}


def _case(fork_at: int, *others: str, long: bool = False) -> Any:
    """Return a case, or leave it to `make test-long`."""
    name = ", ".join((_PLACES[fork_at], *(f"{other} first" for other in others)))
    return pytest.param(fork_at, *others, id=name, marks=[pytest.mark.long] if long else [])


@pytest.mark.parametrize(
    ("fork_at", "first"),
    [
        _case(MIDDLE, "compaction"),
        _case(MIDDLE, "extraction"),
        *(_case(at, first, long=True) for at in (EDGE, LAST, FIRST) for first in ("compaction", "extraction")),
    ],
)
async def test_a_reorg_and_a_compaction_that_commit_at_once_leave_one_chain(tip: Tip, fork_at: int, first: str) -> None:
    compaction, extraction = HeldPuts("compaction"), HeldPuts("extraction")
    with held_puts(tip, compaction):
        job_id = await _writing_the_group(tip, compaction)
        longer = tip.forks.fork(tip.forks.base, at=fork_at, length=LONGER)
        async with RowReader(tip, FIRST_BLOCK) as reader:
            with held_puts(tip, extraction):
                tip.node.follow(longer)
                await asyncio.wait_for(extraction.arrived.wait(), 30)
                async with held_commits(tip) as commits:
                    for each in (compaction, extraction) if first == "compaction" else (extraction, compaction):
                        each.release(GROUP_PUTS if each is compaction else None)
                        await commits.wait_for(each.writer)
                    await commits.release()
                    await tip.wait_for_chain(job_id, longer)
    swapped = await _counts(tip, "COMPACTED")
    await _assert_tidy(tip, reader, longer)
    # The one that came first has got through; the other one has, where it concerned other blocks.
    assert (swapped > 0) == (first == "compaction" or fork_at == GROUP)


@pytest.mark.parametrize("fork_at", [_case(EDGE), _case(MIDDLE), _case(LAST, long=True), _case(FIRST, long=True)])
async def test_files_that_were_compacted_while_a_reorg_replaced_their_blocks_never_count(
    tip: Tip, fork_at: int
) -> None:
    compaction = HeldPuts("compaction")
    with held_puts(tip, compaction):
        job_id = await _writing_the_group(tip, compaction)
        longer = tip.forks.fork(tip.forks.base, at=fork_at, length=LONGER)
        async with RowReader(tip, FIRST_BLOCK) as reader:
            tip.node.follow(longer)
            await tip.wait_for_chain(job_id, longer)
            compaction.release(GROUP_PUTS)
            await _assert_tidy(tip, reader, longer)
    assert (await _counts(tip, "COMPACTED") > 0) == (fork_at == GROUP)


async def test_blocks_that_came_back_after_a_reorg_are_not_those_that_were_being_compacted(tip: Tip) -> None:
    """There and back: the blocks are the same by their hashes, and their files are others."""
    compaction = HeldPuts("compaction")
    one = tip.forks.base
    with held_puts(tip, compaction):
        job_id = await _writing_the_group(tip, compaction)
        other = tip.forks.fork(one, at=4, length=HEAD + 1)
        async with RowReader(tip, FIRST_BLOCK) as reader:
            for chain, head in ((other, HEAD), (one, HEAD + 1)):
                tip.node.follow(chain, head=FIRST_BLOCK + head)
                await tip.wait_for_chain(job_id, chain, FIRST_BLOCK + head)
            compaction.release(GROUP_PUTS)
            await _assert_tidy(tip, reader, one, FIRST_BLOCK + HEAD + 1)
    assert await _counts(tip, "COMPACTED") == 0


async def test_a_chain_that_goes_back_and_forth_while_everything_is_compacted_is_one_chain_to_every_look(
    tip: Tip,
) -> None:
    """Nobody waits for anybody: the chain changes as soon as the job has seen it, or before."""
    tip.segment_blocks, tip.compaction = 2, _compaction(2)
    one = tip.forks.base
    await tip.start_worker()
    job_id = await tip.deploy()
    await tip.wait_for_chain(job_id, one, FIRST_BLOCK + GROUP - 1)
    other, third = (tip.forks.fork(one, at=at, length=60) for at in (3, 8))
    deep = tip.forks.fork(other, at=6, length=60)
    moves = [other, one, other, third, one, deep, other, deep, one, third]
    async with RowReader(tip, FIRST_BLOCK) as reader:
        for at, chain in enumerate(moves):
            head = FIRST_BLOCK + GROUP + at
            tip.node.follow(chain, head=head)
            if at % 3 != 1:  # else it changes again before anybody has followed
                await tip.wait_for_chain(job_id, chain, head)
        tip.node.head = FIRST_BLOCK + 40
        await tip.wait_for_chain(job_id, third, tip.node.head)
    await _assert_tidy(tip, reader, third, FIRST_BLOCK + 40)
    assert await _counts(tip, "COMPACTED") > 0
    assert await _counts(tip, "ORPHANED") > 0
    assert len(reader.seen) >= len(moves) // 2


async def test_a_node_that_reorganises_while_its_blocks_are_compacted_is_followed(tip: Tip, tmp_path: Path) -> None:
    """With anvil and its reorgs: what a look sees is the beginning of a chain that the node had."""
    tip.segment_blocks, tip.compaction = 2, _compaction(2)
    chains: list[Chain] = []
    with Anvil(tmp_path) as node:

        def step(method: str, *parameters: Any) -> None:
            node.call(method, *parameters)
            blocks = [node.call("eth_getBlockByNumber", hex(number), False) for number in range(node.head() + 1)]
            chains.append(tuple(block["hash"] for block in blocks))

        async def is_there() -> bool:
            return await reader.look() == chains[-1]

        step("anvil_mine", hex(12))
        await tip.start_worker()
        await tip.deploy(start_block=0, url=node.url)
        async with RowReader(tip, 0) as reader:
            await tip.until("the first blocks", is_there)
            for depth in (1, 3, 7, 2, 11, 1, 5):
                # On a thread: the node goes on while the job reads, writes and compacts.
                await asyncio.to_thread(step, "anvil_reorg", depth, [])
                node.send(1, to=node.accounts[2], value=depth)
                await asyncio.to_thread(step, "anvil_mine", hex(2))
                if depth != 3:
                    await tip.until(f"a chain after a reorg of {depth} blocks", is_there)
            await tip.until("the last chain", is_there)
        reader.assert_only_of(chains)
    assert await _counts(tip, "COMPACTED") > 0
    assert await _counts(tip, "ORPHANED") > 0
