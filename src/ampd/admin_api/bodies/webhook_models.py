"""Webhooks on the wire: bodies of requests and answers, and how the store's objects become answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    WithJsonSchema,
)

from ampd.admin_api.bodies.job_requests import Moment
from ampd.admin_api.bodies.models import JsonObject, Timestamp
from ampd.admin_api.bodies.requests import MAX_LIMIT
from ampd.admin_api.bodies.shapes import within
from ampd.admin_api.bodies.strict import MAX_INT64, Strict
from ampd.admin_api.bodies.timestamps import rfc3339
from ampd.webhooks import (
    DEFAULT_OVERLAP_SECONDS,
    EVENTS,
    Delivery,
    DeliveryStatus,
    Webhook,
    WebhookFilters,
    WebhookSettings,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_WORDS: Final = 100
_MOST_OVERLAP_SECONDS: Final = 30 * 86_400
DELIVERIES_LIMIT: Final = 50

# Requests


def _distinct(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _known(event: str) -> str:
    if event not in EVENTS:
        raise ValueError(f"unknown event; known are {', '.join(EVENTS)}")
    return event


Event = Annotated[StrictStr, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(EVENTS)})]
Word = Annotated[StrictStr, Field(min_length=1, max_length=200)]
Words = Annotated[list[Word], Field(min_length=1, max_length=_MOST_WORDS), AfterValidator(_distinct)]
Events = Annotated[list[Event], Field(min_length=1), AfterValidator(_distinct)]
Secret = Annotated[
    StrictStr,
    Field(
        max_length=400,
        description="`whsec_` and base64, or a text of your own, whose UTF-8 bytes are the key: 16 to 256 bytes",
    ),
]


class WebhookFiltersModel(Strict):
    """Which jobs a webhook is told of: those that have one of the given words; null: all."""

    kinds: Words | None = Field(default=None, description="kinds of jobs, such as extraction")
    products: Words | None = Field(default=None, description="values of the label product")
    envs: Words | None = Field(default=None, description="values of the label env")
    dataset_namespaces: Words | None = Field(default=None, description="namespaces of datasets")

    def filters(self) -> WebhookFilters:
        """Return what the store takes."""
        return WebhookFilters(**{name: words and tuple(words) for name, words in self})


class WebhookRequest(Strict):
    """Body of POST /webhooks and of PUT /webhooks/by-url. Only ``url`` is required."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://api.example.com/webhooks/jobs",
                    "events": ["job.completed", "job.failed"],
                    "secret": "webhook-secret-key",
                }
            ]
        }
    )

    url: StrictStr = Field(description="https; http only to networks that webhooks.allowed_networks names")
    events: Events = Field(default=list(EVENTS), description="what it is told of; all unless given")
    secret: Secret | None = Field(default=None, repr=False, description="what signs its messages; null: one is made up")
    filters: WebhookFiltersModel = WebhookFiltersModel()
    description: StrictStr = Field(default="", max_length=1000)
    enabled: StrictBool = True

    def settings(self) -> WebhookSettings:
        """Return what the store takes, without the secret."""
        return WebhookSettings(self.url, tuple(self.events), self.filters.filters(), self.description, self.enabled)


class WebhookPatchRequest(Strict):
    """Body of PATCH /webhooks/{id}: what is not given stays. ``filters`` are replaced as a whole."""

    url: StrictStr | None = None
    events: Events | None = None
    filters: WebhookFiltersModel | None = None
    description: Annotated[StrictStr, Field(max_length=1000)] | None = None
    enabled: StrictBool | None = None

    def change(self) -> Callable[[WebhookSettings], WebhookSettings]:
        """Return what makes the new settings of the old ones."""
        given: dict[str, Any] = {name: value for name, value in self if value is not None}
        if self.events is not None:
            given["events"] = tuple(self.events)
        if self.filters is not None:
            given["filters"] = self.filters.filters()
        return lambda settings: replace(settings, **given)


class RotateRequest(Strict):
    """Body of POST /webhooks/{id}/rotate; everything is optional."""

    secret: Secret | None = Field(default=None, repr=False, description="the new secret; null: one is made up")
    overlap_secs: float = Field(
        default=DEFAULT_OVERLAP_SECONDS,
        ge=0,
        le=_MOST_OVERLAP_SECONDS,
        description="for how long the old secret goes on signing, beside the new one",
    )


class ReplayRequest(Strict):
    """Body of POST /webhooks/{id}/replay."""

    since: Moment = Field(description="replay what failed of the events that happened then or later (RFC 3339)")


def _status(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class DeliveryListQuery(Strict):
    """Query parameters of GET /webhooks/{id}/deliveries."""

    limit: int = Field(
        default=DELIVERIES_LIMIT,
        description=f"how many at most, 1 to {MAX_LIMIT}",
        json_schema_extra=within(1, MAX_LIMIT),
    )
    after: int | None = Field(default=None, ge=1, le=MAX_INT64, description="the next_cursor of the page before")
    status: Annotated[DeliveryStatus, BeforeValidator(_status)] | None = Field(
        default=None, description="only these; any case"
    )


# Answers


_INSTANT: Final = "2026-03-04T10:00:00Z"
_INSTANT_MS: Final = 1772618400000
_WEBHOOK_EXAMPLE: Final[JsonObject] = {
    "id": 7,
    "url": "https://api.example.com/webhooks/jobs",
    "events": ["job.completed", "job.failed"],
    "filters": {"kinds": ["extraction"], "products": None, "envs": ["prd"], "dataset_namespaces": None},
    "description": "on-call",
    "enabled": True,
    "disabled_reason": None,
    "disabled_at": None,
    "disabled_at_ms": None,
    "failing_since": None,
    "failing_since_ms": None,
    "pending": 0,
    "rotation_ends_at": None,
    "rotation_ends_at_ms": None,
    "created_at": _INSTANT,
    "created_at_ms": _INSTANT_MS,
    "updated_at": _INSTANT,
    "updated_at_ms": _INSTANT_MS,
}


class WebhookFiltersBody(BaseModel):
    """Which jobs a webhook is told of; null: all."""

    kinds: list[str] | None
    products: list[str] | None
    envs: list[str] | None
    dataset_namespaces: list[str] | None


class WebhookBody(BaseModel):
    """A webhook. Its secret is in no answer but the one to the request that set it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WEBHOOK_EXAMPLE]})

    id: int
    url: str
    events: list[str]
    filters: WebhookFiltersBody
    description: str
    enabled: bool
    disabled_reason: str | None = Field(
        description="OPERATOR; GONE (it answered 410); FAILING (nothing but failures for five days)"
    )
    disabled_at: Timestamp | None
    disabled_at_ms: int | None
    failing_since: Timestamp | None = Field(description="since when there was nothing but failures")
    failing_since_ms: int | None
    pending: int = Field(description="how many messages wait, or are on their way; 10000: or more")
    rotation_ends_at: Timestamp | None = Field(description="until when an earlier secret signs, too")
    rotation_ends_at_ms: int | None
    created_at: Timestamp
    created_at_ms: int
    updated_at: Timestamp
    updated_at_ms: int


class WebhookWithSecretBody(WebhookBody):
    """A webhook and its new secret, in the form that every library for Standard Webhooks takes. It is shown here and
    never again.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [_WEBHOOK_EXAMPLE | {"secret": "whsec_d2ViaG9vay1zZWNyZXQta2V5"}]}
    )

    secret: str


class WebhookMaybeWithSecretBody(WebhookBody):
    """A webhook, and its secret when this request has set it."""

    secret: str | None = None


class WebhookListBody(BaseModel):
    """All webhooks, the oldest first."""

    webhooks: list[WebhookBody]


class DeliveryBody(BaseModel):
    """A message to a webhook, and what became of its last try."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 4711,
                    "webhook_id": 7,
                    "message_id": "msg_5b0d6a3f2c1e4f7a9b8c7d6e5f4a3b2c",
                    "event": "job.failed",
                    "job_id": 12345,
                    "event_id": 99001,
                    "sequence": 198002,
                    "status": "PENDING",
                    "attempts": 2,
                    "next_attempt_at": _INSTANT,
                    "next_attempt_at_ms": _INSTANT_MS,
                    "last_attempt_at": _INSTANT,
                    "last_attempt_at_ms": _INSTANT_MS,
                    "duration_ms": 84,
                    "response_status": 500,
                    "response_head": "out of order",
                    "error": {"error_code": "WEBHOOK_REFUSED", "error_message": "the receiver answered 500"},
                    "created_at": _INSTANT,
                    "created_at_ms": _INSTANT_MS,
                    "finished_at": None,
                    "finished_at_ms": None,
                    "payload": {
                        "event": "job.failed",
                        "timestamp": _INSTANT_MS,
                        "sequence": 198002,
                        "event_id": 99001,
                        "job": {
                            "id": "12345",
                            "status": "failed",
                            "namespace": "extraction",
                            "product": "my-app",
                            "env": "prd",
                            "scheduled_at": _INSTANT_MS,
                            "execution_count": 1,
                            "error": "another chain",
                        },
                    },
                }
            ]
        }
    )

    id: int
    webhook_id: int
    message_id: str = Field(description="the header webhook-id: the same for every try and every replay")
    event: str
    job_id: int | None = Field(description="null: a test")
    event_id: int | None = Field(description="the entry of the job's history")
    sequence: int = Field(description="rises with the events of a job")
    status: str = Field(description=", ".join(DeliveryStatus))
    attempts: int = Field(description="tries since the event, or since it was replayed")
    next_attempt_at: Timestamp | None
    next_attempt_at_ms: int | None
    last_attempt_at: Timestamp | None
    last_attempt_at_ms: int | None
    duration_ms: int | None
    response_status: int | None
    response_head: str | None = Field(description="the first 1024 bytes of the last answer")
    error: JsonObject | None
    created_at: Timestamp
    created_at_ms: int
    finished_at: Timestamp | None
    finished_at_ms: int | None
    payload: JsonObject = Field(description="what is sent")


class DeliveryListBody(BaseModel):
    """One page of the log of a webhook, the newest first. ``next_cursor`` is there when there is more."""

    deliveries: list[DeliveryBody]
    next_cursor: int | None = None


class ReplayedBody(BaseModel):
    """How many messages are sent again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"replayed": 12}]})

    replayed: int


def webhook_fields(webhook: Webhook) -> dict[str, Any]:
    """Return the fields of a :class:`WebhookBody`."""
    settings = webhook.settings
    return {
        "id": webhook.id,
        "url": settings.url,
        "events": list(settings.events),
        "filters": WebhookFiltersBody(
            **{name: words and list(words) for name, words in vars(settings.filters).items()}
        ),
        "description": settings.description,
        "enabled": settings.enabled,
        "disabled_reason": webhook.disabled_reason,
        "pending": webhook.pending,
        **_instant("disabled_at", webhook.disabled_at),
        **_instant("failing_since", webhook.failing_since),
        **_instant("rotation_ends_at", webhook.rotation_ends_at),
        **_instant("created_at", webhook.created_at),
        **_instant("updated_at", webhook.updated_at),
    }


def delivery_body(delivery: Delivery) -> DeliveryBody:
    """Return a delivery as the wire shows it."""
    times = ("next_attempt_at", "last_attempt_at", "created_at", "finished_at")
    plain = {name: value for name, value in vars(delivery).items() if name not in {*times, "occurred_at"}}
    for name in times:
        plain |= _instant(name, getattr(delivery, name))
    return DeliveryBody(**plain)


def _instant(name: str, moment: datetime | None) -> dict[str, Any]:
    if moment is None:
        return {name: None, f"{name}_ms": None}
    return {name: rfc3339(moment), f"{name}_ms": (moment - _EPOCH) // timedelta(milliseconds=1)}
