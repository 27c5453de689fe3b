"""Options of commands that say when a job runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter, Token

from ampd.client import ScheduleOptions

_UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART: Final = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)")


def read_interval(text: str) -> int:
    """Return the milliseconds of an interval such as ``90s``, ``1h30m`` or ``1d``; a bare number is milliseconds.

    :raises ValueError: for anything else.
    """
    if re.fullmatch(r"[0-9]{1,15}", text):
        return int(text)
    if not re.fullmatch(rf"(?:{_PART.pattern})+", text):
        raise ValueError(
            f"cannot read {text!r} as an interval: want 90s, 15m, 1h30m or 1d, or a number of milliseconds"
        )
    return sum(int(number) * _UNIT_MS[unit] for number, unit in _PART.findall(text))


def _interval(_type: Any, tokens: Sequence[Token]) -> int:
    return read_interval(tokens[0].value)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class When:
    """Options that say when a job runs."""

    cron: Annotated[
        str | None,
        Parameter(
            help="Run it by a cron expression: minute, hour, day of the month, month, day of the week; or @daily."
        ),
    ] = None
    tz: Annotated[
        str | None, Parameter(help="IANA time zone of --cron, such as America/New_York; UTC unless given.")
    ] = None
    every: Annotated[
        int | None,
        Parameter(converter=_interval, help="Run it at an interval: 90s, 15m, 1h30m, 1d, or milliseconds."),
    ] = None
    start_at: Annotated[
        datetime | None, Parameter(help="Not before this time; --every counts from it. UTC unless it has an offset.")
    ] = None
    limit: Annotated[int | None, Parameter(help="Run it so many times at most.")] = None
    end_date: Annotated[datetime | None, Parameter(help="Not after this time.")] = None
    overlap: Annotated[
        Literal["skip", "queue", "cancel_running"] | None,
        Parameter(help="What becomes of a time at which it still runs; skip unless given."),
    ] = None
    catch_up: Annotated[
        Literal["skip", "run_once", "run_all"] | None,
        Parameter(help="What becomes of times at which no controller ran; run_once unless given."),
    ] = None
    pause_on_failure: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Pause it when a run has failed, after its retries.")
    ] = False

    def schedule(self) -> ScheduleOptions:
        """Return what was given."""
        return {
            "cron": self.cron,
            "tz": self.tz,
            "every": self.every,
            "start_at": _in_utc(self.start_at),
            "limit": self.limit,
            "end_date": _in_utc(self.end_date),
            "overlap": self.overlap,
            "catch_up": self.catch_up,
            "pause_on_failure": self.pause_on_failure or None,
        }


NO_TIMES: Final = When()


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
