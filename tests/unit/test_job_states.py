from __future__ import annotations

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.states import (
    ACTIVE_STATES,
    HELD_STATES,
    STOP_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    JobState,
    StopIntent,
    Transition,
    lifecycle,
    parse_states,
    sources,
)


def test_terminal_states_are_left_only_by_a_new_deploy_or_a_retry_of_what_has_not_completed() -> None:
    leaving = {(source.state, transition) for source, transition in TRANSITIONS if source.state in TERMINAL_STATES}
    again = {(state, Transition.DEPLOY) for state in TERMINAL_STATES}
    tried_again = {(state, Transition.RETRY_BY_OPERATOR) for state in (JobState.STOPPED, JobState.FAILED)}
    assert leaving == again | tried_again


def test_every_state_that_a_worker_holds_has_a_way_out_when_the_worker_dies() -> None:
    assert set(sources(Transition.LOSE_WORKER)) == HELD_STATES


def test_a_stop_that_is_to_end_a_job_leads_to_its_end_and_one_that_pauses_it_not_back_to_work() -> None:
    for intent, ends in ((StopIntent.STOP, TERMINAL_STATES), (StopIntent.PAUSE, TERMINAL_STATES | {JobState.PAUSED})):
        reached = {target.state for (source, _), target in TRANSITIONS.items() if source.intent is intent}
        assert reached - STOP_STATES <= ends


def test_a_job_has_an_intent_exactly_while_it_is_being_stopped() -> None:
    standings = {standing for (source, _), target in TRANSITIONS.items() for standing in (source, target)}
    assert all((standing.intent is not None) == (standing.state in STOP_STATES) for standing in standings)


def test_every_transition_changes_where_a_job_stands() -> None:
    assert all(source != target for (source, _), target in TRANSITIONS.items())


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("active", ACTIVE_STATES),
        ("ALL", None),
        ("terminal", TERMINAL_STATES),
        ("error", {JobState.FAILED}),
        ("Failed", {JobState.FAILED}),
        ("cancelled", {JobState.STOPPED}),
        ("scheduled, running", {JobState.SCHEDULED, JobState.RUNNING}),
        ("STOP_REQUESTED,stopping", {JobState.STOP_REQUESTED, JobState.STOPPING}),
        ("active,terminal", None),
    ],
)
def test_status_filters_take_the_words_of_both_lifecycles_in_any_case(
    text: str, states: frozenset[JobState] | None
) -> None:
    assert parse_states(text) == states


@pytest.mark.parametrize("text", ["", "done", "running,,stopped", "running;stopped"])
def test_an_unknown_status_word_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(AmpError) as refused:
        parse_states(text)
    assert refused.value.code is ErrorCode.INVALID_QUERY_PARAMETERS
    assert "completed" in refused.value.message


def test_a_scheduled_job_is_queued_once_it_is_due() -> None:
    assert lifecycle(JobState.SCHEDULED, due=False) == "scheduled"
    assert lifecycle(JobState.SCHEDULED, due=True) == "queued"
    assert {lifecycle(state, due=True) for state in HELD_STATES} == {"running"}
    assert lifecycle(JobState.STOPPED, due=True) == "cancelled"
