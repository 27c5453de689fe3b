"""Webhooks: endpoints that are told of what happens to jobs, the outbox of their messages, and how these are sent."""

from __future__ import annotations

from ampd.webhooks.addresses import AddressRules
from ampd.webhooks.changes import WebhookChanges
from ampd.webhooks.models import Delivery, DeliveryStatus, Webhook, WebhookFilters, WebhookSettings
from ampd.webhooks.outbox import (
    LEASE_SECONDS,
    Claimed,
    LeasedDelivery,
    Outcome,
    claim_deliveries,
    expire_deliveries,
    finish_delivery,
)
from ampd.webhooks.payload import EVENTS
from ampd.webhooks.schedule import delay_after, parse_retry_after
from ampd.webhooks.sender import Answer, Sender
from ampd.webhooks.store import DEFAULT_OVERLAP_SECONDS, WebhookStore

__all__ = [
    "DEFAULT_OVERLAP_SECONDS",
    "EVENTS",
    "LEASE_SECONDS",
    "AddressRules",
    "Answer",
    "Claimed",
    "Delivery",
    "DeliveryStatus",
    "LeasedDelivery",
    "Outcome",
    "Sender",
    "Webhook",
    "WebhookChanges",
    "WebhookFilters",
    "WebhookSettings",
    "WebhookStore",
    "claim_deliveries",
    "delay_after",
    "expire_deliveries",
    "finish_delivery",
    "parse_retry_after",
]
