"""Webhooks in the client: what they are, the calls, the resource of each client, and what receivers need."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypedDict, TypeVar

import httpx

from ampd.client._errors import ApiError
from ampd.client._transport import Call, Send, SendAsync, path
from ampd.errors import ErrorCode
from ampd.webhook_signature import TOLERANCE_SECONDS, key_of, verify_signature

Json = dict[str, Any]
T = TypeVar("T")


class WebhookFilters(TypedDict, total=False):
    """Which jobs a webhook is told of; what is not there lets all through. ``products`` and ``envs`` are labels."""

    kinds: Sequence[str] | None
    products: Sequence[str] | None
    envs: Sequence[str] | None
    dataset_namespaces: Sequence[str] | None


@dataclass(frozen=True)
class Webhook:
    """A webhook. ``secret`` is there in the answer to the call that set it, and never again.

    ``disabled_reason``: OPERATOR, GONE (the receiver answered 410) or FAILING (nothing but failures for five days).
    """

    id: int
    url: str
    events: tuple[str, ...]
    filters: dict[str, list[str] | None]
    description: str
    enabled: bool
    disabled_reason: str | None
    disabled_at: datetime | None
    failing_since: datetime | None
    pending: int
    rotation_ends_at: datetime | None
    created_at: datetime
    updated_at: datetime
    secret: str | None = field(repr=False)
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Webhook:
        """Read the answer of GET /webhooks/{id}, or of a call that set the secret."""
        return cls(
            id=data["id"],
            url=data["url"],
            events=tuple(data["events"]),
            filters=data["filters"],
            description=data["description"],
            enabled=data["enabled"],
            disabled_reason=data["disabled_reason"],
            disabled_at=_instant(data["disabled_at"]),
            failing_since=_instant(data["failing_since"]),
            pending=data["pending"],
            rotation_ends_at=_instant(data["rotation_ends_at"]),
            created_at=datetime.fromisoformat(data["created_at"]),
            updated_at=datetime.fromisoformat(data["updated_at"]),
            secret=data.get("secret"),
            raw=data,
        )


@dataclass(frozen=True)
class Delivery:
    """A message to a webhook. ``status``: PENDING, DELIVERED or FAILED; ``job_id`` None: a test.

    ``message_id`` is the header ``webhook-id``, the same for every try and every replay.
    """

    id: int
    webhook_id: int
    message_id: str
    event: str
    job_id: int | None
    event_id: int | None
    sequence: int
    status: str
    attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    duration_ms: int | None
    response_status: int | None
    response_head: str | None
    error: Json | None
    created_at: datetime
    finished_at: datetime | None
    payload: Json
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Delivery:
        """Read an entry of GET /webhooks/{id}/deliveries."""
        plain = ("id", "webhook_id", "message_id", "event", "job_id", "event_id", "sequence", "status", "attempts")
        outcome = ("duration_ms", "response_status", "response_head", "error", "payload")
        return cls(
            **{name: data[name] for name in (*plain, *outcome)},
            next_attempt_at=_instant(data["next_attempt_at"]),
            last_attempt_at=_instant(data["last_attempt_at"]),
            created_at=datetime.fromisoformat(data["created_at"]),
            finished_at=_instant(data["finished_at"]),
            raw=data,
        )


@dataclass(frozen=True)
class DeliveryPage:
    """One page of the log of a webhook, the newest first. ``next_cursor`` is None on the last page."""

    deliveries: tuple[Delivery, ...]
    next_cursor: int | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> DeliveryPage:
        """Read the answer of GET /webhooks/{id}/deliveries."""
        return cls(tuple(map(Delivery.from_json, data["deliveries"])), data.get("next_cursor"), raw=data)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


# Calls


def _webhook(response: httpx.Response) -> Webhook:
    return Webhook.from_json(response.json())


def _delivery(response: httpx.Response) -> Delivery:
    return Delivery.from_json(response.json())


def _nothing(_response: httpx.Response) -> None:
    return None


def _present(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _settings(events: Sequence[str] | None, filters: WebhookFilters | None, **plain: Any) -> Json:
    words = None if filters is None else {key: _listed(value) for key, value in filters.items()}
    return _present(events=_listed(events), filters=words, **plain)


def _listed(values: Any) -> builtins.list[str] | None:
    return None if values is None else list(values)


def _create(settings: Json) -> Call[Webhook]:
    return Call("POST", "/webhooks", _webhook, body=settings)


def _set(settings: Json) -> Call[Webhook]:
    return Call("PUT", "/webhooks/by-url", _webhook, body=settings)


def _list() -> Call[list[Webhook]]:
    return Call("GET", "/webhooks", lambda answer: [Webhook.from_json(each) for each in answer.json()["webhooks"]])


def _get(webhook_id: int) -> Call[Webhook]:
    return Call("GET", path("webhooks", webhook_id), _webhook)


def _update(webhook_id: int, settings: Json) -> Call[Webhook]:
    return Call("PATCH", path("webhooks", webhook_id), _webhook, body=settings)


def _delete(webhook_id: int) -> Call[None]:
    return Call("DELETE", path("webhooks", webhook_id), _nothing)


def _rotate(webhook_id: int, secret: str | None, overlap_secs: float | None) -> Call[Webhook]:
    body = _present(secret=secret, overlap_secs=overlap_secs)
    return Call("POST", path("webhooks", webhook_id, "rotate"), _webhook, body=body)


def _test(webhook_id: int) -> Call[Delivery]:
    return Call("POST", path("webhooks", webhook_id, "test"), _delivery)


def _deliveries(webhook_id: int, limit: int | None, after: int | None, status: str | None) -> Call[DeliveryPage]:
    query = _present(limit=limit, after=after, status=status)
    return Call(
        "GET", path("webhooks", webhook_id, "deliveries"), lambda answer: DeliveryPage.from_json(answer.json()), query
    )


def _get_delivery(webhook_id: int, delivery_id: int) -> Call[Delivery]:
    return Call("GET", path("webhooks", webhook_id, "deliveries", delivery_id), _delivery)


def _replay(webhook_id: int, delivery_id: int) -> Call[Delivery]:
    return Call("POST", path("webhooks", webhook_id, "deliveries", delivery_id, "replay"), _delivery)


def _replay_failed(webhook_id: int, since: datetime | int) -> Call[int]:
    moment = datetime.fromtimestamp(since / 1000, UTC) if isinstance(since, int) else since
    if moment.tzinfo is None:
        raise ApiError(ErrorCode.INVALID_BODY, f"since {moment} has no time zone")
    body = {"since": moment.isoformat()}
    return Call(
        "POST", path("webhooks", webhook_id, "replay"), lambda answer: int(answer.json()["replayed"]), body=body
    )


class Webhooks:
    """Webhooks: who is told of what happens to jobs, and what was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def create(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        secret: str | None = None,
        filters: WebhookFilters | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Add a webhook and return it with its secret: one that is made up, unless given. All ``events`` unless named.

        A ``secret`` is ``whsec_`` and base64, or a text of your own, whose UTF-8 bytes are the key.
        """
        return self._send(
            _create(_settings(events, filters, url=url, description=description, enabled=enabled, secret=secret))
        )

    def set(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        secret: str | None = None,
        filters: WebhookFilters | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Make the webhook of ``url`` be as said, whether there is one or not; the same call again changes nothing."""
        return self._send(
            _set(_settings(events, filters, url=url, description=description, enabled=enabled, secret=secret))
        )

    def list(self) -> builtins.list[Webhook]:
        """Return all webhooks, the oldest first."""
        return self._send(_list())

    def get(self, webhook_id: int) -> Webhook:
        """Return a webhook."""
        return self._send(_get(webhook_id))

    def update(
        self,
        webhook_id: int,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        filters: WebhookFilters | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change settings; None leaves what is there. ``filters`` are replaced as a whole."""
        return self._send(
            _update(webhook_id, _settings(events, filters, url=url, description=description, enabled=enabled))
        )

    def delete(self, webhook_id: int) -> None:
        """Remove a webhook; one that does not exist is a success too."""
        self._send(_delete(webhook_id))

    def rotate(self, webhook_id: int, *, secret: str | None = None, overlap_secs: float | None = None) -> Webhook:
        """Give a webhook a new secret and return it with that. The old one signs, too, for ``overlap_secs`` (a day)."""
        return self._send(_rotate(webhook_id, secret, overlap_secs))

    def test(self, webhook_id: int) -> Delivery:
        """Have a test message sent, and return it as it waits; see :meth:`get_delivery` for what becomes of it."""
        return self._send(_test(webhook_id))

    def deliveries(
        self, webhook_id: int, *, limit: int | None = None, after: int | None = None, status: str | None = None
    ) -> DeliveryPage:
        """Return one page of what was sent or waits, the newest first, below the delivery ``after``."""
        return self._send(_deliveries(webhook_id, limit, after, status))

    def iterate_deliveries(
        self, webhook_id: int, *, page_size: int | None = None, status: str | None = None
    ) -> Iterator[Delivery]:
        """Go through the whole log, the newest first."""
        after = None
        while True:
            page = self.deliveries(webhook_id, limit=page_size, after=after, status=status)
            yield from page.deliveries
            if page.next_cursor is None:
                return
            after = page.next_cursor

    def get_delivery(self, webhook_id: int, delivery_id: int) -> Delivery:
        """Return one message and what became of it."""
        return self._send(_get_delivery(webhook_id, delivery_id))

    def replay(self, webhook_id: int, delivery_id: int) -> Delivery:
        """Have one message sent again, under the same id."""
        return self._send(_replay(webhook_id, delivery_id))

    def replay_failed(self, webhook_id: int, since: datetime | int) -> int:
        """Have all that failed since a time (a datetime, or epoch milliseconds) sent again, and count it."""
        return self._send(_replay_failed(webhook_id, since))


class AsyncWebhooks:
    """Webhooks: who is told of what happens to jobs, and what was sent."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    async def create(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        secret: str | None = None,
        filters: WebhookFilters | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Add a webhook and return it with its secret: one that is made up, unless given. All ``events`` unless named.

        A ``secret`` is ``whsec_`` and base64, or a text of your own, whose UTF-8 bytes are the key.
        """
        return await self._send(
            _create(_settings(events, filters, url=url, description=description, enabled=enabled, secret=secret))
        )

    async def set(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        secret: str | None = None,
        filters: WebhookFilters | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Make the webhook of ``url`` be as said, whether there is one or not; the same call again changes nothing."""
        return await self._send(
            _set(_settings(events, filters, url=url, description=description, enabled=enabled, secret=secret))
        )

    async def list(self) -> builtins.list[Webhook]:
        """Return all webhooks, the oldest first."""
        return await self._send(_list())

    async def get(self, webhook_id: int) -> Webhook:
        """Return a webhook."""
        return await self._send(_get(webhook_id))

    async def update(
        self,
        webhook_id: int,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        filters: WebhookFilters | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change settings; None leaves what is there. ``filters`` are replaced as a whole."""
        return await self._send(
            _update(webhook_id, _settings(events, filters, url=url, description=description, enabled=enabled))
        )

    async def delete(self, webhook_id: int) -> None:
        """Remove a webhook; one that does not exist is a success too."""
        await self._send(_delete(webhook_id))

    async def rotate(self, webhook_id: int, *, secret: str | None = None, overlap_secs: float | None = None) -> Webhook:
        """Give a webhook a new secret and return it with that. The old one signs, too, for ``overlap_secs`` (a day)."""
        return await self._send(_rotate(webhook_id, secret, overlap_secs))

    async def test(self, webhook_id: int) -> Delivery:
        """Have a test message sent, and return it as it waits; see :meth:`get_delivery` for what becomes of it."""
        return await self._send(_test(webhook_id))

    async def deliveries(
        self, webhook_id: int, *, limit: int | None = None, after: int | None = None, status: str | None = None
    ) -> DeliveryPage:
        """Return one page of what was sent or waits, the newest first, below the delivery ``after``."""
        return await self._send(_deliveries(webhook_id, limit, after, status))

    async def iterate_deliveries(
        self, webhook_id: int, *, page_size: int | None = None, status: str | None = None
    ) -> AsyncIterator[Delivery]:
        """Go through the whole log, the newest first."""
        after = None
        while True:
            page = await self.deliveries(webhook_id, limit=page_size, after=after, status=status)
            for delivery in page.deliveries:
                yield delivery
            if page.next_cursor is None:
                return
            after = page.next_cursor

    async def get_delivery(self, webhook_id: int, delivery_id: int) -> Delivery:
        """Return one message and what became of it."""
        return await self._send(_get_delivery(webhook_id, delivery_id))

    async def replay(self, webhook_id: int, delivery_id: int) -> Delivery:
        """Have one message sent again, under the same id."""
        return await self._send(_replay(webhook_id, delivery_id))

    async def replay_failed(self, webhook_id: int, since: datetime | int) -> int:
        """Have all that failed since a time (a datetime, or epoch milliseconds) sent again, and count it."""
        return await self._send(_replay_failed(webhook_id, since))


# For receivers


class WebhookVerificationError(Exception):
    """A message that no webhook of ours has sent, or not now."""


def verify_webhook(
    payload: bytes | str,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> Json:
    """Return the message of a request, when its signature is right and it is at most ``tolerance_seconds`` old.

    ``payload`` is the body as it came, ``headers`` those of the request (their case is of no matter), ``secret`` what
    the webhook was created with, or what the answer to that showed. Any library for Standard Webhooks does the same.

    :raises WebhookVerificationError: answer 400 then.
    :raises ValueError: when ``secret`` is none.
    """
    body = payload.encode() if isinstance(payload, str) else payload
    key = key_of(secret)
    try:
        verify_signature(headers, body, key, now=time.time(), tolerance_seconds=tolerance_seconds)
        message = json.loads(body)
    except ValueError as error:
        raise WebhookVerificationError(str(error)) from None
    if not isinstance(message, dict):
        raise WebhookVerificationError("the message is no JSON object")
    return message
