"""What the handler of one attempt is told, and what it leaves for the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from ampd.jobs.leases import lease_lost
from ampd.jobs.models import Lease
from ampd.jobs.states import HELD_STATES
from ampd.jobs.transition import storable
from ampd.metadata_db import MetadataDb, sql


@dataclass(frozen=True)
class Attempt:
    """One try of an execution. ``number`` counts the tries of this execution from 1, those that were lost with their
    worker too. ``secrets`` is what the job's input hides: pairs of a path and a value. ``checkpoint`` is what an
    earlier attempt of this execution has saved; None: nothing.
    """

    execution_number: int
    number: int
    labels: dict[str, str]
    secrets: list[Any]
    checkpoint: Any


class AttemptStore:
    """The attempts of a worker's jobs in one metadata database. Everything is fenced by their leases."""

    def __init__(self, db: MetadataDb) -> None:
        self._db = db

    async def describe(self, lease: Lease) -> Attempt:
        """Return what is known of the attempt of ``lease``.

        :raises AmpError: LEASE_LOST.
        """
        row = await self._db.fetch_one(sql("jobs", "describe_attempt"), _fence(lease))
        if row is None:
            raise lease_lost(lease)
        return Attempt(
            execution_number=row["execution_number"],
            number=row["attempt"],
            labels=row["labels"],
            secrets=row["secrets"] or [],
            checkpoint=row["checkpoint"],
        )

    async def save_checkpoint(self, lease: Lease, data: Any) -> None:
        """Keep a JSON value for the attempts of the same execution that follow; the last one counts.

        :raises AmpError: LEASE_LOST.
        """
        parameters = {**_fence(lease), "data": Jsonb(storable(data))}
        if await self._db.fetch_one(sql("jobs", "save_checkpoint"), parameters) is None:
            raise lease_lost(lease)


def _fence(lease: Lease) -> dict[str, Any]:
    return {
        "job_id": lease.job_id,
        "lease_epoch": lease.lease_epoch,
        "incarnation": lease.incarnation,
        "held_states": list(HELD_STATES),
    }
