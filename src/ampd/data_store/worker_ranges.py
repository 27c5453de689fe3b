"""Which blocks a worker has in hand: those of its own jobs, and those by which it helps other workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ampd.metadata_db import MetadataDb, sql


@dataclass(frozen=True)
class RangeInHand:
    """A range of blocks, both ends included, of the dataset ``namespace/name``, that a worker reads or writes.

    What is committed has gone from it: it begins behind that. ``state`` is READING or WRITING.
    """

    job_id: int
    start_block: int
    end_block: int
    state: str
    leased_at: datetime
    namespace: str
    name: str


async def read_ranges_of_worker(
    db: MetadataDb, node_id: str, namespaces: Sequence[str] | None = None
) -> list[RangeInHand]:
    """Return the ranges that a worker has in hand, by job and block; only those of datasets of ``namespaces``, unless
    that is None.

    :raises AmpError: METADATA_DB_UNREACHABLE.
    """
    parameters = {"node_id": node_id, "visible": None if namespaces is None else list(namespaces)}
    return [RangeInHand(**row) for row in await db.fetch_all(sql("data_store", "ranges_of_worker"), parameters)]
