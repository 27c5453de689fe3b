"""Which files make up a dataset when only the files are left: every mess that a lake can be left in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ampd.data_store.restore_choice import FoundFile, choose, with_timestamps


def hash_of(block: int, fork: str = "") -> bytes:
    return f"{fork}{block}".encode().rjust(32, b".")


def file(start: int, end: int, fork: str = "", *, on: str | None = None, age: float = 0, **more: object) -> FoundFile:
    """Return a file of the chain ``fork`` that hangs on the chain ``on`` (the same unless given)."""
    parent = hash_of(start - 1, fork if on is None else on)
    name = f"{start}-{end}{fork}-{age}"
    made = FoundFile(name, start, end, parent, hash_of(end, fork), created_at=-age)
    return replace(made, **more)  # type: ignore[arg-type]


def ranges(files: Iterable[FoundFile]) -> list[tuple[int, int]]:
    return [(each.start_block, each.end_block) for each in files]


def alone(*files: FoundFile, start_block: int = 0) -> list[tuple[int, int]]:
    return ranges(choose({"blocks": files}, start_block)["blocks"])


def test_files_that_hang_together_all_count_whatever_their_order() -> None:
    assert alone(file(10, 19), file(0, 9), file(20, 29)) == [(0, 9), (10, 19), (20, 29)]


def test_no_files_are_no_files() -> None:
    assert choose({"blocks": [], "logs": []}, 0) == {"blocks": [], "logs": []}
    assert choose({"blocks": [file(0, 9)], "logs": []}, 0) == {"blocks": [], "logs": []}


def test_a_file_that_others_were_compacted_into_takes_their_place() -> None:
    small = [file(number, number) for number in range(4)]
    assert alone(*small, file(0, 3, age=-1), file(4, 4)) == [(0, 3), (4, 4)]
    assert alone(*small, file(0, 3, age=9), file(4, 4)) == [(0, 3), (4, 4)], "also when its clock was behind"


def test_a_compacted_file_that_only_some_tables_have_is_left_out_in_favour_of_whole_segments() -> None:
    small = [file(number, number) for number in range(4)]
    chosen = choose({"blocks": [*small, file(0, 3)], "logs": small}, 0)
    assert ranges(chosen["blocks"]) == ranges(chosen["logs"]) == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_of_two_attempts_at_the_same_blocks_one_counts_the_newer() -> None:
    old, new = file(0, 9, age=5), file(0, 9, age=1)
    assert choose({"blocks": [old, new]}, 0)["blocks"] == [new]


def test_what_a_reorg_took_back_is_left_out() -> None:
    files = [file(0, 9), file(10, 12, "a", on="", age=9), file(10, 11, "b", on=""), file(12, 13, "b")]
    assert alone(*files) == [(0, 9), (10, 11), (12, 13)]


def test_of_two_forks_of_one_length_the_newer_is_taken() -> None:
    chosen = choose({"blocks": [file(0, 9), file(10, 12, "a", on="", age=9), file(10, 12, "b", on="")]}, 0)["blocks"]
    assert chosen[-1].end_hash == hash_of(12, "b")


def test_files_behind_a_gap_count_too() -> None:
    assert alone(file(0, 9), file(20, 29), file(30, 39)) == [(0, 9), (20, 29), (30, 39)]
    assert alone(file(20, 29)) == [(20, 29)]


def test_an_attempt_that_died_before_its_commit_leaves_files_of_some_tables_that_do_not_count() -> None:
    both = [file(0, 9), file(10, 19)]
    chosen = choose({"blocks": [*both, file(20, 29)], "logs": both}, 0)
    assert ranges(chosen["blocks"]) == ranges(chosen["logs"]) == [(0, 9), (10, 19)]


def test_tables_with_borders_of_their_own_count_as_far_as_they_have_the_same_blocks() -> None:
    chosen = choose(
        {
            "blocks": [file(0, 4), file(5, 9), file(10, 19), file(20, 24)],
            "logs": [file(0, 9), file(10, 14), file(15, 19), file(20, 29)],
        },
        0,
    )
    assert ranges(chosen["blocks"]) == [(0, 4), (5, 9), (10, 19)]
    assert ranges(chosen["logs"]) == [(0, 9), (10, 14), (15, 19)]


def test_what_begins_before_the_dataset_does_not_count() -> None:
    assert alone(file(0, 9), file(10, 19), start_block=10) == [(10, 19)]


def test_a_file_that_counts_already_stays_and_what_overlaps_it_does_not_come() -> None:
    counting = [file(0, 9, counts=True), file(10, 19, counts=True)]
    chosen = choose({"blocks": [*counting, file(0, 19), file(5, 25), file(20, 29)]}, 0)["blocks"]
    assert [(each.counts, each.start_block, each.end_block) for each in chosen] == [
        (True, 0, 9),
        (True, 10, 19),
        (False, 20, 29),
    ]


def test_a_time_that_one_table_knows_is_given_to_the_files_that_do_not() -> None:
    knows = file(0, 9, description={"ranges": [{"timestamp": 7}]})
    not_yet = file(0, 9, description={"ranges": [{"timestamp": None}]})
    older = file(0, 9, description={"ranges": [{}]})
    given_to = with_timestamps({"blocks": [knows], "logs": [not_yet, older]})
    assert [each.description for files in given_to.values() for each in files] == [{"ranges": [{"timestamp": 7}]}] * 3


@st.composite
def lakes(draw: st.DrawFn) -> tuple[dict[str, list[FoundFile]], list[tuple[int, int]]]:
    """A lake whose tables have the same segments, some of them compacted, with leftovers of every kind."""
    borders = draw(st.lists(st.integers(1, 40), min_size=1, max_size=12, unique=True).map(sorted))
    segments = [(start, end - 1) for start, end in zip([0, *borders], borders, strict=False)]
    segment_set = sorted({*segments} - draw(st.sets(st.sampled_from(segments))))  # a part is not there yet
    tables: dict[str, list[FoundFile]] = {name: [file(*each) for each in segment_set] for name in ("blocks", "logs")}
    if len(segments) > 2 and draw(st.booleans()):  # compacted; the small ones are still there
        for files in tables.values():
            files.append(file(segments[0][0], segments[1][1], age=-1))
    for name in draw(st.lists(st.sampled_from(["blocks", "logs"]), max_size=4)):  # attempts that never came to an end
        start = draw(st.integers(0, 40))
        tables[name].append(file(start, start + draw(st.integers(0, 9)), age=draw(st.floats(0, 5))))
    for name in draw(st.lists(st.sampled_from(["blocks", "logs"]), max_size=4)):  # forks
        start = draw(st.integers(0, 40))
        tables[name].append(file(start, start + draw(st.integers(0, 9)), "f", on="", age=draw(st.floats(0, 5))))
    return {name: draw(st.permutations(files)) for name, files in tables.items()}, segment_set


@given(lakes())
def test_whatever_lies_around_no_block_counts_twice_and_all_tables_have_the_same(
    lake: tuple[dict[str, list[FoundFile]], list[tuple[int, int]]],
) -> None:
    tables, committed = lake
    chosen = choose(tables, 0)
    covered = {}
    for name, files in chosen.items():
        assert {each.name for each in files} <= {each.name for each in tables[name]}
        blocks = [block for each in files for block in range(each.start_block, each.end_block + 1)]
        assert blocks == sorted(set(blocks))
        covered[name] = set(blocks)
    assert covered["blocks"] == covered["logs"]
    first = next(iter(committed), None)
    if first and first[0] == 0:  # the first segment was committed: it is there
        assert 0 in covered["blocks"]


def test_a_long_table_is_chosen_without_a_deep_stack() -> None:
    assert len(alone(*(file(number, number) for number in range(5000)))) == 5000
