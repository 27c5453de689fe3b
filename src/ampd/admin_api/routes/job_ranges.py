"""The blocks of a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ampd.admin_api.bodies.range_models import JobRangesBody, JobRangesQuery, job_ranges_body
from ampd.admin_api.bodies.requests import JobId
from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.errors import AmpError, ErrorCode

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get(
    "/{id}/ranges",
    operation_id="get_job_ranges",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(
        ErrorCode.INVALID_JOB_ID,
        ErrorCode.INVALID_QUERY_PARAMETERS,
        ErrorCode.JOB_NOT_FOUND,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def get_job_ranges(
    job_id: JobId, query: Annotated[JobRangesQuery, Query()], services: ServicesParameter
) -> JobRangesBody:
    """Show which blocks of its tables a job has, which workers read which, and which are missing."""
    start, end = query.start_block, query.end_block
    if start is not None and end is not None and start > end:
        message = f"start_block {start} lies behind end_block {end}"
        raise AmpError(ErrorCode.INVALID_QUERY_PARAMETERS, message)
    job = await services.jobs.get(job_id)
    found = await services.tables.ranges_of_job(job.id, start_block=start, end_block=end, most=query.most)
    return job_ranges_body(found)
