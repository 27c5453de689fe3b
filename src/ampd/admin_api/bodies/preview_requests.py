"""Requests for the fire times of jobs and schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import ConfigDict, Field, StrictInt

from ampd.admin_api.bodies.job_requests import Instant
from ampd.admin_api.bodies.schedule_requests import ScheduleRequest
from ampd.admin_api.bodies.strict import Strict

MAX_TIMES: Final = 100
DEFAULT_TIMES: Final = 10


class PreviewRequest(Strict):
    """Body of POST /schedules/preview."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"schedule": {"cron": "30 2 * * *", "tz": "America/New_York"}, "count": 3}],
        }
    )

    schedule: ScheduleRequest
    count: StrictInt = Field(default=DEFAULT_TIMES, ge=1, le=MAX_TIMES, description="how many times")
    from_: Instant | None = Field(
        default=None,
        alias="from",
        description="when it is given: milliseconds since 1970, or RFC 3339; now unless given",
    )

    @property
    def start(self) -> datetime | None:
        """The moment from which on times are wanted."""
        return self.from_


class NextQuery(Strict):
    """Query parameters of GET /jobs/{id}/next."""

    count: int = Field(default=DEFAULT_TIMES, ge=1, le=MAX_TIMES, description="how many times")
