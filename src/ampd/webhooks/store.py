"""Webhooks as an operator sees them: endpoints, their secrets, the log of what was sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import Connection, LimitedStore, MetadataDb, Row, sql
from ampd.webhook_signature import key_of, new_key, secret_of
from ampd.webhooks.addresses import AddressRules
from ampd.webhooks.models import (
    Delivery,
    DeliveryStatus,
    Webhook,
    WebhookSettings,
    delivery_from_row,
    webhook_from_row,
)
from ampd.webhooks.payload import TEST_JOB
from ampd.webhooks.urls import checked_url

# For how long a secret that was replaced goes on signing, unless the operator says otherwise.
DEFAULT_OVERLAP_SECONDS: Final = 86_400.0
_END_OF_LOG: Final = 2**63 - 1


class WebhookStore(LimitedStore):
    """The endpoints of one metadata database. A secret is returned where it is set, and never again. Limited, it has no
    endpoints that are told of more than the namespaces, and no messages about anything else.
    """

    def __init__(self, db: MetadataDb, rules: AddressRules | None = None) -> None:
        self._db = db
        self._rules = rules or AddressRules()

    def _chosen(self, webhook_id: int | None = None, url: str | None = None) -> dict[str, Any]:
        return {"webhook_id": webhook_id, "url": url, **self._scope()}

    async def create(self, settings: WebhookSettings, *, secret: str | None) -> tuple[Webhook, str]:
        """Add an endpoint; return it and its secret, one that nobody can guess unless given.

        :raises AmpError: INVALID_WEBHOOK; WEBHOOK_CONFLICT when another endpoint has the URL.
        """
        parameters = self._parameters(settings)
        key = _key(secret)
        row = await self._db.fetch_one(sql("webhooks", "insert_webhook"), {**parameters, "key": key})
        if row is None:
            raise _url_is_taken()
        return await self.get(row["id"]), secret_of(key)

    async def put(self, settings: WebhookSettings, *, secret: str | None) -> tuple[Webhook, str | None, bool]:
        """Make the endpoint of a URL be as ``settings`` say, and return it, its secret when that is new, and whether
        the endpoint is. The same call again changes nothing. A secret that differs from the endpoint's replaces it, as
        :meth:`rotate` does.

        :raises AmpError: INVALID_WEBHOOK; WEBHOOK_CONFLICT when an endpoint that is not seen has the URL.
        """
        self._require_allowed(settings)
        wanted = replace(settings, url=checked_url(settings.url, self._rules))
        key = None if secret is None else _key(secret)
        while True:
            anybodys = {"webhook_id": None, "url": wanted.url, "visible": None}
            known = await self._db.fetch_one(sql("webhooks", "list_webhooks"), anybodys)
            if known is not None and not self._sees(webhook_from_row(known).settings):
                raise _url_is_taken()
            try:
                if known is None:
                    webhook, created = await self.create(settings, secret=secret)
                    return webhook, created, True
                is_new_key = await self._replace(known["id"], wanted, key)
                return await self.get(known["id"]), secret_of(key) if key and is_new_key else None, False
            except AmpError as error:  # somebody was quicker: added it, or took it away
                if error.code not in {ErrorCode.WEBHOOK_CONFLICT, ErrorCode.WEBHOOK_NOT_FOUND}:
                    raise

    async def _replace(self, webhook_id: int, wanted: WebhookSettings, key: bytes | None) -> bool:
        """Write what differs; tell whether the key does."""
        async with self._db.transaction() as connection:
            current = await _lock(connection, webhook_id)
            if (await self._settings(connection, webhook_id)) != wanted:
                parameters = {**wanted.parameters(), "webhook_id": webhook_id}
                await connection.execute(sql("webhooks", "update_webhook"), parameters)
            is_new_key = key is not None and key != current["key"]
            if key is not None and is_new_key:
                await _replace_key(connection, webhook_id, key, DEFAULT_OVERLAP_SECONDS)
        return is_new_key

    async def list_all(self) -> list[Webhook]:
        """Return all endpoints, the oldest first."""
        rows = await self._db.fetch_all(sql("webhooks", "list_webhooks"), self._chosen())
        return [webhook_from_row(row) for row in rows]

    async def get(self, webhook_id: int) -> Webhook:
        """Return an endpoint.

        :raises AmpError: WEBHOOK_NOT_FOUND.
        """
        row = await self._db.fetch_one(sql("webhooks", "list_webhooks"), self._chosen(webhook_id))
        if row is None:
            raise _not_found(webhook_id)
        return webhook_from_row(row)

    async def update(self, webhook_id: int, change: Callable[[WebhookSettings], WebhookSettings]) -> Webhook:
        """Change the settings of an endpoint, which nobody else does meanwhile; its secret stays.

        :raises AmpError: WEBHOOK_NOT_FOUND, INVALID_WEBHOOK, WEBHOOK_CONFLICT.
        """
        try:
            async with self._db.transaction() as connection:
                await _lock(connection, webhook_id)
                settings = change(await self._settings(connection, webhook_id))
                parameters = {**self._parameters(settings), "webhook_id": webhook_id}
                await connection.execute(sql("webhooks", "update_webhook"), parameters)
        except UniqueViolation:
            raise _url_is_taken() from None
        return await self.get(webhook_id)

    async def delete(self, webhook_id: int) -> bool:
        """Remove an endpoint; nothing more is sent to it. False when there is none."""
        return await self._db.fetch_one(sql("webhooks", "delete_webhook"), self._chosen(webhook_id)) is not None

    async def rotate(
        self, webhook_id: int, *, secret: str | None, overlap_seconds: float = DEFAULT_OVERLAP_SECONDS
    ) -> tuple[Webhook, str]:
        """Give an endpoint a new secret and return both. The old one goes on signing, beside it, for
        ``overlap_seconds``; one that was still doing so ends at once.

        :raises AmpError: WEBHOOK_NOT_FOUND, INVALID_WEBHOOK.
        """
        key = _key(secret)
        async with self._db.transaction() as connection:
            await _lock(connection, webhook_id)
            await self._settings(connection, webhook_id)
            await _replace_key(connection, webhook_id, key, overlap_seconds)
        return await self.get(webhook_id), secret_of(key)

    async def send_test(self, webhook_id: int) -> Delivery:
        """Put a test message into the log of an endpoint, to be sent at once, and return it.

        :raises AmpError: WEBHOOK_NOT_FOUND, WEBHOOK_DISABLED.
        """
        await self.get(webhook_id)
        parameters = {"webhook_id": webhook_id, "job": Jsonb(TEST_JOB)}
        row = await self._db.fetch_one(sql("webhooks", "insert_test"), parameters)
        if row is None:
            await self._require_enabled(webhook_id)
            raise _not_found(webhook_id)
        return await self.delivery(webhook_id, row["id"])

    async def deliveries(
        self,
        webhook_id: int,
        *,
        limit: int,
        before_id: int | None = None,
        status: DeliveryStatus | None = None,
    ) -> tuple[list[Delivery], bool]:
        """Return a page of the log of an endpoint, the newest first, below a delivery, and whether there is more.

        :raises AmpError: WEBHOOK_NOT_FOUND.
        """
        await self.get(webhook_id)
        parameters = {
            "webhook_id": webhook_id,
            "before_id": before_id or _END_OF_LOG,
            "delivery_id": None,
            "status": status,
            "limit": limit + 1,
            **self._scope(),
        }
        if self._visible is not None:
            await self.get(webhook_id)
        rows = await self._db.fetch_all(sql("webhooks", "list_deliveries"), parameters)
        return [delivery_from_row(row) for row in rows[:limit]], len(rows) > limit

    async def delivery(self, webhook_id: int, delivery_id: int) -> Delivery:
        """Return one entry of the log of an endpoint.

        :raises AmpError: WEBHOOK_NOT_FOUND, DELIVERY_NOT_FOUND.
        """
        parameters = {
            "webhook_id": webhook_id,
            "before_id": _END_OF_LOG,
            "delivery_id": delivery_id,
            "status": None,
            "limit": 1,
            **self._scope(),
        }
        if self._visible is not None:
            await self.get(webhook_id)
        row = await self._db.fetch_one(sql("webhooks", "list_deliveries"), parameters)
        if row is None:
            await self.get(webhook_id)
            raise AmpError(
                ErrorCode.DELIVERY_NOT_FOUND, f"webhook '{webhook_id}' has no delivery '{delivery_id}' (any more)"
            )
        return delivery_from_row(row)

    async def replay(self, webhook_id: int, delivery_id: int) -> Delivery:
        """Send a message again, whatever became of it, under the same id; one that is on its way is left alone.

        :raises AmpError: WEBHOOK_NOT_FOUND, DELIVERY_NOT_FOUND, WEBHOOK_DISABLED.
        """
        await self._require_enabled(webhook_id)
        await self.delivery(webhook_id, delivery_id)
        parameters = {"webhook_id": webhook_id, "delivery_id": delivery_id}
        await self._db.execute(sql("webhooks", "replay_delivery"), parameters)
        return await self.delivery(webhook_id, delivery_id)

    async def replay_failed(self, webhook_id: int, *, since: datetime) -> int:
        """Send again all that an endpoint did not get of what happened since a time, and return how much it is.

        :raises AmpError: WEBHOOK_NOT_FOUND, WEBHOOK_DISABLED.
        """
        await self._require_enabled(webhook_id)
        last = await self._db.fetch_one(sql("webhooks", "last_delivery_id"), {"webhook_id": webhook_id})
        parameters = {"webhook_id": webhook_id, "since": since, "max_id": last["id"] if last else 0, "after_id": 0}
        parameters |= self._scope()
        total = 0
        while True:
            row = await self._db.fetch_one(sql("webhooks", "replay_failed"), parameters)
            if row is None or not row["replayed"]:
                return total
            total += int(row["replayed"])
            parameters["after_id"] = row["last_id"]

    async def _require_enabled(self, webhook_id: int) -> None:
        webhook = await self.get(webhook_id)
        if not webhook.settings.enabled:
            raise AmpError(
                ErrorCode.WEBHOOK_DISABLED,
                f"webhook '{webhook_id}' is disabled ({webhook.disabled_reason}); "
                f"enable it first (ampctl webhook enable {webhook_id})",
            )

    async def _settings(self, connection: Connection, webhook_id: int) -> WebhookSettings:
        """Return the settings of an endpoint that is locked.

        :raises AmpError: WEBHOOK_NOT_FOUND when whoever asks does not see it.
        """
        found = await connection.execute(sql("webhooks", "list_webhooks"), self._chosen(webhook_id))
        row = await found.fetchone()
        if row is None:
            raise _not_found(webhook_id)
        return webhook_from_row(row).settings

    def _sees(self, settings: WebhookSettings) -> bool:
        told = settings.filters.dataset_namespaces
        return self._visible is None or (told is not None and set(told) <= set(self._visible))

    def _require_allowed(self, settings: WebhookSettings) -> None:
        if self._visible is not None and not self._sees(settings):
            raise AmpError(
                ErrorCode.FORBIDDEN,
                f"this token is limited to {', '.join(self._visible)}: a webhook of it must be, too; give these, or "
                "some of them, as its filter dataset_namespaces",
            )

    def _parameters(self, settings: WebhookSettings) -> dict[str, object]:
        self._require_allowed(settings)
        return {**settings.parameters(), "url": checked_url(settings.url, self._rules)}


async def _lock(connection: Connection, webhook_id: int) -> Row:
    row = await (await connection.execute(sql("webhooks", "lock_webhook"), {"webhook_id": webhook_id})).fetchone()
    if row is None:
        raise _not_found(webhook_id)
    return row


async def _replace_key(connection: Connection, webhook_id: int, key: bytes, overlap_seconds: float) -> None:
    parameters = {"webhook_id": webhook_id, "overlap_seconds": overlap_seconds, "key": key}
    await connection.execute(sql("webhooks", "replace_key"), parameters)
    await connection.execute(sql("webhooks", "insert_key"), parameters)


def _key(secret: str | None) -> bytes:
    if secret is None:
        return new_key()
    try:
        return key_of(secret)
    except (ValueError, UnicodeError) as error:
        message = "secret: holds half of a surrogate pair" if isinstance(error, UnicodeError) else f"secret: {error}"
        raise AmpError(ErrorCode.INVALID_WEBHOOK, message) from None


def _not_found(webhook_id: int) -> AmpError:
    return AmpError(ErrorCode.WEBHOOK_NOT_FOUND, f"webhook '{webhook_id}' not found")


def _url_is_taken() -> AmpError:
    return AmpError(
        ErrorCode.WEBHOOK_CONFLICT,
        "another webhook has this url; change that one, or give this one a parameter of its own (…?for=b)",
    )
