"""Parameters and bodies of the requests that are about many jobs, or ask one of them for something."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from ampd.admin_api.bodies.requests import DEFAULT_LIMIT, MAX_DELAY_SECONDS, MAX_LIMIT
from ampd.admin_api.bodies.shapes import DATASET, LABEL, REASON, STATUSES, shaped, within
from ampd.admin_api.bodies.strict import MAX_INT64, Strict

# The last millisecond of the year 9999.
MAX_MILLISECONDS: Final = 253_402_300_799_999
# An offset reads what it passes over: who wants to go further turns pages by their cursor.
MAX_OFFSET: Final = 100_000
MAX_JOB_IDS: Final = 10_000
MAX_REASON: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _no_number(value: Any) -> Any:
    """Refuse numbers, which would be taken for seconds or milliseconds of an epoch."""
    if not isinstance(value, str) or re.fullmatch(r"[-+]?[0-9.]+", value.strip()):
        raise ValueError("want a moment such as 2026-03-04T10:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number)]


def _from_milliseconds(value: Any) -> Any:
    """Read milliseconds since the epoch; texts that are none are left to be read as RFC 3339."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value.strip()):
        value = int(value) if len(value) <= len(str(MAX_MILLISECONDS)) else MAX_MILLISECONDS + 1
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= MAX_MILLISECONDS:
            raise ValueError("milliseconds since the epoch lie between 0 and the year 9999")
        return _EPOCH + timedelta(milliseconds=value)
    return _no_number(value)


# A moment as the second lifecycle has it: a number of milliseconds, or text.
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_from_milliseconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", **within(0, MAX_MILLISECONDS)},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
]
OneJobId = Annotated[StrictInt, Field(ge=1, le=MAX_INT64)]
DelayMs = Annotated[StrictInt, Field(ge=0, le=MAX_DELAY_SECONDS * 1000)]
_FROM: Final = "only jobs created then or later: milliseconds since the epoch, or RFC 3339"
_TO: Final = "only jobs created before: milliseconds since the epoch, or RFC 3339"


class JobCriteriaQuery(Strict):
    """Query parameters that say which jobs are meant, but for their states."""

    kind: str | None = Field(default=None, description="only jobs of this kind, for example extraction")
    namespace: str | None = Field(default=None, description="the kind, by its name in the second lifecycle")
    recurring: bool | None = Field(default=None, description="only jobs with a timetable, or only those without")
    product: str | None = Field(default=None, description="only jobs with this label `product`")
    env: str | None = Field(default=None, description="only jobs with this label `env`")
    dataset: Annotated[str, shaped(DATASET)] | None = Field(
        default=None, description="only jobs of this dataset: namespace/name"
    )
    dataset_namespace: str | None = Field(
        default=None, description="only jobs of datasets of this namespace", examples=["ethereum"]
    )
    worker_id: str | None = Field(default=None, description="only jobs that this worker has, or had last")
    label: list[Annotated[str, shaped(LABEL)]] = Field(
        default_factory=list, description="only jobs with this label: key=value; may be repeated"
    )
    created_after: Moment | None = Field(default=None, description="only jobs created then or later (RFC 3339)")
    created_before: Moment | None = Field(default=None, description="only jobs created before (RFC 3339)")
    from_: Instant | None = Field(default=None, alias="from", description=_FROM)
    to: Instant | None = Field(default=None, description=_TO)


class JobListQuery(JobCriteriaQuery):
    """Query parameters of GET /jobs. The range of ``limit`` is checked by the route: it has codes of its own."""

    limit: int = Field(
        default=DEFAULT_LIMIT,
        description=f"how many jobs at most, 1 to {MAX_LIMIT}",
        json_schema_extra=within(1, MAX_LIMIT),
    )
    last_job_id: int | None = Field(default=None, ge=1, le=MAX_INT64, description="the next_cursor of the page before")
    offset: int = Field(
        default=0,
        ge=0,
        le=MAX_OFFSET,
        description="how many jobs to pass over; pages move when jobs come or go: the cursor is the better way",
    )
    status: Annotated[str, shaped(STATUSES)] = Field(
        default="active",
        description="active, terminal, all, or states with commas between; any case; error and failed both mean FAILED",
    )


class JobStatsQuery(JobCriteriaQuery):
    """Query parameters of GET /jobs/stats."""

    status: Annotated[str, shaped(STATUSES)] = Field(default="all", description="as that of GET /jobs")


class HistoryQuery(Strict):
    """Query parameters of GET /jobs/{id}/history."""

    limit: int = Field(
        default=DEFAULT_LIMIT,
        description=f"how many executions at most, 1 to {MAX_LIMIT}",
        json_schema_extra=within(1, MAX_LIMIT),
    )


_TERMINAL: Final = "^(?:terminal|completed|stopped|error|failed)$"


class JobDeleteQuery(Strict):
    """Query parameters of DELETE /jobs."""

    status: str = Field(
        default="terminal",
        description="terminal, completed, stopped or error; any case",
        json_schema_extra={"pattern": _TERMINAL},
    )


class JobDeleteRequest(Strict):
    """Body of DELETE /jobs: the public Python client of the reference system names the jobs here."""

    job_ids: list[Annotated[StrictInt, Field(ge=1, le=MAX_INT64)]] = Field(max_length=MAX_LIMIT)


def _checked_reason(value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise ValueError("a reason is some text; leave it out when there is none")
    return value


Reason = Annotated[
    Annotated[StrictStr, Field(max_length=MAX_REASON), shaped(REASON)] | None, AfterValidator(_checked_reason)
]
_REASON: Final = "why; kept in the job and in its history"


class ReasonRequest(Strict):
    """Body of a cancel or a pause of one job; it may be left out."""

    reason: Reason = Field(default=None, description=_REASON, examples=["Campaign ended early"])


class DelayRequest(Strict):
    """Body of a retry of one job; it may be left out."""

    delay_ms: DelayMs = Field(default=0, description="how long to wait before it may begin", examples=[60000])


class EmptyRequest(Strict):
    """Body of an operation that needs none."""


_Status = Annotated[StrictStr, shaped(STATUSES)]


class JobSelection(Strict):
    """Body of an operation on many jobs: which ones. All that is given must hold; when nothing is, `all` must be true.

    Without a `status` it is about the jobs that it can be meant for: `active` ones are cancelled and paused, `paused`
    ones resumed, `failed` ones retried, `terminal` ones deleted.
    """

    status: _Status | Annotated[list[_Status], shaped({"minItems": 1})] | None = Field(
        default=None, description="states or their words: one, several with commas between, or a list"
    )
    job_ids: list[OneJobId] | None = Field(default=None, max_length=MAX_JOB_IDS, description="only these")
    kind: StrictStr | None = Field(default=None, description="only jobs of this kind")
    namespace: StrictStr | None = Field(default=None, description="the kind, by its name in the second lifecycle")
    recurring: StrictBool | None = Field(default=None, description="only jobs with a timetable, or those without")
    product: StrictStr | None = Field(default=None, description="only jobs with this label `product`")
    env: StrictStr | None = Field(default=None, description="only jobs with this label `env`")
    labels: dict[StrictStr, StrictStr] = Field(default_factory=dict, description="only jobs with all of these labels")
    dataset: Annotated[StrictStr, shaped(DATASET)] | None = Field(
        default=None, description="only jobs of this dataset: namespace/name"
    )
    dataset_namespace: StrictStr | None = Field(default=None, description="only jobs of datasets of this namespace")
    worker_id: StrictStr | None = Field(default=None, description="only jobs that this worker has, or had last")
    from_: Instant | None = Field(default=None, alias="from", description=_FROM)
    to: Instant | None = Field(default=None, description=_TO)
    all: StrictBool = Field(default=False, description="really of all jobs, when nothing else is given")
    dry_run: StrictBool = Field(default=False, description="only tell how many jobs it is about")

    @property
    def is_empty(self) -> bool:
        """Tell whether it names nothing by which to choose."""
        chosen = self.model_fields_set - {"all", "dry_run", "reason", "delay_ms"}
        is_vain = str(self.status).strip().lower() == "all" or self.status in (None, ["all"])
        return all(is_vain if name == "status" else getattr(self, name) in (None, {}) for name in chosen)


class SelectionWithReason(JobSelection):
    """Which jobs are cancelled or paused, and why."""

    reason: Reason = Field(default=None, description=_REASON)


class SelectionWithDelay(JobSelection):
    """Which jobs are retried, and when."""

    delay_ms: DelayMs = Field(default=0, description="how long to wait before they may begin")
