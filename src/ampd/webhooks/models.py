"""What the room of webhooks tells about endpoints and deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ampd.metadata_db import Row
from ampd.webhooks.payload import payload


class DeliveryStatus(StrEnum):
    """Where a message to an endpoint stands."""

    PENDING = "PENDING"  # waits for its next try, or is being sent
    DELIVERED = "DELIVERED"  # the receiver answered 2xx
    FAILED = "FAILED"  # given up; a replay sends it again


@dataclass(frozen=True)
class WebhookFilters:
    """Which jobs an endpoint is told of; None: of all. The labels ``product`` and ``env``; the kind of the job; the
    namespace of its dataset.
    """

    kinds: tuple[str, ...] | None = None
    products: tuple[str, ...] | None = None
    envs: tuple[str, ...] | None = None
    dataset_namespaces: tuple[str, ...] | None = None


@dataclass(frozen=True)
class WebhookSettings:
    """What an operator says of an endpoint, without its secret."""

    url: str
    events: tuple[str, ...]
    filters: WebhookFilters = field(default_factory=WebhookFilters)
    description: str = ""
    enabled: bool = True

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements that write them."""
        lists = {name: _list(value) for name, value in vars(self.filters).items()}
        plain = {"url": self.url, "description": self.description, "enabled": self.enabled}
        return {**plain, "events": list(self.events), **lists}


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


@dataclass(frozen=True)
class Webhook:
    """An endpoint. ``disabled_reason``: OPERATOR, GONE (it answered 410) or FAILING (for five days).

    ``pending`` counts the messages that wait, up to 10,000; ``rotation_ends_at`` is when an earlier secret ceases to
    sign.
    """

    id: int
    settings: WebhookSettings
    disabled_reason: str | None
    disabled_at: datetime | None
    failing_since: datetime | None
    pending: int
    rotation_ends_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Delivery:
    """A message to an endpoint. ``attempts`` count since the event, or since it was replayed; ``response_head`` is the
    beginning of the last answer.
    """

    id: int
    webhook_id: int
    message_id: str
    job_id: int | None
    event_id: int | None
    sequence: int
    event: str
    occurred_at: datetime
    payload: Mapping[str, Any]
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    duration_ms: int | None
    response_status: int | None
    response_head: str | None
    error: Mapping[str, Any] | None
    created_at: datetime
    finished_at: datetime | None


def webhook_from_row(row: Row) -> Webhook:
    """Return the endpoint of a row of ``list_webhooks.sql``."""
    filters = ("kinds", "products", "envs", "dataset_namespaces")
    settings = WebhookSettings(
        url=row["url"],
        events=tuple(row["events"]),
        filters=WebhookFilters(**{name: row[name] and tuple(row[name]) for name in filters}),
        description=row["description"],
        enabled=row["enabled"],
    )
    others = ("id", "disabled_reason", "disabled_at", "failing_since", "pending", "rotation_ends_at")
    times = ("created_at", "updated_at")
    return Webhook(settings=settings, **{name: row[name] for name in (*others, *times)})


def payload_of(row: Row) -> dict[str, Any]:
    """Return the message of a row of ``webhook_deliveries``."""
    return payload(row["event"], row["occurred_at"], row["job"], sequence=row["sequence"], event_id=row["event_id"])


def delivery_from_row(row: Row) -> Delivery:
    """Return the delivery of a row of ``list_deliveries.sql``."""
    plain = {name: value for name, value in row.items() if name not in {"job", "status"}}
    return Delivery(**plain, payload=payload_of(row), status=DeliveryStatus(row["status"]))
