"""Timetable: jobs fire at their times (design section 4.5). It sleeps until the next time, by the database's clock, and
looks again when something changes; a time that no hint tells of is found within a second.
"""

from __future__ import annotations

import asyncio

import structlog

from ampd.errors import AmpError
from ampd.jobs import JobAction, Notifier, fire_due_jobs, seconds_to_next_firing
from ampd.jobs.notification import CHANNEL, PLACE
from ampd.jobs.timetable import MOST_JOBS
from ampd.metadata_db import MetadataDb
from ampd.metadata_db.listen import listen
from ampd.tasks import cancel_all, wait_until

_log = structlog.get_logger(__name__)

_ACTOR = "timetable"
_LONGEST_SLEEP_SECONDS = 1.0
_HANDS = 2


async def run_timetable(db: MetadataDb, notifier: Notifier, *, stop_seconds: float) -> None:
    """Fire jobs for ever."""
    changed = asyncio.Event()
    listener = asyncio.create_task(_hear(db.url, changed))
    try:
        while True:
            changed.clear()
            pause = _LONGEST_SLEEP_SECONDS
            try:
                await _fire_all(db, notifier, stop_seconds)
                pause = await _time_to_sleep(db)
            except AmpError as error:
                _log.warning("timetable.failed", error=error.message)
            await wait_until(changed, pause)
    finally:
        await cancel_all([listener])


async def _fire_all(db: MetadataDb, notifier: Notifier, stop_seconds: float) -> None:
    if await _fire_some(db, notifier, stop_seconds) >= MOST_JOBS:
        # There is more: while the database writes one portion the next is being thought out.
        await asyncio.gather(*(_fire_rest(db, notifier, stop_seconds) for _ in range(_HANDS)))
    else:
        await _fire_rest(db, notifier, stop_seconds)


async def _fire_rest(db: MetadataDb, notifier: Notifier, stop_seconds: float) -> None:
    while await _fire_some(db, notifier, stop_seconds):
        pass


async def _fire_some(db: MetadataDb, notifier: Notifier, stop_seconds: float) -> int:
    fired = await fire_due_jobs(db, actor=_ACTOR, stop_seconds=stop_seconds)
    if fired.begun:
        notifier.hint(PLACE)
        _log.info("timetable.fired", jobs=len(fired.begun))
    for worker_id, job_id in fired.stopping:
        notifier.hint(JobAction(worker_id, job_id, "STOP"))
    if fired.ended:
        notifier.hint(PLACE)
        _log.info("timetable.over", job_ids=fired.ended)
    return fired.looked_at


async def _time_to_sleep(db: MetadataDb) -> float:
    seconds = await seconds_to_next_firing(db)
    if seconds is None:
        return _LONGEST_SLEEP_SECONDS
    # What is due and was passed over is in another controller's hands: it is looked at again, but not at once.
    return min(seconds if seconds > 0 else 0.05, _LONGEST_SLEEP_SECONDS)


async def _hear(url: str, changed: asyncio.Event) -> None:
    async for _ in listen(url, CHANNEL):
        changed.set()
