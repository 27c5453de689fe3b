"""Webhooks: what the outbox holds is delivered, at least once, and of each job to each endpoint in order.

Any number of controllers may run. What one has leased no other sends, until the lease is over: a controller that dies
between sending and noting it leaves a message that is sent again, under the same id.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import MetadataDb
from ampd.tasks import cancel_all, wait_until
from ampd.webhook_signature import signature_headers
from ampd.webhooks import (
    LEASE_SECONDS,
    AddressRules,
    Answer,
    DeliveryStatus,
    LeasedDelivery,
    Outcome,
    Sender,
    claim_deliveries,
    delay_after,
    expire_deliveries,
    finish_delivery,
    parse_retry_after,
)

_log = structlog.get_logger(__name__)

_INTERVAL_SECONDS: Final = 1.0
_LOG_INTERVAL_SECONDS: Final = 300.0
# On their way at once, from this process to all endpoints.
_MOST_IN_FLIGHT: Final = 512
_GONE: Final = 410
# Statuses by which a receiver says: not so many.
_SLOW_DOWN: Final = frozenset({429, 503})


async def run_webhooks(db: MetadataDb, rules: AddressRules, *, in_flight: int, log_days: float) -> None:
    """Deliver for ever, ``in_flight`` messages to an endpoint at once at most; keep the log for ``log_days`` (0: for
    ever).
    """
    async with Sender(rules) as sender:
        keeper = asyncio.create_task(_keep_log_short(db, log_days))
        try:
            await Deliverer(db, sender, in_flight=in_flight).run()
        finally:
            await cancel_all([keeper])


class Deliverer:
    """Sends what is due through ``sender``."""

    def __init__(self, db: MetadataDb, sender: Sender, *, in_flight: int) -> None:
        self._db = db
        self._sender = sender
        self._in_flight = in_flight
        self._sending: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Send for ever."""
        try:
            while True:
                self._changed.clear()
                if not await self._begin():
                    # New messages, and those whose time has come, give no hint.
                    await wait_until(self._changed, _INTERVAL_SECONDS)
        finally:
            await cancel_all(self._sending)

    async def _begin(self) -> bool:
        """Begin to send what there is room for; tell whether to look again at once."""
        room = _MOST_IN_FLIGHT - len(self._sending)
        if room <= 0:
            return False
        leased_at = time.monotonic()
        try:
            claimed = await claim_deliveries(self._db, limit=room, per_endpoint=self._in_flight)
        except AmpError as error:
            _log.warning("webhook.claim_failed", error=error.message)
            return False
        for delivery in claimed.deliveries:
            task = asyncio.create_task(self._deliver(delivery, leased_at), name=f"webhook-{delivery.id}")
            self._sending.add(task)
            task.add_done_callback(self._done)
        return claimed.look_again

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("webhook.crashed", exc_info=error)

    async def _deliver(self, delivery: LeasedDelivery, leased_at: float) -> None:
        began_at = time.monotonic()
        if began_at - leased_at > LEASE_SECONDS / 2:  # this process stood still: others may be sending it
            return
        # The database's clock, as of now: receivers refuse messages of another time.
        now = delivery.now + began_at - leased_at
        answer, failure = None, None
        try:
            body = delivery.body()
            headers = signature_headers(delivery.keys, delivery.message_id, int(now), body)
            answer = await self._sender.send(delivery.url, headers, body)
        except AmpError as error:
            failure = error
        except Exception:  # a defect of ours: it counts as a try, or this message would come back for ever
            _log.exception("webhook.crashed", webhook_id=delivery.webhook_id, delivery_id=delivery.id)
            failure = AmpError(ErrorCode.INTERNAL_ERROR, "a defect; the controller's log has it")
        outcome = _outcome(delivery, answer, failure, now=now, duration_ms=round(1000 * (time.monotonic() - began_at)))
        await self._note(delivery, outcome)

    async def _note(self, delivery: LeasedDelivery, outcome: Outcome) -> None:
        about = {"webhook_id": delivery.webhook_id, "delivery_id": delivery.id, "message_id": delivery.message_id}
        try:
            disabled = await finish_delivery(self._db, delivery, outcome)
        except AmpError as error:  # it is sent once more, when its lease is over
            _log.warning("webhook.not_noted", **about, error=error.message)
            return
        if outcome.error is not None:
            _log.info(
                "webhook.failed",
                **about,
                attempts=delivery.attempts + 1,
                error_code=outcome.error["error_code"],
                retry_in_s=outcome.delay_seconds and round(outcome.delay_seconds),
            )
        if disabled is not None:
            _log.warning("webhook.disabled", webhook_id=delivery.webhook_id, reason=disabled)


def _outcome(
    delivery: LeasedDelivery, answer: Answer | None, failure: AmpError | None, *, now: float, duration_ms: int
) -> Outcome:
    if answer is not None and answer.taken:
        return Outcome(DeliveryStatus.DELIVERED, duration_ms, None, answer.status, answer.head)
    gone = answer is not None and answer.status == _GONE
    retry_after = parse_retry_after(answer.retry_after, now=now) if answer else None
    delay = None if gone else delay_after(delivery.attempts + 1, retry_after=retry_after)
    return Outcome(
        DeliveryStatus.FAILED if delay is None else DeliveryStatus.PENDING,
        duration_ms,
        delay,
        answer.status if answer else None,
        answer.head if answer else None,
        error=(failure or _refused(answer)).to_json(),
        gone=gone,
        hold_seconds=retry_after if answer and answer.status in _SLOW_DOWN else None,
    )


def _refused(answer: Answer | None) -> AmpError:
    status = answer.status if answer else 0
    hint = "; redirects are not followed, set the url that they lead to" if 300 <= status < 400 else ""
    return AmpError(ErrorCode.WEBHOOK_REFUSED, f"the receiver answered {status}{hint}", recoverable=True)


async def _keep_log_short(db: MetadataDb, days: float) -> None:
    while True:
        try:
            removed = await expire_deliveries(db, days=days)
            if removed:
                _log.info("webhook.log_shortened", deliveries=removed)
        except AmpError as error:
            _log.warning("webhook.log_not_shortened", error=error.message)
        await asyncio.sleep(_LOG_INTERVAL_SECONDS)
