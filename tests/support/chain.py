"""What a lake should hold, told by the node itself; and what it does hold, for comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa

from ampd.chain.tables import TABLES
from oracle.slow_rows import difference, rows_of, slow_rows
from support.daemons import Cluster, Process, ampd
from support.lake import files_on_disk, read_table, registered_files

Json = Any

MAINNET_BLOCKS = Path(__file__).parents[1] / "data" / "blocks" / "ethereum-17686110-17686132"
FIRST_BLOCK = 17_686_110

_SEGMENTS = """
SELECT f.start_block, f.end_block, f.start_parent_hash, f.end_hash FROM files f
JOIN physical_tables t ON t.active_revision_id = f.revision_id
WHERE t.table_name = %s
ORDER BY f.start_block
"""


@dataclass(frozen=True)
class TableDigest:
    """All rows of a table in short: how many, and a hash over every value of every column."""

    rows: int
    sha256: str


class LakeOfCluster:
    """The lake that the workers of a cluster write, as readers see it."""

    def __init__(self, cluster: Cluster, database_url: str) -> None:
        self.data_dir = cluster.directory / "data"
        self._database_url = database_url

    def table(self, name: str) -> pa.Table:
        return read_table(self._database_url, self.data_dir, name)

    def assert_equals_node(self, chain: Sequence[tuple[Json, Json]]) -> None:
        """Compare every column of every row with the slow path over what the node states."""
        expected = [slow_rows(block, receipts) for block, receipts in chain]
        for name, schema in TABLES.items():
            table = self.table(name)
            assert table.schema.equals(schema), f"{name}: the schema is {table.schema}"
            found = difference(name, [row for rows in expected for row in rows[name]], rows_of(table))
            assert found is None, found

    def digests(self) -> dict[str, TableDigest]:
        return {name: digest(self.table(name)) for name in TABLES}

    def segments(self, name: str) -> list[tuple[int, int]]:
        """Return the ranges of a table's files, after a look at how each hangs on the one before it."""
        with psycopg.connect(self._database_url) as connection:
            rows = connection.execute(_SEGMENTS, (name,)).fetchall()
        for (_, end, _, end_hash), (start, _, parent_hash, _) in zip(rows, rows[1:], strict=False):
            assert start == end + 1, f"{name}: block {end} is followed by block {start}"
            assert bytes(parent_hash) == bytes(end_hash), f"{name}: block {start} does not hang on block {end}"
        return [(start, end) for start, end, _, _ in rows]

    def assert_whole(self, start: int, end: int) -> None:
        """Check that each table has each block once, tables in step, and that no file lies about that does not count."""
        all_segments = {name: self.segments(name) for name in TABLES}
        segments = all_segments["blocks"]
        assert (segments[0][0], segments[-1][1]) == (start, end)
        assert all(found == segments for found in all_segments.values()), "the tables are out of step"
        assert self.table("blocks").column("block_num").to_pylist() == list(range(start, end + 1))
        for name in TABLES:
            assert self.orphans(name) == set()

    def orphans(self, name: str) -> set[Path]:
        """Return the files of a table on disk that do not count; a file that counts and is gone fails."""
        on_disk = files_on_disk(self.data_dir, name)
        counting = set(registered_files(self._database_url, self.data_dir, name))
        assert counting <= on_disk, f"{name}: files are gone: {counting - on_disk}"
        return on_disk - counting

    def is_empty(self) -> bool:
        return not any(registered_files(self._database_url, self.data_dir, name) for name in TABLES)


def digest(table: pa.Table) -> TableDigest:
    """Return the digest of a table; how it was cut into files and batches does not matter."""
    hasher = hashlib.sha256()
    for row in zip(*(column.to_pylist() for column in _without_nanoseconds(table).columns), strict=True):
        hasher.update(repr(row).encode())
    return TableDigest(table.num_rows, hasher.hexdigest())


def _without_nanoseconds(table: pa.Table) -> pa.Table:
    """Return the table with its times as integers: Python's own have no nanoseconds."""
    at = table.schema.get_field_index("timestamp")
    return table.set_column(at, "timestamp", table.column(at).cast(pa.int64()))


@contextmanager
def replay_node(directory: Path, *options: str) -> Iterator[str]:
    """Run the command ``ampd replay-node`` on the recorded mainnet blocks and give its URL."""
    arguments = ["replay-node", "--blocks", str(MAINNET_BLOCKS), "--port", "0", *options]
    process: Process = ampd(*arguments, log=directory / "replay-node.log")
    try:
        line = process.wait_for_text("listening on")
        yield next(word for word in line.split() if word.startswith("http://"))
    finally:
        process.end()
