"""Answers about fire times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, Field

from ampd.admin_api.bodies.job_models import INSTANT_MS, Milliseconds
from ampd.admin_api.bodies.models import INSTANT, Timestamp, example
from ampd.admin_api.bodies.timestamps import milliseconds, rfc3339
from ampd.jobs import Schedule, load_zone, zone_data_version

_LOCAL = "2026-03-04T05:00:00-05:00"


class FireTimeBody(BaseModel):
    """One fire time. ``local`` is what clocks in the schedule's time zone show, with their offset from UTC."""

    at: Timestamp
    at_ms: Milliseconds
    local: str = Field(examples=[_LOCAL], json_schema_extra={"format": "date-time"})


class FireTimesBody(BaseModel):
    """Fire times, the next one first, and the release of the time zones that they follow from."""

    model_config = example(
        {
            "tz": "America/New_York",
            "tzdata": "2026b",
            "times": [{"at": INSTANT, "at_ms": INSTANT_MS, "local": _LOCAL}],
        }
    )

    tz: str
    tzdata: str = Field(description="the release of the IANA time zones")
    times: list[FireTimeBody]


def fire_times_body(schedule: Schedule, times: Iterable[datetime]) -> FireTimesBody:
    """Return fire times as they are shown."""
    zone = load_zone(schedule.tz)
    shown = [
        FireTimeBody(at=rfc3339(at), at_ms=milliseconds(at), local=at.astimezone(zone).isoformat(timespec="seconds"))
        for at in times
    ]
    return FireTimesBody(tz=schedule.tz, tzdata=zone_data_version(), times=shown)
