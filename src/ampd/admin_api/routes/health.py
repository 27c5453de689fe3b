"""Is the process there, and can it do anything?"""

from __future__ import annotations

from typing import cast

import structlog
from fastapi import APIRouter, Request, Response

from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import PUBLIC
from ampd.admin_api.services import Services
from ampd.errors import AmpError, ErrorCode

log = structlog.get_logger(__name__)

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz", dependencies=[PUBLIC], response_class=Response)
async def healthz() -> Response:
    """Answer 200 with an empty body: the process is there. It need not be started again, whatever else is away."""
    return Response()


@router.get(
    "/readyz",
    operation_id="readyz",
    dependencies=[PUBLIC],
    response_class=Response,
    responses=error_responses(ErrorCode.METADATA_DB_UNREACHABLE),
)
async def readyz(request: Request) -> Response:
    """Answer 200 with an empty body when requests can be answered: the metadata database answers."""
    try:
        # What every other request begins with. Nothing of it is told, so that no rule is needed for who may see it.
        await cast(Services, request.app.state.services).access.has_tokens()
    except AmpError as error:
        log.warning("admin_api.not_ready", error=error.message)
        # Where the database is concerns those who can read the log only: this is told without a token.
        raise AmpError(
            ErrorCode.METADATA_DB_UNREACHABLE, "the metadata database does not answer; the controller's log tells more"
        ) from None
    return Response()
