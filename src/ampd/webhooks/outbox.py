"""The controller's side of the outbox: lease what is due, note what became of it, remove what is old."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.types.json import Jsonb

from ampd.metadata_db import MetadataDb, Row, sql
from ampd.webhook_signature import secret_of
from ampd.webhooks.models import DeliveryStatus, payload_of
from ampd.webhooks.payload import body_of
from ampd.webhooks.schedule import DAY

# How long one try may take, with all around it; after that another controller sends the message, too.
LEASE_SECONDS: Final = 60.0
DISABLE_AFTER_SECONDS: Final = 5 * DAY
# Two failures that lie further apart do not belong together: more than the longest delay between two tries.
STREAK_GAP_SECONDS: Final = 2 * DAY
_LOOKED_AT: Final = 500
_BATCH: Final = 5000


@dataclass(frozen=True)
class LeasedDelivery:
    """A message that this process sends now. ``now`` is the database's clock (seconds since 1970) at the lease;
    ``keys`` sign it, the newest first; ``kept`` is what the outbox has of the event.
    """

    id: int
    webhook_id: int
    lease_epoch: int
    attempts: int
    url: str
    message_id: str
    now: float
    keys: tuple[bytes, ...] = field(repr=False)
    kept: Row = field(repr=False)

    def body(self) -> bytes:
        """Return what is sent, the same for every try."""
        return body_of(payload_of(self.kept))

    def without_secrets(self, text: str) -> str:
        """Return ``text`` without the secrets of the endpoint: a receiver knows them, and may say them."""
        for key in self.keys:
            for secret in (secret_of(key), secret_of(key).removeprefix("whsec_"), key.decode("utf-8", "replace")):
                text = text.replace(secret, "***")
        return text


@dataclass(frozen=True)
class Outcome:
    """What became of one try. ``delay_seconds``: until the next one, None when there is none.

    ``gone``: the receiver wants nothing more, ever. ``hold_seconds``: it wants nothing at all for so long.
    """

    status: DeliveryStatus
    duration_ms: int
    delay_seconds: float | None = None
    response_status: int | None = None
    response_head: str | None = None
    error: Mapping[str, Any] | None = None
    gone: bool = False
    hold_seconds: float | None = None


@dataclass(frozen=True)
class Claimed:
    """What was leased, and whether another look would find more although nothing has changed."""

    deliveries: list[LeasedDelivery]
    look_again: bool


async def claim_deliveries(db: MetadataDb, *, limit: int, per_endpoint: int) -> Claimed:
    """Lease at most ``limit`` messages that are due, so that no endpoint has more than ``per_endpoint`` on their way.

    Of each job and endpoint the earliest that has not ended, and none behind it.
    """
    async with db.transaction() as connection:
        endpoints = await (await connection.execute(sql("webhooks", "lock_endpoints"))).fetchall()
        if not endpoints:
            return Claimed([], look_again=False)
        # A statement of its own: it sees all that was leased before the locks were taken.
        parameters = {
            "webhook_ids": [row["id"] for row in endpoints],
            "per_endpoint": per_endpoint,
            "looked_at": _LOOKED_AT,
            "limit": limit,
            "lease_seconds": LEASE_SECONDS,
        }
        rows = await (await connection.execute(sql("webhooks", "claim_deliveries"), parameters)).fetchall()
    return Claimed([_leased(row) for row in rows if row["id"] is not None], look_again=bool(rows[0]["put_off"]))


def _leased(row: Row) -> LeasedDelivery:
    plain = {name: row[name] for name in ("id", "webhook_id", "lease_epoch", "attempts", "url", "message_id", "now")}
    return LeasedDelivery(**plain, keys=tuple(row["keys"]), kept=row)


async def finish_delivery(db: MetadataDb, delivery: LeasedDelivery, outcome: Outcome) -> str | None:
    """Note what became of a try, when its lease still holds; return why the endpoint was disabled by it, if it was."""
    parameters = {
        "id": delivery.id,
        "lease_epoch": delivery.lease_epoch,
        "status": outcome.status,
        "delay_seconds": outcome.delay_seconds,
        "duration_ms": outcome.duration_ms,
        "response_status": outcome.response_status,
        "response_head": outcome.response_head and delivery.without_secrets(outcome.response_head),
        "error": None if outcome.error is None else Jsonb(outcome.error),
    }
    failure = {
        "webhook_id": delivery.webhook_id,
        "gone": outcome.gone,
        "hold_seconds": outcome.hold_seconds,
        "disable_after_seconds": DISABLE_AFTER_SECONDS,
        "streak_gap_seconds": STREAK_GAP_SECONDS,
    }
    async with db.transaction() as connection:
        await connection.execute(sql("webhooks", "lock_endpoint"), failure)
        noted = await (await connection.execute(sql("webhooks", "finish_delivery"), parameters)).fetchone()
        if noted is None or outcome.status is DeliveryStatus.DELIVERED:
            return None
        row = await (await connection.execute(sql("webhooks", "note_failure"), failure)).fetchone()
    return row["reason"] if row else None


async def expire_deliveries(db: MetadataDb, *, days: float, batch: int = _BATCH) -> int:
    """Remove from the log what ended more than ``days`` ago (0: nothing), and what belongs to no endpoint any more;
    return how much it was.
    """
    total, after_id = 0, 0
    while True:
        async with db.transaction() as connection:
            lock = await (await connection.execute(sql("webhooks", "lock_log"))).fetchone()
            if not (lock and lock["taken"]):
                return total
            parameters = {"age_seconds": days * DAY, "after_id": after_id, "batch": batch}
            row = await (await connection.execute(sql("webhooks", "expire_deliveries"), parameters)).fetchone()
        if row is None or row["last_id"] is None:
            return total
        total += int(row["deleted"])
        after_id = row["last_id"]
