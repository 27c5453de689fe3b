"""When a job runs: at one time, by a cron expression in a time zone, or at an interval (design section 4.5). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from ampd.jobs.cron import CronExpression
from ampd.jobs.time_zones import load_zone

DEFAULT_ZONE: Final = "UTC"
# How far back times are made up for with CatchUp.RUN_ALL, unless the schedule says otherwise.
DEFAULT_WINDOW_MS: Final = 86_400_000
# No time lies beyond this one: dates have an end in Python, and intervals are added to them.
LAST_TIME: Final = datetime(2200, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Overlap(StrEnum):
    """What becomes of a fire time at which an execution before it has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL_RUNNING = "cancel_running"


class CatchUp(StrEnum):
    """What becomes of fire times that passed while no controller ran."""

    SKIP = "skip"
    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"


@dataclass(frozen=True)
class Schedule:
    """When a job runs. With neither ``cron`` nor ``every_ms`` it runs once, at ``start_at``.

    ``anchor`` is what an interval is counted from: ``start_at``, or the moment at which the schedule was given
    (:meth:`anchored`); so it never drifts. No time lies before ``start_at`` or after ``end_date``. ``limit`` is how
    often the job is run at most; counting is the caller's.
    """

    cron: str | None = None
    tz: str = DEFAULT_ZONE
    every_ms: int | None = None
    start_at: datetime | None = None
    end_date: datetime | None = None
    limit: int | None = None
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.RUN_ONCE
    catch_up_window_ms: int = DEFAULT_WINDOW_MS
    pause_on_failure: bool = False
    anchor: datetime | None = None

    @property
    def recurring(self) -> bool:
        """Tell whether the job runs more than once."""
        return self.cron is not None or self.every_ms is not None

    def anchored(self, now: datetime) -> Schedule:
        """Return the schedule as it is kept: given at ``now``, its interval counts from there or from ``start_at``."""
        return replace(self, anchor=self.start_at or _whole_milliseconds(now))

    def first(self, now: datetime) -> datetime | None:
        """Return the first fire time at ``now`` or later, in whole milliseconds; None when there is none."""
        return self.next(_whole_milliseconds(now) - _MILLISECOND)

    def next(self, after: datetime) -> datetime | None:
        """Return the first fire time after ``after``; None when there is none any more."""
        if self.start_at is not None:
            after = max(after, self.start_at - _MILLISECOND)
        after = after.astimezone(UTC)
        found = self._next(after) if after < LAST_TIME else None
        if found is None or found > (self.end_date or LAST_TIME):
            return None
        return found

    def _next(self, after: datetime) -> datetime | None:
        if self.cron is not None:
            return CronExpression(self.cron).next(after, load_zone(self.tz))
        if self.every_ms is not None:
            if self.anchor is None:
                raise ValueError("an interval is counted from a moment: see Schedule.anchored")
            interval = timedelta(milliseconds=self.every_ms)
            return self.anchor + interval * max((after - self.anchor) // interval + 1, 0)
        return self.start_at if self.start_at is not None and self.start_at > after else None

    def times(self, after: datetime) -> Iterator[datetime]:
        """Give all fire times after ``after``, one after the other; ``limit`` is not looked at."""
        found = self.next(after)
        while found is not None:
            yield found
            found = self.next(found)

    def to_json(self) -> dict[str, Any]:
        """Return the schedule as a job keeps it: what is not at its default."""
        values = {name: _json_value(getattr(self, name)) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value != _json_value(getattr(_DEFAULTS, name))}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Schedule:
        """Return the schedule that :meth:`to_json` gave."""
        values = dict(kept)
        for name in ("start_at", "end_date", "anchor"):
            if name in values:
                values[name] = datetime.fromisoformat(values[name])
        if "overlap" in values:
            values["overlap"] = Overlap(values["overlap"])
        if "catch_up" in values:
            values["catch_up"] = CatchUp(values["catch_up"])
        return cls(**values)


_DEFAULTS: Final = Schedule()


def _json_value(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _whole_milliseconds(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
