"""Worker events as a stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request

from ampd.admin_api.bodies.event_models import EventStreamParameters, WorkerEventBody
from ampd.admin_api.gate.authentication import is_still_open
from ampd.admin_api.rules import VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.admin_api.streams.answers import stream_answers
from ampd.admin_api.streams.event_streams import EventStreamResponse
from ampd.errors import ErrorCode

router = APIRouter(prefix="/events", tags=["events"])

LastEventId = Annotated[str | None, Header(max_length=64, description="where a reader that comes back goes on")]

_TOLD = stream_answers(
    {"model": WorkerEventBody, "description": "Server-sent events; the data of each is this JSON"},
    ErrorCode.INVALID_QUERY_PARAMETERS,
    ErrorCode.EVENT_NOT_FOUND,
    ErrorCode.EVENTS_DISABLED,
    ErrorCode.EVENTS_EXPIRED,
    ErrorCode.TOO_MANY_STREAMS,
    ErrorCode.METADATA_DB_UNREACHABLE,
)


@router.get(
    "",
    operation_id="stream_events",
    dependencies=[VIEWER],
    status_code=200,
    response_class=EventStreamResponse,
    responses=_TOLD,
)
async def stream_events(
    query: EventStreamParameters,
    services: ServicesParameter,
    request: Request,
    last_event_id: LastEventId = None,
) -> EventStreamResponse:
    """Tell what happens to the tables that jobs write, as it happens: server-sent events.

    The name of an event is its type, its id the place in the log behind which a reader goes on after an interruption.
    Lines that begin with a colon, and events without data, only say that the connection lives.
    """
    wanted = query.wanted()
    after_id = await services.events.resume_at(last_event_id or query.after)
    return services.event_streams.response(
        services.events,
        wanted,
        after_id=after_id,
        follow=query.follow,
        still_open=lambda: is_still_open(request),
    )
