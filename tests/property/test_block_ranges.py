from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ampd.data_store.ranges import BlockRange, intersect, merge, subtract

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair))), max_size=8)


def _blocks(found: list[BlockRange]) -> set[int]:
    return {block for start, end in found for block in range(start, end + 1)}


def _is_tidy(found: list[BlockRange]) -> bool:
    return all(left[1] + 1 < right[0] for left, right in pairwise(found))


@given(ranges)
def test_merged_ranges_hold_the_same_blocks_and_neither_overlap_nor_touch(found: list[BlockRange]) -> None:
    assert _blocks(merge(found)) == _blocks(found)
    assert _is_tidy(merge(found))


@given(st.tuples(st.integers(0, 60), st.integers(0, 40)).map(lambda pair: (pair[0], sum(pair))), ranges)
def test_what_is_missing_is_what_is_wanted_and_not_present(wanted: BlockRange, present: list[BlockRange]) -> None:
    missing = subtract(wanted, present)
    assert _blocks(missing) == _blocks([wanted]) - _blocks(present)
    assert _is_tidy(missing)


@given(ranges, ranges)
def test_an_intersection_holds_the_blocks_of_both(left: list[BlockRange], right: list[BlockRange]) -> None:
    assert _blocks(intersect(left, right)) == _blocks(left) & _blocks(right)
