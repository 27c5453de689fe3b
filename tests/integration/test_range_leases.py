"""Ranges of one job on several workers: who may write which blocks, and what becomes of them when workers die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from ampd.data_store import PlannedRange, WrittenSegment
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import JobState, force_overdue_stops, rescue_jobs_of_lost_workers
from ampd.metadata_db import MetadataDb
from support.ranges import COST, LEASE_SECONDS, TABLES, Ranges, running_extraction, segment


@pytest.fixture
async def ranges(metadata_db: MetadataDb) -> AsyncIterator[Ranges]:
    async with running_extraction(metadata_db) as scene:
        yield scene


async def test_the_lowest_free_range_goes_to_whoever_asks_first(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19), (20, 29))
    taken = [await ranges.take(name) for name in ("helper", "holder", "helper")]
    assert [(lease.start_block, lease.worker.node_id) for lease in taken] == [
        (0, "helper"),
        (10, "holder"),
        (20, "helper"),
    ]
    assert await ranges.store.lease_next(ranges.job_id, ranges.workers["holder"]) is None


async def test_no_more_ranges_are_read_at_once_than_the_job_allows_but_for_one_that_nears_its_end(
    ranges: Ranges,
) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19), (20, 29), parallelism=1)
    first = await ranges.take()
    assert await ranges.store.open_plans(ranges.workers["helper"]) == []
    assert await ranges.store.lease_next(ranges.job_id, ranges.workers["helper"]) is None
    assert len(await ranges.store.open_plans(ranges.workers["helper"], closing=first)) == 1
    second = await ranges.take(closing=first)
    assert second.start_block == 10
    assert await ranges.store.lease_next(ranges.job_id, ranges.workers["helper"]) is None
    await ranges.commit(first, segment(0, 9))
    assert await ranges.store.lease_next(ranges.job_id, ranges.workers["helper"]) is None
    await ranges.commit(second, segment(10, 19))
    assert (await ranges.take("helper")).start_block == 20


async def test_many_who_lease_at_the_same_time_get_different_ranges_and_no_more_than_allowed(ranges: Ranges) -> None:
    await ranges.plan(*((at, at + 9) for at in range(0, 200, 10)), parallelism=6)
    worker = ranges.workers["holder"]
    leases = await asyncio.gather(*(ranges.store.lease_next(ranges.job_id, worker) for _ in range(12)))
    starts = [lease.start_block for lease in leases if lease is not None]
    assert sorted(starts) == [0, 10, 20, 30, 40, 50]


async def test_a_job_that_stops_gives_out_no_more_ranges_and_those_in_hand_are_committed(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19))
    lease = await ranges.take("helper")
    await ranges.jobs.request_stop(ranges.job_id, actor="test")
    assert await ranges.store.lease_next(ranges.job_id, ranges.workers["holder"]) is None
    await ranges.store.stop_plan(ranges.lease)
    (held,) = await ranges.store.held_by(lease.worker.incarnation)
    assert (held.stops, held.is_over) == (True, False)
    await ranges.commit(lease, segment(0, 9))
    assert await ranges.counting() == [(0, 9)]


@pytest.mark.parametrize("fate", ["the pause is forced", "the holder dies"])
async def test_who_has_a_range_of_a_job_whose_pause_its_holder_did_not_end_commits_it_and_takes_no_other(
    ranges: Ranges, fate: str
) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19))
    lease = await ranges.take("helper")
    await ranges.jobs.pause(ranges.job_id, actor="test")
    if fate == "the pause is forced":
        await ranges.run("UPDATE jobs SET stop_deadline = now() - interval '1 second'")
        assert await force_overdue_stops(ranges.db, actor="test") == [ranges.job_id]
    else:
        await ranges.die("holder")
        await rescue_jobs_of_lost_workers(ranges.db, lease_seconds=LEASE_SECONDS, actor="test")
    assert (await ranges.jobs.get(ranges.job_id)).state is JobState.PAUSED
    (held,) = await ranges.store.held_by(lease.worker.incarnation)
    assert (held.stops, held.is_over) == (True, False)
    await ranges.commit(lease, segment(0, 9))
    assert await ranges.counting() == [(0, 9)]
    assert await ranges.store.open_plans(ranges.workers["helper"]) == []
    assert await ranges.store.lease_next(ranges.job_id, ranges.workers["helper"]) is None


async def test_a_range_can_be_committed_in_parts_and_what_is_left_of_it_goes_to_others(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9))
    lease = await ranges.take("helper")
    await ranges.commit(lease, segment(0, 3))
    await ranges.store.release(lease.id, lease.epoch, lease.worker.incarnation)
    rest = await ranges.take()
    assert (rest.start_block, rest.end_block) == (4, 9)
    await ranges.commit(rest, segment(4, 9))
    assert await ranges.counting("logs") == [(0, 3), (4, 9)]


async def test_ranges_of_a_dead_worker_are_taken_over_and_its_own_late_commit_changes_nothing(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9))
    zombie = await ranges.take("helper")
    files = await ranges.write(zombie, segment(0, 9))
    assert await ranges.store.free_lost() == 0  # it lives
    await ranges.die("helper")
    assert await ranges.store.free_lost() == 1
    with pytest.raises(AmpError) as refused:
        await ranges.store.commit(zombie, [WrittenSegment(segment(0, 9), files)], COST)
    assert refused.value.code == ErrorCode.LEASE_LOST
    heir = await ranges.take()
    with pytest.raises(AmpError, match="no longer belong"):
        await ranges.store.commit(zombie, [WrittenSegment(segment(0, 9), files)], COST)
    with pytest.raises(AmpError, match="no longer belong"):
        await ranges.write(zombie, segment(0, 9))
    assert await ranges.counting() == []
    await ranges.commit(heir, segment(0, 9))
    assert await ranges.counting() == [(0, 9)]


async def test_a_worker_started_again_under_its_name_loses_what_the_process_before_it_had(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9))
    before = await ranges.take("helper")
    await ranges.die("helper")
    ranges.worker("helper")
    assert await ranges.store.free_lost() == 1
    again = await ranges.take("helper")
    assert (again.id, again.epoch) == (before.id, before.epoch + 1)


async def test_a_range_of_a_helper_outlives_the_worker_that_holds_the_job(ranges: Ranges) -> None:
    """The job waits for another worker meanwhile; whoever gets it plans around the range."""
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19))
    lease = await ranges.take("helper")
    assert await ranges.leased.hand_back(ranges.lease)
    await ranges.commit(lease, segment(0, 3))
    await ranges.commit(lease, segment(4, 9))
    assert await ranges.counting() == [(0, 3), (4, 9)]


async def test_nothing_comes_to_a_job_that_has_ended(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9))
    lease = await ranges.take("helper")
    files = await ranges.write(lease, segment(0, 9))
    assert await ranges.leased.complete(ranges.lease)
    with pytest.raises(AmpError, match="no longer belong"):
        await ranges.store.commit(lease, [WrittenSegment(segment(0, 9), files)], COST)
    (held,) = await ranges.store.held_by(lease.worker.incarnation)
    assert held.is_over


async def test_a_planner_whose_job_has_moved_plans_nothing(ranges: Ranges) -> None:
    await ranges.plan((0, 9))
    assert await ranges.leased.hand_back(ranges.lease)
    for late in (ranges.plan((0, 9)), ranges.store.stop_plan(ranges.lease)):
        with pytest.raises(AmpError) as refused:
            await late
        assert refused.value.code == ErrorCode.LEASE_LOST


async def test_commits_of_one_job_do_not_wait_for_each_other_at_its_row(ranges: Ranges) -> None:
    await ranges.plan((0, 9))
    lease = await ranges.take()
    with psycopg.connect(ranges.db.url) as other:
        other.execute("SELECT FROM jobs WHERE id = %s FOR SHARE", (ranges.job_id,))
        await ranges.commit(lease, segment(0, 9))
    assert await ranges.counting() == [(0, 9)]


async def test_blocks_that_are_there_are_not_written_again(ranges: Ranges) -> None:
    await ranges.plan((0, 9), (5, 14))
    first, second = await ranges.take(), await ranges.take()
    await ranges.commit(first, segment(0, 9))
    with pytest.raises(AmpError) as refused:
        await ranges.commit(second, segment(5, 14))
    assert refused.value.code == ErrorCode.RANGE_ALREADY_COMMITTED
    assert await ranges.counting() == [(0, 9)]


# --- what does not count


async def test_files_of_a_failed_attempt_go_at_once_and_those_of_a_commit_stay(ranges: Ranges) -> None:
    await ranges.plan((0, 9))
    lease = await ranges.take()
    failed = await ranges.write(lease, segment(0, 9))
    counting = await ranges.commit(lease, segment(0, 9))
    assert await ranges.objects() == {*failed, *counting}
    by_id = {revision.id: revision for revision in ranges.revisions.values()}
    for files in (failed, counting):  # of the second nobody told it that they count
        await ranges.leftovers.disown({path: by_id[file.revision_id] for path, file in files.items()})
    assert await ranges.objects() == set(counting) == await ranges.counting_objects()


async def test_a_commit_under_way_decides_about_files_that_are_disowned_meanwhile(ranges: Ranges) -> None:
    """Its answer was lost; the database is asked, and waits for it."""
    await ranges.plan((0, 9))
    lease = await ranges.take()
    files = await ranges.write(lease, segment(0, 9))
    by_id = {revision.id: revision for revision in ranges.revisions.values()}
    with psycopg.connect(ranges.db.url) as committing:
        committing.execute("SELECT FROM table_revisions FOR UPDATE")  # the commit stands still before its end
        commit = asyncio.create_task(ranges.store.commit(lease, [WrittenSegment(segment(0, 9), files)], COST))
        await _until_waiting(ranges, 1)
        disown = asyncio.create_task(
            ranges.leftovers.disown({path: by_id[file.revision_id] for path, file in files.items()})
        )
        await _until_waiting(ranges, 2)
        assert len(await ranges.objects()) == len(TABLES)
    await commit
    await disown
    assert await ranges.objects() == set(files) == await ranges.counting_objects()


async def _until_waiting(ranges: Ranges, count: int) -> None:
    query = (
        "SELECT count(*) AS waiting FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    while (await ranges.run(query))[0]["waiting"] < count:
        await asyncio.sleep(0.01)


async def test_a_sweep_takes_files_of_lost_leases_and_leaves_those_that_are_being_written(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19))
    lost, living = await ranges.take("helper"), await ranges.take()
    orphans = await ranges.write(lost, segment(0, 9))
    pending = await ranges.write(living, segment(10, 19))
    await ranges.leftovers.sweep()
    assert await ranges.leftovers.collect() == 0
    await ranges.die("helper")
    await ranges.store.free_lost()
    heir = await ranges.take()
    again = await ranges.write(heir, segment(0, 9))
    await ranges.leftovers.sweep()
    assert await ranges.leftovers.collect() == len(orphans)
    assert await ranges.objects() == {*pending, *again}
    await ranges.store.commit(living, [WrittenSegment(segment(10, 19), pending)], COST)
    await ranges.store.commit(heir, [WrittenSegment(segment(0, 9), again)], COST)
    assert await ranges.objects() == await ranges.counting_objects()


async def test_a_file_that_a_zombie_writes_after_the_sweep_is_found_by_a_comparison(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19))
    zombie, living = await ranges.take("helper"), await ranges.take()
    late = await ranges.write(zombie, segment(0, 9))
    pending = await ranges.write(living, segment(10, 19))
    await ranges.die("helper")
    await ranges.store.free_lost()
    await ranges.leftovers.sweep()
    await ranges.leftovers.collect()
    for path in late:
        await ranges.lake.put(path, b"too late")
    assert await ranges.objects() == {*late, *pending}
    assert not await ranges.leftovers.compare_one_revision(age_seconds=60)
    while await ranges.leftovers.compare_one_revision(age_seconds=0.0) and await ranges.objects() != set(pending):
        pass
    assert await ranges.objects() == set(pending)
    await ranges.store.commit(living, [WrittenSegment(segment(10, 19), pending)], COST)


# --- what takes the place of other blocks


async def test_what_replaces_blocks_takes_their_place_in_one_step_and_their_objects_stay_for_a_while(
    ranges: Ranges,
) -> None:
    await ranges.plan((0, 9), (10, 14), (15, 19))
    old = [await ranges.commit(await ranges.take(), segment(start, end)) for start, end in ((0, 9), (10, 14), (15, 19))]
    await ranges.plan((10, 19), replaces=True)
    lease = await ranges.take()
    assert lease.replaces
    segments = [segment(10, 16, fork=1, parent_fork=0), segment(17, 19, fork=1)]
    written = [WrittenSegment(each, await ranges.write(lease, each)) for each in segments]
    assert await ranges.counting() == [(0, 9), (10, 14), (15, 19)]
    await ranges.store.commit(lease, written, COST)
    for table in TABLES:
        assert await ranges.counting(table) == [(0, 9), (10, 16), (17, 19)]
    runs = (await ranges.store.view(ranges.job_id, list(ranges.revisions.values()))).runs.values()
    assert {tuple((run.start_block, run.end_block) for run in found) for found in runs} == {((0, 19),)}

    assert await ranges.leftovers.collect() == 0
    assert {path for files in old for path in files} <= await ranges.objects()
    await ranges.run("UPDATE uncounted_files SET collect_at = now() WHERE reason = 'ORPHANED'")
    assert await ranges.leftovers.collect() == 2 * len(TABLES)
    assert await ranges.objects() == await ranges.counting_objects()


async def test_what_would_not_hang_on_the_blocks_before_it_replaces_nothing(ranges: Ranges) -> None:
    await ranges.plan((0, 9), (10, 19))
    for start, end in ((0, 9), (10, 19)):
        await ranges.commit(await ranges.take(), segment(start, end))
    await ranges.plan((10, 19), replaces=True)
    lease = await ranges.take()
    with pytest.raises(AmpError) as refused:
        await ranges.commit(lease, segment(10, 19, fork=1))
    assert refused.value.code == ErrorCode.PARENT_HASH_MISMATCH
    assert await ranges.counting() == [(0, 9), (10, 19)]
    await ranges.store.drop(lease)
    assert (await ranges.store.view(ranges.job_id, [ranges.revisions["blocks"]])).ranges == []


async def test_what_would_cut_off_blocks_that_have_come_meanwhile_replaces_nothing(ranges: Ranges) -> None:
    """Another slot had read them before the chain changed: they hang on what is to be replaced."""
    await ranges.plan((0, 9), (10, 19), (20, 29))
    for start, end in ((0, 9), (10, 19)):
        await ranges.commit(await ranges.take(), segment(start, end))
    late = await ranges.take()
    await ranges.store.plan_more(ranges.lease, [PlannedRange(10, 19, replaces=True)], done=[])
    repair = await ranges.take()
    await ranges.commit(late, segment(20, 29))
    with pytest.raises(AmpError) as refused:
        await ranges.commit(repair, segment(10, 19, fork=1, parent_fork=0))
    assert refused.value.code == ErrorCode.PARENT_HASH_MISMATCH
    assert await ranges.counting() == [(0, 9), (10, 19), (20, 29)]


async def test_what_hung_on_nothing_before_is_no_hindrance(ranges: Ranges) -> None:
    await ranges.plan((0, 9), (10, 19), (20, 29))
    for start, fork in ((0, 0), (10, 0), (20, 1)):
        await ranges.commit(await ranges.take(), segment(start, start + 9, fork=fork))
    await ranges.plan((10, 19), replaces=True)
    await ranges.commit(await ranges.take(), segment(10, 19, fork=2, parent_fork=0))
    assert await ranges.counting() == [(0, 9), (10, 19), (20, 29)]


async def test_where_a_table_lacks_blocks_a_segment_of_another_that_reaches_into_them_goes_whole(
    ranges: Ranges,
) -> None:
    await ranges.plan((0, 9), (10, 19), (20, 29))
    for start, end in ((0, 9), (10, 19), (20, 29)):
        await ranges.commit(await ranges.take(), segment(start, end))
    await ranges.run(
        "DELETE FROM files WHERE revision_id = %s AND start_block = 10 RETURNING 1", ranges.revisions["logs"].id
    )
    await ranges.plan((15, 19), replaces=True)
    await ranges.commit(await ranges.take(), segment(15, 19))
    for table in TABLES:
        assert await ranges.counting(table) == [(0, 9), (15, 19), (20, 29)]


async def test_a_segment_that_all_tables_have_is_never_replaced_in_part(ranges: Ranges) -> None:
    """Its other blocks would be missing until they were extracted again, and readers would see a shorter chain."""
    await ranges.plan((0, 9), (10, 19), (20, 29))
    for start, end in ((0, 9), (10, 19), (20, 29)):
        await ranges.commit(await ranges.take(), segment(start, end))
    await ranges.plan((15, 19), replaces=True)
    with pytest.raises(AmpError) as refused:
        await ranges.commit(await ranges.take(), segment(15, 19))
    assert refused.value.code == ErrorCode.RANGE_ALREADY_COMMITTED
    assert await ranges.counting() == [(0, 9), (10, 19), (20, 29)]
