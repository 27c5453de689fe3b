"""Jobs that an operator asks for by their kind. Of a dataset's extraction there is one for ever, and it is deployed
(:meth:`ampd.jobs.JobStore.deploy`); of these there are as many as were asked for.
"""

from __future__ import annotations

from typing import Any, Final

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.dependencies import set_dependencies
from ampd.jobs.insertion import job_columns
from ampd.jobs.models import NewJob
from ampd.jobs.notification import PLACE, Notifier
from ampd.metadata_db import MetadataDb, sql

# Keys of operators never meet those of datasets.
_KEY_PREFIX: Final = "request:"


class JobCreator:
    """Creates jobs in one metadata database."""

    def __init__(self, db: MetadataDb, *, notifier: Notifier | None = None) -> None:
        self._db = db
        self._notifier = notifier or Notifier(db)

    async def create(self, new: NewJob, *, actor: str) -> tuple[int, bool]:
        """Create the job and return its id and True; False: the same request has created it before.

        :raises AmpError: IDEMPOTENCY_KEY_REUSED when another request has used the key, DEPENDENCY_NOT_FOUND,
        DEPENDENCY_CYCLE.
        """
        key = None if new.idempotency_key is None else _KEY_PREFIX + new.idempotency_key
        async with self._db.transaction() as connection:
            parameters = await job_columns(
                connection, new, key=key, actor=actor, request_hash=new.request_hash, secrets=new.secrets
            )
            created = await (await connection.execute(sql("jobs", "insert_job"), parameters)).fetchone()
            if created is None:
                found = await (await connection.execute(sql("jobs", "find_created_job"), parameters)).fetchone()
                return _same_job(found, new), False
            await set_dependencies(connection, created["id"], new.depends_on)
        self._notifier.hint(PLACE)
        return int(created["id"]), True

    async def execution_of(self, key: str) -> int | None:
        """Return the number of the execution at which the job of a whole key is; None: there is none."""
        row = await self._db.fetch_one(sql("jobs", "find_created_job"), {"idempotency_key": key})
        return None if row is None else int(row["execution_number"])


def _same_job(found: dict[str, Any] | None, new: NewJob) -> int:
    if found is None:  # deleted between the two statements: the next try creates it
        raise AmpError(
            ErrorCode.JOB_CONFLICT,
            "the job of this idempotency key was deleted at this moment; ask again",
            recoverable=True,
        )
    if found["request_hash"] != new.request_hash:
        raise AmpError(
            ErrorCode.IDEMPOTENCY_KEY_REUSED,
            f"the idempotency key {new.idempotency_key!r} belongs to job {found['id']}, which another request created; "
            "send the same request again to get that job, or choose another key",
            context={"job_id": found["id"]},
        )
    return int(found["id"])
