"""Missing blocks are cut into ranges, whatever is missing and whatever ranges have cost so far."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ampd.data_store.ranges import BlockRange, merge, subtract
from ampd.extraction.sizing import FIRST_BLOCKS, GROWTH, RangeSizer, SizeLimits, are_outgrown, cut, share_of

ranges = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 80)).map(lambda pair: (pair[0], sum(pair))), max_size=8)
LIMITS = SizeLimits(seconds=10.0, bytes=1_000_000)


def _blocks(found: list[BlockRange]) -> list[int]:
    return [block for start, end in found for block in range(start, end + 1)]


@given(ranges.map(merge), st.integers(1, 100), st.integers(0, 12))
def test_ranges_are_the_first_of_what_is_missing_in_order_and_none_overlaps(
    missing: list[BlockRange], blocks: int, count: int
) -> None:
    found = cut(missing, blocks=blocks, count=count)
    assert _blocks(found) == _blocks(missing)[: len(_blocks(found))]
    assert len(found) <= count
    assert len(found) == count or _blocks(found) == _blocks(missing)
    assert all(left[1] < right[0] for left, right in pairwise(found))
    assert all(1 <= end - start + 1 <= 1.25 * blocks for start, end in found)


@settings(deadline=None, max_examples=40)
@given(ranges, st.integers(3, 60), st.integers(1, 6), st.data())
def test_planning_again_and_again_extracts_each_block_once_in_whatever_order_ranges_end(
    present: list[BlockRange], blocks: int, parallelism: int, data: st.DataObject
) -> None:
    wanted = (0, 200)
    expected = _blocks(subtract(wanted, present))
    done, in_hand, extracted = list(present), [], []
    for _ in range(10_000):
        missing = subtract(wanted, [*done, *in_hand])
        in_hand += cut(missing, blocks=share_of(missing, parallelism, blocks), count=parallelism - len(in_hand))
        if not in_hand:
            break
        ended = in_hand.pop(data.draw(st.integers(0, len(in_hand) - 1)))
        extracted += _blocks([ended])
        done.append(ended)
    assert sorted(extracted) == expected


costs = st.tuples(st.integers(1, 5000), st.integers(0, 10**8), st.floats(0, 100))


@given(st.lists(costs, max_size=20))
def test_a_range_is_never_empty_and_grows_at_most_so_many_times(learned: list[tuple[int, int, float]]) -> None:
    sizer = RangeSizer(LIMITS)
    assert sizer.blocks() == FIRST_BLOCKS
    most = FIRST_BLOCKS
    for blocks, size, seconds in learned:
        sizer.learn(blocks=blocks, size=size, seconds=seconds)
        most = max(most, GROWTH * blocks)
        assert 1 <= sizer.blocks() <= most


@given(st.floats(0.001, 5), st.integers(1, 100_000))
def test_ranges_come_to_cost_what_they_should(seconds_per_block: float, bytes_per_block: int) -> None:
    sizer = RangeSizer(LIMITS)
    for _ in range(20):
        blocks = sizer.blocks()
        sizer.learn(blocks=blocks, size=blocks * bytes_per_block, seconds=blocks * seconds_per_block)
    ideal = min(LIMITS.seconds / seconds_per_block, LIMITS.bytes / bytes_per_block)
    assert max(1, 0.9 * ideal - 1) <= sizer.blocks() <= max(1, ideal)


def test_a_range_without_cost_does_not_stop_the_growth() -> None:
    sizer = RangeSizer(LIMITS)
    sizer.learn(blocks=0, size=0, seconds=0)
    sizer.learn(blocks=16, size=0, seconds=0)
    assert sizer.blocks() == GROWTH * 16


@given(st.integers(1, 100_000), st.integers(2, 30), st.integers(1, 5000))
def test_when_few_blocks_are_left_each_worker_gets_some(left: int, parallelism: int, blocks: int) -> None:
    share = share_of([(1, left)], parallelism, blocks)
    assert 1 <= share <= blocks
    assert share <= FIRST_BLOCKS or share * parallelism <= left + parallelism


@given(ranges.filter(bool).map(merge), st.integers(1, 100), st.integers(1, 400), st.integers(0, 5), st.integers(1, 5))
def test_ranges_that_are_planned_anew_become_twice_as_large_and_are_not_planned_anew_again(
    left: list[BlockRange], before: int, blocks: int, taken: int, count: int
) -> None:
    free = cut(left, blocks=before, count=taken + count)[taken:]
    still_left = subtract((0, 1000), [*subtract((0, 1000), left), *cut(left, blocks=before, count=taken)])
    if are_outgrown(free, still_left, blocks):
        anew = cut(still_left, blocks=blocks, count=count)
        assert anew[0][1] - anew[0][0] + 1 >= 2 * (free[0][1] - free[0][0] + 1)
        assert not are_outgrown(anew, still_left, blocks)
