"""Cron expressions agree with a daemon that looks at every minute, where clocks are put forward and back."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ampd.errors import AmpError
from ampd.jobs.cron import CronExpression
from ampd.jobs.time_zones import load_zone, zone_names
from oracle.cron_minutes import MINUTE, Clock, Cron, changes, clock, fire_times, random_cron

FIRST, LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)
# The clocks of Samoa and Kiribati have leapt over a whole day; those of no zone since 1990 over more.
BEFORE, MINUTES = timedelta(minutes=200), 500


def check(cron: Cron, minutes: Clock, zone: ZoneInfo, chance: random.Random) -> bool:
    """Walk through ``minutes`` by the code, and begin in the middle of it, too. False for 30 February and its like."""
    expected = fire_times(cron, minutes)
    try:
        expression = CronExpression(cron.text)
    except AmpError as error:
        assert re.search("never comes|none of the months", error.message) and not expected, error.message
        return False
    end = minutes[-1][0]
    found: list[datetime] = []
    at: datetime | None = minutes[0][0]
    while at is not None and (at := expression.next(at, zone)) is not None and at <= end:
        found.append(at)
    assert found == expected, f"{cron.text!r} in {zone.key} from {minutes[0][0]}: {found} instead of {expected}"
    start = minutes[chance.randrange(len(minutes) - 1)][0] + timedelta(seconds=chance.choice((0, 0, 1, 59.5)))
    following = expression.next(start, zone)
    later = [time for time in expected if time > start]
    assert following == later[0] if later else following is None or following > end, (
        f"{cron.text!r} in {zone.key} after {start}: {following} instead of {later[:1]}"
    )
    return True


def check_changes(zone: ZoneInfo, chosen: Iterator[datetime] | list[datetime], chance: random.Random, each: int) -> int:
    checked = 0
    for change in chosen:
        minutes = clock(zone, change - BEFORE, MINUTES)
        near = next(wall for instant, wall in minutes if instant >= change - timedelta(minutes=70))
        for _ in range(each):
            cron = random_cron(chance, near + timedelta(minutes=chance.randint(0, 140)))
            checked += check(cron, minutes, zone, chance)
    return checked


@pytest.mark.parametrize("seed", range(4))
def test_around_changes_of_clocks_an_expression_comes_exactly_when_a_daemon_would_start_it(seed: int) -> None:
    chance = random.Random(seed)
    checked = 0
    for name in chance.sample(sorted(zone_names()), 25):
        zone = load_zone(name)
        year = datetime(chance.randint(1990, 2040), 1, 1, tzinfo=UTC)
        checked += check_changes(zone, list(changes(zone, year, year + timedelta(days=366))), chance, each=3)
    assert checked


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
def test_around_all_changes_of_all_zones_an_expression_comes_when_a_daemon_would_start_it(part: int) -> None:
    chance = random.Random(1000 + part)
    names = sorted(zone_names())[part::8]
    checked = sum(check_changes(zone, changes(zone, FIRST, LAST), chance, each=6) for zone in map(load_zone, names))
    assert checked > 10_000, checked


@pytest.mark.parametrize(
    "name", ["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
)
def test_over_weeks_an_expression_comes_exactly_when_a_daemon_would_start_it(name: str) -> None:
    chance = random.Random(name)
    zone = load_zone(name)
    minutes = clock(zone, datetime(2026, 2, 25, tzinfo=UTC), 50 * 24 * 60)
    for _ in range(3):
        cron = random_cron(chance, datetime(2026, 3, chance.randint(1, 28), 2, 30, tzinfo=UTC))
        check(cron, minutes, zone, chance)


@pytest.mark.parametrize("name", ["Pacific/Apia", "Pacific/Kiritimati", "Pacific/Kwajalein", "Antarctica/Vostok"])
def test_a_fixed_time_on_a_day_that_the_clocks_leap_over_comes_once_right_after_it(name: str) -> None:
    zone = load_zone(name)
    leaps = [
        change
        for change in changes(zone, FIRST, LAST)
        if change.astimezone(zone).replace(tzinfo=None) - (change - MINUTE).astimezone(zone).replace(tzinfo=None)
        > timedelta(hours=4)
    ]
    assert leaps
    for leap in leaps:
        missed = (leap - MINUTE).astimezone(zone).replace(tzinfo=None) + timedelta(hours=2)
        expression = CronExpression(f"{missed.minute},{missed.minute} {missed.hour} {missed.day} * *")
        assert expression.next(leap - timedelta(hours=1), zone) == leap
        assert CronExpression(f"*/5 {missed.hour} {missed.day} * *").next(leap - timedelta(hours=1), zone) != leap
