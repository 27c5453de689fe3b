"""Jobs at the tip of a chain that reorganises: readers see one chain at any moment, and soon the right one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ampd.extraction.collected import Collected
from ampd.extraction.head import Head, HeadPolicy
from ampd.jobs import JobState
from ampd.metadata_db import MetadataDb
from support.tip import FIRST_BLOCK, Reader, Tip, tip_of


@pytest.fixture
async def tip(metadata_db: MetadataDb) -> AsyncIterator[Tip]:
    """A chain of 60 blocks of which 40 are there."""
    async with tip_of(metadata_db, length=60, head=40) as scene:
        yield scene


async def grown(tip: Tip, *heads: int, **options: int) -> int:
    """Start a worker and a job that follows the chain, and let it take the blocks up to each of ``heads``."""
    await tip.start_worker()
    job_id = await tip.deploy(**options)
    for head in heads:
        tip.node.head = FIRST_BLOCK + head - 1
        await tip.wait_for_chain(job_id, tip.forks.base, tip.node.head)
    return job_id


@pytest.mark.parametrize(
    ("segment_blocks", "fork_at"),
    [
        pytest.param(100_000, 41, id="shallower than the last segment"),
        pytest.param(5, 38, id="in the middle of a segment"),
        pytest.param(5, 35, id="at the edge of a segment"),
        pytest.param(5, 12, id="deeper than several segments"),
        pytest.param(1, 2, id="deeper than a page of segments"),
        pytest.param(5, 0, id="down to the first block"),
    ],
)
async def test_blocks_of_a_fork_are_replaced_by_those_of_the_chain(tip: Tip, segment_blocks: int, fork_at: int) -> None:
    tip.segment_blocks = segment_blocks
    job_id = await grown(tip, 40, 43)
    async with Reader(tip):
        longer = tip.forks.fork(tip.forks.base, at=fork_at, length=45)
        tip.node.follow(longer)
        await tip.wait_for_chain(job_id, longer)
    await tip.assert_rows_of(longer)
    assert (await tip.jobs.get(job_id)).state is JobState.RUNNING


async def test_a_fork_that_is_as_long_is_followed_and_one_that_is_shorter_is_waited_for(tip: Tip) -> None:
    job_id = await grown(tip, 40)
    same = tip.forks.fork(tip.forks.base, at=37, length=40)
    async with Reader(tip):
        tip.node.follow(same)
        await tip.wait_for_chain(job_id, same)
        shorter = tip.forks.fork(tip.forks.base, at=36, length=60)
        tip.node.follow(shorter, head=FIRST_BLOCK + 38)
        # It looks for new blocks all the time, and leaves what is there.
        before = len(await tip.db.fetch_all("SELECT FROM uncounted_files WHERE reason = 'ORPHANED'"))
        await _several_looks(tip)
        assert (await tip.segments()).is_of(same)
        tip.node.head = FIRST_BLOCK + 39
        await tip.wait_for_chain(job_id, shorter, FIRST_BLOCK + 39)
    orphaned = await tip.db.fetch_all("SELECT FROM uncounted_files WHERE reason = 'ORPHANED'")
    assert len(orphaned) > before > 0


async def _several_looks(tip: Tip) -> None:
    """Wait until the node has been asked for its newest block several times."""
    asked = 0
    answer = tip.node._methods.answer

    def counting(method: str, params: list[object]) -> list[bytes]:
        nonlocal asked
        asked += params[:1] == ["latest"]
        return answer(method, params)

    tip.node._methods.answer = counting  # type: ignore[method-assign,assignment]

    async def is_enough() -> bool:
        return asked >= 5

    await tip.until("several looks", is_enough)
    tip.node._methods.answer = answer  # type: ignore[method-assign]


async def test_a_chain_that_goes_back_and_forth_is_followed_each_time(tip: Tip) -> None:
    tip.segment_blocks = 3
    job_id = await grown(tip, 40, 42)
    one, other = tip.forks.base, tip.forks.fork(tip.forks.base, at=33, length=60)
    async with Reader(tip):
        for head in range(43, 50):
            chain = other if head % 2 else one
            tip.node.follow(chain, head=FIRST_BLOCK + head)
            await tip.wait_for_chain(job_id, chain, FIRST_BLOCK + head)
    await tip.assert_rows_of(other, FIRST_BLOCK + 49)


async def test_a_chain_that_changes_while_it_is_read_ends_as_one_chain(tip: Tip) -> None:
    """The changes come at any moment: nobody waits for the job in between."""
    tip.segment_blocks = 2
    job_id = await grown(tip, 40)
    async with Reader(tip):
        chain = tip.forks.base
        for depth in (1, 6, 2, 9, 3, 4, 15, 1):
            chain = tip.forks.fork(chain, at=44 - depth, length=60)
            tip.node.follow(chain, head=FIRST_BLOCK + 44)
            await _several_looks(tip)
        tip.node.head = FIRST_BLOCK + 59
        await tip.wait_for_chain(job_id, chain)
    await tip.assert_rows_of(chain)


async def test_several_workers_follow_a_reorg_in_the_middle_of_their_work(tip: Tip) -> None:
    tip.target_seconds = 0.05
    tip.segment_blocks = 4
    for name in ("left", "right"):
        await tip.start_worker(name)
    job_id = await tip.deploy(parallelism=5)
    chain = tip.forks.fork(tip.forks.base, at=10, length=60)

    async def has_begun() -> bool:
        return (await tip.segments()).end >= FIRST_BLOCK + 12

    async with Reader(tip):
        await tip.until("some blocks", has_begun)
        tip.node.follow(chain)
        await tip.wait_for_chain(job_id, chain)
    await tip.assert_rows_of(chain)


async def test_files_that_were_replaced_are_deleted_after_a_delay(tip: Tip) -> None:
    job_id = await grown(tip, 40, 42)
    longer = tip.forks.fork(tip.forks.base, at=40, length=44)
    tip.node.follow(longer)
    await tip.wait_for_chain(job_id, longer)
    replaced = await tip.db.fetch_all("SELECT path FROM uncounted_files WHERE reason = 'ORPHANED'")
    assert len(replaced) == 4
    assert all([await tip.lake.get(row["path"]) for row in replaced])
    await tip.db.execute("UPDATE uncounted_files SET collect_at = now()")

    async def are_gone() -> bool:
        return not any([await tip.lake.get(row["path"]) for row in replaced])

    await tip.until("the deletion", are_gone)


async def test_a_job_that_was_stopped_finds_the_reorg_when_it_goes_on(tip: Tip) -> None:
    job_id = await grown(tip, 40, 42)
    await tip.jobs.request_stop(job_id, actor="test")
    await tip.wait_for_state(job_id, JobState.STOPPED)
    longer = tip.forks.fork(tip.forks.base, at=30, length=44)
    tip.node.follow(longer)
    assert await tip.deploy() == job_id
    await tip.wait_for_chain(job_id, longer)
    await tip.assert_rows_of(longer)


# --- how far a job goes


async def test_a_job_stays_as_many_blocks_behind_the_newest_as_its_provider_says(tip: Tip) -> None:
    await tip.start_worker()
    job_id = await tip.deploy(confirmations=7)
    for head in (39, 45):
        tip.node.head = FIRST_BLOCK + head
        await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + head - 7)
    await _several_looks(tip)
    await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + 38)


@pytest.mark.parametrize(("finality", "behind"), [(5, 5), (0, 0)])
async def test_a_chain_without_a_finalized_block_is_final_after_so_many_blocks(
    tip: Tip, finality: int, behind: int
) -> None:
    await tip.start_worker()
    job_id = await tip.deploy(finalized=True, finality=finality)
    await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + 39 - behind)


async def test_the_final_block_of_a_job_never_goes_back(tip: Tip) -> None:
    async with tip.source() as source:
        head = Head(source, HeadPolicy(finality=5), finalized_only=True)
        assert await head.ask() == FIRST_BLOCK + 34
        tip.node.head = FIRST_BLOCK + 30
        assert await head.ask() == FIRST_BLOCK + 34
        tip.node.head = FIRST_BLOCK + 50
        assert await head.ask() == FIRST_BLOCK + 45


async def test_the_newest_block_as_an_end_is_one_with_its_confirmations(tip: Tip) -> None:
    await tip.start_worker()
    job_id = await tip.deploy(end_block="latest", confirmations=10)
    await tip.wait_for_state(job_id, JobState.COMPLETED)
    await tip.assert_rows_of(tip.forks.base, FIRST_BLOCK + 29)


async def test_an_end_in_the_future_is_waited_for(tip: Tip) -> None:
    await tip.start_worker()
    job_id = await tip.deploy(end_block=str(FIRST_BLOCK + 44))
    await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + 39)
    assert (await tip.jobs.get(job_id)).state is JobState.RUNNING
    tip.node.head = FIRST_BLOCK + 50
    await tip.wait_for_state(job_id, JobState.COMPLETED)
    await tip.assert_rows_of(tip.forks.base, FIRST_BLOCK + 44)


async def test_ranges_that_have_too_much_in_memory_are_written_before_they_end(tip: Tip) -> None:
    tip.collected = Collected(most_bytes=1)
    await tip.start_worker()
    job_id = await tip.deploy(end_block=str(FIRST_BLOCK + 15))
    await tip.wait_for_state(job_id, JobState.COMPLETED)
    await tip.assert_rows_of(tip.forks.base, FIRST_BLOCK + 15)
    # One range, of which blocks come in runs of eight.
    assert [row["start_block"] - FIRST_BLOCK for row in (await tip.segments()).rows] == [0, 8]
