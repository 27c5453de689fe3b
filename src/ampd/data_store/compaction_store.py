"""Many small files become one: chosen by the worker that holds the job, and swapped in one transaction under its lease.

Readers see the small files before that, and the large one after it, never both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ampd.data_store.registration import WrittenSegment, file_rows
from ampd.data_store.tables import Revision
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import HELD_STATES, Lease, hold_lease
from ampd.jobs.leases import lease_lost
from ampd.metadata_db import MetadataDb, sql

_MOST_FILES = 256


@dataclass(frozen=True)
class StoredFile:
    """A file that counts. ``is_cool`` says that it is old enough to be compacted; ``object_size`` is in bytes."""

    id: int
    revision_id: int
    path: str
    start_block: int
    end_block: int
    start_parent_hash: bytes
    end_hash: bytes
    object_size: int
    metadata: dict[str, Any]
    created_at: datetime
    is_cool: bool

    @property
    def end_timestamp(self) -> int:
        """The time of the last block, in Unix seconds."""
        return int(self.metadata["ranges"][-1]["timestamp"])


class FilesReplacedError(AmpError):
    """Files that were to be swapped do not count any more: a reorg, or another compaction, was first. Nothing was
    changed; look again.
    """


class CompactionStore:
    """What compaction reads and writes in a metadata database. ``cooldown_seconds``: how old a file must be;
    ``deletion_delay_seconds``: how long objects stay that were replaced.
    """

    def __init__(self, db: MetadataDb, *, cooldown_seconds: float, deletion_delay_seconds: float) -> None:
        self._db = db
        self._cooldown_seconds = cooldown_seconds
        self._deletion_delay_seconds = deletion_delay_seconds

    async def next_files(
        self, revisions: Sequence[Revision], *, cooldown_seconds: float | None = None
    ) -> list[StoredFile]:
        """Return the next files of ``revisions`` that may want compaction, in the order of their blocks.

        ``cooldown_seconds``, when given, takes the place of the store's.
        """
        parameters = {
            "revision_ids": [revision.id for revision in revisions],
            "cooldown_seconds": self._cooldown_seconds if cooldown_seconds is None else cooldown_seconds,
            "limit": _MOST_FILES,
        }
        rows = await self._db.fetch_all(sql("data_store", "list_files_to_compact"), parameters)
        return [StoredFile(**_plain(row)) for row in rows]

    async def size(self, revisions: Sequence[Revision]) -> tuple[int, int]:
        """Return how many files of ``revisions`` count, and their bytes."""
        parameters = {"revision_ids": [revision.id for revision in revisions]}
        row = await self._db.fetch_one(sql("data_store", "size_of_revisions"), parameters)
        return (int(row["files"]), int(row["bytes"])) if row else (0, 0)

    async def set_done_to(self, revisions: Sequence[Revision], block: int) -> None:
        """Look at nothing before ``block`` any more."""
        parameters = {"revision_ids": [revision.id for revision in revisions], "block": block}
        await self._db.execute(sql("data_store", "set_compacted_to"), parameters)

    async def begin_files(self, lease: Lease, files: Mapping[str, Revision]) -> datetime:
        """Note the paths of files that are about to be written, and return the database's time.

        :raises AmpError: LEASE_LOST.
        """
        parameters = {
            "job_id": lease.job_id,
            "lease_epoch": lease.lease_epoch,
            "incarnation": lease.incarnation,
            "held_states": list(HELD_STATES),
            "paths": list(files),
            "revision_ids": [revision.id for revision in files.values()],
        }
        row = await self._db.fetch_one(sql("data_store", "add_pending_compaction"), parameters)
        if row is None:
            raise lease_lost(lease)
        now: datetime = row["now"]
        return now

    async def swap(self, lease: Lease, old: Sequence[StoredFile], new: WrittenSegment) -> None:
        """Let the files of ``new`` count in the place of ``old``, which have the same blocks.

        The lease is that of whatever job compacts: the job that extracts the dataset, or one of kind ``compaction``.
        Two of them at once are as safe as one and a reorg: whoever commits first takes the files, and the other finds
        them gone.

        :raises AmpError: LEASE_LOST when the job has gone to another worker, FilesReplacedError when the files have
        gone. Nothing has changed then.
        """
        revision_ids = sorted({file.revision_id for file in old})
        async with self._db.transaction() as connection:
            await hold_lease(connection, lease)
            await connection.execute(sql("data_store", "lock_revisions"), {"ids": revision_ids})
            parameters = {"ids": [file.id for file in old], "delay_seconds": self._deletion_delay_seconds}
            gone = await (await connection.execute(sql("data_store", "swap_files"), parameters)).fetchall()
            fence = {
                "paths": list(new.files),
                "range_id": None,
                "job_id": lease.job_id,
                "epoch": lease.lease_epoch,
            }
            taken = await (await connection.execute(sql("data_store", "take_pending_files"), fence)).fetchall()
            if len(gone) != len(old):
                raise _replaced(lease)
            if len(taken) != len(new.files):
                raise lease_lost(lease)
            rows = file_rows(new.segment, list(new.files.values()), created_at=max(file.created_at for file in old))
            await connection.execute(sql("data_store", "register_files"), rows)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}


def _replaced(lease: Lease) -> AmpError:
    return FilesReplacedError(
        ErrorCode.LEASE_LOST,
        f"job {lease.job_id}: files that were being compacted were replaced meanwhile: nothing was written",
        recoverable=True,
    )
