"""Schedules in requests. What their values must be is said by :func:`ampd.jobs.parse_schedule`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema

from ampd.admin_api.bodies.shapes import within
from ampd.admin_api.bodies.strict import Strict
from ampd.jobs import CatchUp, Overlap, Schedule, parse_schedule
from ampd.jobs.schedule_request import LONGEST_MS, MOST_RUNS, SHORTEST_INTERVAL_MS

# A moment: checked where the schedule is.
_Moment = Annotated[
    StrictStr | StrictInt,
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}]}),
]
_MOMENT: Final = "milliseconds since 1970, or RFC 3339"


_INTERVAL: Final = within(SHORTEST_INTERVAL_MS, LONGEST_MS)


class ScheduleRequest(Strict):
    """When a job runs: once, at `start_at`; or again and again, by `cron` or `every`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cron": "0 * * * *", "tz": "America/New_York"}]})

    start_at: _Moment | None = Field(default=None, description=f"not before: {_MOMENT}; `every` counts from it")
    cron: StrictStr | None = Field(
        default=None, description="minute, hour, day of the month, month, day of the week; or an alias such as @daily"
    )
    tz: StrictStr | None = Field(default=None, description="the IANA time zone of cron; UTC unless given")
    every: StrictInt | None = Field(
        default=None, description="an interval in milliseconds, at least 1000", json_schema_extra=_INTERVAL
    )
    limit: StrictInt | None = Field(
        default=None, description="how often it is run at most", json_schema_extra=within(1, MOST_RUNS)
    )
    end_date: _Moment | None = Field(default=None, description=f"not after: {_MOMENT}")
    overlap: StrictStr | None = Field(
        default=None,
        description=f"when an execution has not ended: {', '.join(Overlap)}; {Overlap.SKIP} unless given",
        json_schema_extra={"enum": [*Overlap, None]},
    )
    catch_up: StrictStr | None = Field(
        default=None,
        description=f"for times at which no controller ran: {', '.join(CatchUp)}; {CatchUp.RUN_ONCE} unless given",
        json_schema_extra={"enum": [*CatchUp, None]},
    )
    catch_up_window_ms: StrictInt | None = Field(
        default=None,
        description=f"how far back {CatchUp.RUN_ALL} goes; a day unless given",
        json_schema_extra=_INTERVAL,
    )
    pause_on_failure: StrictBool | None = Field(
        default=None, description="pause the job when an execution has failed, after its retries"
    )

    def given(self) -> dict[str, Any]:
        """Return the fields that were given, also those given as null."""
        return self.model_dump(exclude_unset=True)

    def parse(self) -> Schedule:
        """Return the schedule.

        :raises AmpError: INVALID_SCHEDULE, naming the field.
        """
        return parse_schedule(self.given())
