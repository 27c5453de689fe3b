"""Jobs that read from a Firehose server: exact rows under reorgs and faults, and the cursor never ahead of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import LiteralString

import pyarrow as pa
import pytest

from ampd.chain.tables import FIREHOSE_TABLES
from ampd.jobs import JobState
from ampd.metadata_db import MetadataDb
from ampd.replay_node.firehose import FirehoseCall, StreamFault, calls_of, cursor_of
from ampd.replay_node.firehose_chain import FirehoseChain
from ampd.sources.firehose.decode import decode
from support.firehose_tip import FirehoseTip, firehose_tip_of
from support.tip import FIRST_BLOCK, Reader

LENGTH = 60


@pytest.fixture
async def tip(metadata_db: MetadataDb) -> AsyncIterator[FirehoseTip]:
    """A chain of 60 blocks of which 40 are there."""
    async with firehose_tip_of(metadata_db, length=LENGTH, head=40) as scene:
        yield scene


async def assert_cursors_behind_data(tip: FirehoseTip) -> None:
    assert await tip.cursors_without_data() == []


async def assert_rows_of(tip: FirehoseTip, chain: FirehoseChain, end: int | None = None) -> None:
    await tip.assert_rows_of(chain, end)  # type: ignore[arg-type]
    wanted = decoded_rows(chain, end)
    for name in FIREHOSE_TABLES:
        assert (await tip.table(name)).equals(wanted[name]), name
    await assert_cursors_behind_data(tip)


def decoded_rows(chain: FirehoseChain, end: int | None) -> dict[str, pa.Table]:
    """Return the rows of each block by itself, of all tables."""
    numbers = range(chain.first_block, (chain.last_block if end is None else end) + 1)
    batches = [decode([number], [chain.block(number).payload], chain_id=1) for number in numbers]
    return {name: pa.concat_tables([batch.tables[name] for batch in batches]) for name in FIREHOSE_TABLES}


async def test_several_workers_share_the_ranges_of_a_dataset(tip: FirehoseTip) -> None:
    tip.segment_blocks, tip.target_seconds = 3, 0.01
    for name in ("one", "two", "three"):
        await tip.start_worker(name, slots=2)
    job_id = await tip.deploy(end_block=str(FIRST_BLOCK + 39), parallelism=4)
    await tip.wait_for_state(job_id, JobState.COMPLETED)
    await assert_rows_of(tip, tip.forks.base, FIRST_BLOCK + 39)
    starts = {call.start_block for call in calls_of(tip.node, "Blocks") if call.start_block > 0}
    assert len(starts) > 2, "one range was one stream"
    assert [row["end_block"] for row in await tip.cursors()] == [FIRST_BLOCK + 39]


async def test_the_next_range_goes_on_at_the_cursor_of_the_last_one(tip: FirehoseTip) -> None:
    await tip.start_worker()
    job_id = await tip.deploy()
    for head in (40, 43, 44):
        tip.node.grow_to(FIRST_BLOCK + head - 1)
        await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + head - 1)
    (kept,) = await tip.cursors()
    last = tip.forks.base.identity(FIRST_BLOCK + 43)
    assert (kept["end_block"], kept["cursor"]) == (last.number, cursor_of(last.number, last.hash[2:]))
    resumed = {call.cursor for call in calls_of(tip.node, "Blocks")}
    for block in (39, 42):
        identity = tip.forks.base.identity(FIRST_BLOCK + block)
        assert cursor_of(identity.number, identity.hash[2:]) in resumed
    await assert_rows_of(tip, tip.forks.base, FIRST_BLOCK + 43)


@pytest.mark.parametrize(
    ("segment_blocks", "fork_at"),
    [
        pytest.param(100_000, 41, id="shallower than the last segment"),
        pytest.param(5, 12, id="deeper than several segments"),
        pytest.param(5, 0, id="down to the first block", marks=pytest.mark.long),
    ],
)
async def test_blocks_that_are_undone_are_replaced_by_those_of_the_chain(
    tip: FirehoseTip, segment_blocks: int, fork_at: int
) -> None:
    tip.segment_blocks = segment_blocks
    await tip.start_worker()
    job_id = await tip.deploy()
    for head in (40, 43):
        tip.node.grow_to(FIRST_BLOCK + head - 1)
        await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + head - 1)
    async with Reader(tip):
        longer = tip.forks.fork(tip.forks.base, at=fork_at, length=45)
        tip.node.follow(longer)
        await tip.wait_for_chain(job_id, longer)
    await assert_rows_of(tip, longer)
    assert (await tip.jobs.get(job_id)).state is JobState.RUNNING


@pytest.mark.parametrize(
    "depths", [(1, 6, 9), pytest.param((1, 6, 2, 9, 3, 4, 15, 1), marks=pytest.mark.long)], ids=["few", "many"]
)
async def test_a_chain_that_changes_while_it_is_read_ends_as_one_chain(
    tip: FirehoseTip, depths: tuple[int, ...]
) -> None:
    """The changes come at any moment: nobody waits for the job in between."""
    tip.segment_blocks = 2
    await tip.start_worker()
    job_id = await tip.deploy()
    await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + 39)
    async with Reader(tip):
        chain = tip.forks.base
        for depth in depths:
            chain = tip.forks.fork(chain, at=44 - depth, length=LENGTH)
            before = len(tip.node.calls)
            tip.node.follow(chain, head=FIRST_BLOCK + 44)

            async def was_asked(before: int = before) -> bool:
                return len(tip.node.calls) > before

            await tip.until("the server to be asked", was_asked)
            await assert_cursors_behind_data(tip)
        tip.node.grow_to(FIRST_BLOCK + LENGTH - 1)
        await tip.wait_for_chain(job_id, chain)
    await assert_rows_of(tip, chain)


async def test_streams_that_break_all_the_time_change_no_row(tip: FirehoseTip) -> None:
    """Every stream ends after a few blocks, in every way that a server has."""
    codes = ["UNAVAILABLE", "OK", "INTERNAL", "CANCELLED", "UNKNOWN"]

    def choose(call: FirehoseCall) -> StreamFault | None:
        is_range = call.method == "Blocks" and call.start_block >= 0
        return StreamFault(after=15, code=codes[call.sequence % len(codes)]) if is_range else None

    tip.node.faults = choose
    tip.segment_blocks = 12
    await tip.start_worker()
    job_id = await tip.deploy(end_block=str(FIRST_BLOCK + 39))
    await tip.wait_for_state(job_id, JobState.COMPLETED)
    await assert_rows_of(tip, tip.forks.base, FIRST_BLOCK + 39)


# The database refuses at the very end of a transaction in which files begin to count, as when it goes down then.
_REFUSE: LiteralString = """
CREATE SEQUENCE refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('refusals') <= 4 THEN
        RAISE EXCEPTION 'cut off' USING ERRCODE = '57P01';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER refuse_files AFTER INSERT ON files DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
async def _refusing(metadata_db: MetadataDb) -> AsyncIterator[None]:
    async with metadata_db.transaction() as connection:
        await connection.execute(_REFUSE.encode())
    yield
    async with metadata_db.transaction() as connection:
        await connection.execute(b"DROP FUNCTION refuse CASCADE")
        await connection.execute(b"DROP SEQUENCE refusals")


@pytest.mark.usefixtures("_refusing")
async def test_a_commit_that_fails_leaves_neither_rows_nor_cursor(tip: FirehoseTip) -> None:
    """However a cursor is written: when the data do not come to count it is not there, and the next try is whole."""
    await tip.start_worker()
    job_id = await tip.deploy(end_block=str(FIRST_BLOCK + 39))
    async with asyncio.timeout(30):
        while (await tip.jobs.get(job_id)).state is not JobState.COMPLETED:
            await assert_cursors_behind_data(tip)
            await tip.db.execute("UPDATE jobs SET run_at = now() WHERE state = 'SCHEDULED'")
            await asyncio.sleep(0.01)
    (row,) = await tip.db.fetch_all("SELECT last_value FROM refusals")
    assert row["last_value"] > 4, "no commit has failed"
    retried = await tip.db.fetch_all("SELECT FROM job_events WHERE event_type = 'SCHEDULED'")
    assert len(retried) > 1
    await assert_rows_of(tip, tip.forks.base, FIRST_BLOCK + 39)


async def test_finalized_datasets_stay_behind_what_can_be_undone(metadata_db: MetadataDb) -> None:
    async with firehose_tip_of(metadata_db, length=LENGTH, head=40, blocks_until_final=10) as tip:
        await tip.start_worker()
        job_id = await tip.deploy(finalized=True)
        await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + 29)
        tip.node.grow_to(FIRST_BLOCK + 44)
        await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + 34)
        await assert_rows_of(tip, tip.forks.base, FIRST_BLOCK + 34)
