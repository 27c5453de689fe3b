"""Is the process there?"""

from __future__ import annotations

from fastapi import APIRouter, Response

from ampd.admin_api.rules import PUBLIC

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz", dependencies=[PUBLIC], response_class=Response)
async def healthz() -> Response:
    """Answer 200 with an empty body."""
    return Response()
