"""Prometheus metrics of this controller, and of the cluster."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ampd.admin_api.rules import WHOLE_VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.telemetry.metrics import exposition

router = APIRouter(tags=["metrics"])


@router.get(
    "/metrics",
    operation_id="get_metrics",
    dependencies=[WHOLE_VIEWER],
    response_class=Response,
    responses={200: {"description": "The metrics, in the text format of Prometheus.", "content": {"text/plain": {}}}},
)
async def get_metrics(request: Request, services: ServicesParameter) -> Response:
    """Tell what this controller has counted, and how the whole cluster is: for a Prometheus server."""
    page, content_type = exposition(request.headers.get("accept"), await services.figures.families())
    return Response(page, media_type=content_type)
