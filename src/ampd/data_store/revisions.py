"""Revisions as an operator handles them: look, register, activate, deactivate, delete, truncate, prune.

What changes a revision is decided in one transaction, under the locks of its table and of itself, which a job takes in
the same order when it begins to write: so a job that is deployed at the same moment either is seen, or finds what was
decided here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from ampd.data_store.leftovers import Leftovers
from ampd.data_store.tables import Dataset
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import TERMINAL_STATES
from ampd.metadata_db import Connection, LimitedStore, MetadataDb, Row, sql
from ampd.object_store import ObjectStore

# File systems allow 255 bytes for a name, and an index of PostgreSQL 2,700 for a path.
_SEGMENT_PATTERN: Final = r"[A-Za-z0-9_$][A-Za-z0-9_$.\-]{0,254}"
_SEGMENT: Final = re.compile(_SEGMENT_PATTERN)
_MOST_SEGMENTS: Final = 16
LONGEST_PATH: Final = 1024
REVISION_PATH_PATTERN: Final = f"^{_SEGMENT_PATTERN}(?:/{_SEGMENT_PATTERN}){{1,{_MOST_SEGMENTS - 1}}}$"


@dataclass(frozen=True)
class RevisionInfo:
    """A revision. ``path`` lies below the data directory; counts and bytes are of the files that count."""

    id: int
    path: str
    is_active: bool
    writer_job_id: int | None
    metadata: dict[str, Any]
    files_count: int
    total_size_bytes: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class RegisteredFile:
    """A file that counts; ``metadata`` is what its footer says of it, ``object_size`` is in bytes."""

    id: int
    revision_id: int
    path: str
    file_name: str
    start_block: int
    end_block: int
    row_count: int
    object_size: int
    object_e_tag: str | None
    object_version: str | None
    metadata: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True)
class RevisionFilter:
    """Which revisions are wanted; None asks for nothing."""

    active: bool | None = None
    namespace: str | None = None
    name: str | None = None
    table_name: str | None = None


class RevisionStore(LimitedStore):
    """The revisions of one lake; limited, those of datasets in the namespaces."""

    def __init__(self, db: MetadataDb, lake: ObjectStore) -> None:
        self._db = db
        self._lake = lake
        self._leftovers = Leftovers(db, lake)

    async def _require_seen(self, revision_id: int) -> None:
        if self._visible is not None:
            await self.get(revision_id)

    def url_of(self, path: str) -> str:
        """Return the URL of a path in the lake."""
        return self._lake.url_of(path)

    async def list_page(
        self, wanted: RevisionFilter, *, limit: int, before_id: int | None = None
    ) -> list[RevisionInfo]:
        """Return revisions below an id, the newest first."""
        parameters = {
            "active": wanted.active,
            "namespace": wanted.namespace,
            "name": wanted.name,
            "table_name": wanted.table_name,
            "limit": limit,
            "before_id": before_id,
            **self._scope(),
        }
        return [
            RevisionInfo(**row) for row in await self._db.fetch_all(sql("data_store", "list_revisions"), parameters)
        ]

    async def get(self, revision_id: int) -> RevisionInfo:
        """Return a revision.

        :raises AmpError: REVISION_NOT_FOUND.
        """
        row = await self._db.fetch_one(sql("data_store", "find_revision"), {"id": revision_id, **self._scope()})
        if row is None:
            raise revision_not_found(revision_id)
        return RevisionInfo(**row)

    async def files(self, revision_id: int, *, limit: int, after_block: int = -1) -> tuple[list[RegisteredFile], bool]:
        """Return files of a revision that count, from the first one that begins behind a block, and whether there are
        more.

        :raises AmpError: REVISION_NOT_FOUND.
        """
        parameters = {"id": revision_id, "limit": limit + 1, "after_block": after_block, **self._scope()}
        rows = await self._db.fetch_all(sql("data_store", "list_files_of_revision"), parameters)
        if not rows:
            await self.get(revision_id)
        return [RegisteredFile(**row) for row in rows[:limit]], len(rows) > limit

    async def file(self, file_id: int) -> RegisteredFile:
        """Return a file that counts.

        :raises AmpError: FILE_NOT_FOUND.
        """
        row = await self._db.fetch_one(sql("data_store", "find_file"), {"id": file_id, **self._scope()})
        if row is None:
            message = f"file {file_id} not found: no file of the lake that counts has this id"
            raise AmpError(ErrorCode.FILE_NOT_FOUND, message)
        return RegisteredFile(**row)

    async def register(self, dataset: Dataset, table_name: str, path: str) -> int:
        """Make a directory of the lake known as a revision of a table, inactive and without its files, and return its
        id. Doing it again changes nothing.

        :raises AmpError: INVALID_BODY for a path that is none; REVISION_CONFLICT when it is a revision of something
            else, or lies in one.
        """
        _check_path(path)
        async with self._db.transaction() as connection:
            return await register_revision(connection, dataset, table_name, path)

    async def activate(self, dataset: Dataset, table_name: str, revision_id: int) -> None:
        """Make a revision the active one of its table, in the place of another one.

        :raises AmpError: REVISION_NOT_FOUND, TABLE_NOT_REGISTERED (the revision is of another table),
            WRITER_JOB_NOT_TERMINAL.
        """
        await self._require_seen(revision_id)
        async with self._db.transaction() as connection:
            await activate_revisions(connection, dataset, {table_name: revision_id})

    async def deactivate(self, dataset: Dataset, table_name: str) -> None:
        """Leave a table without an active revision; its files stay.

        :raises AmpError: TABLE_NOT_FOUND when it never had one, WRITER_JOB_NOT_TERMINAL.
        """
        key = _table_key(dataset, table_name)
        async with self._db.transaction() as connection:
            row = await (await connection.execute(sql("data_store", "lock_physical_table"), key)).fetchone()
            if row is None:
                raise AmpError(
                    ErrorCode.TABLE_NOT_FOUND,
                    f"table '{table_name}' of dataset '{dataset.namespace}/{dataset.name}' has no revisions",
                )
            await require_no_writer(connection, key, None, f"table '{table_name}'")
            await connection.execute(sql("data_store", "set_active_revision"), {**key, "revision_id": None})

    async def delete(self, revision_id: int) -> None:
        """Forget a revision and its files, which stay in the store: registering its path again and restoring it brings
        them back. What does not count of them is deleted.

        :raises AmpError: REVISION_NOT_FOUND, REVISION_IS_ACTIVE, WRITER_JOB_NOT_TERMINAL, FILE_METADATA_REMAINING.
        """
        await self._require_seen(revision_id)
        async with self._db.transaction() as connection:
            await _lock_idle(connection, revision_id)
            await connection.execute(sql("data_store", "give_up_pending"), {"id": revision_id})
        await self._leftovers.clear(revision_id)
        async with self._db.transaction() as connection:
            await _lock_idle(connection, revision_id)
            await _delete(connection, revision_id, with_files=False)

    async def truncate(self, revision_id: int, *, concurrency: int) -> int:
        """Delete a revision with all its objects, so many at once, and return how many there were.

        The files stop to count first, in one transaction: whatever interrupts the rest, the objects go.

        :raises AmpError: REVISION_NOT_FOUND, REVISION_IS_ACTIVE, WRITER_JOB_NOT_TERMINAL, FILE_METADATA_REMAINING.
        """
        await self._require_seen(revision_id)
        async with self._db.transaction() as connection:
            revision = await _lock_idle(connection, revision_id)
            key = {"id": revision_id, "path": revision["path"]}
            await connection.execute(sql("data_store", "drop_runs"), key)
            await connection.execute(sql("data_store", "give_up_files"), key)
            await connection.execute(sql("data_store", "give_up_pending"), key)
        deleted = await self._leftovers.clear(revision_id, concurrency=concurrency)
        deleted += await self._leftovers.clear_directory(revision["path"], concurrency=concurrency)
        async with self._db.transaction() as connection:
            await _lock_idle(connection, revision_id)
            await _delete(connection, revision_id, with_files=True)
        return deleted

    async def prune(self, revision_id: int, *, before_block: int | None, delay_seconds: int) -> int:
        """Let the files go that do not hang on the revision's first one, over all those between, and that end before a
        block when one is given. They count no more from now on; their objects are deleted after ``delay_seconds``.
        Return how many they are.

        :raises AmpError: REVISION_NOT_FOUND, WRITER_JOB_NOT_TERMINAL.
        """
        await self._require_seen(revision_id)
        async with self._db.transaction() as connection:
            revision = await lock_revision(connection, revision_id)
            await _require_no_writer_of(connection, revision)
            key = {"id": revision_id, "path": revision["path"], "before_block": before_block}
            first = await (await connection.execute(sql("data_store", "find_first_run"), key)).fetchone()
            if first is None:
                return 0
            await connection.execute(sql("data_store", "prune_runs"), key)
            parameters = {**key, "first_end": first["end_block"], "delay_seconds": delay_seconds}
            row = await (await connection.execute(sql("data_store", "prune_files"), parameters)).fetchone()
        return int(row["files"]) if row else 0


async def register_revision(connection: Connection, dataset: Dataset, table_name: str, path: str) -> int:
    """See :meth:`RevisionStore.register`."""
    metadata = {
        "dataset_namespace": dataset.namespace,
        "dataset_name": dataset.name,
        "manifest_hash": dataset.manifest_hash,
        "table_name": table_name,
        "start_block": dataset.start_block,
    }
    parameters = {"path": path, "metadata": Jsonb(metadata)}
    across = await (await connection.execute(sql("data_store", "find_revision_across"), parameters)).fetchone()
    if across is not None:
        message = f"'{path}' and revision {across['id']} ('{across['path']}') lie in one another"
        raise AmpError(ErrorCode.REVISION_CONFLICT, message)
    await connection.execute(sql("data_store", "register_revision"), parameters)
    row = await (await connection.execute(sql("data_store", "find_revision_at"), parameters)).fetchone()
    assert row is not None  # noqa: S101 - it was inserted, or was there
    if not is_of_table(row["metadata"], dataset, table_name):
        known = row["metadata"]
        raise AmpError(
            ErrorCode.REVISION_CONFLICT,
            f"'{path}' is revision {row['id']} of table '{known.get('table_name')}' of dataset "
            f"'{known.get('dataset_namespace')}/{known.get('dataset_name')}@{known.get('manifest_hash')}'",
        )
    return int(row["id"])


async def activate_revisions(connection: Connection, dataset: Dataset, revisions: Mapping[str, int]) -> None:
    """Make revisions, by table, the active ones: all or none.

    :raises AmpError: as :meth:`RevisionStore.activate`.
    """
    for table_name, revision_id in revisions.items():
        key = _table_key(dataset, table_name)
        await connection.execute(sql("data_store", "ensure_physical_table"), key)
        parameters = {"id": revision_id}
        row = await (await connection.execute(sql("data_store", "lock_revision"), parameters)).fetchone()
        if row is None:
            raise revision_not_found(revision_id)
        if not is_of_table(row["metadata"], dataset, table_name):
            raise AmpError(
                ErrorCode.TABLE_NOT_REGISTERED,
                f"revision {revision_id} is of table '{row['metadata'].get('table_name')}' of dataset "
                f"'{row['metadata'].get('dataset_namespace')}/{row['metadata'].get('dataset_name')}', not of "
                f"'{table_name}' at this manifest; 'ampctl table register' makes a directory known as one of it",
            )
        await require_no_writer(connection, key, row["writer_job_id"], f"table '{table_name}'")
        await connection.execute(sql("data_store", "set_active_revision"), {**key, "revision_id": revision_id})


def is_of_table(metadata: Mapping[str, Any], dataset: Dataset, table_name: str) -> bool:
    """Tell whether a revision with ``metadata`` is one of a table of ``dataset``."""
    wanted = _table_key(dataset, table_name)
    names = (("dataset_namespace", "namespace"), ("dataset_name", "name"))
    same = ((name, name) for name in ("manifest_hash", "table_name"))
    return all(metadata.get(theirs) == wanted[ours] for theirs, ours in (*names, *same))


async def lock_revision(connection: Connection, revision_id: int) -> Row:
    """Lock the table of a revision, then the revision, and return it.

    :raises AmpError: REVISION_NOT_FOUND.
    """
    await connection.execute(sql("data_store", "lock_table_of_revision"), {"id": revision_id})
    row = await (await connection.execute(sql("data_store", "lock_revision"), {"id": revision_id})).fetchone()
    if row is None:
        raise revision_not_found(revision_id)
    return row


async def require_no_writer(
    connection: Connection, table: Mapping[str, Any], writer_job_id: int | None, what: str
) -> None:
    """Make sure that no active job writes a table, whose lock the caller has.

    :raises AmpError: WRITER_JOB_NOT_TERMINAL.
    """
    parameters = {**table, "writer_job_id": writer_job_id, "terminal_states": list(TERMINAL_STATES)}
    row = await (await connection.execute(sql("data_store", "find_writer"), parameters)).fetchone()
    if row is not None:
        raise AmpError(
            ErrorCode.WRITER_JOB_NOT_TERMINAL,
            f"job {row['id']}, which writes {what}, is {row['state']}: stop it first, with 'ampctl job stop "
            f"{row['id']}'",
        )


async def _require_no_writer_of(connection: Connection, revision: Row) -> None:
    metadata = revision["metadata"]
    table = {
        "namespace": metadata.get("dataset_namespace"),
        "name": metadata.get("dataset_name"),
        "manifest_hash": metadata.get("manifest_hash"),
    }
    await require_no_writer(connection, table, revision["writer_job_id"], f"revision {revision['id']}")


async def _lock_idle(connection: Connection, revision_id: int) -> Row:
    revision = await lock_revision(connection, revision_id)
    row = await (await connection.execute(sql("data_store", "is_revision_active"), {"id": revision_id})).fetchone()
    if row is not None:
        dataset = f"{row['dataset_namespace']}/{row['dataset_name']}"
        raise AmpError(
            ErrorCode.REVISION_IS_ACTIVE,
            f"revision {revision_id} is the active one of table '{row['table_name']}' of dataset '{dataset}': "
            f"'ampctl table deactivate {dataset} {row['table_name']}' takes it out of use",
        )
    await _require_no_writer_of(connection, revision)
    return revision


async def _delete(connection: Connection, revision_id: int, *, with_files: bool) -> None:
    key = {"id": revision_id}
    row = await (await connection.execute(sql("data_store", "count_rows_of_revision"), key)).fetchone()
    remaining = (row["uncounted"] + (row["files"] if with_files else 0)) if row else 0
    if remaining:
        raise AmpError(
            ErrorCode.FILE_METADATA_REMAINING,
            f"revision {revision_id} has {remaining} objects that came while others were being deleted: do it again",
        )
    await connection.execute(sql("data_store", "drop_runs"), key)
    await connection.execute(sql("data_store", "delete_revision"), key)


def revision_not_found(revision_id: int) -> AmpError:
    """Return the error of an unknown revision."""
    message = f"revision {revision_id} not found; 'ampctl table list' lists them"
    return AmpError(ErrorCode.REVISION_NOT_FOUND, message)


def _table_key(dataset: Dataset, table_name: str) -> dict[str, Any]:
    return {
        "namespace": dataset.namespace,
        "name": dataset.name,
        "manifest_hash": dataset.manifest_hash,
        "table_name": table_name,
    }


def _check_path(path: str) -> None:
    segments: Sequence[str] = path.split("/")
    fits = len(path) <= LONGEST_PATH and 1 < len(segments) <= _MOST_SEGMENTS
    if not fits or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise AmpError(
            ErrorCode.INVALID_BODY,
            "path: want the directory of a revision below data_dir, such as ethereum/mainnet/blocks/<uuid>",
        )
