"""How far the restore of a dataset is, kept in the database for whoever watches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from psycopg.types.json import Jsonb

from ampd.data_store.tables import Dataset
from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import MetadataDb, sql


@dataclass(frozen=True)
class RestoreProgress:
    """The last restore of a dataset. ``state``: RUNNING, COMPLETED, FAILED, or INTERRUPTED when its controller is
    gone; ``phase``: LISTING, READING, REGISTERING or ACTIVATING. ``error`` is that of a FAILED one.
    """

    state: str
    phase: str
    files_found: int
    files_read: int
    files_registered: int
    error: dict[str, Any] | None
    started_at: datetime
    updated_at: datetime


async def restore_progress(db: MetadataDb, dataset: Dataset) -> RestoreProgress:
    """Return how far the last restore of a dataset is.

    :raises AmpError: RESTORE_NOT_FOUND.
    """
    row = await db.fetch_one(sql("data_store", "find_restore"), _key(dataset))
    if row is None:
        name = f"{dataset.namespace}/{dataset.name}"
        message = f"dataset '{name}' has not been restored; 'ampctl dataset restore {name}@VERSION' does that"
        raise AmpError(ErrorCode.RESTORE_NOT_FOUND, message)
    return RestoreProgress(**row)


class RestoreWatch:
    """Writes down how far a restore is, from its beginning to its end, however that comes about."""

    def __init__(self, db: MetadataDb, dataset: Dataset) -> None:
        self._db = db
        self._key = _key(dataset)
        self._phase = "LISTING"
        self._counts = {"files_found": 0, "files_read": 0, "files_registered": 0}

    async def __aenter__(self) -> Self:
        await self._db.execute(sql("data_store", "begin_restore"), self._key)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self._note("COMPLETED")
        elif isinstance(error, AmpError):
            await self._note("FAILED", error.to_json())
        # Whatever else ends it leaves it RUNNING, which is shown as INTERRUPTED.

    async def enter(self, phase: str) -> None:
        """Begin a phase."""
        self._phase = phase
        await self._note("RUNNING")

    async def found(self, files: int) -> None:
        """So many more files have been found."""
        await self._add("files_found", files)

    async def read(self, files: int) -> None:
        """So many more footers have been read."""
        await self._add("files_read", files)

    async def registered(self, files: int) -> None:
        """So many more files have been registered."""
        await self._add("files_registered", files)

    async def _add(self, name: str, files: int) -> None:
        self._counts[name] += files
        await self._note("RUNNING")

    async def _note(self, state: str, error: dict[str, Any] | None = None) -> None:
        kept = None if error is None else Jsonb(error)
        parameters = {**self._key, **self._counts, "state": state, "phase": self._phase, "error": kept}
        await self._db.execute(sql("data_store", "note_restore"), parameters)


def _key(dataset: Dataset) -> dict[str, Any]:
    return {"namespace": dataset.namespace, "name": dataset.name, "manifest_hash": dataset.manifest_hash}
