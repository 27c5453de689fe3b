"""Which worker runs what: placement of due jobs, and rescue from workers that are gone (design section 4.4)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.leases import StartedJob, start_jobs
from ampd.jobs.models import Lease
from ampd.jobs.states import JobState, Transition
from ampd.jobs.transition import Change, apply_transitions
from ampd.jobs.workers import WorkerIdentity
from ampd.metadata_db import Connection, MetadataDb, Row, sql
from ampd.telemetry.job_metrics import CLAIM_LATENCY, FORCED_STOPS, PLACEMENTS, RESCUED
from ampd.telemetry.metrics import timed

# A job that has outlived this many workers is the likely cause of their end.
POISON_LIMIT = 5
# The most jobs that one transaction places: it holds up all others that place.
MOST_AT_ONCE = 1000


@dataclass(frozen=True)
class FreeWorker:
    """A live worker with a free slot; ``held`` slots are taken. ``kinds`` are those of the jobs that it runs; None: it
    does not say, and gets any.
    """

    node_id: str
    incarnation: UUID
    slots: int
    held: int
    kinds: frozenset[str] | None = None

    def runs(self, job: DueJob) -> bool:
        """Tell whether ``job`` may run here."""
        return matches(job.selector, self.node_id) and (self.kinds is None or job.kind in self.kinds)


@dataclass(frozen=True)
class DueJob:
    """A job that waits for a worker which runs its kind; ``selector`` is a node id, a prefix and ``*``, or None for any
    worker.
    """

    id: int
    selector: str | None
    kind: str


@dataclass(frozen=True)
class Claim:
    """What a placement by a worker has done: the jobs that it has begun itself, and the leases of other workers."""

    started: list[StartedJob]
    placed_elsewhere: list[Lease]


def choose_workers(jobs: Iterable[DueJob], workers: Iterable[FreeWorker]) -> list[tuple[DueJob, FreeWorker]]:
    """Give each job, in their order, to the least loaded worker that fits it; jobs that find none are left out. Pure.

    The load of a worker is the share of its slots that is taken; of equals the first by name gets the job.
    """
    free = sorted(workers, key=lambda worker: worker.node_id)
    held = {worker.node_id: worker.held for worker in free}
    heaps: dict[tuple[str | None, str], list[tuple[float, str, FreeWorker]]] = {}
    chosen = []
    for job in jobs:
        lane = (job.selector, job.kind)
        if lane not in heaps:
            fitting = [worker for worker in free if worker.runs(job)]
            heaps[lane] = [(held[worker.node_id] / worker.slots, worker.node_id, worker) for worker in fitting]
            heapq.heapify(heaps[lane])
        worker = _least_loaded(heaps[lane], held)
        if worker is not None:
            held[worker.node_id] += 1
            chosen.append((job, worker))
    return chosen


def _least_loaded(heap: list[tuple[float, str, FreeWorker]], held: dict[str, int]) -> FreeWorker | None:
    """Return the least loaded worker of ``heap`` that has a free slot. Entries that others have outdated are mended
    when they come up: loads only grow.
    """
    while heap:
        load, node_id, worker = heap[0]
        now = held[node_id] / worker.slots
        if held[node_id] >= worker.slots:
            heapq.heappop(heap)
        elif now > load:
            heapq.heapreplace(heap, (now, node_id, worker))
        else:
            return worker
    return None


def matches(selector: str | None, node_id: str) -> bool:
    """Tell whether a job with ``selector`` may run on worker ``node_id``."""
    if selector is None:
        return True
    return node_id.startswith(selector[:-1]) if selector.endswith("*") else node_id == selector


async def place_due_jobs(db: MetadataDb, *, lease_seconds: float) -> list[Lease]:
    """Assign every due job that fits a free slot, and return the leases that were given out."""
    placed: list[Lease] = []
    while True:
        with timed(PLACEMENTS):
            async with db.transaction() as connection:
                leases = await assign_due_jobs(connection, lease_seconds=lease_seconds)
        placed += leases
        if not leases:
            return placed


async def claim_jobs(db: MetadataDb, identity: WorkerIdentity, *, lease_seconds: float) -> Claim:
    """Place due jobs as :func:`place_due_jobs` does, once, and begin those that fall to worker ``identity`` in the same
    transaction.
    """
    with timed(PLACEMENTS):
        async with db.transaction() as connection:
            leases = await assign_due_jobs(connection, lease_seconds=lease_seconds)
            ours = [lease for lease in leases if lease.incarnation == identity.incarnation]
            started = await start_jobs(connection, ours) if ours else []
    return Claim(started, [lease for lease in leases if lease.incarnation != identity.incarnation])


async def assign_due_jobs(connection: Connection, *, lease_seconds: float) -> list[Lease]:
    """Assign a portion of the due jobs inside the caller's transaction; other placements wait for its end. None: no due
    job fits a free slot.
    """
    await connection.execute(sql("jobs", "lock_placement"))
    parameters = {"lease_seconds": lease_seconds}
    rows = await (await connection.execute(sql("jobs", "list_free_workers"), parameters)).fetchall()
    workers = [FreeWorker(**row | {"kinds": _kinds(row["kinds"])}) for row in rows]
    if not workers:
        return []
    chosen = choose_workers(await _due_jobs(connection, workers), workers)
    return await _assign(connection, chosen) if chosen else []


def _kinds(told: Any) -> frozenset[str] | None:
    return frozenset(told) if isinstance(told, list) else None


async def _due_jobs(connection: Connection, workers: Sequence[FreeWorker]) -> list[DueJob]:
    # Of workers that run the same kinds every one is given: their names count too.
    free = [
        (worker.node_id, kind)
        for worker in workers
        for kind in ([None] if worker.kinds is None else sorted(worker.kinds))
    ]
    parameters = {
        "free_node_ids": [node_id for node_id, _ in free],
        "free_kinds": [kind for _, kind in free],
        "limit": min(sum(worker.slots - worker.held for worker in workers), MOST_AT_ONCE),
    }
    rows = await (await connection.execute(sql("jobs", "list_due_jobs"), parameters)).fetchall()
    return [DueJob(**row) for row in rows]


async def _assign(connection: Connection, chosen: Sequence[tuple[DueJob, FreeWorker]]) -> list[Lease]:
    parameters = {
        "job_ids": [job.id for job, _ in chosen],
        "selectors": [job.selector for job, _ in chosen],
        "node_ids": [worker.node_id for _, worker in chosen],
        "incarnations": [worker.incarnation for _, worker in chosen],
    }
    rows = await (await connection.execute(sql("jobs", "assign_jobs"), parameters)).fetchall()
    for row in rows:
        CLAIM_LATENCY.labels(row["kind"]).observe(row["waited_seconds"])
    return [Lease(row["id"], row["lease_epoch"], row["worker_id"], row["worker_incarnation"]) for row in rows]


async def rescue_jobs_of_lost_workers(db: MetadataDb, *, lease_seconds: float, actor: str) -> list[int]:
    """Take the jobs of dead or replaced worker processes back, and return their ids.

    They wait for another worker then; those that were being stopped are STOPPED; one that has outlived POISON_LIMIT
    workers is FAILED.
    """
    async with db.transaction() as connection:
        parameters = {"lease_seconds": lease_seconds}
        locked = await (await connection.execute(sql("jobs", "lock_jobs_with_worker"), parameters)).fetchall()
        if not locked:
            return []
        found = parameters | {"ids": [row["id"] for row in locked]}
        rows = await (await connection.execute(sql("jobs", "list_lost_jobs"), found)).fetchall()
        await _rescue(connection, rows, actor)
    RESCUED.inc(len(rows))
    return [int(row["id"]) for row in rows]


async def _rescue(connection: Connection, rows: Sequence[Row], actor: str) -> None:
    waiting = [row["id"] for row in rows if row["state"] == JobState.SCHEDULED]
    poisonous = [row for row in rows if _is_poisonous(row)]
    lost = [row for row in rows if row["state"] != JobState.SCHEDULED and not _is_poisonous(row)]
    if waiting:
        nobody = [None] * len(waiting)
        parameters = {"job_ids": waiting, "incarnations": nobody, "lease_epochs": nobody, "outcome": "LOST"}
        await connection.execute(sql("jobs", "unassign_jobs"), parameters)
    if poisonous:
        changes = [Change(row["id"], actor, error=_poison(row).to_json()) for row in poisonous]
        await apply_transitions(connection, Transition.FAIL, changes, lost_workers=1)
    if lost:
        changes = [Change(row["id"], actor, detail={"lost_worker": row["worker_id"]}) for row in lost]
        await apply_transitions(connection, Transition.LOSE_WORKER, changes, lost_workers=1)


def _is_poisonous(row: Row) -> bool:
    return bool(row["state"] == JobState.RUNNING and row["lost_worker_count"] + 1 >= POISON_LIMIT)


def _poison(row: Row) -> AmpError:
    return AmpError(
        ErrorCode.POISONOUS_JOB,
        f"the job was running on {POISON_LIMIT} workers when they died, the last was {row['worker_id']}: "
        "look into their logs, then deploy again",
    )


async def force_overdue_stops(db: MetadataDb, *, actor: str) -> list[int]:
    """Stop the jobs whose stop has lasted longer than it may, and return their ids. A worker that still has one finds
    its lease stale and lets go of it.
    """
    async with db.transaction() as connection:
        rows = await (await connection.execute(sql("jobs", "lock_overdue_stops"))).fetchall()
        if not rows:
            return []
        changes = [Change(row["id"], actor, detail={"forced": True, "worker": row["worker_id"]}) for row in rows]
        moved = await apply_transitions(connection, Transition.FORCE_STOP, changes)
    FORCED_STOPS.inc(len(moved))
    return [int(row["id"]) for row in moved]
