"""Rescue: the jobs of dead workers go back to those that wait, and stops that last too long are forced (design section
4.4).
"""

from __future__ import annotations

import asyncio

import structlog

from ampd.errors import AmpError
from ampd.jobs import Notifier, force_overdue_stops, rescue_jobs_of_lost_workers
from ampd.jobs.notification import PLACE
from ampd.metadata_db import MetadataDb

_log = structlog.get_logger(__name__)

_INTERVAL_SECONDS = 1.0
_ACTOR = "controller"


async def run_rescue(db: MetadataDb, notifier: Notifier, *, lease_seconds: float) -> None:
    """Rescue jobs for ever."""
    while True:
        try:
            rescued = await rescue_jobs_of_lost_workers(db, lease_seconds=lease_seconds, actor=_ACTOR)
            if rescued:
                notifier.hint(PLACE)
                _log.warning("rescue.rescued", job_ids=rescued)
            forced = await force_overdue_stops(db, actor=_ACTOR)
            if forced:
                notifier.hint(PLACE)
                _log.warning("rescue.stops_forced", job_ids=forced)
        except AmpError as error:
            _log.warning("rescue.failed", error=error.message)
        await asyncio.sleep(_INTERVAL_SECONDS)
