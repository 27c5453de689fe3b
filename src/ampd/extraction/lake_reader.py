"""Rows of a lake, a run of blocks at a time, out of the Parquet files alone.

A file is fetched whole (compressed) and decoded in pieces, so that at most one file of each table is in memory.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ampd.data_store import LakeFile
from ampd.object_store import ObjectStore

# Rows that are decoded at a time.
_PIECE_ROWS: Final = 16_384
_FOOTER_KEY: Final = b"nozzle_metadata"
_Result = TypeVar("_Result")


class FileFaultError(Exception):
    """A file that counts and is not what was registered. ``is_missing`` says that there is none."""

    def __init__(self, file: LakeFile, detail: str, *, is_missing: bool = False) -> None:
        super().__init__(detail)
        self.file = file
        self.detail = detail
        self.is_missing = is_missing


class TableReader:
    """Reads the files of one table forward. ``executor`` decodes."""

    def __init__(self, lake: ObjectStore, executor: Executor) -> None:
        self._lake = lake
        self._executor = executor
        self._open: _OpenFile | None = None

    async def rows(self, file: LakeFile, first_block: int, last_block: int) -> pa.Table:
        """Return the rows of these blocks of ``file``, which are those after the rows given last, if any were.

        Rows that stand where they do not belong come with their neighbours. At the end of a file all that is left
        comes.

        :raises FileFaultError: when the file is missing or damaged.
        :raises AmpError: when the store cannot be read.
        """
        if self._open is None or self._open.file.path != file.path or self._open.next_block != first_block:
            self._open = None
            data = await self._lake.get(file.path)
            if data is None:
                raise FileFaultError(file, "the file is not there", is_missing=True)
            self._open = await self._run(file, lambda: _OpenFile(file, data, first_block))
        opened = self._open
        return await self._run(file, lambda: opened.rows_through(last_block))

    async def _run(self, file: LakeFile, work: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            self._open = None
            raise FileFaultError(file, f"it cannot be read as the Parquet file that it was: {_line(error)}") from None


class _OpenFile:
    """A file that is being read. Raises ``FileFaultError``, or what Arrow makes of a damaged file."""

    def __init__(self, file: LakeFile, data: bytes, first_block: int) -> None:
        self.file = file
        self.next_block = first_block
        if len(data) != file.size:
            raise FileFaultError(file, f"it has {len(data):,} bytes, {file.size:,} were registered")
        self._parquet = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        if self._parquet.metadata.num_rows != file.row_count:
            found = self._parquet.metadata.num_rows
            raise FileFaultError(file, f"it has {found:,} rows, {file.row_count:,} were registered")
        described = (self._parquet.metadata.metadata or {}).get(_FOOTER_KEY)
        if described is None or json.loads(described) != file.description:
            raise FileFaultError(file, "its footer describes another segment than was registered")
        self._pieces: Iterator[pa.RecordBatch] = self._parquet.iter_batches(batch_size=_PIECE_ROWS)
        self._held = self._parquet.schema_arrow.empty_table()
        if first_block > file.start_block:
            self._take_through(first_block - 1)

    def rows_through(self, last_block: int) -> pa.Table:
        """Return the next rows up to a block; all that is left when it is the file's last one."""
        self.next_block = last_block + 1
        if last_block < self.file.end_block:
            return self._take_through(last_block)
        rest = pa.concat_tables([self._held, pa.Table.from_batches(self._pieces, self._held.schema)])
        self._held = self._held.slice(0, 0)
        return rest

    def _take_through(self, last_block: int) -> pa.Table:
        parts = [self._held]
        while (end := _rows_through(parts[-1], last_block)) == parts[-1].num_rows:
            piece = next(self._pieces, None)
            if piece is None:
                self._held = parts[-1].slice(0, 0)
                return pa.concat_tables(parts)
            parts.append(pa.Table.from_batches([piece], self._held.schema))
        self._held = parts[-1].slice(end)
        parts[-1] = parts[-1].slice(0, end)
        return pa.concat_tables(parts)


def _rows_through(table: pa.Table, last_block: int) -> int:
    """Return how many leading rows are of blocks up to ``last_block``."""
    numbers = table.column("block_num").fill_null(0).to_numpy()
    later = np.flatnonzero(numbers > last_block)
    return int(later[0]) if len(later) else table.num_rows


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
