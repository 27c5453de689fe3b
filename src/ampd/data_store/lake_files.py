"""The files of a dataset as a reader sees them: those that count, in the order of their blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ampd.jobs import ACTIVE_STATES
from ampd.metadata_db import MetadataDb, sql


@dataclass(frozen=True)
class LakeFile:
    """A file that counts, as it was registered.

    ``path`` lies below the data directory, ``size`` is in bytes, hashes have 32 bytes; ``description`` is what its
    footer says too (key ``nozzle_metadata``).
    """

    table_name: str
    path: str
    start_block: int
    end_block: int
    start_parent_hash: bytes
    end_hash: bytes
    row_count: int
    size: int
    description: dict[str, Any]


class LakeFiles:
    """The files of one dataset at one manifest."""

    def __init__(self, db: MetadataDb, namespace: str, name: str, manifest_hash: str) -> None:
        self._db = db
        self._dataset = {"namespace": namespace, "name": name, "manifest_hash": manifest_hash}

    async def last_block(self) -> int | None:
        """Return the highest block that any table has, or None when there are no files.

        While a job writes the dataset there may be gaps that it is about to fill: then the block before the first one.
        """
        parameters = {**self._dataset, "active_states": list(ACTIVE_STATES)}
        row = await self._db.fetch_one(sql("data_store", "last_block_of_dataset"), parameters)
        return None if row is None else row["last_block"]

    async def between(self, start_block: int, end_block: int) -> list[LakeFile]:
        """Return the files that have blocks of the range (both ends included), by table and block."""
        parameters = {**self._dataset, "start_block": start_block, "end_block": end_block}
        rows = await self._db.fetch_all(sql("data_store", "list_lake_files"), parameters)
        return [
            LakeFile(
                table_name=row["table_name"],
                path=row["path"],
                start_block=row["start_block"],
                end_block=row["end_block"],
                start_parent_hash=bytes(row["start_parent_hash"]),
                end_hash=bytes(row["end_hash"]),
                row_count=row["row_count"],
                size=row["object_size"],
                description=row["metadata"],
            )
            for row in rows
        ]
