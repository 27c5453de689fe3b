"""The log of events for those who read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import LimitedStore, MetadataDb, sql
from ampd.worker_events.models import EventFilter, LogState, WorkerEvent, event_from_row

START: Final = "start"
PAGE: Final = 200
# So many ids are looked through at a time, however few of their events are wanted.
WINDOW: Final = 10_000


@dataclass(frozen=True)
class Page:
    """Some events, and the id up to which the log has been read with them."""

    events: Sequence[WorkerEvent]
    read_to: int


class WorkerEventLog(LimitedStore):
    """The events of one metadata database; limited, those of datasets in the namespaces."""

    def __init__(self, db: MetadataDb) -> None:
        self._db = db

    async def state(self) -> LogState:
        """Return what the log holds."""
        row = await self._db.fetch_one(sql("worker_events", "describe_log"))
        assert row is not None  # noqa: S101 - a SELECT without FROM gives its row
        return LogState(**row)

    async def resume_at(self, after: str | None) -> int:
        """Return the id behind which to go on: ``after`` is the id of an event, its ``event_id``, or ``start`` for
        all that is kept; None: only what comes from now on.

        :raises AmpError: EVENTS_DISABLED when none are recorded, EVENT_NOT_FOUND, EVENTS_EXPIRED when what comes
            behind it is not kept any more.
        """
        state = await self.state()
        if not state.recorded:
            raise AmpError(
                ErrorCode.EVENTS_DISABLED,
                "no events are recorded here: set worker_events.log_hours above 0, or worker_events.enabled, on all "
                "controllers",
            )
        if after is None:
            return state.last_id
        if after == START:
            return state.expired_to
        after_id = int(after) if after.isdecimal() else await self._find(after)
        if after_id > state.last_id:
            raise _not_found(after)
        if after_id < state.expired_to:
            raise AmpError(
                ErrorCode.EVENTS_EXPIRED,
                f"what came right after event {after} is not kept any more: some of it is lost. Go on with "
                f"after={START}, which begins with the oldest event that is kept; worker_events.log_hours keeps them "
                "for longer",
            )
        return after_id

    async def _find(self, event_id: str) -> int:
        try:
            parameters = {"event_id": UUID(event_id), **self._scope()}
        except ValueError:
            raise _not_found(event_id) from None
        row = await self._db.fetch_one(sql("worker_events", "find_event"), parameters)
        if row is None:
            raise _not_found(event_id)
        return int(row["id"])

    async def read(self, wanted: EventFilter, *, after_id: int, last_id: int, limit: int = PAGE) -> Page:
        """Return the first ``limit`` events that are wanted, behind one id and up to another; perhaps only of a first
        part of these: the page says how far it has come.
        """
        last_id = min(last_id, after_id + WINDOW)
        types = wanted.event_types
        parameters = {
            "after_id": after_id,
            "last_id": last_id,
            "event_types": None if types is None else [str(each) for each in types],
            "namespace": wanted.namespace,
            "name": wanted.name,
            "table_name": wanted.table_name,
            "job_id": wanted.job_id,
            "limit": limit,
            **self._scope(),
        }
        rows = await self._db.fetch_all(sql("worker_events", "read_log"), parameters)
        events = [event_from_row(row) for row in rows]
        return Page(events, events[-1].id if len(events) == limit else max(after_id, last_id))


def _not_found(after: str) -> AmpError:
    return AmpError(
        ErrorCode.EVENT_NOT_FOUND,
        f"there is no event {after[:80]!r} in the log: want the id or the event_id of one that is kept, or '{START}'",
    )
