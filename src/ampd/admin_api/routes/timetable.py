"""Timetables: when a job runs next, another schedule for it, and what a schedule would mean."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ampd.admin_api.bodies.job_models import JobBody
from ampd.admin_api.bodies.present import job_body
from ampd.admin_api.bodies.preview_requests import NextQuery, PreviewRequest
from ampd.admin_api.bodies.requests import JobId
from ampd.admin_api.bodies.schedule_models import FireTimesBody, fire_times_body
from ampd.admin_api.bodies.schedule_requests import ScheduleRequest
from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import OPERATOR, VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.errors import ErrorCode
from ampd.jobs import Schedule

router = APIRouter(tags=["jobs"])


@router.post(
    "/jobs/{id}/reschedule",
    operation_id="reschedule_job",
    dependencies=[OPERATOR],
    responses=error_responses(
        ErrorCode.INVALID_JOB_ID,
        ErrorCode.INVALID_BODY,
        ErrorCode.INVALID_SCHEDULE,
        ErrorCode.JOB_NOT_FOUND,
        ErrorCode.JOB_CONFLICT,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def reschedule_job(job_id: JobId, body: ScheduleRequest, services: ServicesParameter) -> JobBody:
    """Change the schedule of a job that has not ended: what is given takes the place of what was, null takes it away.

    `cron` and `every` take the place of each other; an interval counts from now, or from the given `start_at`. An
    execution that runs, or waits to, goes on as it is. Of a job that runs once only `start_at` can be changed, until it
    has begun.
    """
    await services.jobs.get(job_id)  # a job that is not seen is not there
    await services.timetables.reschedule(job_id, body.given(), actor=services.actor)
    return job_body(await services.jobs.get(job_id))


@router.get(
    "/jobs/{id}/next",
    operation_id="get_next_runs",
    dependencies=[VIEWER],
    responses=error_responses(
        ErrorCode.INVALID_JOB_ID,
        ErrorCode.INVALID_QUERY_PARAMETERS,
        ErrorCode.JOB_NOT_FOUND,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def get_next_runs(
    job_id: JobId, query: Annotated[NextQuery, Query()], services: ServicesParameter
) -> FireTimesBody:
    """Tell when a job fires next; of a paused one, when it would if it were resumed now. None: it has ended, or runs
    once and has begun.
    """
    job = await services.jobs.get(job_id)
    times = await services.timetables.next_times(job, count=query.count)
    return fire_times_body(job.schedule or Schedule(), times)


@router.post(
    "/schedules/preview",
    operation_id="preview_schedule",
    dependencies=[VIEWER],
    responses=error_responses(ErrorCode.INVALID_BODY, ErrorCode.INVALID_SCHEDULE, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def preview_schedule(body: PreviewRequest, services: ServicesParameter) -> FireTimesBody:
    """Tell at which times a job with a schedule would fire, if it were given now, or at another moment."""
    schedule = body.schedule.parse()
    return fire_times_body(schedule, await services.timetables.preview(schedule, count=body.count, start=body.start))
