"""Cron expressions, as Debian's cron reads them, in any time zone. Pure.

cronsim walks through the minutes that a clock on the wall may show; what these mean where clocks are put forward or
back is decided here. An expression whose minute and hour both do not begin with ``*`` names fixed times: one that the
clocks leap over comes right after the leap, one that they show twice comes the first time. Any other expression goes by
real time: it comes whenever the clocks show a time that fits.
"""

from __future__ import annotations

import copy
import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.time_zones import instant_of, next_change, offset_at

_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS: Final = ("minute", "hour", "day-of-month", "month", "day-of-week")
_HIGHEST: Final = (59, 23, 31, 12, 7)
_LONGEST_TEXT = 200
# Every date of every weekday comes within fifty years: what does not come from here on never comes.
_SOME_START: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - what a clock on the wall shows
_NEAREST = re.compile(r"([0-9]{1,2})W")
_SECOND = timedelta(seconds=1)
_SATURDAY, _SUNDAY = 5, 6


class CronExpression:
    """A cron expression: five fields, or an alias such as ``@daily``; ``text`` is what was given.

    :raises AmpError: INVALID_SCHEDULE (field ``cron``) for one that does not parse, or whose time never comes.
    """

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        self._walk = _parsed(self.text)
        minute, hour = self._walk.parts[1:3]
        self._is_fixed = not minute.startswith("*") and not hour.startswith("*")

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the first time after ``after`` (in UTC, like ``after``); None when there is none for fifty years."""
        return self._next_fixed(after, zone) if self._is_fixed else self._next_real(after, zone)

    def _next_fixed(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        wall: datetime | None = after.astimezone(zone).replace(tzinfo=None)
        while wall is not None:
            wall = self._next_wall(wall)
            # In the repeated hour the clocks show times that have come already.
            if wall is not None and (instant := instant_of(wall, zone)) > after:
                return instant
        return None

    def _next_real(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        since, offset = after, offset_at(zone, after)
        walked = (after + offset).replace(tzinfo=None)
        while (wall := self._next_wall(walked)) is not None:
            instant = wall.replace(tzinfo=UTC) - offset
            change = next_change(zone, since, instant)
            if change is None:
                return instant
            # The clocks are put forward or back before: the walk goes on with what they show then.
            since, offset = change, offset_at(zone, change)
            walked = (change + offset - _SECOND).replace(tzinfo=None)
        return None

    def _next_wall(self, wall: datetime) -> datetime | None:
        walk = copy.copy(self._walk)
        walk.dt = wall.replace(microsecond=0)
        return next(walk, None)


class _Walk(CronSim):
    """A walk through what clocks may show, that also knows the weekday nearest to a day of the month (``15W``)."""

    def __init__(self, fields: list[str]) -> None:
        fields = [_as_written(place, field) for place, field in zip(list(Field)[1:], fields, strict=True)]
        days = fields[2].split(",")
        self._nearest = {int(found[1]) for day in days if (found := _NEAREST.fullmatch(day))}
        if not self._nearest <= set(range(1, 32)):
            raise CronSimError("Bad day-of-month")
        others = ",".join(day for day in days if not _NEAREST.fullmatch(day))
        # cronsim wants some day; the last one of the month is taken out again.
        super().__init__(" ".join([*fields[:2], others or "L", *fields[3:]]), _SOME_START)
        if not others:
            self.days = set()

    def match_dom(self, d: date) -> bool:
        """Tell whether the day of the month fits."""
        return super().match_dom(d) or any(_nearest_weekday(d, day) == d for day in self._nearest)


def _as_written(place: Field, field: str) -> str:
    """Take the step off ranges of one value: cronsim reads ``5-5/10`` as ``5/10``."""
    terms = [(term, *term.partition("/")) for term in field.split(",")]
    return ",".join(
        values if step and "-" in values and len(place.parse(values)) == 1 else term for term, values, step, _ in terms
    )


def _nearest_weekday(month: date, day: int) -> date | None:
    """Return the weekday (Monday to Friday) of ``month`` that is nearest to its ``day``; None when it is too short."""
    try:
        wanted = month.replace(day=day)
    except ValueError:
        return None
    if wanted.weekday() == _SATURDAY:
        nearest = wanted + timedelta(days=-1 if day > 1 else 2)
    elif wanted.weekday() == _SUNDAY:
        following = wanted + timedelta(days=1)
        nearest = following if following.month == wanted.month else wanted - timedelta(days=2)
    else:
        nearest = wanted
    return nearest


@lru_cache(maxsize=4096)
def _parsed(text: str) -> _Walk:
    if len(text) > _LONGEST_TEXT or not text.isascii():
        raise _refused(f"want at most {_LONGEST_TEXT} plain characters")
    fields = _fields(text)
    for name, highest, field in zip(_FIELDS, _HIGHEST, fields, strict=True):
        if any(int(step) > highest for step in re.findall(r"/([0-9]+)", field)):
            # Read literally it would come at the first value alone, and not so seldom as its author hopes.
            raise _refused(
                f"{text!r}: the step of the {name} is larger than the field; for longer intervals use 'every'"
            )
    try:
        walk = _Walk(fields)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        why = ", or none of the months has such a day" if name == "day-of-month" else ""
        raise _refused(f"{text!r}: cannot read the {name} field{why}") from None
    if next(copy.copy(walk), None) is None:
        raise _refused(f"{text!r} names a time that never comes")
    return walk


def _fields(text: str) -> list[str]:
    if text.startswith("@"):
        if text.lower() not in _ALIASES:
            raise _refused(f"{text!r} is not known; known are {', '.join(_ALIASES)}")
        text = _ALIASES[text.lower()]
    fields = text.upper().split()
    if len(fields) != len(_FIELDS):
        raise _refused(f"{text!r} has {len(fields)} fields; want five, without seconds: {', '.join(_FIELDS)}")
    return fields


def _refused(message: str) -> AmpError:
    return AmpError(ErrorCode.INVALID_SCHEDULE, f"cron: {message}", context={"field": "cron"})
