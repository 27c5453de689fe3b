"""From the schedule that somebody asks for to one that is kept: every field checked, each error with its name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.cron import CronExpression
from ampd.jobs.recurrence import DEFAULT_WINDOW_MS, DEFAULT_ZONE, LAST_TIME, CatchUp, Overlap, Schedule
from ampd.jobs.time_zones import load_zone

FIELDS: Final = (
    "start_at",
    "cron",
    "tz",
    "every",
    "limit",
    "end_date",
    "overlap",
    "catch_up",
    "catch_up_window_ms",
    "pause_on_failure",
)
SHORTEST_INTERVAL_MS: Final = 1000
LONGEST_MS: Final = 10 * 366 * 86_400_000
MOST_RUNS: Final = 2**31 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What makes no sense for a job that runs once.
_OF_RECURRING: Final = ("limit", "end_date", "overlap", "catch_up", "catch_up_window_ms", "pause_on_failure")
Word = TypeVar("Word", bound=StrEnum)


def parse_schedule(wanted: Mapping[str, Any]) -> Schedule:
    """Return the schedule of ``wanted``, whose keys are those of FIELDS; None is as if it were not there.

    ``start_at`` and ``end_date`` are datetimes, RFC 3339 texts with an offset, or milliseconds since 1970; ``every``
    and ``catch_up_window_ms`` are milliseconds.

    :raises AmpError: INVALID_SCHEDULE; its context has the ``field``.
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    for name in given:
        if name not in FIELDS:
            raise refused(name, f"is not known; known are {', '.join(FIELDS)}")
    _check_together(given)
    schedule = Schedule(
        cron=_cron(given.get("cron")),
        tz=_zone(given.get("tz", DEFAULT_ZONE)),
        every_ms=_integer(given, "every", SHORTEST_INTERVAL_MS, LONGEST_MS, "milliseconds"),
        start_at=_moment(given, "start_at"),
        end_date=_moment(given, "end_date"),
        limit=_integer(given, "limit", 1, MOST_RUNS, "runs"),
        overlap=_word(given, "overlap", Overlap.SKIP),
        catch_up=_word(given, "catch_up", CatchUp.RUN_ONCE),
        catch_up_window_ms=_integer(given, "catch_up_window_ms", SHORTEST_INTERVAL_MS, LONGEST_MS, "milliseconds")
        or DEFAULT_WINDOW_MS,
        pause_on_failure=_flag(given, "pause_on_failure"),
    )
    if schedule.start_at and schedule.end_date and schedule.end_date < schedule.start_at:
        raise refused("end_date", "lies before start_at")
    return schedule


def to_request(schedule: Schedule) -> dict[str, Any]:
    """Return what :func:`parse_schedule` makes ``schedule`` of: the fields that are not at their defaults."""
    kept = schedule.to_json()
    kept.pop("anchor", None)
    if "every_ms" in kept:
        kept["every"] = kept.pop("every_ms")
    return kept


def refused(name: str, what: str) -> AmpError:
    """Return the error of a field of a schedule."""
    return AmpError(ErrorCode.INVALID_SCHEDULE, f"{name}: {what}", context={"field": name})


def _check_together(given: Mapping[str, Any]) -> None:
    if "cron" in given and "every" in given:
        raise refused("every", "give either cron or every, not both")
    if "tz" in given and "cron" not in given:
        raise refused(
            "tz", "goes with cron; an interval is the same in all time zones, and start_at has its own offset"
        )
    if "cron" not in given and "every" not in given:
        for name in _OF_RECURRING:
            if name in given:
                raise refused(name, "goes with cron or every")
        if "start_at" not in given:
            raise refused("start_at", "give start_at, cron or every")
    if "catch_up_window_ms" in given and given.get("catch_up") != CatchUp.RUN_ALL:
        raise refused("catch_up_window_ms", "goes with catch_up run_all")


def _cron(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise refused("cron", "want a text such as '0 9 * * MON-FRI'")
    return CronExpression(value).text


def _zone(value: Any) -> str:
    if not isinstance(value, str):
        raise refused("tz", "want an IANA name such as 'America/New_York'")
    return load_zone(value).key


def _moment(given: Mapping[str, Any], name: str) -> datetime | None:
    value = given.get(name)
    if value is None:
        return None
    moment = _read_moment(value)
    if moment is None or moment.tzinfo is None:
        raise refused(name, "want a time such as 2026-03-04T10:00:00Z, or milliseconds since 1970")
    moment = moment.astimezone(UTC)
    if not _EPOCH <= moment <= LAST_TIME:
        raise refused(name, f"want a time from {_EPOCH.year} to {LAST_TIME.year}")
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _read_moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return _EPOCH + timedelta(milliseconds=value)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        # At the ends of the calendar there is no time of day in UTC.
        return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _integer(given: Mapping[str, Any], name: str, least: int, most: int, unit: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise refused(name, f"want a whole number of {unit} from {least} to {most}")
    return value


def _word(given: Mapping[str, Any], name: str, default: Word) -> Word:
    words = type(default)
    try:
        return words(given.get(name, default))
    except ValueError:
        raise refused(name, f"want one of {', '.join(words)}") from None


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise refused(name, "want true or false")
    return value
