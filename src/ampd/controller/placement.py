"""Placement: due jobs go to workers, when something changes and at least every second (design section 4.4)."""

from __future__ import annotations

import asyncio

import structlog

from ampd.errors import AmpError
from ampd.jobs import JobAction, Notifier, place_due_jobs, release_all_dependents
from ampd.jobs.notification import CHANNEL
from ampd.metadata_db import MetadataDb
from ampd.metadata_db.listen import listen
from ampd.tasks import cancel_all, wait_until

_log = structlog.get_logger(__name__)

_INTERVAL_SECONDS = 1.0
# The net below the releases of single completions needs no haste.
_RELEASE_INTERVAL_SECONDS = 10.0


async def run_placement(db: MetadataDb, notifier: Notifier, *, lease_seconds: float) -> None:
    """Place jobs for ever."""
    changed = asyncio.Event()
    helpers = [asyncio.create_task(_hear(db.url, changed)), asyncio.create_task(_release(db, changed))]
    try:
        while True:
            changed.clear()
            try:
                await _place(db, notifier, lease_seconds)
            except AmpError as error:
                _log.warning("placement.failed", error=error.message)
            # A job that waits for its time, or for a worker to come, gives no hint.
            await wait_until(changed, _INTERVAL_SECONDS)
    finally:
        await cancel_all(helpers)


async def _place(db: MetadataDb, notifier: Notifier, lease_seconds: float) -> None:
    leases = await place_due_jobs(db, lease_seconds=lease_seconds)
    for lease in leases:
        notifier.hint(JobAction(lease.worker_id, lease.job_id, "START"))
    if leases:
        _log.info("placement.placed", jobs=len(leases))


async def _hear(url: str, changed: asyncio.Event) -> None:
    async for _ in listen(url, CHANNEL):
        changed.set()


async def _release(db: MetadataDb, changed: asyncio.Event) -> None:
    while True:
        try:
            if await release_all_dependents(db):
                changed.set()
        except AmpError as error:
            _log.warning("placement.release_failed", error=error.message)
        await asyncio.sleep(_RELEASE_INTERVAL_SECONDS)
