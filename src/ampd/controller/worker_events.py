"""Worker events: what was recorded enters the log, the log goes to the broker, and what is old goes.

Any number of controllers may run. One at a time moves events into the log, and one at a time sends, by a lease; a
broker that is away is waited for here, and nobody else waits for it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import structlog

from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import MetadataDb
from ampd.tasks import cancel_all
from ampd.telemetry.event_metrics import LOST, SENDER
from ampd.worker_events import (
    Broker,
    BrokerSettings,
    EventFilter,
    SendingLease,
    WorkerEventLog,
    collect_events,
    expire_events_of_log,
    give_up_sending,
    lease_sending,
    note_sent,
    set_recorded,
)

_log = structlog.get_logger(__name__)

_INTERVAL_SECONDS: Final = 0.5
_STANDBY_SECONDS: Final = 1.0
_EXPIRY_SECONDS: Final = 60.0
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)
_SENT_AT_ONCE: Final = 500
_GOODBYE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class EventSettings:
    """Whether events are recorded; how often the progress of a table is told at most; how long the log is kept, and
    what of it the broker has not taken; where they are sent, None: nowhere.
    """

    recorded: bool
    progress_interval_seconds: float
    kept_seconds: float
    unsent_seconds: float
    broker: BrokerSettings | None = None


async def run_worker_events(db: MetadataDb, settings: EventSettings) -> None:
    """Keep the log, and send it, for ever."""
    await _say_whether_recorded(db, settings)
    loops = [asyncio.create_task(_expire_for_ever(db, settings))]
    if settings.recorded:
        loops.append(asyncio.create_task(_collect_for_ever(db, settings)))
    if settings.broker is not None:
        loops.append(asyncio.create_task(EventSender(db, Broker(settings.broker)).run()))
    try:
        finished, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        for loop in finished:
            loop.result()
    finally:
        await cancel_all(loops)


async def _say_whether_recorded(db: MetadataDb, settings: EventSettings) -> None:
    while True:
        try:
            return await set_recorded(db, recorded=settings.recorded)
        except AmpError as error:
            _log.warning("worker_events.not_set_up", error=error.message)
        await asyncio.sleep(_INTERVAL_SECONDS)


async def _collect_for_ever(db: MetadataDb, settings: EventSettings) -> None:
    interval = settings.progress_interval_seconds
    while True:
        more = False
        try:
            more = await collect_events(db, progress_interval_seconds=interval)
        except AmpError as error:
            _log.warning("worker_events.not_collected", error=error.message)
        if not more:
            await asyncio.sleep(min(_INTERVAL_SECONDS, interval))


async def _expire_for_ever(db: MetadataDb, settings: EventSettings) -> None:
    while True:
        try:
            gone = await expire_events_of_log(
                db, kept_seconds=settings.kept_seconds, unsent_seconds=settings.unsent_seconds
            )
            if gone.unsent:
                LOST.inc(gone.unsent)
                _log.error(
                    "worker_events.lost",
                    events=gone.unsent,
                    meaning="the broker has not taken them for longer than worker_events.unsent_days",
                )
            if gone.deleted:
                _log.info("worker_events.log_shortened", events=gone.deleted)
        except AmpError as error:
            _log.warning("worker_events.log_not_shortened", error=error.message)
        await asyncio.sleep(_EXPIRY_SECONDS)


class EventSender:
    """Sends the log to the broker while this process has the right to."""

    def __init__(self, db: MetadataDb, broker: Broker) -> None:
        self._db = db
        self._broker = broker
        self._events = WorkerEventLog(db)
        self._holder: UUID = uuid4()
        self._lease: SendingLease | None = None
        self._failures = 0

    async def run(self) -> None:
        """Send for ever."""
        try:
            while True:
                pause = await self._look()
                if pause:
                    await asyncio.sleep(pause)
        finally:
            await self._leave()

    async def _look(self) -> float:
        """Send some events; return how many seconds to wait until the next look."""
        try:
            self._lease = await lease_sending(self._db, self._holder)
            SENDER.set(self._lease is not None)
            if self._lease is None:
                return _STANDBY_SECONDS
            sent = await self._send(self._lease)
        except AmpError as error:
            return self._fail(error)
        if self._failures and sent:
            _log.info("worker_events.broker_is_back")
            self._failures = 0
        return 0.0 if sent else _INTERVAL_SECONDS

    async def _send(self, lease: SendingLease) -> bool:
        """Send what comes next; tell whether there was anything."""
        state = await self._events.state()
        page = await self._events.read(
            EventFilter(), after_id=lease.sent_to, last_id=state.last_id, limit=_SENT_AT_ONCE
        )
        if page.read_to == lease.sent_to:
            return False
        await self._broker.send(page.events, may_send=self._may_send)
        if not await note_sent(self._db, lease, page.read_to):
            _log.info("worker_events.sent_by_another")
        return True

    async def _may_send(self) -> bool:
        """Whether the right to send is ours for long enough; it is renewed when it becomes old."""
        lease = self._lease
        if lease is None or lease.is_safe(time.monotonic()):
            return lease is not None
        self._lease = await lease_sending(self._db, self._holder)
        return self._lease is not None and self._lease.epoch == lease.epoch

    def _fail(self, error: AmpError) -> float:
        is_news = not self._failures
        self._failures += 1
        if is_news:
            _log.warning(
                "worker_events.not_sent",
                error_code=error.code,
                error=error.message,
                meaning="they wait in the metadata database; jobs go on" if _is_of_broker(error) else None,
            )
        return _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS)) - 1]

    async def _leave(self) -> None:
        SENDER.set(0)
        await self._broker.close()
        if self._lease is not None:
            try:
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await give_up_sending(self._db, self._lease)
            except (AmpError, TimeoutError):
                _log.info("worker_events.lease_left")  # it is over by itself soon


def _is_of_broker(error: AmpError) -> bool:
    return error.code is ErrorCode.EVENT_BROKER_FAILED
