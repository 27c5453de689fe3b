"""Objects in the store that do not count: found by their rows, and deleted when nobody can want them any more.

The row of an object is written before the object, and a commit moves it to ``files``. So an object with neither row
belongs to nobody, however late its writer was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from ampd.data_store.tables import Revision
from ampd.jobs import HELD_STATES
from ampd.metadata_db import MetadataDb, sql
from ampd.object_store import ObjectStore
from ampd.telemetry.extraction_metrics import DELETED

_log = structlog.get_logger(__name__)

_PORTION = 100
_NAMES_AT_ONCE = 1000


class Leftovers:
    """The objects of one lake that do not count."""

    def __init__(self, db: MetadataDb, lake: ObjectStore) -> None:
        self._db = db
        self._lake = lake

    async def disown(self, files: dict[str, Revision]) -> None:
        """Delete files (by path) of an attempt that has failed, but for those that count after all.

        Whoever is committing them is waited for; afterwards nobody can. When the database is away nothing is deleted:
        :meth:`sweep` does that later.
        """
        if not files:
            return
        await self._db.execute(sql("data_store", "abandon_files"), {"paths": list(files)})
        parameters = {
            "revision_ids": [revision.id for revision in files.values()],
            "file_names": [path.rpartition("/")[2] for path in files],
        }
        counting = {
            row["path"] for row in await self._db.fetch_all(sql("data_store", "list_counting_files"), parameters)
        }
        await self._delete([path for path in files if path not in counting])

    async def sweep(self) -> None:
        """Give up files whose writer has lost its lease."""
        await self._db.execute(sql("data_store", "abandon_stale_files"), {"held_states": list(HELD_STATES)})

    async def collect(self, revisions: Sequence[Revision] | None = None) -> int:
        """Delete the objects whose time has come, of all revisions or some; return how many."""
        parameters = {
            "revision_ids": None if revisions is None else [revision.id for revision in revisions],
            "limit": _PORTION,
        }
        deleted = 0
        while rows := await self._db.fetch_all(sql("data_store", "take_collectable_files"), parameters):
            await self._delete([row["path"] for row in rows])
            deleted += len(rows)
        return deleted

    async def clear(self, revision_id: int, *, concurrency: int = 1) -> int:
        """Delete every object of a revision that does not count, whenever its time is; return how many. Nobody may be
        writing it.
        """
        parameters = {"id": revision_id, "limit": _NAMES_AT_ONCE}
        deleted = 0
        while rows := await self._db.fetch_all(sql("data_store", "list_uncounted_of_revision"), parameters):
            await self._delete([row["path"] for row in rows], concurrency=concurrency)
            deleted += len(rows)
        return deleted

    async def clear_directory(self, directory: str, *, concurrency: int = 1) -> int:
        """Delete every object that lies in a directory none of whose files count; return how many. What lies in
        directories below it may belong to others.
        """
        paths = [found.path for found in await self._lake.list(directory) if found.path.rpartition("/")[0] == directory]
        await self._delete(paths, concurrency=concurrency)
        return len(paths)

    async def _delete(self, paths: Sequence[str], *, concurrency: int = 1) -> None:
        limit = asyncio.Semaphore(concurrency)

        async def delete(path: str) -> None:
            async with limit:
                await self._lake.delete(path)

        await asyncio.gather(*(delete(path) for path in paths))
        await self._db.execute(sql("data_store", "forget_files"), {"paths": list(paths)})
        DELETED.inc(len(paths))
        if paths:
            _log.info("leftovers.deleted", files=len(paths), first=paths[0])

    async def compare_one_revision(self, *, age_seconds: float) -> bool:
        """List the objects of a revision for which that was last done so long ago, and delete those that belong to
        nobody: a process that woke up very late may have written them. False when no revision is due.
        """
        row = await self._db.fetch_one(sql("data_store", "take_revision_to_list"), {"age_seconds": age_seconds})
        if row is None:
            return False
        directory: str = row["path"]
        names = [found.path.rpartition("/")[2] for found in await self._lake.list(directory)]
        for at in range(0, len(names), _NAMES_AT_ONCE):
            parameters = {
                "revision_id": row["id"],
                "directory": directory,
                "file_names": names[at : at + _NAMES_AT_ONCE],
            }
            unknown = await self._db.fetch_all(sql("data_store", "list_unknown_files"), parameters)
            await self._delete([f"{directory}/{found['file_name']}" for found in unknown])
        return True
