"""How the ranges of one dataset spread over workers: whoever has more of them leaves the next one to others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import LiteralString

import pytest
from structlog.testing import capture_logs

from ampd.extraction import courtesy
from ampd.extraction.courtesy import Courtesy
from ampd.metadata_db import MetadataDb
from support.ranges import Ranges, running_extraction
from support.tip import FIRST_BLOCK, Tip, tip_of

BLOCKS = 160
SLOWLY = 2400  # requests a minute: the job lasts longer than anybody waits for others


@pytest.fixture
async def ranges(metadata_db: MetadataDb) -> AsyncIterator[Ranges]:
    async with running_extraction(metadata_db) as scene:
        yield scene


@pytest.fixture
async def tip(metadata_db: MetadataDb) -> AsyncIterator[Tip]:
    async with tip_of(metadata_db, length=BLOCKS, head=BLOCKS) as scene:
        yield scene


async def _less_busy(ranges: Ranges, name: str) -> list[str]:
    (plan,) = await ranges.store.open_plans(ranges.workers[name])
    return plan.less_busy


async def test_less_busy_is_who_reads_fewer_ranges_of_the_job_and_has_a_free_slot(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19), (20, 29), (30, 39))
    assert await _less_busy(ranges, "holder") == []
    first = await ranges.take("holder")
    assert await _less_busy(ranges, "holder") == ["helper"]
    assert await _less_busy(ranges, "helper") == []
    (plan,) = await ranges.store.open_plans(ranges.workers["holder"], closing=first)
    assert plan.less_busy == []
    await ranges.take("helper")
    assert await _less_busy(ranges, "holder") == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE workers SET draining = true WHERE node_id = %s",
        "UPDATE workers SET cordoned = true WHERE node_id = %s",
        "UPDATE worker_heartbeats SET heartbeat_at = now() - interval '1 day' WHERE node_id = %s",
    ],
)
async def test_nothing_is_left_to_a_worker_that_takes_no_work(ranges: Ranges, change: LiteralString) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19))
    await ranges.take("holder")
    await ranges.run(change, "helper")
    assert await _less_busy(ranges, "holder") == []


async def test_nothing_is_left_to_a_worker_whose_slots_are_taken(ranges: Ranges) -> None:
    ranges.worker("helper")
    await ranges.plan((0, 9), (10, 19), (20, 29), (30, 39), (40, 49), parallelism=5)
    for name in ("holder", "holder", "helper"):
        await ranges.take(name)
    assert await _less_busy(ranges, "holder") == ["helper"]
    await ranges.run("UPDATE workers SET slots = 1 WHERE node_id = %s", "helper")
    assert await _less_busy(ranges, "holder") == []


def test_a_range_is_left_to_others_for_two_looks_then_taken_and_offered_again_ever_more_rarely() -> None:
    manners = Courtesy(look_seconds=1.0)
    times = [number / 2 for number in range(40)]
    left = [now for now in times if manners.leaves(7, now=now)]
    assert left == [0.0, 0.5, 1.0, 1.5, 6.0, 6.5, 7.0, 7.5, 16.0, 16.5, 17.0, 17.5]


def test_who_was_offered_a_range_and_took_it_is_offered_the_next_one_at_once() -> None:
    manners = Courtesy(look_seconds=1.0)
    assert manners.leaves(7, now=0.0)
    assert not manners.leaves(7, now=3.0)
    manners.forget(7)
    assert manners.leaves(7, now=3.5)


async def _job_beside_an_idle_worker(tip: Tip, rate: int = 1_000_000) -> list[str]:
    """Let a worker with many slots extract two ranges at once beside one that is free and never comes; return what the
    first one logs.
    """
    await tip.register_idle_worker("idle")
    with capture_logs() as lines:
        await tip.start_worker("busy")
        last = FIRST_BLOCK + BLOCKS - 1
        job_id = await tip.deploy(end_block=str(last), parallelism=2, rate_limit_per_minute=rate)
        await tip.wait_for_chain(job_id, tip.forks.base)
    return [line["event"] for line in lines]


async def test_a_worker_reads_no_second_range_while_one_that_has_none_may_come(
    tip: Tip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courtesy, "_LOOKS", 1_000_000)
    tip.segment_blocks = 10
    assert "range.helping" not in await _job_beside_an_idle_worker(tip)


async def test_a_worker_that_never_comes_keeps_no_range_from_others(tip: Tip) -> None:
    tip.segment_blocks = 10
    assert "range.helping" in await _job_beside_an_idle_worker(tip, SLOWLY)
