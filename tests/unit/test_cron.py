"""What cron expressions mean where the clock runs evenly, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.cron import CronExpression
from ampd.jobs.time_zones import load_zone

START = datetime(2026, 1, 1, tzinfo=UTC)


def times(text: str, count: int = 3, zone: str = "UTC", start: datetime = START) -> list[str]:
    found = []
    at: datetime | None = start - timedelta(seconds=1)
    while at is not None and len(found) < count:
        at = CronExpression(text).next(at, load_zone(zone))
        found.append("never" if at is None else at.astimezone(load_zone(zone)).strftime("%Y-%m-%d %H:%M%z"))
    return [time.removesuffix("+0000") for time in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 9 * * MON-FRI", ["2026-01-01 09:00", "2026-01-02 09:00", "2026-01-05 09:00"]),
        ("0 9 * * mon-fri", ["2026-01-01 09:00", "2026-01-02 09:00", "2026-01-05 09:00"]),
        ("*/20 * * * *", ["2026-01-01 00:00", "2026-01-01 00:20", "2026-01-01 00:40"]),
        ("5/20 * * * *", ["2026-01-01 00:05", "2026-01-01 00:25", "2026-01-01 00:45"]),
        ("0 0 1,15 JAN,mar *", ["2026-01-01 00:00", "2026-01-15 00:00", "2026-03-01 00:00"]),
        # Both days are given: either of them is enough. One of them begins with a star: both must fit.
        ("0 0 13 * FRI", ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00"]),
        ("0 0 */7 * FRI", ["2026-05-01 00:00", "2026-05-08 00:00", "2026-05-15 00:00"]),
        ("0 0 * * 0", ["2026-01-04 00:00", "2026-01-11 00:00", "2026-01-18 00:00"]),
        ("0 0 * * 7", ["2026-01-04 00:00", "2026-01-11 00:00", "2026-01-18 00:00"]),
        ("0 0 31 * *", ["2026-01-31 00:00", "2026-03-31 00:00", "2026-05-31 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("0 0 L * *", ["2026-01-31 00:00", "2026-02-28 00:00", "2026-03-31 00:00"]),
        ("0 0 LW * *", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-31 00:00"]),
        ("0 0 * * 5L", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-27 00:00"]),
        ("0 0 * * MON#1", ["2026-01-05 00:00", "2026-02-02 00:00", "2026-03-02 00:00"]),
        ("0 0 15W * *", ["2026-01-15 00:00", "2026-02-16 00:00", "2026-03-16 00:00"]),
        ("0 0 1W * *", ["2026-01-01 00:00", "2026-02-02 00:00", "2026-03-02 00:00"]),
        ("0 0 31W * *", ["2026-01-30 00:00", "2026-03-31 00:00", "2026-05-29 00:00"]),
        ("0 0 3W,20 * *", ["2026-01-02 00:00", "2026-01-20 00:00", "2026-02-03 00:00"]),
        ("@hourly", ["2026-01-01 00:00", "2026-01-01 01:00", "2026-01-01 02:00"]),
        ("@Daily", ["2026-01-01 00:00", "2026-01-02 00:00", "2026-01-03 00:00"]),
        ("@weekly", ["2026-01-04 00:00", "2026-01-11 00:00", "2026-01-18 00:00"]),
        ("@yearly", ["2026-01-01 00:00", "2027-01-01 00:00", "2028-01-01 00:00"]),
        # A range of one value is this value, whatever the step; cronsim takes it for a beginning.
        ("5-5/10 * * * *", ["2026-01-01 00:05", "2026-01-01 01:05", "2026-01-01 02:05"]),
    ],
)
def test_an_expression_comes_at_its_times(text: str, expected: list[str]) -> None:
    assert times(text) == expected


@pytest.mark.parametrize(
    ("text", "zone", "start", "expected"),
    [
        # In the gap: once, right after it. Wildcards skip what there is not.
        ("30 2 * * *", "America/New_York", "2026-03-08T00:00", ["2026-03-08 03:00-0400", "2026-03-09 02:30-0400"]),
        ("0,30 2,3 * * *", "America/New_York", "2026-03-08T00:00", ["2026-03-08 03:00-0400", "2026-03-08 03:30-0400"]),
        ("*/30 2 * * *", "America/New_York", "2026-03-08T00:00", ["2026-03-09 02:00-0400", "2026-03-09 02:30-0400"]),
        # In the repeated hour: a fixed time once, wildcards in both hours.
        ("30 1 * * *", "America/New_York", "2026-11-01T00:00", ["2026-11-01 01:30-0400", "2026-11-02 01:30-0500"]),
        ("*/30 1 * * *", "America/New_York", "2026-11-01T05:30", ["2026-11-01 01:30-0400", "2026-11-01 01:00-0500"]),
        # Changes of half an hour, at midnight, and of a whole day.
        ("*/10 2 * * *", "Australia/Lord_Howe", "2026-04-04T14:30", ["2026-04-05 02:00+1030", "2026-04-05 02:10+1030"]),
        ("*/7 0 * * *", "America/Asuncion", "2023-10-01T03:00", ["2023-10-02 00:00-0300", "2023-10-02 00:07-0300"]),
        ("3/30 */7 * * *", "America/St_Johns", "2001-10-28T02:00", ["2001-10-28 00:03-0330", "2001-10-28 00:33-0330"]),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T00:00", ["2026-04-24 01:00+0300", "2026-04-25 00:00+0300"]),
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-29T00:00", ["2011-12-31 00:00+1400", "2012-12-30 09:00+1400"]),
    ],
)  # fmt: skip
def test_where_clocks_change_an_expression_comes_as_debians_cron_has_it(
    text: str, zone: str, start: str, expected: list[str]
) -> None:
    assert times(text, len(expected), zone, datetime.fromisoformat(start + "+00:00")) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields; want five, without seconds"),
        ("0 0 12 * * *", "6 fields; want five, without seconds"),
        ("60 * * * *", "minute field"),
        ("* 24 * * *", "hour field"),
        ("* * 0 * *", "day-of-month field"),
        ("* * 32W * *", "day-of-month field"),
        ("* * * 13 *", "month field"),
        ("* * * * 8", "day-of-week field"),
        ("* * * * FRY", "day-of-week field"),
        ("* 22-2 * * *", "hour field"),
        ("* * ? * *", "day-of-month field"),
        ("*/0 * * * *", "minute field"),
        ("*/90 * * * *", "step of the minute is larger than the field; for longer intervals use 'every'"),
        ("0 0 30 2 *", "none of the months has such a day"),
        ("0 0 30W 2 *", "never comes"),
        ("* * */20 * 1L", "never comes"),
        ("@reboot", "known are @yearly"),
        ("０ ０ * * *", "plain characters"),
        ("0 " * 200, "plain characters"),
        ("5 " + "9" * 150 + " * * *", "hour field"),
    ],
)
def test_what_cannot_be_read_or_never_comes_is_refused_and_says_why(text: str, why: str) -> None:
    with pytest.raises(AmpError) as refused:
        CronExpression(text)
    assert refused.value.code is ErrorCode.INVALID_SCHEDULE
    assert refused.value.context == {"field": "cron"}
    assert why in refused.value.message
    assert refused.value.message.startswith("cron: ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("america/new_york", "did you mean 'America/New_York'?"),
        ("America", "IANA name"),
        ("../../etc/passwd", "IANA name"),
        ("/etc/localtime", "IANA name"),
        ("", "IANA name"),
        ("UTC+3", "IANA name"),
    ],
)
def test_an_unknown_time_zone_is_refused(name: str, hint: str) -> None:
    with pytest.raises(AmpError) as refused:
        load_zone(name)
    assert (refused.value.code, refused.value.context) == (ErrorCode.INVALID_SCHEDULE, {"field": "tz"})
    assert hint in refused.value.message


def test_the_next_time_lies_after_the_moment_that_was_given_down_to_a_microsecond() -> None:
    expression, zone = CronExpression("0 * * * *"), load_zone("UTC")
    hour = START + timedelta(hours=1)
    assert expression.next(hour - timedelta(microseconds=1), zone) == hour
    assert expression.next(hour, zone) == hour + timedelta(hours=1)
    assert list(islice(iter([expression.next(hour + timedelta(microseconds=1), zone)]), 1)) == [
        hour + timedelta(hours=1)
    ]
