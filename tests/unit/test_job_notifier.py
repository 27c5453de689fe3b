"""Hints: how often they are sent, what several become, and what a listener makes of texts that are none.

Time is virtual: the loop's clock jumps from timer to timer, so that "50 ms" is exact and takes no time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.notification import INTERVAL_SECONDS, JobAction, Notifier, parse_action
from support.virtual_time import run_in_virtual_time

START: Final = JobAction("w1", 1, "START")
STOP: Final = JobAction("w2", 2, "STOP")
PLACE: Final = JobAction(None, None, "PLACE")
# PostgreSQL's longest payload.
LONGEST: Final = 7999


class Line:
    """The database's end of the notifier: keeps what was sent, and when. ``seconds`` a statement takes."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.sent: list[tuple[float, str]] = []
        self.errors: list[Exception] = []
        self._seconds = seconds
        self._beside: list[asyncio.Task[None]] = []

    async def execute(self, query: str, parameters: dict[str, Any]) -> None:
        assert "pg_notify" in query
        self.sent.append((round(asyncio.get_running_loop().time(), 6), parameters["payload"]))
        await asyncio.sleep(self._seconds)
        if self.errors:
            raise self.errors.pop(0)

    def run_beside(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        self._beside.append(asyncio.create_task(work, name=name))

    def times(self) -> list[float]:
        return [time for time, _ in self.sent]

    def actions(self) -> list[JobAction | None]:
        return [parse_action(payload) for _, payload in self.sent]


def run(test: Callable[[Notifier, Line], Coroutine[Any, Any, None]], **line: float) -> Line:
    """Run ``test`` with a notifier, then a second for what is still to be sent."""
    sent = Line(**line)

    async def main() -> None:
        await test(Notifier(sent), sent)  # type: ignore[arg-type]
        await asyncio.sleep(1)

    run_in_virtual_time(main())
    return sent


def test_one_hint_is_sent_at_once_with_its_exact_payload() -> None:
    async def test(notifier: Notifier, _: Line) -> None:
        notifier.hint(START)

    line = run(test)
    assert line.sent == [(0.0, '{"node_id":"w1","payload":{"job_id":1,"action":"START"}}')]


def test_a_hint_after_a_quiet_time_is_sent_at_once_too() -> None:
    async def test(notifier: Notifier, _: Line) -> None:
        notifier.hint(START)
        await asyncio.sleep(INTERVAL_SECONDS)
        notifier.hint(STOP)

    line = run(test)
    assert line.times() == [0.0, INTERVAL_SECONDS]
    assert line.actions() == [START, STOP]


def test_a_hint_that_comes_too_soon_waits_for_its_time_and_keeps_its_payload() -> None:
    async def test(notifier: Notifier, _: Line) -> None:
        notifier.hint(START)
        await asyncio.sleep(0.01)
        notifier.hint(STOP)

    line = run(test)
    assert line.times() == [0.0, INTERVAL_SECONDS]
    assert line.actions() == [START, STOP]


def test_several_hints_of_one_moment_are_one_that_is_for_everyone() -> None:
    async def test(notifier: Notifier, _: Line) -> None:
        for action in (START, STOP, JobAction("w1", 3, "START")):
            notifier.hint(action)

    line = run(test)
    assert line.sent == [(0.0, '{"node_id":null,"payload":{"job_id":null,"action":"PLACE"}}')]


def test_the_same_hint_again_and_again_is_that_hint() -> None:
    async def test(notifier: Notifier, _: Line) -> None:
        for _again in range(5):
            notifier.hint(STOP)

    assert run(test).actions() == [STOP]


def test_what_gathers_while_a_hint_must_wait_is_one_notification() -> None:
    async def test(notifier: Notifier, _: Line) -> None:
        notifier.hint(START)
        for number in range(10):
            await asyncio.sleep(0.004)
            notifier.hint(JobAction("w1", 10 + number, "START"))

    line = run(test)
    assert line.times() == [0.0, INTERVAL_SECONDS]
    assert line.actions() == [START, PLACE]


@given(pauses=st.lists(st.floats(0, 0.2), min_size=1, max_size=40), seconds=st.floats(0, 0.3))
@settings(max_examples=100, deadline=None)
def test_there_is_never_more_than_one_notification_in_50_ms_and_no_hint_is_lost(
    pauses: list[float], seconds: float
) -> None:
    """Also while a statement takes longer than that."""
    hinted: list[float] = []

    async def test(notifier: Notifier, _: Line) -> None:
        for number, pause in enumerate(pauses):
            await asyncio.sleep(pause)
            hinted.append(asyncio.get_running_loop().time())
            notifier.hint(JobAction("w1", number, "START"))

    line = run(test, seconds=seconds)
    assert all(later - earlier > INTERVAL_SECONDS - 1e-5 for earlier, later in pairwise(line.times()))
    for number, moment in enumerate(hinted):
        heard = [action for time, action in zip(line.times(), line.actions(), strict=True) if time >= moment - 1e-5]
        assert JobAction("w1", number, "START") in heard or PLACE in heard
        assert any(moment - 1e-5 <= time <= moment + INTERVAL_SECONDS + 1e-5 for time in line.times())


def test_a_database_that_is_away_costs_a_hint_and_no_more() -> None:
    async def test(notifier: Notifier, line: Line) -> None:
        line.errors.append(AmpError(ErrorCode.METADATA_DB_UNREACHABLE, "away", recoverable=True))
        notifier.hint(START)
        await asyncio.sleep(INTERVAL_SECONDS)
        notifier.hint(STOP)

    assert run(test).actions() == [START, STOP]


# --- what arrives


@pytest.mark.parametrize("action", [START, STOP, PLACE], ids=lambda action: action.action)
def test_what_is_sent_is_what_is_heard(action: JobAction) -> None:
    assert parse_action(action.to_payload()) == action


def test_the_action_of_another_client_may_be_in_any_case() -> None:
    assert parse_action('{"node_id": "w1", "payload": {"job_id": 1, "action": "start"}}') == START


NO_ACTIONS: Final = {
    "nothing": "",
    "words": "START 1",
    "half an object": '{"node_id": "w1", "payload": {"job_id"',
    "null": "null",
    "a number": "1e999",
    "a longer number than Python reads": "9" * LONGEST,
    "a text": '"payload"',
    "a list": "[1, 2]",
    "an empty object": "{}",
    "no node": '{"payload": {"job_id": 1, "action": "START"}}',
    "no payload": '{"node_id": "w1"}',
    "no job": '{"node_id": "w1", "payload": {"action": "START"}}',
    "no action": '{"node_id": "w1", "payload": {"job_id": 1}}',
    "a payload that is a text": '{"node_id": "w1", "payload": "job_id action"}',
    "a payload that is a list": '{"node_id": "w1", "payload": ["job_id", "action"]}',
    "a payload that is null": '{"node_id": "w1", "payload": null}',
    "a deep list": "[" * LONGEST,
    "a deep object": '{"payload":' * (LONGEST // 11),
    "a deep action": '{"node_id":"w1","payload":{"job_id":1,"action":' + "[" * 3000 + "]" * 3000 + "}}",
}


@pytest.mark.parametrize("payload", NO_ACTIONS.values(), ids=NO_ACTIONS)
def test_a_text_that_is_no_notification_is_none(payload: str) -> None:
    """A defect here ends every worker of the cluster: anyone on the database may NOTIFY."""
    assert parse_action(payload) is None


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ENVELOPES: Final = st.fixed_dictionaries(
    {"node_id": JSON, "payload": st.fixed_dictionaries({"job_id": JSON, "action": JSON})}
)


@given(JSON | ENVELOPES)
@example({"node_id": ["w1"], "payload": {"job_id": 1, "action": "START"}})
@example({"node_id": {"w1": 1}, "payload": {"job_id": 1, "action": "START"}})
@example({"node_id": "w1", "payload": {"job_id": [1], "action": "START"}})
@settings(deadline=None)
def test_an_action_that_is_understood_names_a_worker_and_a_job_or_neither(value: object) -> None:
    """Whoever listens compares the name with its own, and may keep the action in a set."""
    action = parse_action(json.dumps(value))
    if action is not None:
        assert action.node_id is None or type(action.node_id) is str
        assert action.job_id is None or type(action.job_id) is int
        assert hash(action) == hash(action)


@given(st.text())
@settings(deadline=None)
def test_no_text_makes_a_listener_fail(text: str) -> None:
    parse_action(text)
