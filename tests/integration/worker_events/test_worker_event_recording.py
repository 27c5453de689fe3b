"""What is recorded of a job's tables, in which order, and what is not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from ampd.data_store import PlannedRange, WrittenSegment
from ampd.errors import AmpError
from ampd.jobs import rescue_jobs_of_lost_workers
from ampd.metadata_db import MetadataDb
from ampd.worker_events import (
    EventType,
    collect_events,
    expire_events_of_log,
    lease_sending,
    note_sent,
    set_recorded,
)
from support.engine import row_holder
from support.event_scene import FATAL, HOUR, TRANSIENT, EventScene, event_scene
from support.ranges import COST, LEASE_SECONDS, segment


async def test_a_run_tells_of_each_table_its_start_its_progress_and_its_end(scene: EventScene) -> None:
    await scene.begin(end_block=19)
    await scene.extract(0, 9)
    await scene.collect()
    await scene.extract(10, 19)
    await scene.collect()
    assert await scene.ranges.leased.complete(scene.ranges.lease)
    told = await scene.told()
    for table in ("blocks", "logs"):
        started, first, second, completed = (each for each in told if each.table_name == table)
        assert started.event_type is EventType.STARTED
        assert (started.start_block, started.end_block, started.current_block) == (0, 19, None)
        assert (first.event_type, first.current_block, first.files_count) == (EventType.PROGRESS, 9, 1)
        assert (second.current_block, second.end_block, second.files_count, second.total_size_bytes) == (19, 19, 2, 8)
        assert (completed.event_type, completed.current_block) == (EventType.COMPLETED, 19)
        assert completed.duration_ms is not None and completed.duration_ms >= 0
        assert started.key == f"ethereum/mainnet/{'0' * 64}/{table}"
    assert {each.worker_id for each in told} == {"holder"}
    assert [each.id for each in told] == sorted(each.id for each in told)
    assert await scene.count("outbox") == await scene.count("syncs") == 0


async def test_an_event_has_a_name_of_its_own_that_holds_its_time(scene: EventScene) -> None:
    await scene.begin()
    told = await scene.told()
    assert len({each.event_id for each in told}) == 2
    for each in told:
        assert (each.event_id.version, each.event_id.variant) == (7, "specified in RFC 4122")
        milliseconds = each.event_id.int >> 80
        assert abs(datetime.fromtimestamp(milliseconds / 1000, UTC) - each.created_at).total_seconds() < 0.01


async def test_when_nobody_wants_events_nothing_is_written(metadata_db: MetadataDb) -> None:
    async with event_scene(metadata_db, recorded=False) as scene:
        await scene.begin(end_block=9)
        await scene.extract(0, 9)
        assert await scene.ranges.leased.complete(scene.ranges.lease)
        assert await scene.told() == []
        assert await scene.count("outbox") == await scene.count("syncs") == 0


async def test_switched_off_in_the_middle_a_run_ends_without_a_word(scene: EventScene) -> None:
    await scene.begin(end_block=9)
    await set_recorded(scene.db, recorded=False)
    assert await scene.ranges.leased.complete(scene.ranges.lease)
    assert await scene.types() == ["started"]
    assert await scene.count("syncs") == 0


@pytest.mark.parametrize("error", [TRANSIENT, FATAL])
async def test_a_failure_is_told_with_its_code_whether_the_job_is_tried_again_or_not(
    scene: EventScene, error: AmpError
) -> None:
    await scene.begin()
    assert await scene.ranges.leased.fail(scene.ranges.lease, error)
    failed = (await scene.told())[-1]
    assert (failed.event_type, failed.error_type, failed.error_message) == (
        EventType.FAILED,
        error.code,
        error.message,
    )
    assert await scene.types() == ["started", "failed"]


async def test_an_attempt_that_fails_before_it_has_begun_its_tables_tells_nothing(scene: EventScene) -> None:
    await scene.begin()
    assert await scene.ranges.leased.fail(scene.ranges.lease, TRANSIENT)
    await scene.next_attempt()
    assert await scene.ranges.leased.fail(scene.ranges.lease, TRANSIENT)
    await scene.next_attempt()
    await scene.begin()
    assert await scene.types() == ["started", "failed", "started"]


async def test_a_lost_worker_tells_nothing_and_the_next_attempt_does_not_tell_its_blocks_again(
    scene: EventScene,
) -> None:
    await scene.begin()
    await scene.extract(0, 9)
    await scene.collect()
    await scene.ranges.die("holder")
    assert await rescue_jobs_of_lost_workers(scene.db, lease_seconds=LEASE_SECONDS, actor="test") == [
        scene.ranges.job_id
    ]
    await scene.next_attempt()
    await scene.begin()
    await scene.collect()
    await scene.extract(10, 19)
    assert await scene.types() == ["started", "progress", "started", "progress"]
    assert [each.current_block for each in await scene.told() if each.table_name == "blocks"] == [None, 9, None, 19]


async def test_a_stop_tells_nothing_but_ends_the_progress(scene: EventScene) -> None:
    await scene.begin()
    await scene.ranges.jobs.request_stop(scene.ranges.job_id, actor="test")
    assert await scene.ranges.leased.stop(scene.ranges.lease)
    assert await scene.types() == ["started"]
    assert await scene.count("syncs") == 0


async def test_progress_is_told_once_in_an_interval_and_only_of_contiguous_blocks(scene: EventScene) -> None:
    await scene.begin()
    await scene.extract(10, 19)
    assert await scene.types(interval=HOUR) == ["started"]
    await scene.extract(0, 9)
    assert await scene.types(interval=HOUR) == ["started", "progress"]
    await scene.extract(20, 29)
    assert await scene.types(interval=HOUR) == ["started", "progress"]
    await scene.ranges.run("UPDATE worker_event_syncs SET told_at = told_at - interval '1 hour'")
    assert await scene.types(interval=HOUR) == ["started", "progress", "progress"]
    # Without an advance there is nothing to tell, however long that lasts.
    assert await scene.types(interval=0) == ["started", "progress", "progress"]
    assert [each.current_block for each in await scene.told() if each.table_name == "logs"] == [None, 19, 29]


async def test_a_block_that_is_replaced_is_not_told_again(scene: EventScene) -> None:
    await scene.begin()
    await scene.extract(0, 9)
    await scene.extract(10, 19)
    await scene.collect()
    await scene.ranges.store.plan_more(scene.ranges.lease, [PlannedRange(10, 19, replaces=True)], done=[])
    await scene.ranges.commit(await scene.ranges.take(), segment(10, 19, fork=1, parent_fork=0))
    assert await scene.types() == ["started", "progress"]


async def test_a_commit_that_is_refused_tells_nothing(scene: EventScene) -> None:
    await scene.begin(end_block=9)
    await scene.ranges.store.plan_more(scene.ranges.lease, [PlannedRange(0, 9)], done=[])
    lease = await scene.ranges.take()
    files = await scene.ranges.write(lease, segment(0, 9))
    await scene.ranges.store.release(lease.id, lease.epoch, lease.worker.incarnation)
    with pytest.raises(AmpError, match="no longer belong"):
        await scene.ranges.store.commit(lease, [WrittenSegment(segment(0, 9), files)], COST)
    stale = scene.ranges.lease
    await scene.ranges.die("holder")
    await rescue_jobs_of_lost_workers(scene.db, lease_seconds=LEASE_SECONDS, actor="test")
    assert not await scene.ranges.leased.complete(stale)
    assert await scene.types() == ["started"]


async def test_who_collects_waits_for_no_job_and_tells_nothing_of_one_that_is_ending(scene: EventScene) -> None:
    await scene.begin()
    await scene.extract(0, 9)
    async with row_holder(scene.db.url) as holder, holder.held(scene.ranges.job_id):
        async with asyncio.timeout(5):
            assert await scene.types() == ["started"]
    assert await scene.types() == ["started", "progress"]


async def test_collectors_that_come_together_tell_everything_once(scene: EventScene) -> None:
    await scene.begin()
    for number in range(10):
        await scene.extract(10 * number, 10 * number + 9)
        await asyncio.gather(*(collect_events(scene.db, progress_interval_seconds=0) for _ in range(4)))
    told = [each for each in await scene.told() if each.table_name == "blocks"]
    blocks = [each.current_block for each in told[1:]]
    assert blocks == sorted(set(blocks), key=lambda block: block or 0)
    assert blocks[-1] == 99


async def test_what_is_committed_late_comes_later_in_the_log_and_is_not_passed_over(scene: EventScene) -> None:
    """The outbox gives numbers before commits; who has read the log up to an id has missed nothing before it."""
    insert = """INSERT INTO worker_event_outbox (event_id, event_type, worker_id, job_id, dataset_namespace,
                                                 dataset_name, manifest_hash, table_name)
                VALUES (gen_random_uuid(), 'sync.started', %(worker)s, 1, 'a', 'b', 'c', 'd')"""
    async with scene.db.transaction() as slow:
        await slow.execute(insert, {"worker": "slow"})
        await scene.db.execute(insert, {"worker": "quick"})
        assert [each.worker_id for each in await scene.told()] == ["quick"]
    assert [each.worker_id for each in await scene.told()] == ["quick", "slow"]


# --- the log


async def test_the_log_is_kept_for_its_time_and_what_waits_for_the_broker_for_longer(scene: EventScene) -> None:
    await scene.begin()
    first, second = await scene.told()
    lease = await lease_sending(scene.db, first.event_id)
    assert lease is not None and await note_sent(scene.db, lease, first.id)
    await scene.age(2 * HOUR)
    gone = await expire_events_of_log(scene.db, kept_seconds=HOUR, unsent_seconds=24 * HOUR)
    assert (gone.deleted, gone.unsent) == (1, 0)
    assert await scene.told() == [(await scene.told())[0]] and (await scene.told())[0].id == second.id
    await scene.age(24 * HOUR)
    gone = await expire_events_of_log(scene.db, kept_seconds=HOUR, unsent_seconds=24 * HOUR)
    assert (gone.deleted, gone.unsent) == (1, 1)


async def test_without_a_sender_the_log_is_kept_for_its_time_alone(scene: EventScene) -> None:
    await scene.begin()
    await scene.collect()
    assert (await expire_events_of_log(scene.db, kept_seconds=HOUR, unsent_seconds=24 * HOUR)).deleted == 0
    await scene.age(2 * HOUR)
    assert (await expire_events_of_log(scene.db, kept_seconds=HOUR, unsent_seconds=24 * HOUR)).deleted == 2


async def test_a_job_that_goes_takes_no_event_with_it(scene: EventScene) -> None:
    await scene.begin()
    await scene.ranges.jobs.request_stop(scene.ranges.job_id, actor="test")
    assert await scene.ranges.leased.stop(scene.ranges.lease)
    assert await scene.ranges.jobs.delete(scene.ranges.job_id, actor="test")
    assert await scene.types() == ["started"]
