"""Webhooks over a real database: jobs whose lives a test leads, the loop that delivers, and time that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from ampd.controller.webhooks import Deliverer
from ampd.metadata_db import MetadataDb
from ampd.tasks import cancel_all
from ampd.webhooks import (
    AddressRules,
    Delivery,
    DeliveryStatus,
    Sender,
    Webhook,
    WebhookFilters,
    WebhookSettings,
    WebhookStore,
)
from ampd.webhooks.payload import EVENTS
from support.engine import SECONDS, Engine

OWN_SECRET: Final = "webhook-secret-key"
LOCAL: Final = AddressRules.of(["127.0.0.0/8"])
DAY: Final = 86_400.0
_TIMES: Final = {
    "webhook_deliveries": (
        "next_attempt_at",
        "leased_until",
        "last_attempt_at",
        "created_at",
        "finished_at",
    ),
    "webhooks": ("failing_since", "last_failure_at", "resume_at", "disabled_at"),
    "webhook_keys": ("created_at", "expires_at"),
}


class Scene:
    """The stores of jobs and webhooks over one database."""

    def __init__(self, db: MetadataDb, engine: Engine) -> None:
        self.db = db
        self.engine = engine
        self.store = WebhookStore(db, LOCAL)

    async def webhook(
        self,
        url: str,
        *,
        secret: str | None = OWN_SECRET,
        events: Sequence[str] = tuple(EVENTS),
        filters: WebhookFilters | None = None,
        enabled: bool = True,
    ) -> Webhook:
        settings = WebhookSettings(url, tuple(events), filters or WebhookFilters(), enabled=enabled)
        return (await self.store.create(settings, secret=secret))[0]

    async def job(self, key: str = "k", **changes: Any) -> int:
        return (await self.engine.deploy(key, **changes)).id

    @asynccontextmanager
    async def delivering(
        self, *, in_flight: int = 8, sender: Sender | None = None, loops: int = 1
    ) -> AsyncIterator[None]:
        """Deliver while the block runs."""
        async with sender or Sender(LOCAL) as used:
            tasks = [asyncio.create_task(Deliverer(self.db, used, in_flight=in_flight).run()) for _ in range(loops)]
            try:
                yield
            finally:
                await cancel_all(tasks)

    async def log(self, webhook: Webhook) -> list[Delivery]:
        """Return the whole log of a webhook, the oldest first."""
        found, more = await self.store.deliveries(webhook.id, limit=1000)
        assert not more
        return found[::-1]

    async def until(self, webhook: Webhook, condition: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        """Return the log once ``condition`` holds for it."""
        async with asyncio.timeout(SECONDS):
            while not condition(log := await self.log(webhook)):
                await asyncio.sleep(0.01)
        return log

    async def until_all(self, webhook: Webhook, status: DeliveryStatus) -> list[Delivery]:
        return await self.until(webhook, lambda log: bool(log) and all(each.status is status for each in log))

    async def until_tried(self, webhook: Webhook, attempts: int = 1) -> list[Delivery]:
        """Return the log once something in it was tried so often."""
        return await self.until(webhook, lambda log: any(each.attempts >= attempts for each in log))

    async def pass_time(self, seconds: float) -> None:
        """Let all that is stored be so many seconds older."""
        async with self.db.transaction() as connection:
            for table, columns in _TIMES.items():
                older = ", ".join(f"{column} = {column} - make_interval(secs => {seconds})" for column in columns)
                await connection.execute(f"UPDATE {table} SET {older}")  # type: ignore[arg-type]

    async def live(self, job_id: int, end: str = "COMPLETED") -> None:
        """Let a job begin and end."""
        await self.engine.end(job_id, end)
