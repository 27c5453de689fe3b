"""What becomes of due times: the rules of catch-up, overlap, limits and pauses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ampd.jobs.firing_plan import MOST_QUEUED, MOST_TIMES, FiringOutcome, Plan, plan_firing
from ampd.jobs.recurrence import CatchUp, Overlap, Schedule

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
HOURLY = Schedule(every_ms=3_600_000, anchor=NOW - timedelta(days=30))
SECONDLY = Schedule(every_ms=1000, anchor=NOW - timedelta(days=30))
F = FiringOutcome


def hour(number: int) -> datetime:
    return NOW + timedelta(hours=number)


def plan(schedule: Schedule = HOURLY, *, first_queued: datetime | None = None, **changes: Any) -> Plan:
    row = {
        "id": 1,
        "state": "SCHEDULED",
        "stop_intent": None,
        "schedule": schedule.to_json(),
        "next_run_at": NOW,
        "rests": True,
        "execution_count": 0,
        "queued_firings": 0,
        "fires_after": None,
        "now": NOW,
    }
    return plan_firing(row | changes, first_queued)


def told(plan: Plan) -> list[tuple[datetime, FiringOutcome, int]]:
    return [(firing.fire_time, firing.outcome, firing.times) for firing in plan.firings]


def changed(schedule: Schedule = HOURLY, **changes: Any) -> Schedule:
    return Schedule(**{name: getattr(schedule, name) for name in schedule.__dataclass_fields__} | changes)


def test_a_time_that_has_come_begins_an_execution_and_the_next_one_follows() -> None:
    made = plan()
    assert (told(made), made.next_run_at, made.queued_firings) == ([(NOW, F.FIRED, 1)], hour(1), 0)


def test_of_missed_times_run_once_fires_the_last_one_and_notes_the_others() -> None:
    made = plan(next_run_at=hour(-5))
    assert told(made) == [(hour(-5), F.MISSED, 5), (NOW, F.FIRED, 1)]
    assert made.firings[0].last_time == hour(-1)


def test_run_once_fires_the_last_time_however_late_it_is() -> None:
    weekly = Schedule(every_ms=7 * 86_400_000, anchor=NOW - timedelta(days=10))
    made = plan(weekly, next_run_at=weekly.anchor)
    assert told(made) == [(weekly.anchor, F.MISSED, 1), (NOW - timedelta(days=3), F.FIRED, 1)]


def test_skip_lets_missed_times_go_and_fires_one_that_is_hardly_late() -> None:
    schedule = changed(catch_up=CatchUp.SKIP)
    assert told(plan(schedule, next_run_at=hour(-5), now=NOW + timedelta(minutes=2))) == [(hour(-5), F.MISSED, 6)]
    assert told(plan(schedule, next_run_at=hour(-5), now=NOW + timedelta(seconds=50))) == [
        (hour(-5), F.MISSED, 5),
        (NOW, F.FIRED, 1),
    ]


def test_run_all_fires_the_first_missed_time_of_the_window_and_lets_the_others_wait_whatever_the_overlap() -> None:
    schedule = changed(catch_up=CatchUp.RUN_ALL, catch_up_window_ms=3 * 3_600_000)
    made = plan(schedule, next_run_at=hour(-5), now=NOW + timedelta(minutes=5))
    assert told(made) == [
        (hour(-5), F.MISSED, 3),
        (hour(-2), F.FIRED, 1),
        (hour(-1), F.QUEUED, 1),
        (NOW, F.QUEUED, 1),
    ]
    assert made.queued_firings == 2


def test_a_time_at_which_an_execution_goes_on_is_skipped_queued_or_ends_it() -> None:
    busy: dict[str, Any] = {"rests": False, "state": "RUNNING"}
    skipped = plan(**busy)
    assert (told(skipped), skipped.cancels, skipped.next_run_at) == ([(NOW, F.SKIPPED, 1)], False, hour(1))
    queued = plan(changed(overlap=Overlap.QUEUE), **busy, queued_firings=3)
    assert (told(queued), queued.cancels, queued.queued_firings) == ([(NOW, F.QUEUED, 1)], False, 4)
    cancelling = plan(changed(overlap=Overlap.CANCEL_RUNNING), **busy)
    assert (told(cancelling), cancelling.cancels) == ([(NOW, F.QUEUED, 1)], True)


def test_cancel_running_ends_an_execution_once_and_not_one_that_has_no_worker() -> None:
    schedule = changed(overlap=Overlap.CANCEL_RUNNING)
    again = plan(schedule, rests=False, state="STOP_REQUESTED", queued_firings=1)
    waiting = plan(schedule, rests=False, state="SCHEDULED")
    assert (told(again), again.cancels) == ([(NOW, F.SKIPPED, 1)], False)
    assert (told(waiting), waiting.cancels) == ([(NOW, F.SKIPPED, 1)], False)


def test_a_time_that_has_waited_goes_before_one_that_has_just_come() -> None:
    made = plan(changed(overlap=Overlap.QUEUE), first_queued=hour(-2), queued_firings=2)
    assert (made.begins_queued, told(made), made.queued_firings) == (hour(-2), [(NOW, F.QUEUED, 1)], 2)


def test_a_limit_counts_executions_and_what_waits_to_be_one_but_nothing_that_was_let_go() -> None:
    last = plan(changed(limit=3), execution_count=2)
    assert (told(last), last.next_run_at) == ([(NOW, F.FIRED, 1)], None)
    skipped = plan(changed(limit=3), execution_count=2, rests=False, state="RUNNING")
    assert (told(skipped), skipped.next_run_at) == ([(NOW, F.SKIPPED, 1)], hour(1))
    full = plan(changed(limit=3, overlap=Overlap.QUEUE), execution_count=2, queued_firings=1, rests=False)
    assert (told(full), full.next_run_at) == ([], None)
    all_of_them = plan(changed(limit=3, catch_up=CatchUp.RUN_ALL), next_run_at=hour(-8), now=hour(0))
    assert [outcome for _, outcome, _ in told(all_of_them)] == [F.FIRED, F.QUEUED, F.QUEUED]
    assert all_of_them.next_run_at is None


def test_no_time_comes_after_the_end_date() -> None:
    made = plan(changed(end_date=NOW))
    assert (told(made), made.next_run_at) == ([(NOW, F.FIRED, 1)], None)


def test_paused_times_are_neither_fired_nor_missed() -> None:
    resumed = plan(next_run_at=hour(-5), fires_after=NOW - timedelta(minutes=1), now=NOW - timedelta(seconds=30))
    assert (told(resumed), resumed.next_run_at) == ([], NOW)
    later = plan(next_run_at=hour(-5), fires_after=hour(-3), now=NOW)
    assert told(later) == [(hour(-2), F.MISSED, 2), (NOW, F.FIRED, 1)]


def test_one_look_reads_so_many_times_and_the_next_goes_on_where_it_ended() -> None:
    start = NOW - timedelta(seconds=2 * MOST_TIMES)
    first = plan(SECONDLY, next_run_at=start)
    assert told(first) == [(start, F.MISSED, MOST_TIMES)]
    second = plan(SECONDLY, next_run_at=first.next_run_at)
    assert told(second) == [(first.next_run_at, F.MISSED, MOST_TIMES)]
    assert told(plan(SECONDLY, next_run_at=second.next_run_at)) == [(NOW, F.FIRED, 1)]


def test_while_too_many_times_wait_no_other_is_looked_at() -> None:
    schedule = changed(SECONDLY, catch_up=CatchUp.RUN_ALL)
    made = plan(schedule, next_run_at=NOW - timedelta(seconds=2000), rests=False, queued_firings=MOST_QUEUED - 2)
    assert [outcome for _, outcome, _ in told(made)] == [F.QUEUED, F.QUEUED]
    assert (made.next_run_at, made.queued_firings) == (NOW - timedelta(seconds=1998), MOST_QUEUED)


def test_nothing_is_due_before_its_time() -> None:
    made = plan(next_run_at=hour(1))
    assert (told(made), made.next_run_at, made.begins_queued) == ([], hour(1), None)
