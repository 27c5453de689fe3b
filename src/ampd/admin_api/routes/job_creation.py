"""POST /jobs: a job of any kind."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from ampd.admin_api.bodies.job_creation_requests import CreateJobRequest
from ampd.admin_api.bodies.job_models import JobBody
from ampd.admin_api.bodies.present import job_body
from ampd.admin_api.errors import error_responses
from ampd.admin_api.job_creation import create_job as create
from ampd.admin_api.rules import OPERATOR
from ampd.admin_api.services import ServicesParameter
from ampd.errors import ErrorCode

router = APIRouter(prefix="/jobs", tags=["jobs"])

_THERE_ALREADY: dict[int | str, dict[str, Any]] = {
    200: {"model": JobBody, "description": "The same request has created this job before"}
}


@router.post(
    "",
    operation_id="create_job",
    dependencies=[OPERATOR],
    status_code=201,
    responses=_THERE_ALREADY
    | error_responses(
        ErrorCode.INVALID_BODY,
        ErrorCode.UNKNOWN_JOB_KIND,
        ErrorCode.INVALID_JOB_INPUT,
        ErrorCode.DEPENDENCY_NOT_FOUND,
        ErrorCode.DEPENDENCY_CYCLE,
        ErrorCode.INVALID_SCHEDULE,
        ErrorCode.JOB_CONFLICT,
        ErrorCode.ACTIVE_JOB_CONFLICT,
        ErrorCode.IDEMPOTENCY_KEY_REUSED,
        ErrorCode.REQUEST_TOO_LARGE,
        ErrorCode.METADATA_DB_UNREACHABLE,
        bad_request=ErrorCode.PROVIDER_NOT_FOUND,
    ),
)
async def create_job(body: CreateJobRequest, services: ServicesParameter, response: Response) -> JobBody:
    """Create a job.

    With an `idempotency_key`, the same request again answers the same job, another one 409. A job of kind `extraction`
    or `verification` is deployed as `POST /datasets/…/deploy` and `…/verify` do it. A job is taken when no worker is
    there that can run it: it waits, and says for what. What the input hides (headers of kind `http`, secret fields of
    other kinds) is in no answer.
    """
    job_id, is_new = await create(services, body)
    response.status_code = 201 if is_new else 200
    return job_body(await services.jobs.get(job_id))
