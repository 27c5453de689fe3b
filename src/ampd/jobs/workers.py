"""Workers: their names, their heartbeats, and what an operator sees of them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.models import Lease, Worker, worker_from_row
from ampd.jobs.notification import PLACE, Notifier
from ampd.jobs.states import JobState
from ampd.jobs.store import DEFAULT_LEASE_SECONDS
from ampd.metadata_db import LimitedStore, MetadataDb, sql

NODE_ID_PATTERN = r"[a-zA-Z][a-zA-Z0-9_.-]*"
_NODE_ID = re.compile(NODE_ID_PATTERN)


def validate_node_id(text: str) -> str:
    """Return ``text`` when it is a node id: a letter, then letters, digits, ``_``, ``-``, ``.`` (ASCII).

    :raises AmpError: INVALID_WORKER_ID.
    """
    if _NODE_ID.fullmatch(text):
        return text
    if not text:
        reason = "empty string"
    elif not re.match(r"[a-zA-Z]", text):
        reason = "must start with a letter"
    else:
        wrong = next(character for character in text if not re.fullmatch(r"[a-zA-Z0-9_.-]", character))
        reason = f"invalid character {wrong!r}"
    raise AmpError(ErrorCode.INVALID_WORKER_ID, f"Invalid worker ID '{text}': {reason}")


class WorkerStore(LimitedStore):
    """The workers of one metadata database, as an operator sees them. Limited, it counts only jobs of datasets in the
    namespaces.
    """

    def __init__(
        self, db: MetadataDb, *, lease_seconds: float = DEFAULT_LEASE_SECONDS, notifier: Notifier | None = None
    ) -> None:
        self._db = db
        self._lease_seconds = lease_seconds
        self._notifier = notifier or Notifier(db)

    async def list_all(self) -> list[Worker]:
        """Return all workers, dead ones too, the newest registration first."""
        return await self._list(None)

    async def get(self, node_id: str) -> Worker:
        """Return a worker.

        :raises AmpError: WORKER_NOT_FOUND.
        """
        workers = await self._list(node_id)
        if not workers:
            raise AmpError(ErrorCode.WORKER_NOT_FOUND, f"worker '{node_id}' not found")
        return workers[0]

    async def set_cordoned(self, node_id: str, *, cordoned: bool) -> Worker:
        """Keep work away from a worker, also over its restarts, or let it come again. The worker hands back what it
        has.

        :raises AmpError: WORKER_NOT_FOUND.
        """
        await self._db.execute(sql("jobs", "set_cordoned"), {"node_id": node_id, "cordoned": cordoned})
        self._notifier.hint(PLACE)
        return await self.get(node_id)

    async def _list(self, node_id: str | None) -> list[Worker]:
        parameters = {"node_id": node_id, "lease_seconds": self._lease_seconds, **self._scope()}
        return [worker_from_row(row) for row in await self._db.fetch_all(sql("jobs", "list_workers"), parameters)]


@dataclass(frozen=True)
class WantedJob:
    """What the database says a worker should be doing with a job."""

    job_id: int
    state: JobState
    lease_epoch: int

    def lease(self, identity: WorkerIdentity) -> Lease:
        """Return the lease that goes with it."""
        return Lease(self.job_id, self.lease_epoch, identity.node_id, identity.incarnation)


@dataclass(frozen=True)
class Beat:
    """What a heartbeat brings back: the jobs of this process, and whether an operator keeps work away from it.

    ``sent_at`` is the monotonic time (seconds) before which everything that was committed is in it.
    """

    sent_at: float
    wanted: list[WantedJob]
    cordoned: bool


@dataclass(frozen=True)
class WorkerIdentity:
    """A worker process: its name, and which process of that name it is."""

    node_id: str
    incarnation: UUID


class WorkerSession:
    """The dedicated connection of a worker's heartbeat thread (synchronous). It holds the lock on the worker's name."""

    def __init__(
        self, connection: psycopg.Connection[DictRow], identity: WorkerIdentity, *, lease_seconds: float
    ) -> None:
        self._connection = connection
        self._identity = identity
        self._lease_seconds = lease_seconds

    def take_name_lock(self) -> bool:
        """Try to take the lock on the name; it is free again when this session ends, however the process dies."""
        row = self._execute("take_name_lock")
        return bool(row and row["taken"])

    def register(self, *, info: dict[str, Any], slots: int) -> bool:
        """Take the name for this process; the jobs of the process that had it before are free to be rescued.

        Tells whether the lock on the name is held: a predecessor that was cut off may still have it for a while.

        :raises AmpError: NODE_ID_IN_USE when another process with this name is alive.
        """
        holds_name_lock = self.take_name_lock()
        parameters = {
            "info": Jsonb(info),
            "slots": slots,
            "holds_name_lock": holds_name_lock,
            "lease_seconds": self._lease_seconds,
        }
        with self._connection.transaction():
            # Of two that take a stale name at once the later one must see the heartbeat of the first.
            self._execute("lock_name")
            registered = self._execute("register_worker", **parameters)
        if registered is None:
            node_id = self._identity.node_id
            raise AmpError(
                ErrorCode.NODE_ID_IN_USE,
                f"a worker with the node id '{node_id}' is already running; every worker needs its own: "
                "choose another with --node-id or AMP_NODE_ID, or stop the other one",
            )
        return holds_name_lock

    def beat(self) -> Beat:
        """Send a heartbeat and return what the worker should be doing.

        :raises AmpError: NODE_ID_IN_USE when another process has taken the name.
        """
        sent_at = time.monotonic()
        row = self._execute("beat")
        if row is None:
            node_id = self._identity.node_id
            raise AmpError(
                ErrorCode.NODE_ID_IN_USE,
                f"another process has taken the node id '{node_id}'; this one lets go of its jobs and ends",
            )
        wanted = [WantedJob(each["job_id"], JobState(each["state"]), each["lease_epoch"]) for each in row["wanted"]]
        return Beat(sent_at=sent_at, wanted=wanted, cordoned=row["cordoned"])

    def set_draining(self) -> None:
        """Ask for no new work."""
        self._execute("set_draining")

    def retire(self) -> None:
        """Leave in good order: the worker counts as dead at once."""
        self._execute("retire_worker")

    def _execute(self, operation: str, **parameters: Any) -> DictRow | None:
        identity = {"node_id": self._identity.node_id, "incarnation": self._identity.incarnation}
        cursor = self._connection.execute(sql("jobs", operation), {**identity, **parameters})
        return cursor.fetchone() if cursor.description else None
