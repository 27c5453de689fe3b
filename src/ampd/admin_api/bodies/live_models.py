"""The data of live events, as the specification shows them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field

from ampd.admin_api.bodies.models import INSTANT, Timestamp, example
from ampd.admin_api.bodies.strict import Strict


class LiveQuery(Strict):
    """Query parameters of GET /live."""

    follow: bool = Field(default=True, description="false: the stream ends behind `hello`")


class LiveHelloBody(BaseModel):
    """The data of ``hello``, the first event: what is committed from then on is told."""

    model_config = example({"version": "0.1.0", "at": INSTANT})

    version: str
    at: Timestamp


class LiveChangedBody(BaseModel):
    """The data of ``changed``: what to ask for again."""

    model_config = example({"jobs": [17, 42], "workers": False, "tables": True, "webhooks": False})

    jobs: list[int] | None = Field(description="ids of jobs; null: too many, or one that is gone")
    workers: bool = Field(description="workers have come or gone, are drained, or have other jobs")
    tables: bool = Field(description="blocks came to count, or ranges were taken")
    webhooks: bool = Field(description="webhooks, or their deliveries")


# One event of the stream, as JSON Schema tells it of server-sent events: the data is a text that holds JSON.
LIVE_EVENT: Final[dict[str, Any]] = {
    "title": "LiveEvent",
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["hello", "changed"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"anyOf": [LiveHelloBody.model_json_schema(), LiveChangedBody.model_json_schema()]},
        },
    },
}
