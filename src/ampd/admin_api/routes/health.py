"""Is the process there?"""

from __future__ import annotations

from fastapi import APIRouter, Response

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz", response_class=Response)
async def healthz() -> Response:
    """Answer 200 with an empty body."""
    return Response()
