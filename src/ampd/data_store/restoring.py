"""Restoring tables from nothing but their files: after the metadata database was lost, or from a lake of the reference
system.

Only footers are read. What counts is chosen over all tables at once (:mod:`ampd.data_store.restore_choice`), then
registered in portions, into revisions that nobody reads yet; one transaction makes these the active ones. Whatever
interrupts a restore, doing it again goes on from there: files that are registered already stay.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import structlog
from psycopg.errors import ExclusionViolation
from psycopg.types.json import Jsonb

from ampd.data_store.footers import UnusableFileError, read_found_file
from ampd.data_store.restore_choice import FoundFile, choose, with_timestamps
from ampd.data_store.restore_progress import RestoreWatch
from ampd.data_store.revisions import (
    activate_revisions,
    is_of_table,
    lock_revision,
    register_revision,
    require_no_writer,
)
from ampd.data_store.tables import Dataset
from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import Connection, MetadataDb, sql
from ampd.object_store import ObjectInfo, ObjectStore

_log = structlog.get_logger(__name__)

_READ_AT_ONCE: Final = 16
_PORTION: Final = 500
# So long can an operator look at what a restore has left out, before it is deleted.
_LEFT_OUT_SECONDS: Final = 7 * 86_400
_SUFFIX: Final = ".parquet"

Tell = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class RestoredTable:
    """What a restore has made of a table. ``files_count``: the files that count now, which have the blocks
    ``start_block`` to ``end_block`` without a gap (None: there are none). ``left_out``: files that are not needed and
    will be deleted; ``unusable``: objects that are no segments of the table, and why.
    """

    table_name: str
    revision_id: int
    path: str
    files_count: int
    start_block: int | None
    end_block: int | None
    left_out: int
    unusable: dict[str, str]


@dataclass(frozen=True)
class _Directory:
    """A directory of files of one table, and what was found in it."""

    path: str
    files: list[FoundFile] = field(default_factory=list)
    unusable: dict[str, str] = field(default_factory=dict)


class Restorer:
    """Restores tables of one lake."""

    def __init__(self, db: MetadataDb, lake: ObjectStore) -> None:
        self._db = db
        self._lake = lake

    async def restore_dataset(self, dataset: Dataset, network: str, table_names: Sequence[str]) -> list[RestoredTable]:
        """Restore tables of a dataset together, each from the newest of its directories that has a segment, and make
        these the active revisions.

        :raises AmpError: TABLE_NOT_FOUND when there is nothing of a table; WRITER_JOB_NOT_TERMINAL; DATA_STORE_*.
        """
        watch = RestoreWatch(self._db, dataset)
        await self._require_idle(dataset)
        async with watch:
            listed = {name: await self._directories(dataset, name) for name in table_names}
            await watch.enter("READING")
            found = {name: await self._newest(dataset, network, name, listed[name], watch) for name in table_names}
            return await self._register(dataset, found, watch)

    async def restore_revision(
        self, revision_id: int, dataset: Dataset, network: str, table_name: str
    ) -> RestoredTable:
        """Register the files of a revision, active or not, without a look at other tables.

        :raises AmpError: REVISION_NOT_FOUND, WRITER_JOB_NOT_TERMINAL, DATA_STORE_*.
        """
        async with self._db.transaction() as connection:
            path = (await lock_revision(connection, revision_id))["path"]
            await self._require_no_writer(connection, dataset)
        objects = [found for found in await self._lake.list(path) if found.path.rpartition("/")[0] == path]
        read = await self._read(path, objects, table=table_name, network=network, known=await self._known(revision_id))
        return await self._register_table(
            dataset, table_name, read, choose_alone(read, dataset), revision_id=revision_id
        )

    async def _require_idle(self, dataset: Dataset) -> None:
        async with self._db.transaction() as connection:
            await self._require_no_writer(connection, dataset)

    async def _require_no_writer(self, connection: Connection, dataset: Dataset) -> None:
        what = f"dataset '{dataset.namespace}/{dataset.name}'"
        await require_no_writer(connection, _key(dataset), None, what)

    # --- finding

    async def _directories(self, dataset: Dataset, table_name: str) -> list[tuple[str, list[ObjectInfo]]]:
        """Return the directories of a table with their objects, the newest first; without those that are revisions of
        something else.
        """
        home = f"{dataset.namespace}/{dataset.name}/{table_name}"
        directories: dict[str, list[ObjectInfo]] = defaultdict(list)
        for each in await self._lake.list(home):
            directory, _, name = each.path.rpartition("/")
            if directory != home and name.endswith(_SUFFIX):
                directories[directory].append(each)
        rows = await self._db.fetch_all(sql("data_store", "list_revisions_below"), {"directory": home})
        others = {row["path"] for row in rows if not is_of_table(row["metadata"], dataset, table_name)}
        newest_first = sorted(directories, key=_age_of, reverse=True)
        return [(path, directories[path]) for path in newest_first if path not in others]

    async def _newest(
        self,
        dataset: Dataset,
        network: str,
        table_name: str,
        directories: Iterable[tuple[str, list[ObjectInfo]]],
        watch: RestoreWatch,
    ) -> _Directory:
        seen = []
        for path, objects in directories:
            await watch.found(len(objects))
            known = await self._known_at(path)
            read = await self._read(path, objects, table=table_name, network=network, known=known, tell=watch.read)
            # What begins earlier was written by another manifest.
            if read.files and all(file.start_block >= dataset.start_block for file in read.files):
                return read
            seen.append(path)
        raise AmpError(
            ErrorCode.TABLE_NOT_FOUND,
            f"table '{table_name}' of dataset '{dataset.namespace}/{dataset.name}' has no files of network '{network}' "
            f"in {self._lake.place}" + (f"; not usable is what lies in {', '.join(seen[:3])}" if seen else ""),
        )

    async def _read(
        self,
        path: str,
        objects: Sequence[ObjectInfo],
        *,
        table: str,
        network: str,
        known: Mapping[str, FoundFile | None],
        tell: Tell | None = None,
    ) -> _Directory:
        """Read the footers of objects of a directory. Those that count already are not read, those that will be deleted
        are not found.
        """
        directory = _Directory(path)
        limit = asyncio.Semaphore(_READ_AT_ONCE)

        async def read_one(each: ObjectInfo) -> FoundFile | None:
            name = each.path.rpartition("/")[2]
            async with limit:
                try:
                    if name in known:
                        return known[name]
                    return await read_found_file(self._lake, each.path, each.size, table=table, network=network)
                except UnusableFileError as error:
                    directory.unusable[name] = str(error)
                    return None

        for at in range(0, len(objects), _PORTION):
            portion = objects[at : at + _PORTION]
            read = await asyncio.gather(*(read_one(each) for each in portion))
            directory.files.extend(file for file in read if file is not None)
            if tell is not None:
                await tell(len(portion))
        return directory

    async def _known_at(self, path: str) -> dict[str, FoundFile | None]:
        row = await self._db.fetch_one(sql("data_store", "find_revision_at"), {"path": path})
        return {} if row is None else await self._known(row["id"])

    async def _known(self, revision_id: int) -> dict[str, FoundFile | None]:
        """Return the objects of a revision that the database knows: None for those that will be deleted."""
        revision = await self._db.fetch_one(sql("data_store", "find_revision"), {"id": revision_id, "visible": None})
        path = revision["path"] if revision else ""
        rows = await self._db.fetch_all(sql("data_store", "list_known_objects"), {"id": revision_id, "path": path})
        return {row["file_name"]: _counting(row) if row["counts"] else None for row in rows}

    # --- registering

    async def _register(
        self, dataset: Dataset, found: Mapping[str, _Directory], watch: RestoreWatch
    ) -> list[RestoredTable]:
        await watch.enter("REGISTERING")
        chosen = await asyncio.to_thread(_choose, {name: each.files for name, each in found.items()}, dataset)
        restored = []
        for name, directory in found.items():
            async with self._db.transaction() as connection:
                revision_id = await register_revision(connection, dataset, name, directory.path)
            restored.append(
                await self._register_table(
                    dataset, name, directory, chosen[name], revision_id=revision_id, tell=watch.registered
                )
            )
        await watch.enter("ACTIVATING")
        async with self._db.transaction() as connection:
            await activate_revisions(connection, dataset, {each.table_name: each.revision_id for each in restored})
        return restored

    async def _register_table(
        self,
        dataset: Dataset,
        table_name: str,
        directory: _Directory,
        chosen: Sequence[FoundFile],
        *,
        revision_id: int,
        tell: Tell | None = None,
    ) -> RestoredTable:
        new = [file for file in chosen if not file.counts]
        for at in range(0, len(new), _PORTION):
            portion = new[at : at + _PORTION]
            await self._register_portion(dataset, revision_id, directory.path, portion)
            if tell is not None:
                await tell(len(portion))
        names = {file.name for file in chosen}
        left_out = [file.name for file in directory.files if file.name not in names and not file.counts]
        await self._finish(dataset, revision_id, directory, left_out)
        _log.info("table.restored", table=table_name, path=directory.path, files=len(chosen), left_out=len(left_out))
        front = _front(chosen, dataset.start_block)
        return RestoredTable(
            table_name=table_name,
            revision_id=revision_id,
            path=directory.path,
            files_count=len(chosen),
            start_block=front[0] if front else None,
            end_block=front[1] if front else None,
            left_out=len(left_out),
            unusable=directory.unusable,
        )

    async def _register_portion(
        self, dataset: Dataset, revision_id: int, path: str, portion: Sequence[FoundFile]
    ) -> None:
        parameters = {"revision_id": revision_id, "path": path, **_columns(portion)}
        try:
            async with self._db.transaction() as connection:
                await lock_revision(connection, revision_id)
                await self._require_no_writer(connection, dataset)
                await connection.execute(sql("data_store", "restore_files"), parameters)
        except ExclusionViolation as error:
            raise AmpError(
                ErrorCode.REVISION_CONFLICT,
                f"revision {revision_id} got other files for the same blocks meanwhile: restore it again",
                recoverable=True,
            ) from error

    async def _finish(self, dataset: Dataset, revision_id: int, directory: _Directory, left_out: Sequence[str]) -> None:
        parameters = {
            "id": revision_id,
            "path": directory.path,
            "file_names": list(left_out),
            "delay_seconds": _LEFT_OUT_SECONDS,
        }
        async with self._db.transaction() as connection:
            await lock_revision(connection, revision_id)
            await self._require_no_writer(connection, dataset)
            await connection.execute(sql("data_store", "leave_out_files"), parameters)
            # What cannot be read is left alone: whoever compares the objects with their rows would delete it.
            if not directory.unusable:
                await connection.execute(sql("data_store", "trust_listing"), parameters)


def choose_alone(directory: _Directory, dataset: Dataset) -> list[FoundFile]:
    """Return the files of one table that count, without a look at others."""
    return _choose({directory.path: directory.files}, dataset)[directory.path]


def _choose(tables: Mapping[str, Sequence[FoundFile]], dataset: Dataset) -> dict[str, list[FoundFile]]:
    return choose(with_timestamps(tables), dataset.start_block)


def _front(chosen: Sequence[FoundFile], start_block: int) -> tuple[int, int] | None:
    """Return the blocks from the dataset's start that the files have without a gap."""
    end = None
    for file in sorted(chosen, key=lambda file: file.start_block):
        if file.start_block != (start_block if end is None else end + 1):
            break
        end = file.end_block
    return None if end is None else (start_block, end)


def _age_of(path: str) -> tuple[int, str]:
    """Directories are named by UUIDs that begin with the time; others come last."""
    name = path.rpartition("/")[2]
    try:
        return (1, UUID(name).hex)
    except ValueError:
        return (0, name)


def _counting(row: Mapping[str, Any]) -> FoundFile:
    return FoundFile(
        name=row["file_name"],
        start_block=row["start_block"],
        end_block=row["end_block"],
        start_parent_hash=bytes(row["start_parent_hash"]),
        end_hash=bytes(row["end_hash"]),
        counts=True,
    )


def _columns(files: Sequence[FoundFile]) -> dict[str, Any]:
    return {
        "file_names": [file.name for file in files],
        "starts": [file.start_block for file in files],
        "ends": [file.end_block for file in files],
        "parent_hashes": [file.start_parent_hash for file in files],
        "end_hashes": [file.end_hash for file in files],
        "row_counts": [file.row_count for file in files],
        "sizes": [file.size for file in files],
        "e_tags": [file.e_tag for file in files],
        "versions": [file.version for file in files],
        "descriptions": [Jsonb(file.description) for file in files],
        "created_ats": [file.created_at for file in files],
    }


def _key(dataset: Dataset) -> dict[str, Any]:
    return {"namespace": dataset.namespace, "name": dataset.name, "manifest_hash": dataset.manifest_hash}
