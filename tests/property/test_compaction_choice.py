"""Which segments become one, whatever their sizes, ages and gaps."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ampd.data_store import StoredFile
from ampd.extraction.compaction import Candidate, CompactionLimits, choose, in_step

LIMITS = CompactionLimits(target_bytes=1000, fewest=5)
TABLES = 2
# Blocks, bytes, whether it hangs on the one before it, whether it is old enough.
segment = st.tuples(st.integers(1, 9), st.integers(1, 700), st.booleans(), st.booleans())
hanging = st.tuples(st.integers(1, 9), st.integers(1, 300), st.just(True), st.just(True))


def stored(segments: list[tuple[int, int, bool, bool]]) -> list[StoredFile]:
    """Return the files of two tables, of which the second has a tenth of the bytes."""
    files: list[StoredFile] = []
    following = 0
    for blocks, size, hangs, is_cool in segments:
        start = following if hangs else following + 1
        following = start + blocks
        files += [_file(start, following, revision, size // 10**revision + 1, is_cool) for revision in range(TABLES)]
    return files


def _file(start: int, following: int, revision: int, size: int, is_cool: bool) -> StoredFile:
    return StoredFile(
        id=TABLES * start + revision,
        revision_id=revision,
        path=f"{revision}/{start}",
        start_block=start,
        end_block=following - 1,
        start_parent_hash=start.to_bytes(32, "big"),
        end_hash=following.to_bytes(32, "big"),
        object_size=size,
        metadata={},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        is_cool=is_cool,
    )


@given(st.lists(segment, max_size=20))
def test_a_group_hangs_together_is_old_enough_and_small_enough(segments: list[tuple[int, int, bool, bool]]) -> None:
    candidates = in_step(stored(segments), TABLES)
    assert len(candidates) == len(segments)
    choice = choose(candidates, LIMITS)
    group = list(choice.group)
    assert len(group) != 1
    assert all(each.is_cool for each in group)
    assert sum(each.bytes for each in group) <= LIMITS.target_bytes
    for left, right in pairwise(group):
        assert left.files[0].end_hash == right.files[0].start_parent_hash
    # What lies before the mark needs no more compaction: it is large, or stands alone among large ones and gaps.
    if choice.done_to is not None:
        done = [each for each in candidates if each.end_block < choice.done_to]
        assert all(each.is_cool for each in done)
        assert not group or group[0].start_block >= choice.done_to


@given(st.lists(hanging, min_size=1, max_size=40))
def test_compacting_again_and_again_comes_to_an_end_with_few_segments(
    segments: list[tuple[int, int, bool, bool]],
) -> None:
    done_to = 0
    for _ in range(200):
        candidates = [each for each in in_step(stored(segments), TABLES) if each.start_block >= done_to]
        choice = choose(candidates, LIMITS)
        done_to = choice.done_to or done_to
        if not choice.group:
            break
        first = next(n for n, each in enumerate(in_step(stored(segments), TABLES)) if each == choice.group[0])
        joined = segments[first : first + len(choice.group)]
        segments = [
            *segments[:first],
            (sum(each[0] for each in joined), sum(each[1] for each in joined), True, True),
            *segments[first + len(choice.group) :],
        ]
    assert not choose(candidates, LIMITS).group
    small = [each for each in segments if each[1] < 300]
    assert len(small) <= LIMITS.fewest + len(segments) - len(small)


def test_tables_that_are_out_of_step_are_left_alone() -> None:
    files = stored([(2, 10, True, True)] * 8)
    assert in_step(files[:5] + files[6:], TABLES) == [Candidate(files[0:2]), Candidate(files[2:4])]
