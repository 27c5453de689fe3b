"""A second opinion on cron: looks at every minute, one after the other, as a daemon that sleeps until the next would.

Of the code under test it shares nothing: expressions come as fields that were made of their values (nothing is parsed),
and of time zones it only asks what a clock shows at an instant.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


@dataclass(frozen=True)
class Field:
    """A field as it is written, and the values that it stands for."""

    text: str
    values: frozenset[int]


@dataclass(frozen=True)
class Cron:
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field  # values 0 (Sunday) to 6

    @property
    def text(self) -> str:
        return " ".join(each.text for each in (self.minute, self.hour, self.day, self.month, self.weekday))

    @property
    def is_fixed(self) -> bool:
        return self.minute.text[0] != "*" and self.hour.text[0] != "*"

    def fits_date(self, day: date) -> bool:
        of_month, of_week = day.day in self.day.values, day.isoweekday() % 7 in self.weekday.values
        both = self.day.text[0] == "*" or self.weekday.text[0] == "*"
        return day.month in self.month.values and (of_month and of_week if both else of_month or of_week)

    def fits(self, wall: datetime) -> bool:
        return wall.minute in self.minute.values and wall.hour in self.hour.values and self.fits_date(wall.date())


Clock = list[tuple[datetime, datetime]]


def clock(zone: ZoneInfo, first: datetime, minutes: int) -> Clock:
    """Return each minute from ``first`` on with what the clocks show: the first pair is only known, not looked at."""
    instants = (first + MINUTE * number for number in range(minutes))
    return [(instant, instant.astimezone(zone).replace(tzinfo=None)) for instant in instants]


def fire_times(cron: Cron, minutes: Clock) -> list[datetime]:
    """Return the minutes after the first one at which a daemon starts what ``cron`` names."""
    return _fixed(cron, minutes) if cron.is_fixed else [instant for instant, wall in minutes[1:] if cron.fits(wall)]


def _fixed(cron: Cron, minutes: Clock) -> list[datetime]:
    """The daemon remembers how far it has come on the clock's face, and does what lies between there and now."""
    found, done = [], minutes[0][1]
    for instant, wall in minutes[1:]:
        due = False
        while done < wall:
            done += MINUTE
            due = due or cron.fits(done)
        if due:
            found.append(instant)
    return found


# --- expressions


def random_cron(chance: random.Random, near: datetime) -> Cron:
    """Make an expression that has a chance to come around ``near``, on the clock's face."""
    return Cron(
        _field(chance, 0, 59, near.minute),
        _field(chance, 0, 23, near.hour),
        _field(chance, 1, 31, near.day) if chance.random() < 0.3 else _all(1, 31),
        _field(chance, 1, 12, near.month, MONTHS, 1) if chance.random() < 0.2 else _all(1, 12),
        _field(chance, 0, 6, near.isoweekday() % 7, DAYS, 0) if chance.random() < 0.3 else _all(0, 6),
    )


def _all(low: int, high: int) -> Field:
    return Field("*", frozenset(range(low, high + 1)))


def _field(
    chance: random.Random, low: int, high: int, near: int, names: Sequence[str] = (), first_name: int = 0
) -> Field:
    kind = chance.choice(("one", "one", "list", "range", "step of all", "step of range", "all"))
    if kind == "all":
        return _all(low, high)
    if kind == "step of all":
        step = chance.randint(1, max(2, high // 2))
        return Field(f"*/{step}", frozenset(range(low, high + 1, step)))
    if kind in ("range", "step of range"):
        start = chance.randint(low, min(near, high))
        end = chance.randint(max(near, start), high)
        step = chance.randint(1, 5) if kind == "step of range" else 1
        text = f"{_named(chance, start, names, first_name)}-{_named(chance, end, names, first_name)}"
        return Field(text if step == 1 else f"{text}/{step}", frozenset(range(start, end + 1, step)))
    some = {_near(chance, low, high, near) for _ in range(1 if kind == "one" else chance.randint(2, 4))}
    return Field(",".join(_named(chance, value, names, first_name) for value in some), frozenset(some))


def _near(chance: random.Random, low: int, high: int, near: int) -> int:
    if chance.random() < 0.3:
        return chance.randint(low, high)
    return min(max(near + chance.randint(-2, 2), low), high)


def _named(chance: random.Random, value: int, names: Sequence[str], first: int) -> str:
    if names and chance.random() < 0.5:
        name = names[value - first]
        return name if chance.random() < 0.5 else name.lower()
    return f"{value:02}" if chance.random() < 0.1 else str(value)


# --- changes of clocks


def changes(zone: ZoneInfo, first: datetime, last: datetime, step: timedelta = timedelta(days=3)) -> Iterable[datetime]:
    """Give the minutes at which the clocks of ``zone`` are put forward or back, by looking ever closer."""
    while first < last:
        then = first + step
        if _offset(zone, first) != _offset(zone, then):
            if step == MINUTE:
                yield then
            else:
                yield from changes(zone, first, then, max(step / 60 // MINUTE * MINUTE, MINUTE))
        first = then


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta | None:
    return instant.astimezone(UTC).astimezone(zone).utcoffset()
