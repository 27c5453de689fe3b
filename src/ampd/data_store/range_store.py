"""Ranges of blocks that several workers extract for one job: planned by the worker that holds the job, leased by any
worker, committed under the lease of the range (design section 7.1).

A lease of a range is the current one while its row has the same epoch and the same worker process. It is taken from a
worker whose heartbeat has stopped, and from nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import ExclusionViolation

from ampd.data_store.registration import WrittenSegment, file_rows
from ampd.data_store.tables import Revision, SegmentFile
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import TERMINAL_STATES, Lease, WorkerIdentity, hold_lease, note_success
from ampd.metadata_db import Connection, MetadataDb, sql
from ampd.worker_events import record_started


@dataclass(frozen=True)
class RangeLease:
    """The right of one worker process to write the blocks of a range (both ends included).

    ``replaces`` says that blocks which are there already go when these come. ``cursor`` is where the source's stream
    goes on with its first block, when that is known.
    """

    id: int
    job_id: int
    epoch: int
    start_block: int
    end_block: int
    replaces: bool
    worker: WorkerIdentity
    cursor: str | None = None


@dataclass(frozen=True)
class PlannedRange:
    """A range to be extracted; see :class:`RangeLease`."""

    start_block: int
    end_block: int
    replaces: bool = False


@dataclass(frozen=True)
class RangeState:
    """A range as its planner sees it: FREE, READING, WRITING, or DONE; what its blocks have cost so far (bytes of the
    source, seconds of reading).
    """

    id: int
    start_block: int
    end_block: int
    state: str
    replaces: bool
    blocks: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Run:
    """Blocks of a revision that hang together, both ends included; ``end_hash`` is that of the last (32 bytes)."""

    start_block: int
    end_block: int
    end_hash: bytes


@dataclass(frozen=True)
class PlanView:
    """What is there of each revision, as runs in ascending order, and the ranges that are planned, at one moment."""

    runs: dict[int, list[Run]]
    ranges: list[RangeState]


@dataclass(frozen=True)
class StoredSegment:
    """A segment that counts, and the hash (32 bytes) of the block on which it hangs."""

    start_block: int
    end_block: int
    start_parent_hash: bytes


@dataclass(frozen=True)
class OpenPlan:
    """A running job that has a free range; ``worker_selector`` says which workers may help. ``less_busy`` are the
    workers with a free slot that read fewer ranges of it than whoever asked.
    """

    job_id: int
    input: dict[str, Any]
    worker_selector: str | None
    less_busy: list[str]


@dataclass(frozen=True)
class HeldRange:
    """A range that a worker process has, by the database. ``stops``: what is in hand is to be finished, and no more;
    ``is_over``: the job has ended without it.
    """

    id: int
    job_id: int
    epoch: int
    stops: bool
    is_over: bool


@dataclass(frozen=True)
class Cost:
    """What reading some blocks has cost: bytes of the source, seconds since the range was begun."""

    bytes: int
    seconds: float


class RangeStore:
    """The ranges of one metadata database. ``lease_seconds``: how long after its last heartbeat a worker has what it
    has; ``deletion_delay_seconds``: how long the objects of files that were replaced stay for those who read them.
    """

    def __init__(self, db: MetadataDb, *, lease_seconds: float, deletion_delay_seconds: float = 1800.0) -> None:
        self._db = db
        self._lease_seconds = lease_seconds
        self._deletion_delay_seconds = deletion_delay_seconds

    # --- planning, by the worker that holds the job

    async def begin_plan(self, lease: Lease, parallelism: int) -> None:
        """Begin to plan a job's ranges, of which ``parallelism`` are read at once. Ranges that other workers have stay
        with them.

        :raises AmpError: LEASE_LOST.
        """
        async with self._db.transaction() as connection:
            await hold_lease(connection, lease)
            parameters = {"job_id": lease.job_id, "parallelism": parallelism}
            await connection.execute(sql("data_store", "begin_plan"), parameters)
            await record_started(connection, lease.job_id, lease.worker_id)

    async def stop_plan(self, lease: Lease) -> None:
        """Let nobody begin another range of the job, and let all finish what they have in hand.

        :raises AmpError: LEASE_LOST.
        """
        async with self._db.transaction() as connection:
            await hold_lease(connection, lease)
            await connection.execute(sql("data_store", "stop_plan"), {"job_id": lease.job_id})

    async def view(self, job_id: int, revisions: Sequence[Revision]) -> PlanView:
        """Return what is there of ``revisions`` and what is planned. The cost is that of the gaps, not of the files."""
        parameters = {"job_id": job_id, "revision_ids": [revision.id for revision in revisions]}
        row = await self._db.fetch_one(sql("data_store", "view_plan"), parameters)
        assert row is not None  # noqa: S101 - a SELECT without FROM gives its row
        runs: dict[int, list[Run]] = {revision.id: [] for revision in revisions}
        for run in row["runs"]:
            end_hash = bytes.fromhex(run["end_hash"])
            runs[run["revision_id"]].append(Run(run["start_block"], run["end_block"], end_hash))
        return PlanView(runs, [RangeState(**each) for each in row["ranges"]])

    async def plan_more(
        self, lease: Lease, ranges: Sequence[PlannedRange], *, done: Sequence[int], dropped: Sequence[int] = ()
    ) -> None:
        """Add ranges, free for everybody, and forget those that are ``done`` (ids): the job has got on. Those that are
        ``dropped`` go too, unless somebody has taken them meanwhile.

        :raises AmpError: LEASE_LOST.
        """
        async with self._db.transaction() as connection:
            await hold_lease(connection, lease)
            if done:
                await note_success(connection, lease)
            if done or dropped:
                parameters = {"job_id": lease.job_id, "ids": [*done, *dropped]}
                await connection.execute(sql("data_store", "remove_ranges"), parameters)
            if ranges:
                parameters = {
                    "job_id": lease.job_id,
                    "starts": [each.start_block for each in ranges],
                    "ends": [each.end_block for each in ranges],
                    "replaces": [each.replaces for each in ranges],
                }
                await connection.execute(sql("data_store", "add_ranges"), parameters)

    async def segments_back(
        self, revision: Revision, first_block: int, before_block: int, *, limit: int
    ) -> list[StoredSegment]:
        """Return the last ``limit`` segments that begin before a block and not before another one, the last first."""
        parameters = {
            "revision_id": revision.id,
            "first_block": first_block,
            "before_block": before_block,
            "limit": limit,
        }
        rows = await self._db.fetch_all(sql("data_store", "list_segments_back"), parameters)
        return [StoredSegment(row["start_block"], row["end_block"], bytes(row["start_parent_hash"])) for row in rows]

    async def free_lost(self) -> int:
        """Free the ranges of worker processes that are gone, of all jobs; return how many."""
        parameters: dict[str, Any] = {"lease_seconds": self._lease_seconds}
        found = await self._db.fetch_all(sql("data_store", "list_lost_ranges"), parameters)
        if not found:
            return 0
        async with self._db.transaction() as connection:
            ids = {"ids": [row["id"] for row in found]}
            locked = await (await connection.execute(sql("data_store", "lock_ranges"), ids)).fetchall()
            parameters["ids"] = [row["id"] for row in locked]
            freed = await (await connection.execute(sql("data_store", "free_lost_ranges"), parameters)).fetchall()
        return len(freed)

    # --- leasing, by any worker

    async def open_plans(self, worker: WorkerIdentity, *, closing: RangeLease | None = None) -> list[OpenPlan]:
        """Return the running jobs that have a range to lease, those that come first first; see :meth:`lease_next`."""
        parameters = {
            "closing_id": closing and closing.id,
            "incarnation": worker.incarnation,
            "lease_seconds": self._lease_seconds,
        }
        rows = await self._db.fetch_all(sql("data_store", "list_open_plans"), parameters)
        return [OpenPlan(**row) for row in rows]

    async def lease_next(
        self, job_id: int, worker: WorkerIdentity, *, closing: RangeLease | None = None
    ) -> RangeLease | None:
        """Lease the lowest free range of a job; None when there is none, or enough are being read.

        ``closing`` is a range of which the worker has nearly read the last block: it does not count any more.
        """
        async with self._db.transaction() as connection:
            plan = await (await connection.execute(sql("data_store", "lock_plan"), {"job_id": job_id})).fetchone()
            if plan is None:
                return None
            parameters = {
                "job_id": job_id,
                "parallelism": plan["parallelism"],
                "closing_id": closing and closing.id,
                "closing_epoch": closing and closing.epoch,
                "worker_id": worker.node_id,
                "incarnation": worker.incarnation,
            }
            row = await (await connection.execute(sql("data_store", "lease_range"), parameters)).fetchone()
        return None if row is None else RangeLease(job_id=job_id, worker=worker, **row)

    async def held_by(self, incarnation: UUID) -> list[HeldRange]:
        """Return the ranges that a worker process has."""
        parameters = {"incarnation": incarnation, "terminal_states": list(TERMINAL_STATES)}
        return [HeldRange(**row) for row in await self._db.fetch_all(sql("data_store", "list_held_ranges"), parameters)]

    async def release(self, range_id: int, epoch: int, incarnation: UUID) -> None:
        """Give back what is left of a range; nothing happens when it is somebody else's by now."""
        parameters = {"id": range_id, "epoch": epoch, "incarnation": incarnation}
        await self._db.execute(sql("data_store", "release_range"), parameters)

    async def drop(self, lease: RangeLease) -> None:
        """Take a range back that has turned out to be the wrong one; what is missing is planned anew."""
        parameters = {"id": lease.id, "epoch": lease.epoch, "incarnation": lease.worker.incarnation}
        await self._db.execute(sql("data_store", "drop_range"), parameters)

    # --- writing, under the lease of a range

    async def begin_files(self, lease: RangeLease, files: dict[str, Revision]) -> datetime:
        """Note the paths of files that are about to be written, and return the database's time.

        :raises AmpError: LEASE_LOST.
        """
        parameters = {
            "range_id": lease.id,
            "epoch": lease.epoch,
            "incarnation": lease.worker.incarnation,
            "paths": list(files),
            "revision_ids": [revision.id for revision in files.values()],
        }
        row = await self._db.fetch_one(sql("data_store", "add_pending_files"), parameters)
        if row is None:
            raise range_lost(lease)
        now: datetime = row["now"]
        return now

    async def commit(self, lease: RangeLease, segments: Sequence[WrittenSegment], cost: Cost) -> None:
        """Make consecutive segments of all tables count, in one transaction, when the lease is the current one; the
        range goes on behind them, where the cursor of the last one stands. Those of a range that replaces take the
        places of what is there.

        :raises AmpError: LEASE_LOST; RANGE_ALREADY_COMMITTED when a block is there already, or when only a part of a
            segment would be replaced; PARENT_HASH_MISMATCH when what replaces others would not hang on the blocks
            before it. Nothing has changed then.
        """
        start, end = segments[0].segment.start_block, segments[-1].segment.end_block
        try:
            async with self._db.transaction() as connection:
                await self._hold(connection, lease)
                borders = await self._retire(connection, segments) if lease.replaces else []
                for written in segments:
                    await self._take_pending(connection, lease, written.files)
                    rows = file_rows(written.segment, list(written.files.values()))
                    await connection.execute(sql("data_store", "register_files"), rows)
                for border in borders:
                    await self._check_link(connection, segments, border)
                await self._advance(connection, lease, start, end, cost)
                await self._note_cursor(connection, lease, segments)
        except ExclusionViolation as error:
            raise AmpError(
                ErrorCode.RANGE_ALREADY_COMMITTED,
                f"blocks {start} to {end} are in the table already: nothing was written",
                recoverable=True,
            ) from error

    async def _retire(self, connection: Connection, segments: Sequence[WrittenSegment]) -> list[int]:
        """Take away what is replaced; return the blocks that must hang on the ones before them in the end: the first
        of what comes, and the one behind the last when that hung on what goes.
        """
        ids = _revision_ids(segments)
        start, end = segments[0].segment.start_block, segments[-1].segment.end_block
        await connection.execute(sql("data_store", "lock_revisions"), {"ids": ids})
        await self._check_segments(connection, ids, start, end)
        across = {"revision_ids": ids, "block": end}
        goes_on = await (await connection.execute(sql("data_store", "find_run_across"), across)).fetchone() is not None
        parameters = {
            "revision_ids": ids,
            "start_block": start,
            "end_block": end,
            "delay_seconds": self._deletion_delay_seconds,
        }
        await connection.execute(sql("data_store", "retire_files"), parameters)
        return [start, end + 1] if goes_on else [start]

    async def _check_segments(self, connection: Connection, revision_ids: Sequence[int], start: int, end: int) -> None:
        """The segments that were to be replaced may have been compacted with others meanwhile: these would go with
        them, and leave a gap until they are extracted again. Tables that are out of step lack a block at each border,
        one or the other: their files go as they are.
        """
        parameters = {"revision_ids": revision_ids, "borders": [start, end + 1]}
        found = await (await connection.execute(sql("data_store", "find_files_across"), parameters)).fetchone()
        if found is not None:
            raise AmpError(
                ErrorCode.RANGE_ALREADY_COMMITTED,
                f"blocks {start} to {end} were to be replaced, but those before and behind block {found['border']} "
                "have become one segment meanwhile: nothing was written",
                recoverable=True,
            )

    async def _check_link(self, connection: Connection, segments: Sequence[WrittenSegment], block: int) -> None:
        """What replaces blocks never makes a line shorter than it was: else the chain has changed once more, or others
        have added to what is replaced.
        """
        parameters = {"revision_ids": _revision_ids(segments), "start_block": block}
        if await (await connection.execute(sql("data_store", "find_break_before"), parameters)).fetchone() is not None:
            raise AmpError(
                ErrorCode.PARENT_HASH_MISMATCH,
                f"block {block}: its parent hash is not the hash of block {block - 1} in the lake: the chain "
                "reorganised once more, or more blocks of the old one have come",
                recoverable=True,
            )

    async def _hold(self, connection: Connection, lease: RangeLease) -> None:
        job = {"job_id": lease.job_id, "terminal_states": list(TERMINAL_STATES)}
        if await (await connection.execute(sql("data_store", "share_job"), job)).fetchone() is None:
            raise range_lost(lease)
        fence = {"id": lease.id, "epoch": lease.epoch, "incarnation": lease.worker.incarnation}
        if await (await connection.execute(sql("data_store", "hold_range"), fence)).fetchone() is None:
            raise range_lost(lease)

    async def _take_pending(self, connection: Connection, lease: RangeLease, files: dict[str, SegmentFile]) -> None:
        parameters = {"paths": list(files), "range_id": lease.id, "job_id": None, "epoch": lease.epoch}
        taken = await (await connection.execute(sql("data_store", "take_pending_files"), parameters)).fetchall()
        if len(taken) != len(files):
            raise range_lost(lease)

    async def _advance(self, connection: Connection, lease: RangeLease, start: int, end: int, cost: Cost) -> None:
        parameters = {
            "id": lease.id,
            "end_block": end,
            "blocks": end - start + 1,
            "bytes": cost.bytes,
            "seconds": cost.seconds,
        }
        await connection.execute(sql("data_store", "advance_range"), parameters)

    async def _note_cursor(self, connection: Connection, lease: RangeLease, segments: Sequence[WrittenSegment]) -> None:
        last = segments[-1]
        if last.cursor is not None:
            parameters = {
                "job_id": lease.job_id,
                "revision_id": _revision_ids(segments)[0],
                "start_block": segments[0].segment.start_block,
                "end_block": last.segment.end_block,
                "end_hash": last.segment.end_hash,
                "cursor": last.cursor,
            }
            await connection.execute(sql("data_store", "note_cursor"), parameters)


def range_lost(lease: RangeLease) -> AmpError:
    """Return the error of a worker that writes for a range which another one has now."""
    return AmpError(
        ErrorCode.LEASE_LOST,
        f"blocks {lease.start_block} to {lease.end_block} of job {lease.job_id} no longer belong to this worker "
        f"(range {lease.id}, epoch {lease.epoch}): nothing was written",
        recoverable=True,
    )


def _revision_ids(segments: Sequence[WrittenSegment]) -> list[int]:
    return sorted({file.revision_id for written in segments for file in written.files.values()})
