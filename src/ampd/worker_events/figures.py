"""How far events have come on their way, for metrics."""

from __future__ import annotations

from dataclasses import dataclass

from ampd.metadata_db import MetadataDb, sql


@dataclass(frozen=True)
class EventFigures:
    """``outbox``: events that are not in the log yet; ``unsent``: events of the log that the broker has not taken, None
    when nobody sends; ``oldest_unsent_seconds``: how old the first of these is, None when there is none.
    """

    outbox: int
    unsent: int | None
    oldest_unsent_seconds: float | None


async def read_event_figures(db: MetadataDb) -> EventFigures:
    """Count them.

    :raises AmpError: METADATA_DB_UNREACHABLE.
    """
    row = await db.fetch_one(sql("worker_events", "describe_lag"))
    assert row is not None  # noqa: S101 - a SELECT without FROM gives its row
    return EventFigures(**row)
