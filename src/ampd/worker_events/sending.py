"""Who may send the log to the broker, and how far that has come."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from ampd.metadata_db import MetadataDb, sql

LEASE_SECONDS: Final = 20.0


@dataclass(frozen=True)
class SendingLease:
    """The right to send what comes after ``sent_to``, until it is over; renewed by every look."""

    holder: UUID
    epoch: int
    sent_to: int
    taken_at: float = field(compare=False)

    def is_safe(self, now: float) -> bool:
        """Whether nobody else can have it at ``now`` (monotonic seconds), and not soon either."""
        return now - self.taken_at < LEASE_SECONDS / 2


async def lease_sending(db: MetadataDb, holder: UUID) -> SendingLease | None:
    """Take or renew the right to send; None when another one has it."""
    taken_at = time.monotonic()
    parameters = {"holder": holder, "lease_seconds": LEASE_SECONDS}
    row = await db.fetch_one(sql("worker_events", "lease_sending"), parameters)
    return None if row is None else SendingLease(holder, row["epoch"], row["sent_to"], taken_at)


async def note_sent(db: MetadataDb, lease: SendingLease, sent_to: int) -> bool:
    """Note that all up to an event was taken by the broker; False when another one sends by now."""
    parameters = {"holder": lease.holder, "epoch": lease.epoch, "sent_to": sent_to, "lease_seconds": LEASE_SECONDS}
    return await db.fetch_one(sql("worker_events", "note_sent"), parameters) is not None


async def give_up_sending(db: MetadataDb, lease: SendingLease) -> None:
    """Let another one send at once."""
    parameters = {"holder": lease.holder, "epoch": lease.epoch}
    await db.execute(sql("worker_events", "give_up_sending"), parameters)
