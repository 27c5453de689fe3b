"""Every two events in either order, walked through the transition table alone (no database)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations, product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampd.jobs.states import (
    HELD_STATES,
    INTENTS,
    STOP_ENDS,
    STOP_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    JobState,
    Standing,
    StopIntent,
    Transition,
    moves,
)

S, T = JobState, Transition
STANDINGS: Final = [Standing(state) for state in S if state not in STOP_STATES] + [
    Standing(*each) for each in product(sorted(STOP_STATES), StopIntent)
]
# A worker ends its attempt, or is no longer there to do so.
ENDINGS: Final = frozenset({T.COMPLETE, T.RETRY, T.FAIL, T.FINISH_EXECUTION, T.STOP, T.HAND_BACK, T.LOSE_WORKER})
# What is asked of a running job, and where each ending leads when that comes before or after it.
ASKED: Final = {T.REQUEST_STOP: S.STOPPED, T.REQUEST_PAUSE: S.PAUSED}
WINS: Final = {T.COMPLETE: S.COMPLETED, T.FAIL: S.FAILED}
GOES_ON: Final = (T.RETRY, T.FINISH_EXECUTION, T.HAND_BACK, T.LOSE_WORKER)
ENDS: Final = [(asked, ending) for asked in ASKED for ending in (*WINS, *GOES_ON)]
AGAIN: Final = (T.DEPLOY, T.RETRY_BY_OPERATOR)


def walk(standing: Standing | JobState, events: Iterable[Transition]) -> Standing:
    """Return where a job stands after ``events``; one that the table does not allow changes nothing."""
    at = standing if isinstance(standing, Standing) else Standing(standing)
    for event in events:
        at = TRANSITIONS.get((at, event), at)
    return at


def counts(standing: Standing, event: Transition) -> bool:
    """Tell whether the table allows ``event`` where a job stands."""
    return (standing, event) in TRANSITIONS


def end_of(asked: Transition, ending: Transition) -> Standing:
    return Standing(WINS.get(ending) or ASKED[asked])


def test_the_rows_for_the_database_tell_exactly_what_the_table_says() -> None:
    for event, standing in product(T, STANDINGS):
        fitting = [
            move for move in moves(event) if move.source is standing.state and move.intent in (None, standing.intent)
        ]
        assert len(fitting) == counts(standing, event), (event, standing)
        for move in fitting:
            assert TRANSITIONS[(standing, event)].state is move.target


@pytest.mark.parametrize("event", T)
def test_every_event_counts_somewhere_and_hearing_it_twice_is_hearing_it_once(event: Transition) -> None:
    assert moves(event)
    assert all(walk(at, [event, event]) == walk(at, [event]) for at in STANDINGS)


@pytest.mark.parametrize(("asked", "ending"), ENDS)
def test_a_stop_or_a_pause_and_the_end_of_an_attempt_have_one_outcome_in_either_order(
    asked: Transition, ending: Transition
) -> None:
    both_orders = {walk(S.RUNNING, order) for order in permutations((asked, ending))}
    assert both_orders == {end_of(asked, ending)}


@pytest.mark.parametrize(("asked", "ending"), ENDS)
def test_a_stop_or_a_pause_that_was_heard_or_not_makes_no_difference_to_the_end(
    asked: Transition, ending: Transition
) -> None:
    heard_or_not = {
        walk(S.RUNNING, events)
        for events in (
            [asked, ending],
            [asked, T.ACKNOWLEDGE_STOP, ending],
            [asked, ending, T.ACKNOWLEDGE_STOP],
        )
    }
    assert heard_or_not == {end_of(asked, ending)}


@pytest.mark.parametrize("ending", [T.STOP, T.FORCE_STOP, *GOES_ON])
@pytest.mark.parametrize("intent", StopIntent)
def test_wherever_a_stop_ends_it_ends_in_what_it_was_for(intent: StopIntent, ending: Transition) -> None:
    for state in STOP_STATES:
        assert walk(Standing(state, intent), [ending]) == Standing(STOP_ENDS[intent])


@pytest.mark.parametrize(("first", "second"), list(permutations(sorted(ENDINGS), 2)))
def test_of_two_ends_of_one_attempt_the_first_counts(first: Transition, second: Transition) -> None:
    for at in (at for at in STANDINGS if at.state in HELD_STATES):
        if counts(at, first):
            assert walk(at, [first, second]) == walk(at, [first])


@pytest.mark.parametrize("order", list(permutations((T.REQUEST_STOP, T.START))))
def test_a_stop_and_a_start_never_leave_the_job_running(order: tuple[Transition, Transition]) -> None:
    assert walk(S.SCHEDULED, order).state in {S.STOPPED, S.STOP_REQUESTED}


@pytest.mark.parametrize("order", list(permutations((T.REQUEST_PAUSE, T.START))))
def test_a_pause_and_a_start_never_leave_the_job_running(order: tuple[Transition, Transition]) -> None:
    assert walk(S.SCHEDULED, order) in {Standing(S.PAUSED), Standing(S.STOP_REQUESTED, StopIntent.PAUSE)}


@pytest.mark.parametrize("at", [at for at in STANDINGS if at.state not in TERMINAL_STATES])
def test_of_a_stop_and_a_pause_in_either_order_the_stop_decides(at: Standing) -> None:
    for order in permutations((T.REQUEST_STOP, T.REQUEST_PAUSE)):
        assert walk(at, [*order, T.LOSE_WORKER]) == Standing(S.STOPPED)


@pytest.mark.parametrize("at", [Standing(S.RUNNING), Standing(S.SCHEDULED)])
def test_a_pause_that_is_taken_back_leaves_a_job_that_runs_again(at: Standing) -> None:
    for events in ([T.REQUEST_PAUSE, T.RESUME], [T.REQUEST_PAUSE, T.ACKNOWLEDGE_STOP, T.RESUME]):
        for ending in (T.STOP, T.FORCE_STOP, T.LOSE_WORKER):
            assert walk(at, [*events, ending, T.START]) == Standing(S.RUNNING)


@pytest.mark.parametrize(("first", "second"), list(product(T, repeat=2)))
def test_an_ended_job_heeds_nothing_but_a_deploy_or_a_retry_whatever_comes_in_pairs(
    first: Transition, second: Transition
) -> None:
    for at in map(Standing, TERMINAL_STATES):
        heeds = [counts(at, event) for event in (first, second)]
        assert all(event in AGAIN for event, is_heeded in zip((first, second), heeds, strict=True) if is_heeded)
        if not any(heeds):
            assert walk(at, [first, second]) == at
        elif heeds[0]:
            assert walk(at, [first, second]) == walk(S.SCHEDULED, [second])
        else:
            assert walk(at, [first, second]) == Standing(S.SCHEDULED)


@pytest.mark.parametrize(("first", "second"), list(permutations(sorted(T), 2)))
def test_the_pairs_whose_order_matters_are_races_that_someone_wins(first: Transition, second: Transition) -> None:
    """Where the two orders differ, either one event excludes the other, or it is a start against what needs none, or
    an operator has changed his mind, of whom the last word counts.
    """
    for at in STANDINGS:
        there, back = walk(at, [first, second]), walk(at, [second, first])
        if there == back or not (counts(at, first) and counts(at, second)):
            continue
        first_excludes = there == walk(at, [first])
        second_excludes = back == walk(at, [second])
        is_last_word = {first, second} <= {*INTENTS, *AGAIN}
        assert first_excludes or second_excludes or is_last_word, f"{at}: {first} and {second} both count, and differ"


def test_every_state_is_reached_and_each_of_them_leads_to_an_end() -> None:
    reached = {Standing(S.SCHEDULED)}
    while more := {to for (source, _), to in TRANSITIONS.items() if source in reached} - reached:
        reached |= more
    assert reached == set(STANDINGS)
    ending = set(map(Standing, TERMINAL_STATES))
    while more := {source for (source, _), to in TRANSITIONS.items() if to in ending} - ending:
        ending |= more
    assert reached <= ending


def test_a_job_whose_workers_keep_dying_ends_when_it_is_stopped() -> None:
    for at in (at for at in STANDINGS if at.state not in TERMINAL_STATES):
        assert walk(at, [T.REQUEST_STOP, T.LOSE_WORKER]) == Standing(S.STOPPED)
        assert walk(at, [T.LOSE_WORKER, T.REQUEST_STOP]) == Standing(S.STOPPED)


@given(st.lists(st.sampled_from(T), max_size=40))
def test_after_a_stop_nothing_but_a_deploy_or_a_retry_makes_a_job_run_again(events: list[Transition]) -> None:
    at, stopping = Standing(S.SCHEDULED), False
    for event in events:
        before, at = at, walk(at, [event])
        if event is T.REQUEST_STOP and before.state not in TERMINAL_STATES:
            stopping = True
        elif event in AGAIN and before.state in TERMINAL_STATES:
            stopping = False
        assert not (stopping and at.state in {S.SCHEDULED, S.RUNNING, S.PAUSED})
        if before.state in TERMINAL_STATES and event not in AGAIN:
            assert at == before


@given(st.lists(st.sampled_from(T), max_size=40))
def test_after_a_pause_nothing_but_an_operator_makes_a_job_run_again(events: list[Transition]) -> None:
    at, pausing = Standing(S.SCHEDULED), False
    for event in events:
        before, at = at, walk(at, [event])
        if event is T.REQUEST_PAUSE and counts(before, event):
            pausing = True
        elif event in (*AGAIN, T.RESUME):
            pausing = False
        assert not (pausing and at.state in {S.SCHEDULED, S.RUNNING})
