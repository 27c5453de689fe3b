"""The table ``calls`` in what happens to a lake later: one file made of many, and all restored from files alone."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampd.chain.tables import FIREHOSE_TABLES, SORT_COLUMNS, TABLES
from ampd.data_store import Dataset, Restorer
from ampd.jobs import JobCreator, JobState, NewJob
from ampd.metadata_db import MetadataDb
from ampd.replay_node import ReplayNode, load_recorded_chain
from ampd.replay_node.firehose import ReplayFirehose, calls_of, cursor_of
from ampd.replay_node.firehose_chain import recorded_chain
from ampd.sources.firehose.decode import decode
from oracle.recorded import recorded
from support.databases import empty
from support.firehose_blocks import FIRST, LAST, firehose_block, recorded_firehose_blocks
from support.firehose_tip import FirehoseForks, FirehoseTip
from support.nodes import BLOCKS
from support.tip import Tip

MIDDLE = FIRST + 3


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
async def tip(metadata_db: MetadataDb, executor: ThreadPoolExecutor) -> AsyncIterator[FirehoseTip]:
    """Six recorded blocks of mainnet, with their 4,816 calls; each becomes a segment of its own."""
    async with ReplayFirehose(recorded_chain(recorded_firehose_blocks()), chain_name="tip") as server:
        scene = FirehoseTip(metadata_db, FirehoseForks(1), server, executor)  # type: ignore[arg-type]
        scene.segment_blocks = 1
        try:
            yield scene
        finally:
            await scene.end()


def expected(last: int) -> dict[str, pa.Table]:
    payloads = [block.payload for block in recorded_firehose_blocks()][: last - FIRST + 1]
    return decode(list(range(FIRST, last + 1)), payloads, chain_id=1).tables


async def extract(tip: FirehoseTip, last: int) -> int:
    job_id = await tip.deploy(start_block=FIRST, end_block=str(last))
    await tip.wait_for_state(job_id, JobState.COMPLETED)
    return job_id


async def compact(tip: FirehoseTip, of_job: int) -> None:
    wanted = (await tip.jobs.get(of_job)).input
    dataset = {name: wanted[name] for name in ("dataset_namespace", "dataset_name", "manifest_hash")}
    job, _ = await JobCreator(tip.db).create(NewJob("compaction", dataset, "hash", retries=0), actor="test")
    await tip.wait_for_state(job, JobState.COMPLETED)


async def assert_lake(tip: FirehoseTip, last: int, *, files: int) -> None:
    """Check that every table has the rows of the blocks up to ``last``, in order, in so many files."""
    wanted = expected(last)
    for name in FIREHOSE_TABLES:
        assert (await tip.table(name)).equals(wanted[name]), name
        segments = (await tip.segments(name)).rows
        assert (len(segments), segments[-1]["end_block"]) == (files, last), name


async def sorted_by(tip: FirehoseTip, path: str) -> tuple[str, ...]:
    """Return the columns by which a file says that it is sorted."""
    content = await tip.lake.get(path)
    assert content is not None
    file = pq.ParquetFile(pa.BufferReader(content))
    columns = file.metadata.row_group(0).sorting_columns
    return tuple(file.schema_arrow.names[column.column_index] for column in columns)


@pytest.mark.parametrize(
    ("name", "filled"),
    [
        pytest.param("18000000", ("withdrawals", "logs"), id="withdrawals"),
        pytest.param("19433903", ("withdrawals", "logs"), id="blobs", marks=pytest.mark.long),
    ],
)
async def test_both_sources_leave_the_same_parquet_rows_in_every_shared_table(
    metadata_db: MetadataDb, executor: ThreadPoolExecutor, tmp_path: Path, name: str, filled: tuple[str, ...]
) -> None:
    """The recorded Firehose blocks have no withdrawals: here they are made from what the node answered."""
    one = recorded(f"ethereum/{name}")
    shutil.copy(BLOCKS / "ethereum" / f"{name}.json.gz", tmp_path)
    tables = {}
    async with (
        ReplayNode(load_recorded_chain(tmp_path)) as node,
        ReplayFirehose(recorded_chain([firehose_block(one.block, one.receipts)]), chain_name="tip") as server,
    ):
        for kind, serving in ((Tip, node), (FirehoseTip, server)):
            empty(metadata_db.url)
            scene = kind(metadata_db, FirehoseForks(1), serving, executor)  # type: ignore[arg-type]
            await scene.start_worker()
            job_id = await scene.deploy(start_block=one.number, end_block=str(one.number))
            await scene.wait_for_state(job_id, JobState.COMPLETED)
            await scene.end()
            tables[kind] = {table: await scene.table(table) for table in TABLES}
    for table in TABLES:
        assert tables[FirehoseTip][table].schema.equals(tables[Tip][table].schema, check_metadata=False), table
        assert tables[FirehoseTip][table].equals(tables[Tip][table]), table
    assert all(len(tables[Tip][table]) for table in filled)


async def test_calls_are_the_same_rows_when_many_files_have_become_one_and_the_stream_goes_on(tip: FirehoseTip) -> None:
    tip.node.grow_to(MIDDLE)
    await tip.start_worker()
    job_id = await tip.deploy(start_block=FIRST)
    await tip.wait_for_chain(job_id, tip.node.chain, MIDDLE)
    await assert_lake(tip, MIDDLE, files=4)
    await compact(tip, job_id)
    await assert_lake(tip, MIDDLE, files=1)
    (segment,) = (await tip.segments("calls")).rows
    assert await sorted_by(tip, segment["path"]) == SORT_COLUMNS["calls"]
    # The cursor is that of the last block still.
    assert await tip.cursors_without_data() == []
    tip.node.grow_to(LAST)
    await tip.wait_for_chain(job_id, tip.node.chain, LAST)
    last = tip.node.chain.identity(MIDDLE)
    assert cursor_of(last.number, last.hash[2:]) in {call.cursor for call in calls_of(tip.node, "Blocks")}
    await assert_lake(tip, LAST, files=3)


async def test_calls_outlive_their_database_with_the_other_tables(tip: FirehoseTip) -> None:
    await tip.start_worker()
    job_id = await extract(tip, MIDDLE)
    await compact(tip, job_id)
    dataset_of = (await tip.jobs.get(job_id)).input
    await tip.end()
    empty(tip.db.url)

    revived = FirehoseTip(tip.db, tip.forks, tip.node, tip._executor)
    revived.segment_blocks, revived.lake = 1, tip.lake
    manifest_hash = await revived.register(start_block=FIRST)
    assert manifest_hash == dataset_of["manifest_hash"]
    dataset = Dataset("tip", "chain", manifest_hash, FIRST)
    restored = await Restorer(tip.db, tip.lake).restore_dataset(dataset, "tip", list(FIREHOSE_TABLES))
    told = {each.table_name: (each.files_count, each.start_block, each.end_block, each.unusable) for each in restored}
    assert told == {name: (1, FIRST, MIDDLE, {}) for name in FIREHOSE_TABLES}
    assert {each.left_out for each in restored} == {4}, "what was compacted is there, and does not count"
    await assert_lake(revived, MIDDLE, files=1)
    assert await revived.cursors() == [], "a cursor is no part of a file: the next stream begins by number"
    before = len(calls_of(tip.node, "Blocks"))
    await revived.start_worker("two")
    try:
        await extract(revived, LAST)
    finally:
        await revived.end()
    asked = {(call.start_block, call.cursor) for call in calls_of(tip.node, "Blocks")[before:] if call.start_block > 0}
    assert min(start for start, _ in asked) == MIDDLE + 1, "no block came twice"
    await assert_lake(revived, LAST, files=3)
