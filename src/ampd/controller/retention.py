"""Retention: what is too old goes (design section 4.6)."""

from __future__ import annotations

import asyncio

import structlog

from ampd.errors import AmpError
from ampd.jobs import RetentionPolicy, expire_events, expire_firings, expire_jobs, fold_job_counts
from ampd.metadata_db import MetadataDb

_log = structlog.get_logger(__name__)

_INTERVAL_SECONDS = 300.0


async def run_retention(db: MetadataDb, policy: RetentionPolicy) -> None:
    """Remove for ever what ``policy`` does not keep, and tidy up what counts the rest."""
    while True:
        try:
            await _remove(db, policy)
        except AmpError as error:
            _log.warning("retention.failed", error=error.message)
        await asyncio.sleep(_INTERVAL_SECONDS)


async def _remove(db: MetadataDb, policy: RetentionPolicy) -> None:
    await fold_job_counts(db)
    jobs = events = 0
    if policy.terminal_job_days:
        jobs = await expire_jobs(db, days=policy.terminal_job_days, actor="retention")
    if policy.event_days:
        events = await expire_events(db, days=policy.event_days)
        await expire_firings(db, days=policy.event_days)
    if jobs or events:
        _log.info("retention.removed", jobs=jobs, events=events)
