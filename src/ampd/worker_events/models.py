"""Worker events as values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from ampd.metadata_db import Row

EVENT_VERSION: Final = "1.0"


class EventType(StrEnum):
    """What happened to a table."""

    STARTED = "sync.started"
    PROGRESS = "sync.progress"
    COMPLETED = "sync.completed"
    FAILED = "sync.failed"


@dataclass(frozen=True)
class WorkerEvent:
    """An event of the log. ``id`` is its place there, ``event_id`` its name everywhere. Blocks are numbers, both ends
    included; ``current_block`` is the last block of the contiguous ones, None when there are none. ``duration_ms`` is
    the time of the attempt that completed the table. What does not belong to the type is None.
    """

    id: int
    event_id: UUID
    event_type: EventType
    created_at: datetime
    worker_id: str
    job_id: int
    dataset_namespace: str
    dataset_name: str
    manifest_hash: str
    table_name: str
    start_block: int | None
    current_block: int | None
    end_block: int | None
    files_count: int | None
    total_size_bytes: int | None
    duration_ms: int | None
    error_message: str | None
    error_type: str | None

    @property
    def key(self) -> str:
        """What orders events: those of one table of one manifest have the same."""
        return f"{self.dataset_namespace}/{self.dataset_name}/{self.manifest_hash}/{self.table_name}"

    @property
    def timestamp(self) -> str:
        """``created_at`` as RFC 3339 in UTC, to the millisecond."""
        return self.created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_NAMES: Final = tuple(field.name for field in fields(WorkerEvent))


def event_from_row(row: Row) -> WorkerEvent:
    """Return the event that a row of the log holds."""
    return WorkerEvent(**{**{name: row[name] for name in _NAMES}, "event_type": EventType(row["event_type"])})


@dataclass(frozen=True)
class EventFilter:
    """Which events are wanted; None asks for nothing. ``namespace`` and ``name`` are those of the dataset."""

    event_types: tuple[EventType, ...] | None = None
    namespace: str | None = None
    name: str | None = None
    table_name: str | None = None
    job_id: int | None = None


@dataclass(frozen=True)
class LogState:
    """What the log holds: the ids above ``expired_to``, up to ``last_id``; ``recorded``: more will come."""

    recorded: bool
    expired_to: int
    last_id: int
