"""How moments, durations and timetables look for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from ampd.client import Job

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def instant(moment: datetime) -> str:
    """Return ``2025-01-15T17:20:15Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: int) -> str:
    """Return ``2d 3h``, ``38m 40s`` or ``12s``: the two largest units."""
    return " ".join(_parts(seconds)[:2]) or "0s"


def interval(milliseconds: int) -> str:
    """Return ``1d12h``, ``1m30s`` or ``1500ms``: as it can be typed."""
    return f"{milliseconds}ms" if milliseconds % 1000 else "".join(_parts(milliseconds // 1000)) or "0s"


def _parts(seconds: int) -> list[str]:
    parts = []
    for unit, length in _UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return parts


def timetable(job: Job) -> str:
    """Return the timetable of a job on one line."""
    parts = [f"{job.cron} ({job.tz})" if job.cron else f"every {interval(job.every or 0)}"]
    if job.limit is not None:
        parts.append(f"{job.limit} times")
    if job.end_date is not None:
        parts.append(f"until {instant(job.end_date.datetime)}")
    return ", ".join(parts)


def timetable_lines(job: Job) -> Iterable[str]:
    """Give the lines that say when a job runs again and again."""
    if job.recurring:
        yield f"Schedule: {timetable(job)}"
    if job.next_run_at is not None:
        yield f"Next run: {instant(job.next_run_at.datetime)}"
