"""One operation on many jobs (design section 4.6): those that a filter finds among the jobs that there were at first.

It goes through them in portions, the newest first, each a transaction of its own, so that neither its memory nor the
time for which it keeps others from a job grows with their number. What somebody else holds at that moment is left out
of the portion and done afterwards, job by job: a transaction that waits holds nothing that another one could wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ampd.jobs.job_filter import JobFilter
from ampd.jobs.notification import Notifier
from ampd.jobs.operations import Ask, Verdict, hint_at, judge, operate
from ampd.jobs.states import JobState
from ampd.metadata_db import MetadataDb, Row, sql

# So many that nobody waits long for one of them.
PORTION: Final = 500


@dataclass(frozen=True)
class BulkResult:
    """How many jobs the filter found, how many of them were changed, and how many were not: they are as they should
    be already, their state does not allow it, or they went on to another one just then.
    """

    matched: int = 0
    changed: int = 0

    @property
    def skipped(self) -> int:
        """How many were found and not changed."""
        return self.matched - self.changed


class BulkOperation:
    """An operation on the jobs that a filter finds; with ``dry_run`` it only tells how many it would change."""

    def __init__(self, db: MetadataDb, ask: Ask, wanted: JobFilter, *, notifier: Notifier, dry_run: bool) -> None:
        self._db = db
        self._ask = ask
        self._wanted = wanted
        self._notifier = notifier
        self._dry_run = dry_run

    async def run(self) -> BulkResult:
        """Do it, from the highest id of this moment down."""
        row = await self._db.fetch_one(sql("jobs", "highest_job_id"))
        before_id = (row["id"] if row else 0) + 1
        matched = changed = 0
        while rows := await self._portion(before_id):
            before_id = rows[-1]["id"]
            matched += len(rows)
            changed += self._would_change(rows) if self._dry_run else await self._change(rows)
        return BulkResult(matched, changed)

    async def _portion(self, before_id: int) -> list[Row]:
        wanted = replace(self._wanted, before_id=min(before_id, self._wanted.before_id or before_id))
        query = sql("jobs", "choose_jobs").replace("{chosen}", wanted.rows())
        return await self._db.fetch_all(query, wanted.parameters() | {"limit": PORTION, "offset": 0})

    def _would_change(self, rows: Sequence[Row]) -> int:
        return sum(judge(self._ask.operation, row) is Verdict.CHANGES for row in rows)

    async def _change(self, rows: Sequence[Row]) -> int:
        # A job that was not to be changed a moment ago is not looked at again.
        ids = [row["id"] for row in rows if judge(self._ask.operation, row) is Verdict.CHANGES]
        locked, changed = await self._change_free(ids)
        for job_id in ids:
            if job_id not in locked:
                changed += await self._change_one(job_id)
        return changed

    async def _change_free(self, ids: Sequence[int]) -> tuple[set[int], int]:
        """Change those that nobody holds; return all of them, and how many were changed."""
        if not ids:
            return set(), 0
        async with self._db.transaction() as connection:
            rows = await (await connection.execute(sql("jobs", "lock_jobs"), {"job_ids": list(ids)})).fetchall()
            moved = await operate(connection, self._ask, [row for row in rows if self._is_wanted(row)])
        hint_at(self._notifier, moved)
        return {row["id"] for row in rows}, len(moved)

    async def _change_one(self, job_id: int) -> int:
        """Wait for a job that somebody holds, and change it; one that is gone by then is none."""
        async with self._db.transaction() as connection:
            row = await (await connection.execute(sql("jobs", "lock_job"), {"job_id": job_id})).fetchone()
            moved = await operate(connection, self._ask, [row]) if row and self._is_wanted(row) else []
        hint_at(self._notifier, moved)
        return len(moved)

    def _is_wanted(self, row: Row) -> bool:
        """Tell whether a job, now that it is locked, still is in a state that was asked for."""
        return self._wanted.states is None or JobState(row["state"]) in self._wanted.states
