"""Which blocks of its tables a job has, which are being read, and which are missing: for a picture of its chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ampd.data_store.ranges import BlockRange
from ampd.metadata_db import MetadataDb, sql


class BlockState(StrEnum):
    """What is known of blocks. ``ORPHANED`` ones count, and are not of the chain any more: they do not hang on those
    before them, or others are about to take their places. ``MIXED`` are several states in one coarse range.
    """

    DONE = "done"
    IN_HAND = "in_hand"
    MISSING = "missing"
    ORPHANED = "orphaned"
    MIXED = "mixed"


@dataclass(frozen=True)
class StateRange:
    """Blocks, both ends included, that are in one state. ``worker_id`` reads those in hand; ``done_share`` (0 to 1) is
    the share of those that are done, in mixed ones.
    """

    start_block: int
    end_block: int
    state: BlockState
    worker_id: str | None = None
    done_share: float | None = None


@dataclass(frozen=True)
class JobRanges:
    """The blocks of each table from ``start_block`` to ``end_block`` (None: there is nothing to show), without gaps.
    ``head_block`` is the newest block that the job may take, when it last asked.
    """

    start_block: int | None
    end_block: int | None
    head_block: int | None
    tables: Mapping[str, Sequence[StateRange]]
    is_coarse: bool


@dataclass(frozen=True)
class Lease:
    """A range that is planned: held by a worker, or free. ``replaces``: what is there goes when it comes."""

    start_block: int
    end_block: int
    held: bool
    replaces: bool
    worker_id: str | None


@dataclass(frozen=True)
class Run:
    """Blocks that count. ``hangs`` False: they touch those before them, and do not hang on them."""

    start_block: int
    end_block: int
    hangs: bool = True


async def read_job_ranges(
    db: MetadataDb, job_id: int, *, start_block: int | None, end_block: int | None, most: int
) -> JobRanges:
    """Return the state of all blocks of the tables that a job writes; with more than ``most`` ranges in a table in
    coarse ranges of equal width, of which neighbours in the same state are one.
    """
    parameters: dict[str, Any] = {"job_id": job_id, "start_block": start_block, "end_block": end_block, "most": most}
    row = await db.fetch_one(sql("data_store", "ranges_of_job"), parameters)
    assert row is not None  # noqa: S101 - it always gives its row
    start, end = row["start_block"], row["end_block"]
    if start is None or end is None or start > end or not row["tables"]:
        return JobRanges(start, end, row["head_block"], {name: [] for name, _ in row["tables"]}, is_coarse=False)
    leases = [Lease(*each) for each in row["leases"]]
    tables = {name: states_of((start, end), [Run(*run) for run in runs], leases) for name, runs in row["tables"]}
    is_coarse = any(len(ranges) > most for ranges in tables.values())
    if is_coarse:
        tables = await _read_coarsely(db, job_id, (start, end), most)
    return JobRanges(start, end, row["head_block"], tables, is_coarse)


async def _read_coarsely(db: MetadataDb, job_id: int, window: BlockRange, most: int) -> dict[str, list[StateRange]]:
    start, end = window
    width = -(-(end - start + 1) // most)
    parameters = {"job_id": job_id, "start_block": start, "end_block": end, "width": width}
    row = await db.fetch_one(sql("data_store", "coarse_ranges_of_job"), parameters)
    assert row is not None  # noqa: S101
    held = [lease for each in row["leases"] if (lease := Lease(*each)).held]
    return {
        name: coarse_states(window, width, {part: (done, orphaned) for part, done, orphaned in parts}, held)
        for name, parts in row["tables"]
    }


def states_of(window: BlockRange, runs: Sequence[Run], leases: Sequence[Lease]) -> list[StateRange]:
    """Return the state of all blocks of a table, neighbours in the same state as one range; ``runs`` and ``leases`` are
    in ascending order.
    """
    start, end = window
    held = _Line([lease for lease in leases if lease.held])
    replaced = _Line([lease for lease in leases if lease.replaces and not lease.held])
    there = _Line(runs)
    borders = {start}
    known = [(each.start_block, each.end_block) for each in runs]
    known += [(each.start_block, each.end_block) for each in leases]
    for first, last in known:
        borders |= {block for block in (first, last + 1) if start < block <= end}
    cuts = [*sorted(borders), end + 1]
    pieces = (_piece(cuts[number], cuts[number + 1] - 1, held, there, replaced) for number in range(len(cuts) - 1))
    return list(_joined(pieces))


def _piece(start: int, end: int, held: _Line, there: _Line, replaced: _Line) -> StateRange:
    lease, run, is_replaced = held.at(start), there.at(start), replaced.at(start) is not None
    if isinstance(lease, Lease):
        return StateRange(start, end, BlockState.IN_HAND, worker_id=lease.worker_id)
    if isinstance(run, Run):
        return StateRange(start, end, BlockState.DONE if run.hangs and not is_replaced else BlockState.ORPHANED)
    return StateRange(start, end, BlockState.MISSING)


class _Line:
    """Ranges in ascending order, looked up by ascending blocks."""

    def __init__(self, ranges: Sequence[Run] | Sequence[Lease]) -> None:
        self._ranges = ranges
        self._next = 0

    def at(self, block: int) -> Run | Lease | None:
        while self._next < len(self._ranges) and self._ranges[self._next].end_block < block:
            self._next += 1
        found = self._ranges[self._next] if self._next < len(self._ranges) else None
        return found if found is not None and found.start_block <= block else None


def coarse_states(
    window: BlockRange, width: int, counted: Mapping[int, tuple[int, int]], held: Sequence[Lease]
) -> list[StateRange]:
    """Return the state of all blocks of a table in parts of a ``width``: ``counted`` has of each part, by its number,
    how many blocks are done and how many are orphaned.
    """
    start, end = window
    parts = range(-(-(end - start + 1) // width))
    pieces = (
        _part((start + part * width, min(end, start + (part + 1) * width - 1)), counted.get(part, (0, 0)), held)
        for part in parts
    )
    return list(_joined(pieces))


def _part(blocks: BlockRange, counted: tuple[int, int], held: Sequence[Lease]) -> StateRange:
    start, end = blocks
    size, (done, orphaned) = end - start + 1, counted
    readers = [
        (min(end, lease.end_block) - max(start, lease.start_block) + 1, lease.worker_id)
        for lease in held
        if lease.start_block <= end and lease.end_block >= start
    ]
    if done == size:
        return StateRange(start, end, BlockState.DONE)
    if orphaned == size:
        return StateRange(start, end, BlockState.ORPHANED)
    if not readers and not done and not orphaned:
        return StateRange(start, end, BlockState.MISSING)
    if sum(blocks for blocks, _ in readers) == size and len({worker for _, worker in readers}) == 1:
        return StateRange(start, end, BlockState.IN_HAND, worker_id=readers[0][1])
    return StateRange(start, end, BlockState.MIXED, done_share=done / size)


def _joined(pieces: Iterable[StateRange]) -> Iterator[StateRange]:
    """Make one range of neighbours that are in the same state; mixed ones stay apart, for their shares differ."""
    last: StateRange | None = None
    for piece in pieces:
        alike = last is not None and (last.state, last.worker_id) == (piece.state, piece.worker_id)
        if last is not None and alike and piece.state is not BlockState.MIXED:
            last = StateRange(last.start_block, piece.end_block, last.state, last.worker_id)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last
