"""Rescue: the jobs of dead workers go back to those that wait (design section 4.4)."""

from __future__ import annotations

import asyncio

import structlog

from ampd.errors import AmpError
from ampd.jobs import rescue_jobs_of_lost_workers
from ampd.metadata_db import MetadataDb

_log = structlog.get_logger(__name__)

_INTERVAL_SECONDS = 1.0


async def run_rescue(db: MetadataDb, *, lease_seconds: float) -> None:
    """Rescue jobs for ever."""
    while True:
        try:
            rescued = await rescue_jobs_of_lost_workers(db, lease_seconds=lease_seconds, actor="controller")
            if rescued:
                _log.warning("rescue.rescued", job_ids=rescued)
        except AmpError as error:
            _log.warning("rescue.failed", error=error.message)
        await asyncio.sleep(_INTERVAL_SECONDS)
