"""The operations of the Admin API on jobs as :class:`Call`: what both clients share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import httpx

from ampd.client._errors import ApiError
from ampd.client._job_models import BulkResult, FireTimes, Job, JobHistory, JobPage, JobStats
from ampd.client._models import Event, EventPage, Progress
from ampd.client._options import CreateOptions, JobFilterOptions, JobSelection, ScheduleOptions
from ampd.client._transport import Call, path
from ampd.errors import ErrorCode

Json = dict[str, Any]
JobId = int | str
T = TypeVar("T")
# A client lists all jobs unless told otherwise; the Admin API, for operators, those that are at work.
_ALL: Final = "all"


def _json(parse: Callable[[Any], T]) -> Callable[[httpx.Response], T]:
    return lambda response: parse(response.json())


def _nothing(_response: httpx.Response) -> None:
    return None


def _present(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _moment(name: str, value: Any, code: ErrorCode) -> Any:
    """Return a moment as the wire has it.

    :raises ApiError: for a datetime without a time zone.
    """
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ApiError(code, f"{name} {value} has no time zone")
    return value.isoformat()


def _criteria(given: Mapping[str, Any], code: ErrorCode) -> Json:
    """Return criteria by the names and values of the wire."""
    values = {name: _moment(name, value, code) for name, value in given.items()}
    status = values.get("status")
    if status is not None and not isinstance(status, str):
        values["status"] = ",".join(status)
    if "from_" in values:
        values["from"] = values.pop("from_")
    return _present(**values)


def _query(filters: JobFilterOptions) -> Json:
    query = _criteria(filters, ErrorCode.INVALID_QUERY_PARAMETERS)
    labels = query.pop("labels", {})
    return query | _present(label=[f"{key}={value}" for key, value in labels.items()] or None)


# One job


def get_job(job_id: JobId) -> Call[Job]:
    return Call("GET", path("jobs", job_id), _json(Job.from_json))


def job_progress(job_id: JobId) -> Call[Progress]:
    return Call("GET", path("jobs", job_id, "progress"), _json(Progress.from_json))


def stop_job(job_id: JobId) -> Call[Job]:
    return Call("PUT", path("jobs", job_id, "stop"), _json(Job.from_json))


def operate(job_id: JobId, operation: str, **body: Any) -> Call[Job]:
    """Return the call of an operation: cancel, pause, resume or retry."""
    return Call("POST", path("jobs", job_id, operation), _json(Job.from_json), body=_present(**body))


def reschedule(job_id: JobId, options: ScheduleOptions) -> Call[Job]:
    return Call("POST", path("jobs", job_id, "reschedule"), _json(Job.from_json), body=_wire_schedule(options))


def next_runs(job_id: JobId, count: int | None) -> Call[FireTimes]:
    return Call("GET", path("jobs", job_id, "next"), _json(FireTimes.from_json), _present(count=count))


def history(job_id: JobId, limit: int | None) -> Call[JobHistory]:
    return Call("GET", path("jobs", job_id, "history"), _json(JobHistory.from_json), _present(limit=limit))


def delete_job(job_id: JobId) -> Call[None]:
    return Call("DELETE", path("jobs", job_id), _nothing)


def job_events(job_id: JobId, limit: int | None, after: int | None) -> Call[EventPage]:
    return Call("GET", path("jobs", job_id, "events"), _json(EventPage.from_json), _present(limit=limit, after=after))


def job_event(job_id: JobId, event_id: int) -> Call[Event]:
    return Call("GET", path("jobs", job_id, "events", event_id), _json(Event.from_json))


# Many jobs


def list_jobs(limit: int | None, after: int | None, offset: int | None, filters: JobFilterOptions) -> Call[JobPage]:
    query = _present(limit=limit, last_job_id=after, offset=offset) | {"status": _ALL} | _query(filters)
    return Call("GET", "/jobs", _json(JobPage.from_json), query)


def stats(filters: JobFilterOptions) -> Call[JobStats]:
    return Call("GET", "/jobs/stats", _json(JobStats.from_json), _query(filters))


def operate_many(operation: str, selection: JobSelection, **more: Any) -> Call[BulkResult]:
    """Return the call of an operation on many: cancel, pause, resume, retry or delete."""
    body = _criteria(selection, ErrorCode.INVALID_BODY)
    if "job_ids" in body:
        body["job_ids"] = [_number(job_id) for job_id in body["job_ids"]]
    return Call("POST", path("jobs", operation), _json(BulkResult.from_json), body=body | _present(**more))


def _number(job_id: JobId) -> int:
    try:
        return int(job_id)
    except ValueError:
        raise ApiError(ErrorCode.INVALID_JOB_ID, f"{job_id!r} is no id of a job") from None


def prune_jobs(status: str | None) -> Call[int]:
    return Call("DELETE", "/jobs", lambda response: int(response.headers["X-Deleted-Count"]), _present(status=status))


# New jobs, and when they run


def create_job(kind: str, job_input: Mapping[str, Any] | None, options: CreateOptions) -> Call[Job]:
    given: Json = dict(options)
    labels = dict(given.pop("labels", None) or {}) | _present(
        product=given.pop("product", None), env=given.pop("env", None)
    )
    # Retries that are None are without limit; anything else that is None was not given.
    body = {name: value for name, value in given.items() if value is not None or name == "retries"}
    if "schedule" in body:
        body["schedule"] = schedule(body["schedule"])
    if "start_at" in body:
        body["start_at"] = _moment("start_at", body["start_at"], ErrorCode.INVALID_BODY)
    if "depends_on" in body:
        body["depends_on"] = list(body["depends_on"])
    content = {"kind": kind, "input": dict(job_input or {})} | ({"labels": labels} if labels else {})
    return Call("POST", "/jobs", _json(Job.from_json), body=content | body)


def schedule(options: ScheduleOptions | None) -> Json | None:
    """Return a schedule as the wire has it; None when nothing is given."""
    return _present(**_wire_schedule(options or {})) or None


def _wire_schedule(options: ScheduleOptions) -> Json:
    return {name: _moment(name, value, ErrorCode.INVALID_SCHEDULE) for name, value in options.items()}


def preview(count: int | None, start: Any, options: ScheduleOptions) -> Call[FireTimes]:
    when = {"from": _moment("from_", start, ErrorCode.INVALID_BODY)}
    body = {"schedule": _present(**_wire_schedule(options))} | _present(count=count, **when)
    return Call("POST", "/schedules/preview", _json(FireTimes.from_json), body=body)
