"""Jobs: list, look, stop, remove."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from ampd.admin_api.bodies.job_models import JobBody, JobListBody
from ampd.admin_api.bodies.job_requests import JobDeleteQuery, JobDeleteRequest, JobListQuery
from ampd.admin_api.bodies.models import JobEventBody, JobEventListBody, ProgressBody
from ampd.admin_api.bodies.present import (
    event_body,
    job_body,
    own_progress_body,
    progress_body,
    verification_progress_body,
)
from ampd.admin_api.bodies.requests import (
    MAX_LIMIT,
    EventId,
    EventListQuery,
    JobId,
)
from ampd.admin_api.deployment import EXTRACTION_KIND, VERIFICATION_KIND
from ampd.admin_api.errors import error_responses
from ampd.admin_api.filters import job_filter
from ampd.admin_api.rules import OPERATOR, VIEWER
from ampd.admin_api.services import Services, ServicesParameter
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import TERMINAL_STATES, JobState, parse_states

router = APIRouter(prefix="/jobs", tags=["jobs"])

DELETED_COUNT_HEADER = "X-Deleted-Count"
_DELETED: dict[int | str, dict[str, Any]] = {
    204: {
        "description": "Removed",
        "headers": {DELETED_COUNT_HEADER: {"schema": {"type": "integer"}, "description": "how many jobs were removed"}},
    }
}
_OF_ONE_JOB = (ErrorCode.INVALID_JOB_ID, ErrorCode.JOB_NOT_FOUND, ErrorCode.METADATA_DB_UNREACHABLE)


@router.get(
    "",
    operation_id="list_jobs",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(
        ErrorCode.INVALID_QUERY_PARAMETERS,
        ErrorCode.LIMIT_INVALID,
        ErrorCode.LIMIT_TOO_LARGE,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def list_jobs(query: Annotated[JobListQuery, Query()], services: ServicesParameter) -> JobListBody:
    """List one page of jobs, the newest first."""
    check_limit(query.limit)
    jobs, more = await services.jobs.list_page(job_filter(query), limit=query.limit, offset=query.offset)
    bodies = [job_body(job) for job in jobs]
    return JobListBody(jobs=bodies, next_cursor=bodies[-1].id) if more else JobListBody(jobs=bodies)


def check_limit(limit: int) -> None:
    """Refuse a page of no jobs, or of too many.

    :raises AmpError: LIMIT_INVALID, LIMIT_TOO_LARGE.
    """
    if limit < 1:
        raise AmpError(ErrorCode.LIMIT_INVALID, "limit must be greater than 0")
    if limit > MAX_LIMIT:
        message = f"limit {limit} exceeds maximum allowed limit of {MAX_LIMIT}"
        raise AmpError(ErrorCode.LIMIT_TOO_LARGE, message)


@router.delete(
    "",
    operation_id="delete_jobs",
    dependencies=[OPERATOR],
    status_code=204,
    response_class=Response,
    responses=_DELETED
    | error_responses(
        ErrorCode.INVALID_QUERY_PARAM,
        ErrorCode.INVALID_QUERY_PARAMETERS,
        ErrorCode.INVALID_BODY,
        ErrorCode.JOB_CONFLICT,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def delete_jobs(
    query: Annotated[JobDeleteQuery, Query()], services: ServicesParameter, body: JobDeleteRequest | None = None
) -> Response:
    """Remove jobs that have ended: those in the states of `status`, or those that the body names.

    The header X-Deleted-Count tells how many.
    """
    if body is not None and "status" in query.model_fields_set:
        raise AmpError(ErrorCode.INVALID_BODY, "give either the parameter 'status' or a body with 'job_ids', not both")
    if body is None:
        count = await services.jobs.delete_in_states(_terminal_states(query.status), actor=services.actor)
    else:
        count = await _delete_named(services, body.job_ids)
    return Response(status_code=204, headers={DELETED_COUNT_HEADER: str(count)})


def _terminal_states(text: str) -> frozenset[JobState]:
    try:
        states = parse_states(text)
    except AmpError:
        states = None
    if states is None or not states <= TERMINAL_STATES:
        raise AmpError(
            ErrorCode.INVALID_QUERY_PARAM,
            f"invalid status filter: {text!r}, expected one of: terminal, completed, stopped, error; "
            "other jobs must be stopped first",
        )
    return states


async def _delete_named(services: Services, job_ids: list[int]) -> int:
    """Remove all of ``job_ids`` or, when one of them has not ended, none."""
    for job_id in job_ids:
        try:
            job = await services.jobs.get(job_id)
        except AmpError as error:
            if error.code is not ErrorCode.JOB_NOT_FOUND:
                raise
            continue
        if job.state not in TERMINAL_STATES:
            message = f"job '{job_id}' cannot be deleted from current state: {job.state}; no job was deleted"
            raise AmpError(ErrorCode.JOB_CONFLICT, message)
    return sum([await services.jobs.delete(job_id, actor=services.actor) for job_id in job_ids])


@router.get("/{id}", operation_id="get_job", dependencies=[VIEWER], responses=error_responses(*_OF_ONE_JOB))
async def get_job(job_id: JobId, services: ServicesParameter) -> JobBody:
    """Return one job."""
    return job_body(await services.jobs.get(job_id))


@router.delete(
    "/{id}",
    operation_id="delete_job",
    dependencies=[OPERATOR],
    status_code=204,
    response_class=Response,
    responses=_DELETED
    | error_responses(ErrorCode.INVALID_JOB_ID, ErrorCode.JOB_CONFLICT, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def delete_job(job_id: JobId, services: ServicesParameter) -> Response:
    """Remove a job that has ended; a job that does not exist is a success too."""
    deleted = await services.jobs.delete(job_id, actor=services.actor)
    return Response(status_code=204, headers={DELETED_COUNT_HEADER: str(int(deleted))})


@router.put("/{id}/stop", operation_id="stop_job", dependencies=[OPERATOR], responses=error_responses(*_OF_ONE_JOB))
@router.post(
    "/{id}/stop", operation_id="stop_job_post", dependencies=[OPERATOR], responses=error_responses(*_OF_ONE_JOB)
)
async def stop_job(job_id: JobId, services: ServicesParameter) -> JobBody:
    """Ask for the end of a job. Asking again, or asking a job that has ended, is a success and changes nothing."""
    return job_body(await services.jobs.request_stop(job_id, actor=services.actor))


@router.get(
    "/{id}/progress",
    operation_id="get_job_progress",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(*_OF_ONE_JOB),
)
async def get_job_progress(job_id: JobId, services: ServicesParameter) -> ProgressBody:
    """Tell how far a job is: per table, what a verification has found, or what another handler says of itself."""
    job = await services.jobs.get(job_id)
    if job.kind == VERIFICATION_KIND:
        return verification_progress_body(job, await services.jobs.last_progress(job_id))
    if job.kind != EXTRACTION_KIND:
        return own_progress_body(job, await services.jobs.last_progress(job_id))
    tables = await services.tables.progress_of_job(job_id)
    return progress_body(job, tables, await services.tables.progress_summary(job))


@router.get(
    "/{id}/events",
    operation_id="list_job_events",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(
        *_OF_ONE_JOB,
        ErrorCode.INVALID_QUERY_PARAMETERS,
        ErrorCode.LIMIT_INVALID,
        ErrorCode.LIMIT_TOO_LARGE,
    ),
)
async def list_job_events(
    job_id: JobId, query: Annotated[EventListQuery, Query()], services: ServicesParameter
) -> JobEventListBody:
    """List one page of the history of a job, oldest first unless asked otherwise; that of a removed job too, while it
    is kept.
    """
    check_limit(query.limit)
    events, more = await services.jobs.events(
        job_id, limit=query.limit, after_id=query.after, newest_first=query.newest_first
    )
    bodies = [event_body(event) for event in events]
    if more:
        return JobEventListBody(job_id=job_id, events=bodies, next_cursor=bodies[-1].id)
    return JobEventListBody(job_id=job_id, events=bodies)


@router.get(
    "/{id}/events/{event_id}",
    operation_id="get_job_event",
    dependencies=[VIEWER],
    responses=error_responses(*_OF_ONE_JOB, ErrorCode.EVENT_NOT_FOUND),
)
async def get_job_event(job_id: JobId, event_id: EventId, services: ServicesParameter) -> JobEventBody:
    """Return one entry of a job's history."""
    return event_body(await services.jobs.event(job_id, event_id))
