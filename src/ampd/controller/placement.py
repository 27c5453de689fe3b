"""Placement: due jobs go to workers, when something changes and at least every second (design section 4.4)."""

from __future__ import annotations

import asyncio

import structlog

from ampd.errors import AmpError
from ampd.jobs import place_due_jobs
from ampd.jobs.notification import CHANNEL
from ampd.metadata_db import MetadataDb
from ampd.metadata_db.listen import listen
from ampd.tasks import cancel_all, wait_until

_log = structlog.get_logger(__name__)

_INTERVAL_SECONDS = 1.0


async def run_placement(db: MetadataDb, *, lease_seconds: float) -> None:
    """Place jobs for ever."""
    changed = asyncio.Event()
    listening = asyncio.create_task(_hear(db.url, changed))
    try:
        while True:
            changed.clear()
            try:
                placed = await place_due_jobs(db, lease_seconds=lease_seconds)
                if placed:
                    _log.info("placement.placed", jobs=placed)
            except AmpError as error:
                _log.warning("placement.failed", error=error.message)
            # A job that waits for its time, or for a worker to come, gives no hint.
            await wait_until(changed, _INTERVAL_SECONDS)
    finally:
        await cancel_all([listening])


async def _hear(url: str, changed: asyncio.Event) -> None:
    async for _ in listen(url, CHANNEL):
        changed.set()
