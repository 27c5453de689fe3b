from __future__ import annotations

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.states import (
    ACTIVE_STATES,
    HELD_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    JobState,
    Transition,
    lifecycle,
    parse_states,
    targets,
)


def test_terminal_states_are_left_only_by_a_new_deploy() -> None:
    leaving = {transition for state, transition in TRANSITIONS if state in TERMINAL_STATES}
    assert leaving == {Transition.DEPLOY}


def test_every_state_that_a_worker_holds_has_a_way_out_when_the_worker_dies() -> None:
    assert set(targets(Transition.LOSE_WORKER)) == HELD_STATES


def test_a_stop_never_leads_back_to_work() -> None:
    for state in (JobState.STOP_REQUESTED, JobState.STOPPING):
        reached = {target for (source, _), target in TRANSITIONS.items() if source is state}
        assert reached <= {JobState.STOPPING} | TERMINAL_STATES


def test_every_transition_enters_another_state() -> None:
    assert all(source is not target for (source, _), target in TRANSITIONS.items())


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
