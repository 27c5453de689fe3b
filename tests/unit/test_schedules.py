"""Schedules: what is asked for, what is kept, and the times that follow from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import CatchUp, Overlap, Schedule, parse_schedule, to_request

NOW = datetime(2026, 3, 4, 10, 0, 0, 123_456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_an_interval_counts_from_the_moment_it_was_given_and_never_drifts() -> None:
    schedule = parse_schedule({"every": 60_000}).anchored(NOW)
    first = schedule.first(NOW)
    assert first == NOW.replace(microsecond=123_000)
    assert list(islice(schedule.times(first), 3)) == [first + MINUTE, first + 2 * MINUTE, first + 3 * MINUTE]
    late = first + 1_000_000 * MINUTE + timedelta(seconds=59)
    assert schedule.next(late) == first + 1_000_001 * MINUTE


@given(
    every=st.integers(1000, 10**9),
    start=st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
    later=st.timedeltas(timedelta(days=-400), timedelta(days=4000)),
)
def test_the_next_time_of_an_interval_is_the_first_one_after_the_moment(
    every: int, start: datetime, later: timedelta
) -> None:
    schedule = Schedule(every_ms=every, anchor=start)
    after = start + later
    found = schedule.next(after)
    assert found is not None
    assert found > after
    assert (found - start) % timedelta(milliseconds=every) == timedelta(0)
    assert found == start or found - timedelta(milliseconds=every) <= after


def test_nothing_comes_before_start_at_or_after_end_date() -> None:
    schedule = parse_schedule(
        {"cron": "0 * * * *", "start_at": "2026-03-04T12:00:00Z", "end_date": "2026-03-04T15:00:00+01:00"}
    ).anchored(NOW)
    first = schedule.first(NOW)
    assert first == datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert list(schedule.times(first)) == [datetime(2026, 3, 4, hour, tzinfo=UTC) for hour in (13, 14)]


def test_a_start_in_the_past_is_what_an_interval_counts_from_and_makes_up_for_nothing() -> None:
    schedule = parse_schedule({"every": 3_600_000, "start_at": "2026-03-01T00:30:00Z"}).anchored(NOW)
    assert schedule.first(NOW) == datetime(2026, 3, 4, 10, 30, tzinfo=UTC)


def test_a_moment_may_be_text_with_an_offset_a_number_of_milliseconds_or_a_datetime() -> None:
    moment = datetime(2026, 3, 4, 10, tzinfo=UTC)
    for value in ("2026-03-04T10:00:00Z", "2026-03-04T11:00:00+01:00", 1_772_618_400_000, moment):
        assert parse_schedule({"start_at": value}).start_at == moment


WHOLE: dict[str, Any] = {
    "start_at": datetime(2027, 1, 1, tzinfo=UTC).isoformat(),
    "cron": "0 9 * * MON",
    "tz": "Europe/Berlin",
    "limit": 5,
    "end_date": datetime(2028, 1, 1, tzinfo=UTC).isoformat(),
    "overlap": "queue",
    "catch_up": "run_all",
    "catch_up_window_ms": 60_000,
    "pause_on_failure": True,
}


def test_what_is_kept_gives_what_was_asked_for() -> None:
    for wanted in (WHOLE, {"every": 5000}, {"start_at": WHOLE["start_at"]}, {"cron": "@daily"}):
        schedule = parse_schedule(wanted)
        assert to_request(schedule) == wanted
        kept = schedule.anchored(NOW)
        assert Schedule.from_json(kept.to_json()) == kept
        assert to_request(kept) == wanted
    assert (parse_schedule(WHOLE).overlap, parse_schedule(WHOLE).catch_up) == (Overlap.QUEUE, CatchUp.RUN_ALL)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "start_at"),
        ({"cron": None, "every": None}, "start_at"),
        ({"cron": "* * * * *", "every": 5000}, "every"),
        ({"cron": 5}, "cron"),
        ({"cron": "x"}, "cron"),
        ({"cron": "* * * * *", "tz": "Mars/Base"}, "tz"),
        ({"cron": "* * * * *", "tz": 3}, "tz"),
        ({"every": 5000, "tz": "UTC"}, "tz"),
        ({"every": 999}, "every"),
        ({"every": 10**15}, "every"),
        ({"every": 5000.5}, "every"),
        ({"every": True}, "every"),
        ({"every": "1h"}, "every"),
        ({"start_at": "tomorrow"}, "start_at"),
        ({"start_at": "2026-03-04T10:00:00"}, "start_at"),
        ({"start_at": 10**30}, "start_at"),
        ({"start_at": -1}, "start_at"),
        ({"start_at": True}, "start_at"),
        ({"start_at": "9999-12-31T23:59:59-23:59"}, "start_at"),
        ({"start_at": "2026-03-04T10:00:00Z", "limit": 2}, "limit"),
        ({"start_at": "2026-03-04T10:00:00Z", "overlap": "skip"}, "overlap"),
        ({"every": 5000, "limit": 0}, "limit"),
        ({"every": 5000, "end_date": "never"}, "end_date"),
        ({"every": 5000, "start_at": 2_000_000_000_000, "end_date": 1_000_000_000_000}, "end_date"),
        ({"every": 5000, "overlap": "both"}, "overlap"),
        ({"every": 5000, "overlap": []}, "overlap"),
        ({"every": 5000, "catch_up": "later"}, "catch_up"),
        ({"every": 5000, "catch_up_window_ms": 5000}, "catch_up_window_ms"),
        ({"every": 5000, "catch_up": "run_all", "catch_up_window_ms": 5}, "catch_up_window_ms"),
        ({"every": 5000, "pause_on_failure": "yes"}, "pause_on_failure"),
        ({"every": 5000, "timezone": "UTC"}, "timezone"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_name_of_its_field(wanted: dict[str, Any], field: str) -> None:
    with pytest.raises(AmpError) as refused:
        parse_schedule(wanted)
    assert (refused.value.code, refused.value.context["field"]) == (ErrorCode.INVALID_SCHEDULE, field)
    assert refused.value.message.startswith(f"{field}: ")


def test_there_is_no_time_beyond_the_end_of_the_calendar() -> None:
    assert Schedule(cron="0 0 1 1 *").next(datetime(2199, 6, 1, tzinfo=UTC)) == datetime(2200, 1, 1, tzinfo=UTC)
    assert Schedule(cron="0 0 1 1 *").next(datetime(2200, 1, 1, tzinfo=UTC)) is None
    assert Schedule(every_ms=1000, anchor=NOW).next(datetime(9999, 12, 31, tzinfo=UTC)) is None
