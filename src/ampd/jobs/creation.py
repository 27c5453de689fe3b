"""Jobs that an operator asks for by their kind. Of a dataset's extraction there is one for ever, and it is deployed
(:meth:`ampd.jobs.JobStore.deploy`); of these there are as many as were asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.types.json import Jsonb

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.dependencies import hold_dependencies, set_dependencies
from ampd.jobs.models import Dependency
from ampd.jobs.notification import PLACE, Notifier
from ampd.jobs.recurrence import Schedule
from ampd.jobs.retry import RetryPolicy
from ampd.jobs.timetable_store import schedule_columns
from ampd.metadata_db import MetadataDb, sql

# Keys of operators never meet those of datasets.
_KEY_PREFIX: Final = "request:"


@dataclass(frozen=True)
class NewJob:
    """What is asked for. ``input`` holds no secret; ``secrets`` are pairs of a path into it and the value that a worker
    puts there.

    ``schedule`` None is now, once. With an ``idempotency_key`` the same request, by its ``request_hash``, is
    the same job, for as long as that is there.
    """

    kind: str
    input: dict[str, Any]
    request_hash: str
    secrets: list[Any] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    worker_selector: str | None = None
    priority: int = 0
    retries: int | None = 0
    retry_policy: RetryPolicy | None = None
    schedule: Schedule | None = None
    depends_on: tuple[Dependency, ...] = ()
    idempotency_key: str | None = None


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
        parameters = {
            "kind": new.kind,
            "idempotency_key": key,
            "request_hash": new.request_hash,
            "input": Jsonb(new.input),
            "secrets": Jsonb(new.secrets) if new.secrets else None,
            "labels": Jsonb(new.labels),
            "worker_selector": new.worker_selector,
            "priority": new.priority,
            "retries": new.retries,
            "retry_policy": Jsonb({} if new.retry_policy is None else new.retry_policy.to_json()),
            "actor": actor,
        }
        async with self._db.transaction() as connection:
            parameters["dependencies_met"] = await hold_dependencies(connection, new.depends_on)
            parameters |= await schedule_columns(connection, new.schedule)
            created = await (await connection.execute(sql("jobs", "create_job"), parameters)).fetchone()
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
