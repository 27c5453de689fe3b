"""Every two events in either order, walked through the transition table alone (no database)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations, product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampd.jobs.states import HELD_STATES, TERMINAL_STATES, TRANSITIONS, JobState, Transition, targets

S, T = JobState, Transition
# A worker ends its attempt, or is no longer there to do so.
ENDINGS: Final = frozenset({T.COMPLETE, T.RETRY, T.FAIL, T.STOP, T.HAND_BACK, T.LOSE_WORKER})
# Where each ending leads when a stop is asked for before or after it.
ENDS_WITH_A_STOP: Final = {
    T.COMPLETE: S.COMPLETED,
    T.FAIL: S.FAILED,
    T.RETRY: S.STOPPED,
    T.HAND_BACK: S.STOPPED,
    T.LOSE_WORKER: S.STOPPED,
}


def walk(state: JobState, events: Iterable[Transition]) -> JobState:
    """Return the state after ``events``; one that the table does not allow changes nothing."""
    for event in events:
        state = TRANSITIONS.get((state, event), state)
    return state


def counts(state: JobState, event: Transition) -> bool:
    """Tell whether the table allows ``event`` in ``state``."""
    return (state, event) in TRANSITIONS


def test_targets_tells_exactly_what_the_table_says() -> None:
    told = {(state, event): to for event in Transition for state, to in targets(event).items()}
    assert told == TRANSITIONS


@pytest.mark.parametrize("event", Transition)
def test_every_event_counts_somewhere_and_hearing_it_twice_is_hearing_it_once(event: Transition) -> None:
    assert targets(event)
    assert all(walk(state, [event, event]) is walk(state, [event]) for state in JobState)


@pytest.mark.parametrize("ending", ENDS_WITH_A_STOP)
def test_a_stop_and_the_end_of_an_attempt_have_one_outcome_in_either_order(ending: Transition) -> None:
    both_orders = {walk(S.RUNNING, order) for order in permutations((T.REQUEST_STOP, ending))}
    assert both_orders == {ENDS_WITH_A_STOP[ending]}


@pytest.mark.parametrize("ending", ENDS_WITH_A_STOP)
def test_a_stop_that_was_heard_or_not_makes_no_difference_to_the_end(ending: Transition) -> None:
    heard_or_not = {
        walk(S.RUNNING, events)
        for events in (
            [T.REQUEST_STOP, ending],
            [T.REQUEST_STOP, T.ACKNOWLEDGE_STOP, ending],
            [T.REQUEST_STOP, ending, T.ACKNOWLEDGE_STOP],
        )
    }
    assert heard_or_not == {ENDS_WITH_A_STOP[ending]}


@pytest.mark.parametrize(("first", "second"), list(permutations(sorted(ENDINGS), 2)))
def test_of_two_ends_of_one_attempt_the_first_counts(first: Transition, second: Transition) -> None:
    for state in HELD_STATES:
        if counts(state, first):
            assert walk(state, [first, second]) is walk(state, [first])


@pytest.mark.parametrize("order", list(permutations((T.REQUEST_STOP, T.START))))
def test_a_stop_and_a_start_never_leave_the_job_running(order: tuple[Transition, Transition]) -> None:
    assert walk(S.SCHEDULED, order) in {S.STOPPED, S.STOP_REQUESTED}


@pytest.mark.parametrize(("first", "second"), list(product(Transition, repeat=2)))
def test_an_ended_job_heeds_nothing_but_a_deploy_whatever_comes_in_pairs(first: Transition, second: Transition) -> None:
    for state in TERMINAL_STATES:
        if T.DEPLOY not in (first, second):
            assert walk(state, [first, second]) is state
        elif first is T.DEPLOY:
            assert walk(state, [first, second]) is walk(S.SCHEDULED, [second])
        else:
            assert walk(state, [first, second]) is S.SCHEDULED


@pytest.mark.parametrize(("first", "second"), list(permutations(sorted(Transition), 2)))
def test_the_pairs_whose_order_matters_are_races_that_someone_wins(first: Transition, second: Transition) -> None:
    """Where the two orders differ, either one event excludes the other, or it is a start against what needs none."""
    for state in JobState:
        there, back = walk(state, [first, second]), walk(state, [second, first])
        if there is back or not (counts(state, first) and counts(state, second)):
            continue
        first_excludes = there is walk(state, [first])
        second_excludes = back is walk(state, [second])
        assert first_excludes or second_excludes, f"{state}: {first} and {second} both count, and differ by order"


def test_every_state_but_paused_is_reached_and_each_of_them_leads_to_an_end() -> None:
    """Pausing is not there yet: once something enters PAUSED, something must leave it, and this test must say so."""
    reached = {S.SCHEDULED}
    while more := {to for (source, _), to in TRANSITIONS.items() if source in reached} - reached:
        reached |= more
    assert reached == frozenset(JobState) - {S.PAUSED}
    ending = set(TERMINAL_STATES)
    while more := {source for (source, _), to in TRANSITIONS.items() if to in ending} - ending:
        ending |= more
    assert reached <= ending


def test_a_job_whose_workers_keep_dying_ends_when_it_is_stopped() -> None:
    for state in frozenset(JobState) - TERMINAL_STATES - {S.PAUSED}:
        assert walk(state, [T.REQUEST_STOP, T.LOSE_WORKER]) is S.STOPPED
        assert walk(state, [T.LOSE_WORKER, T.REQUEST_STOP]) is S.STOPPED


@given(st.lists(st.sampled_from(Transition), max_size=40))
def test_after_a_stop_nothing_but_a_deploy_makes_a_job_run_again(events: list[Transition]) -> None:
    state, stopping = S.SCHEDULED, False
    for event in events:
        before, state = state, walk(state, [event])
        if event is T.REQUEST_STOP and before not in TERMINAL_STATES:
            stopping = True
        elif event is T.DEPLOY and before in TERMINAL_STATES:
            stopping = False
        assert not (stopping and state in {S.SCHEDULED, S.RUNNING})
        if before in TERMINAL_STATES and event is not T.DEPLOY:
            assert state is before
