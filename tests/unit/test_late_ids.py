"""What a reader of ascending ids is told when transactions commit in another order than they wrote in."""

from __future__ import annotations

from itertools import count

from ampd.metadata_db.late_ids import FIRST_ROWS, MOST_ROWS, LateIds, LatePage


def page(*ids: int, newest: int | None = None, running: int = 100, next_one: int = 100) -> LatePage:
    return LatePage(sorted(ids), max(ids, default=0) if newest is None else newest, running, next_one)


def test_the_first_look_tells_nothing_and_the_next_one_what_came_since() -> None:
    late = LateIds()
    assert late.after is None
    assert late.take(page(1, 2)) == frozenset()
    assert late.take(page(1, 2, 3)) == {3}
    assert late.take(page(1, 2, 3)) == frozenset()


def test_a_row_whose_transaction_commits_late_is_told() -> None:
    late = LateIds()
    late.take(page(1, running=5, next_one=7))
    # 2 was written by transaction 5, which goes on.
    for newest in (3, 4, 5, 6):
        assert late.take(page(1, *range(3, newest + 1), running=5, next_one=20)) == {newest}
    assert late.take(page(1, 2, 3, 4, 5, 6, running=20, next_one=20)) == {2}


def test_what_is_settled_is_not_read_again() -> None:
    late = LateIds()
    numbers = count(100)
    seen: list[int] = []
    for newest in range(1, 50):
        behind = [each for each in range(1, newest + 1) if late.after is None or each > late.after]
        transaction = next(numbers)
        seen += late.take(page(*behind, newest=newest, running=transaction, next_one=transaction)) or ()
    assert seen == list(range(2, 50))
    assert late.after == 47


def test_a_transaction_that_lasts_for_hours_holds_nobody_up_for_long() -> None:
    now = [0.0]
    late = LateIds(lambda: now[0])
    for newest in range(1, 100):
        now[0] += 1.0
        behind = [each for each in range(1, newest + 1) if each > (late.after or 0)]
        late.take(page(*behind, newest=newest, running=1, next_one=1000 + newest))
    assert late.after is not None
    assert late.after > 50


def test_a_table_that_was_full_before_the_first_look_holds_up_nothing() -> None:
    late = LateIds()
    late.take(page(*range(FIRST_ROWS, 2 * FIRST_ROWS)))
    assert late.after == FIRST_ROWS - 1
    assert late.take(page(*range(FIRST_ROWS, 2 * FIRST_ROWS + 1))) == {2 * FIRST_ROWS}


def test_more_than_can_be_told_is_told_as_everything_once() -> None:
    late = LateIds()
    late.take(page(1))
    flood = range(2, 3 * MOST_ROWS)
    assert late.take(page(*flood[: MOST_ROWS + 1], newest=flood[-1])) is None
    # From the next look on it reads behind the flood.
    late.take(page(*flood[: MOST_ROWS + 1], newest=flood[-1]))
    late.take(page(newest=flood[-1]))
    assert late.after == flood[-1]
    assert late.take(page(flood[-1] + 1)) == {flood[-1] + 1}
