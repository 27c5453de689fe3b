"""What changes, as a stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from ampd.admin_api.bodies.live_models import LIVE_EVENT, LiveQuery
from ampd.admin_api.gate.authentication import is_still_open
from ampd.admin_api.rules import VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.admin_api.streams.answers import stream_answers
from ampd.admin_api.streams.event_streams import EventStreamResponse
from ampd.errors import ErrorCode

router = APIRouter(prefix="/live", tags=["events"])

_TOLD = stream_answers(
    {
        "content": {"text/event-stream": {"schema": LIVE_EVENT}},
        "description": "Server-sent events: `hello`, then `changed`; the data of each is this JSON",
    },
    ErrorCode.INVALID_QUERY_PARAMETERS,
    ErrorCode.TOO_MANY_STREAMS,
    ErrorCode.METADATA_DB_UNREACHABLE,
)


@router.get(
    "",
    operation_id="watch_changes",
    dependencies=[VIEWER],
    status_code=200,
    response_class=EventStreamResponse,
    responses=_TOLD,
)
async def watch_changes(
    query: Annotated[LiveQuery, Query()], services: ServicesParameter, request: Request
) -> EventStreamResponse:
    """Tell what has changed, at most once a second and only when something has: server-sent events.

    The event `hello` comes first: whatever is committed behind it is told by an event `changed`, so whoever connects
    again looks at everything once. Lines that begin with a colon only say that the connection lives.
    """
    return await services.live.response(
        services.namespaces, still_open=lambda: is_still_open(request), follow=query.follow
    )
