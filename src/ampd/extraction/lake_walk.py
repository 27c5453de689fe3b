"""The way through the files of a dataset's tables, in the order of their blocks."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import pyarrow as pa

from ampd.data_store import LakeFile, LakeFiles
from ampd.extraction.lake_reader import FileFaultError, TableReader
from ampd.extraction.lake_report import Finding, LakeCommitment, file_finding
from ampd.object_store import ObjectStore

# Of so many blocks the files are listed at a time: at the chain's tip a file may hold one block.
_WINDOW_BLOCKS: Final = 5_000
_BATCH_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True)
class LakeBatch:
    """Consecutive blocks with their rows of all tables, and the files that begin or end with one of them."""

    start_block: int
    end_block: int
    tables: dict[str, pa.Table]
    files: list[LakeFile]

    @property
    def blocks(self) -> int:
        """How many blocks there should be."""
        return self.end_block - self.start_block + 1

    @property
    def bytes(self) -> int:
        """The size of the rows in memory."""
        return sum(table.nbytes for table in self.tables.values())

    def goes_with(self, other: LakeBatch) -> bool:
        """Tell whether the rows of both have the same columns."""
        return all(table.schema.equals(other.tables[name].schema) for name, table in self.tables.items())

    def followed_by(self, other: LakeBatch) -> LakeBatch:
        """Return both as one."""
        tables = {name: pa.concat_tables([table, other.tables[name]]) for name, table in self.tables.items()}
        return LakeBatch(self.start_block, other.end_block, tables, self.files + other.files)


@dataclass(frozen=True)
class SkippedBlocks:
    """Consecutive blocks that cannot be read, and why; no finding when that was told with blocks before."""

    start_block: int
    end_block: int
    findings: list[Finding]


class _FilesOfTable:
    """The files of one table in a window, by their first block."""

    def __init__(self, files: list[LakeFile]) -> None:
        self.files = files
        self._starts = [file.start_block for file in files]

    def file_with(self, block: int) -> LakeFile | None:
        place = bisect_right(self._starts, block) - 1
        return self.files[place] if place >= 0 and self.files[place].end_block >= block else None

    def next_start(self, block: int) -> int | None:
        place = bisect_right(self._starts, block)
        return self._starts[place] if place < len(self._starts) else None


_Listing = dict[str, _FilesOfTable]
_Piece = LakeBatch | SkippedBlocks


class LakeWalk:
    """Reads the blocks of a dataset with the tables ``table_names``, in batches of about ``batch_blocks``."""

    def __init__(
        self, files: LakeFiles, table_names: Iterable[str], lake: ObjectStore, executor: Executor, *, batch_blocks: int
    ) -> None:
        self._files = files
        self._readers = {name: TableReader(lake, executor) for name in table_names}
        self._batch_blocks = batch_blocks
        # Up to which block it was told that a table has no file.
        self._holes: dict[str, int] = {}

    async def batches(self, start_block: int, end_block: int) -> AsyncGenerator[LakeBatch | SkippedBlocks, None]:
        """Give all blocks of the range, ascending: those with rows of all tables, and those that cannot be read.

        :raises AmpError: when the store or the database cannot be read.
        """
        held: LakeBatch | None = None
        async for piece in self._pieces(start_block, end_block):
            if held is not None and (isinstance(piece, SkippedBlocks) or not held.goes_with(piece)):
                yield held
                held = None
            if isinstance(piece, SkippedBlocks):
                yield piece
                continue
            held = piece if held is None else held.followed_by(piece)
            if held.blocks >= self._batch_blocks or held.bytes >= _BATCH_BYTES:
                yield held
                held = None
        if held is not None:
            yield held

    async def _pieces(self, start_block: int, end_block: int) -> AsyncGenerator[_Piece, None]:
        """Give the blocks in pieces of which each lies in one file of every table."""
        position = start_block
        while position <= end_block:
            window_end = min(position + _WINDOW_BLOCKS - 1, end_block)
            listing = await self._list(position, window_end)
            doubles = _doubles(listing, position)
            while position <= window_end:
                piece = await self._piece(listing, position, window_end, end_block)
                if piece is None:
                    break  # the files have changed meanwhile: list them again
                if doubles:
                    yield SkippedBlocks(position, position - 1, doubles)
                    doubles = []
                yield piece
                position = piece.end_block + 1

    async def _list(self, start_block: int, end_block: int) -> _Listing:
        found: dict[str, list[LakeFile]] = {name: [] for name in self._readers}
        for file in await self._files.between(start_block, end_block):
            if file.table_name in found:
                found[file.table_name].append(file)
        return {name: _FilesOfTable(files) for name, files in found.items()}

    async def _piece(self, listing: _Listing, position: int, window_end: int, end_block: int) -> _Piece | None:
        files = {name: of_table.file_with(position) for name, of_table in listing.items()}
        present = {name: file for name, file in files.items() if file is not None}
        if len(present) < len(files):
            return self._hole(listing, sorted(set(files) - set(present)), position, window_end)
        last = min(position + self._batch_blocks - 1, window_end, *(file.end_block for file in present.values()))
        reads = [self._readers[name].rows(file, position, last) for name, file in present.items()]
        results = await asyncio.gather(*reads, return_exceptions=True)
        faults = [result for result in results if isinstance(result, FileFaultError)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, FileFaultError):
                raise result
        if faults:
            return await self._faulty(faults, position, end_block)
        tables = dict(zip(present, results, strict=True))
        touched = [file for file in present.values() if file.start_block == position or file.end_block == last]
        return LakeBatch(position, last, tables, touched)

    def _hole(self, listing: _Listing, missing: list[str], position: int, window_end: int) -> SkippedBlocks:
        """Tell of blocks that some tables have no file for: once for each hole, as far as it reaches here."""
        ends, findings = [], []
        for name in missing:
            following = listing[name].next_start(position)
            end = window_end if following is None else min(window_end, following - 1)
            told = self._holes.get(name)
            if told is None or told < position - 1:
                detail = f"the table {name} has no file with the blocks {position} to {end}"
                findings.append(
                    Finding(block=position, commitment=LakeCommitment.BLOCK_COVERAGE, table=name, detail=detail)
                )
            self._holes[name] = end if told is None else max(end, told)
            ends.append(end)
        return SkippedBlocks(position, min(ends), findings)

    async def _faulty(self, faults: list[FileFaultError], position: int, end_block: int) -> SkippedBlocks | None:
        """Tell of files that cannot be read; None when the lake has other ones in their place by now."""
        registered = {file.path for file in await self._files.between(position, position)}
        faults = [fault for fault in faults if fault.file.path in registered]
        if not faults:
            return None
        findings = [
            file_finding(fault.file, max(position, fault.file.start_block), LakeCommitment.FILE_CONTENT, fault.detail)
            for fault in faults
        ]
        return SkippedBlocks(position, min(end_block, max(fault.file.end_block for fault in faults)), findings)


def _doubles(listing: _Listing, start_block: int) -> list[Finding]:
    """Tell of blocks from ``start_block`` on that a table has in two files."""
    return [
        file_finding(
            later,
            max(later.start_block, start_block),
            LakeCommitment.BLOCK_COVERAGE,
            f"its blocks up to {min(earlier.end_block, later.end_block)} are in {earlier.path} too",
        )
        for of_table in listing.values()
        for earlier, later in pairwise(of_table.files)
        if start_block <= later.start_block <= earlier.end_block
    ]
