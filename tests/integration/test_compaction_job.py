"""Compaction as a job of its own: now, beside whatever else works on the lake, and told what it did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ampd.chain.tables import TABLES
from ampd.data_store import CompactionStore, FilesReplacedError, SegmentFile, StoredFile, WrittenSegment
from ampd.errors import AmpError, ErrorCode
from ampd.extraction import CompactionSettings
from ampd.extraction.compaction import CompactionLimits
from ampd.jobs import Job, JobCreator, JobState, Lease, NewJob, place_due_jobs
from ampd.metadata_db import MetadataDb
from support.ranges import LEASE_SECONDS, Ranges, running_extraction, segment
from support.tip import FIRST_BLOCK, Reader, Tip, tip_of

LAST = 11
COUNT = LAST + 1


@pytest.fixture
async def tip(metadata_db: MetadataDb) -> AsyncIterator[Tip]:
    """A chain of 60 blocks of which 12 are there; each segment has one block, and stays as it is."""
    async with tip_of(metadata_db, length=60, head=COUNT) as scene:
        scene.segment_blocks = 1
        yield scene


async def compact(tip: Tip, of_job: int, **changes: Any) -> int:
    wanted = (await tip.jobs.get(of_job)).input
    dataset = {name: wanted[name] for name in ("dataset_namespace", "dataset_name", "manifest_hash")}
    new = NewJob("compaction", dataset | changes, "hash", retries=0)
    return (await JobCreator(tip.db).create(new, actor="test"))[0]


async def compacted(tip: Tip, of_job: int, **changes: Any) -> Job:
    return await tip.wait_for_state(await compact(tip, of_job, **changes), JobState.COMPLETED)


async def counts(tip: Tip) -> set[int]:
    return {len((await tip.segments(table)).rows) for table in TABLES}


async def test_a_compaction_job_makes_one_segment_of_many_and_says_so(tip: Tip) -> None:
    await tip.start_worker()
    job_id = await tip.deploy(end_block=str(FIRST_BLOCK + LAST))
    await tip.wait_for_state(job_id, JobState.COMPLETED)
    assert await counts(tip) == {COUNT}
    young = await compacted(tip, job_id, cooldown_secs=3600)
    assert (young.result["files_replaced"], await counts(tip)) == (0, {COUNT})
    async with Reader(tip):
        job = await compacted(tip, job_id)
    assert await counts(tip) == {1}
    await tip.assert_rows_of(tip.forks.base, FIRST_BLOCK + LAST)
    result = job.result
    assert result == result | {
        "files_before": COUNT * len(TABLES),
        "files_after": len(TABLES),
        "files_replaced": COUNT * len(TABLES),
        "files_written": len(TABLES),
        "compactions": 1,
        "end_block": FIRST_BLOCK + LAST,
        "bytes_replaced": result["bytes_before"],
        "bytes_written": result["bytes_after"],
    }
    assert 0 < result["bytes_after"] < result["bytes_before"]
    assert (await tip.jobs.last_progress(job.id))["files_written"] == len(TABLES)
    again = (await compacted(tip, job_id)).result
    assert again == again | {"files_before": len(TABLES), "files_after": len(TABLES), "files_replaced": 0}


async def test_a_dataset_without_files_has_nothing_to_compact(tip: Tip) -> None:
    await tip.start_worker()
    job_id = await tip.deploy(end_block=str(FIRST_BLOCK))
    await tip.wait_for_state(job_id, JobState.COMPLETED)
    job = await compacted(tip, job_id, dataset_name="nothing")
    assert job.result == job.result | {"files_before": 0, "files_after": 0, "compactions": 0}


async def test_compactions_beside_an_extraction_and_a_reorg_leave_the_lake_whole(tip: Tip) -> None:
    """Two jobs, and the extraction's own compaction, all at once over the same files."""
    tip.compaction = CompactionSettings(interval_seconds=0.01, limits=CompactionLimits(fewest=2))
    await tip.start_worker(slots=8)
    job_id = await tip.deploy()
    async with Reader(tip):
        for head in (COUNT, 25, 38):
            jobs = [await compact(tip, job_id) for _ in range(2)]
            tip.node.head = FIRST_BLOCK + head - 1
            await tip.wait_for_chain(job_id, tip.forks.base, tip.node.head)
            for each in jobs:
                await tip.wait_for_state(each, JobState.COMPLETED)
        forked = tip.forks.fork(tip.forks.base, at=20, length=45)
        jobs = [await compact(tip, job_id) for _ in range(2)]
        tip.node.follow(forked)
        await tip.wait_for_chain(job_id, forked)
        for each in jobs:
            await tip.wait_for_state(each, JobState.COMPLETED)
        await compacted(tip, job_id)
    await tip.assert_rows_of(forked)
    assert (await tip.jobs.get(job_id)).last_error is None


# --- the fence


@pytest.fixture
async def ranges(metadata_db: MetadataDb) -> AsyncIterator[Ranges]:
    """An extraction job with four segments of five blocks."""
    async with running_extraction(metadata_db) as scene:
        await scene.plan(*((start, start + 4) for start in range(0, 20, 5)))
        for start in range(0, 20, 5):
            await scene.commit(await scene.take(), segment(start, start + 4))
        yield scene


async def _lease_of_a_compaction(ranges: Ranges) -> Lease:
    await JobCreator(ranges.db).create(NewJob("compaction", {}, "hash"), actor="test")
    (lease,) = await place_due_jobs(ranges.db, lease_seconds=LEASE_SECONDS)
    assert await ranges.leased.start(lease) is not None
    return lease


async def _written(
    ranges: Ranges, store: CompactionStore, lease: Lease, name: str
) -> tuple[list[StoredFile], WrittenSegment]:
    """Read the segments of blocks 5 to 14, and write the file that has all of them."""
    old = [each for each in await store.next_files(list(ranges.revisions.values())) if 5 <= each.start_block < 15]
    begun = {f"{revision.path}/000000005-{name}.parquet": revision for revision in ranges.revisions.values()}
    await store.begin_files(lease, begun)
    files = {}
    for path, revision in begun.items():
        await ranges.lake.put(path, b"all rows")
        files[path] = SegmentFile(revision.id, path.rpartition("/")[2], 14, 8, None, None, {})
    return old, WrittenSegment(segment(5, 14), files)


async def test_a_compaction_that_has_lost_its_own_job_swaps_nothing_though_the_extraction_goes_on(
    ranges: Ranges,
) -> None:
    store = CompactionStore(ranges.db, cooldown_seconds=0.0, deletion_delay_seconds=3600.0)
    lease = await _lease_of_a_compaction(ranges)
    old, new = await _written(ranges, store, lease, "new")
    await ranges.leftovers.sweep()  # it is being written: it stays
    assert set(new.files) <= await ranges.objects()
    assert await ranges.leased.hand_back(lease)
    with pytest.raises(AmpError, match=f"job {lease.job_id} no longer belongs") as refused:
        await store.swap(lease, old, new)
    assert refused.value.code is ErrorCode.LEASE_LOST
    assert not isinstance(refused.value, FilesReplacedError)
    assert await ranges.counting() == [(0, 4), (5, 9), (10, 14), (15, 19)]
    await ranges.leftovers.sweep()
    await ranges.leftovers.collect()
    assert await ranges.objects() == await ranges.counting_objects()


async def test_of_two_compactions_of_the_same_files_the_later_one_finds_them_gone(ranges: Ranges) -> None:
    store = CompactionStore(ranges.db, cooldown_seconds=0.0, deletion_delay_seconds=3600.0)
    lease = await _lease_of_a_compaction(ranges)
    old, new = await _written(ranges, store, lease, "new")
    same, other = await _written(ranges, store, ranges.lease, "other")
    await store.swap(ranges.lease, same, other)
    with pytest.raises(FilesReplacedError):
        await store.swap(lease, old, new)
    assert await ranges.counting() == [(0, 4), (5, 14), (15, 19)]
    assert await ranges.counting_objects() >= set(other.files)
