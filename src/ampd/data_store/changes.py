"""What has changed of the lake since the last look, for those who watch."""

from __future__ import annotations

from collections.abc import Mapping

from ampd.metadata_db import MetadataDb, sql
from ampd.metadata_db.late_ids import LateIds, LatePage


class TableChanges:
    """One watcher's looks at the tables of a metadata database, as :class:`ampd.jobs.JobChanges` looks at jobs. Files
    that are taken away while none come are no change: only an operator does so.
    """

    def __init__(self, db: MetadataDb) -> None:
        self._db = db
        self._files = LateIds()
        self._versions: Mapping[tuple[str, str], str] | None = None

    async def look(self) -> frozenset[str] | None:
        """Return the namespaces in whose tables something has changed since the last look; None: too many to tell.

        :raises AmpError: METADATA_DB_UNREACHABLE; the next look tells what this one would have told.
        """
        row = await self._db.fetch_one(sql("data_store", "changes_of_tables"), self._files.bounds)
        assert row is not None  # noqa: S101 - a SELECT without FROM gives its row
        fresh = self._files.take(LatePage.of(row, (each[0] for each in row["files"])))
        versions = {(what, name): text for what in ("ranges", "tables") for name, text in row[what].items()}
        before, self._versions = self._versions, versions
        if fresh is None:
            return None
        came = {namespace for file_id, namespace in row["files"] if file_id in fresh}
        return frozenset(came | _differing(before, versions))


def _differing(before: Mapping[tuple[str, str], str] | None, now: Mapping[tuple[str, str], str]) -> set[str]:
    if before is None:
        return set()
    return {key[1] for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
