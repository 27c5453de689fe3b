"""Operations on jobs, on one and on many; what has become of them: history and statistics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ampd.admin_api.bodies.job_models import BulkBody, JobBody, JobHistoryBody, JobStatsBody
from ampd.admin_api.bodies.job_requests import (
    DelayRequest,
    EmptyRequest,
    HistoryQuery,
    JobSelection,
    JobStatsQuery,
    ReasonRequest,
    SelectionWithDelay,
    SelectionWithReason,
)
from ampd.admin_api.bodies.present import bulk_body, history_body, job_body, stats_body
from ampd.admin_api.bodies.requests import JobId
from ampd.admin_api.errors import error_responses
from ampd.admin_api.filters import job_filter, selected_jobs
from ampd.admin_api.routes.jobs import check_limit
from ampd.admin_api.rules import OPERATOR, VIEWER
from ampd.admin_api.services import Services, ServicesParameter
from ampd.errors import ErrorCode
from ampd.jobs import Operation

router = APIRouter(prefix="/jobs", tags=["jobs"])

_OF_ONE_JOB = (
    ErrorCode.INVALID_JOB_ID,
    ErrorCode.INVALID_BODY,
    ErrorCode.JOB_NOT_FOUND,
    ErrorCode.METADATA_DB_UNREACHABLE,
)
_OF_MANY = (ErrorCode.INVALID_BODY, ErrorCode.METADATA_DB_UNREACHABLE)


@router.get(
    "/stats",
    operation_id="get_job_stats",
    dependencies=[VIEWER],
    responses=error_responses(ErrorCode.INVALID_QUERY_PARAMETERS, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def get_job_stats(query: Annotated[JobStatsQuery, Query()], services: ServicesParameter) -> JobStatsBody:
    """Count jobs by where they stand; without parameters all of them."""
    return stats_body(await services.jobs.statistics(job_filter(query)))


# Many jobs: those that there are when it begins, in portions, each in a transaction of its own. What was done when the
# request breaks off stays done: asking again does the rest.


@router.post("/cancel", operation_id="cancel_jobs", dependencies=[OPERATOR], responses=error_responses(*_OF_MANY))
async def cancel_jobs(selection: SelectionWithReason, services: ServicesParameter) -> BulkBody:
    """Ask for the end of many jobs; see POST /jobs/{id}/cancel."""
    return await _change_many(services, Operation.CANCEL, selection, reason=selection.reason)


@router.post("/pause", operation_id="pause_jobs", dependencies=[OPERATOR], responses=error_responses(*_OF_MANY))
async def pause_jobs(selection: SelectionWithReason, services: ServicesParameter) -> BulkBody:
    """Set many jobs aside; see POST /jobs/{id}/pause."""
    return await _change_many(services, Operation.PAUSE, selection, reason=selection.reason)


@router.post("/resume", operation_id="resume_jobs", dependencies=[OPERATOR], responses=error_responses(*_OF_MANY))
async def resume_jobs(selection: JobSelection, services: ServicesParameter) -> BulkBody:
    """Let many paused jobs go on; see POST /jobs/{id}/resume."""
    return await _change_many(services, Operation.RESUME, selection)


@router.post("/retry", operation_id="retry_jobs", dependencies=[OPERATOR], responses=error_responses(*_OF_MANY))
async def retry_jobs(selection: SelectionWithDelay, services: ServicesParameter) -> BulkBody:
    """Have many jobs that failed run again; see POST /jobs/{id}/retry."""
    return await _change_many(services, Operation.RETRY, selection, delay_ms=selection.delay_ms)


@router.post("/delete", operation_id="delete_many_jobs", dependencies=[OPERATOR], responses=error_responses(*_OF_MANY))
async def delete_many_jobs(selection: JobSelection, services: ServicesParameter) -> BulkBody:
    """Remove many jobs that have ended; see DELETE /jobs/{id}."""
    return await _change_many(services, Operation.DELETE, selection)


async def _change_many(
    services: Services, operation: Operation, selection: JobSelection, *, reason: str | None = None, delay_ms: int = 0
) -> BulkBody:
    result = await services.jobs.change_many(
        operation,
        selected_jobs(operation, selection),
        actor=services.actor,
        reason=reason,
        delay_seconds=delay_ms / 1000,
        dry_run=selection.dry_run,
    )
    return bulk_body(result, dry_run=selection.dry_run)


# One job.


@router.post(
    "/{id}/cancel", operation_id="cancel_job", dependencies=[OPERATOR], responses=error_responses(*_OF_ONE_JOB)
)
async def cancel_job(job_id: JobId, services: ServicesParameter, body: ReasonRequest | None = None) -> JobBody:
    """Ask for the end of a job, as a stop does: its worker commits what it holds. Asking again, or asking a job that
    has ended, is a success and changes nothing.
    """
    reason = None if body is None else body.reason
    return job_body(await services.jobs.request_stop(job_id, actor=services.actor, reason=reason))


@router.post(
    "/{id}/pause",
    operation_id="pause_job",
    dependencies=[OPERATOR],
    responses=error_responses(*_OF_ONE_JOB, ErrorCode.JOB_CONFLICT),
)
async def pause_job(job_id: JobId, services: ServicesParameter, body: ReasonRequest | None = None) -> JobBody:
    """Set a job aside until it is resumed. A worker that runs it commits what it holds first; `stop_intent` is PAUSE
    until then. Asking again is a success and changes nothing.
    """
    reason = None if body is None else body.reason
    return job_body(await services.jobs.pause(job_id, actor=services.actor, reason=reason))


@router.post(
    "/{id}/resume",
    operation_id="resume_job",
    dependencies=[OPERATOR],
    responses=error_responses(*_OF_ONE_JOB, ErrorCode.JOB_CONFLICT),
)
async def resume_job(job_id: JobId, services: ServicesParameter, body: EmptyRequest | None = None) -> JobBody:
    """Let a paused job go on from where it is. A job that is active and not paused is left as it is."""
    return job_body(await services.jobs.resume(job_id, actor=services.actor))


@router.post(
    "/{id}/retry",
    operation_id="retry_job",
    dependencies=[OPERATOR],
    responses=error_responses(*_OF_ONE_JOB, ErrorCode.JOB_CONFLICT),
)
async def retry_job(job_id: JobId, services: ServicesParameter, body: DelayRequest | None = None) -> JobBody:
    """Have a job that failed or was stopped run again with the same options, as a new execution whose failures are
    counted afresh. A job that waits for a retry is tried again at this time instead.
    """
    delay_ms = 0 if body is None else body.delay_ms
    return job_body(await services.jobs.retry(job_id, actor=services.actor, delay_seconds=delay_ms / 1000))


@router.get(
    "/{id}/history",
    operation_id="get_job_history",
    dependencies=[VIEWER],
    responses=error_responses(
        ErrorCode.INVALID_JOB_ID,
        ErrorCode.JOB_NOT_FOUND,
        ErrorCode.INVALID_QUERY_PARAMETERS,
        ErrorCode.LIMIT_INVALID,
        ErrorCode.LIMIT_TOO_LARGE,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def get_job_history(
    job_id: JobId, query: Annotated[HistoryQuery, Query()], services: ServicesParameter
) -> JobHistoryBody:
    """Return the newest executions of a job that have begun, the newest first, with their attempts."""
    check_limit(query.limit)
    job = await services.jobs.get(job_id)
    return history_body(job, await services.jobs.history(job_id, limit=query.limit))
