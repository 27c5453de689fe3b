"""Small segments at the tip become large ones, and readers never see both or neither."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampd.chain.tables import TABLES
from ampd.data_store import CompactionStore, SegmentFile, StoredFile, WrittenSegment
from ampd.errors import AmpError, ErrorCode
from ampd.extraction import CompactionSettings
from ampd.extraction.compaction import CompactionLimits
from ampd.metadata_db import MetadataDb
from support.ranges import Ranges, running_extraction, segment
from support.tip import FIRST_BLOCK, Reader, Tip, tip_of

FEWEST = 4


@pytest.fixture
async def tip(metadata_db: MetadataDb) -> AsyncIterator[Tip]:
    """A chain of 60 blocks of which 10 are there; each segment has one block."""
    async with tip_of(metadata_db, length=60, head=10) as scene:
        scene.segment_blocks = 1
        scene.compaction = CompactionSettings(interval_seconds=0.02, limits=CompactionLimits(fewest=FEWEST))
        yield scene


async def _wait_for_fewer_segments(tip: Tip, most: int) -> None:
    async def are_few() -> bool:
        return all([len((await tip.segments(table)).rows) <= most for table in TABLES])

    await tip.until("compaction", are_few)


async def test_small_segments_become_one_while_the_job_goes_on(tip: Tip) -> None:
    await tip.start_worker()
    job_id = await tip.deploy()
    async with Reader(tip):
        for head in (10, 23, 38):
            tip.node.head = FIRST_BLOCK + head - 1
            await tip.wait_for_chain(job_id, tip.forks.base, tip.node.head)
        await _wait_for_fewer_segments(tip, FEWEST)
    await tip.assert_rows_of(tip.forks.base, FIRST_BLOCK + 37)
    for name, schema in TABLES.items():
        (first, *_) = (await tip.segments(name)).rows
        content = await tip.lake.get(first["path"])
        assert content is not None
        file = pq.ParquetFile(pa.BufferReader(content))
        footer = file.metadata.metadata
        assert footer[b"parent_file_ids"] != b"[]"
        assert int(footer[b"generation"]) >= 1
        assert list(footer).count(b"nozzle_metadata") == 1
        assert file.schema_arrow.equals(schema)
        numbers = pq.read_table(pa.BufferReader(content)).column("_block_num").to_pylist()
        assert numbers == sorted(numbers)
    progress = await tip.tables.progress_of_job(job_id)
    assert {table.current_block for table in progress.values()} == {FIRST_BLOCK + 37}
    assert progress["blocks"].row_count == 38

    async def files_are_counted() -> bool:  # compaction goes on between two looks
        progress = await tip.tables.progress_of_job(job_id)
        return progress["blocks"].files_count == len((await tip.segments()).rows)

    await tip.until("the same count of files", files_are_counted)


async def test_files_that_were_compacted_stay_for_those_who_read_them_and_go_later(tip: Tip) -> None:
    await tip.start_worker()
    job_id = await tip.deploy()
    await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + 9)
    await _wait_for_fewer_segments(tip, FEWEST)
    old = await tip.db.fetch_all("SELECT path FROM uncounted_files WHERE reason = 'COMPACTED'")
    assert len(old) >= FEWEST * len(TABLES)
    assert all([await tip.lake.get(row["path"]) for row in old])
    await tip.db.execute("UPDATE uncounted_files SET collect_at = now() WHERE reason = 'COMPACTED'")

    async def are_gone() -> bool:
        return not any([await tip.lake.get(row["path"]) for row in old])

    await tip.until("the deletion", are_gone)


async def test_a_reorg_into_compacted_blocks_is_repaired(tip: Tip) -> None:
    await tip.start_worker()
    job_id = await tip.deploy()
    await tip.wait_for_chain(job_id, tip.forks.base, FIRST_BLOCK + 9)
    await _wait_for_fewer_segments(tip, FEWEST)
    forked = tip.forks.fork(tip.forks.base, at=5, length=30)
    async with Reader(tip):
        tip.node.follow(forked)
        await tip.wait_for_chain(job_id, forked)
        await _wait_for_fewer_segments(tip, 2 * FEWEST)
    await tip.assert_rows_of(forked)


# --- the swap


@pytest.fixture
async def ranges(metadata_db: MetadataDb) -> AsyncIterator[Ranges]:
    """A job with four segments of five blocks."""
    async with running_extraction(metadata_db) as scene:
        await scene.plan(*((start, start + 4) for start in range(0, 20, 5)))
        for start in range(0, 20, 5):
            await scene.commit(await scene.take(), segment(start, start + 4))
        yield scene


async def _written(ranges: Ranges, store: CompactionStore) -> tuple[list[StoredFile], WrittenSegment]:
    """Read the segments of blocks 5 to 14, and write the file that has all of them."""
    old = [each for each in await store.next_files(list(ranges.revisions.values())) if 5 <= each.start_block < 15]
    assert len(old) == 2 * len(ranges.revisions)
    begun = {f"{revision.path}/000000005-new.parquet": revision for revision in ranges.revisions.values()}
    await store.begin_files(ranges.lease, begun)
    files = {}
    for path, revision in begun.items():
        await ranges.lake.put(path, b"all rows")
        files[path] = SegmentFile(revision.id, path.rpartition("/")[2], 14, 8, None, None, {})
    return old, WrittenSegment(segment(5, 14), files)


def _store(ranges: Ranges) -> CompactionStore:
    return CompactionStore(ranges.db, cooldown_seconds=0.0, deletion_delay_seconds=3600.0)


async def test_a_swap_is_one_step_and_the_line_of_blocks_stays_whole(ranges: Ranges) -> None:
    store = _store(ranges)
    old, new = await _written(ranges, store)
    await ranges.leftovers.sweep()  # it is being written: it stays
    before = await ranges.run("SELECT * FROM block_runs ORDER BY revision_id")
    await store.swap(ranges.lease, old, new)
    assert await ranges.counting() == [(0, 4), (5, 14), (15, 19)]
    after = await ranges.run("SELECT * FROM block_runs ORDER BY revision_id")
    assert [(row["start_block"], row["end_block"], row["row_count"]) for row in after] == [
        (row["start_block"], row["end_block"], row["row_count"]) for row in before
    ]
    assert [row["files_count"] for row in after] == [3] * len(ranges.revisions)
    (created_at,) = {row["created_at"] for row in await ranges.run("SELECT created_at FROM files WHERE row_count = 14")}
    assert created_at == max(file.created_at for file in old)


async def test_a_swap_whose_files_a_reorg_has_taken_changes_nothing(ranges: Ranges) -> None:
    store = _store(ranges)
    old, new = await _written(ranges, store)
    await ranges.plan((10, 19), replaces=True)
    await ranges.commit(await ranges.take(), segment(10, 19, fork=1, parent_fork=0))
    with pytest.raises(AmpError) as refused:
        await store.swap(ranges.lease, old, new)
    assert refused.value.code == ErrorCode.LEASE_LOST
    assert await ranges.counting() == [(0, 4), (5, 9), (10, 19)]


@pytest.mark.parametrize(
    ("start", "end"), [(10, 19), (0, 9), (10, 14)], ids=["before it", "behind it", "on both sides"]
)
async def test_a_reorg_of_a_part_of_what_has_been_compacted_changes_nothing(
    ranges: Ranges, start: int, end: int
) -> None:
    """Else the other blocks of the large file would go with it, until they are extracted again."""
    store = _store(ranges)
    old, new = await _written(ranges, store)
    await ranges.plan((start, end), replaces=True)
    lease = await ranges.take()
    await store.swap(ranges.lease, old, new)
    with pytest.raises(AmpError, match="have become one segment") as refused:
        await ranges.commit(lease, segment(start, end, fork=1, parent_fork=0))
    assert refused.value.code == ErrorCode.RANGE_ALREADY_COMMITTED
    assert await ranges.counting() == [(0, 4), (5, 14), (15, 19)]
    assert [row["end_block"] for row in await ranges.run("SELECT end_block FROM block_runs")] == [19, 19]


async def test_a_worker_that_has_lost_the_job_swaps_nothing_and_its_files_are_swept(ranges: Ranges) -> None:
    store = _store(ranges)
    old, new = await _written(ranges, store)
    assert await ranges.leased.hand_back(ranges.lease)
    with pytest.raises(AmpError, match="no longer belongs"):
        await store.swap(ranges.lease, old, new)
    assert await ranges.counting() == [(0, 4), (5, 9), (10, 14), (15, 19)]
    await ranges.leftovers.sweep()
    await ranges.leftovers.collect()
    assert await ranges.objects() == await ranges.counting_objects()
