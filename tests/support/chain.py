"""What a lake should hold, told by the node itself; and what it does hold, for comparison."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from ampd.chain.tables import TABLES
from ampd.client import Ampd
from ampd.datasets import generate_manifest
from ampd.replay_node import load_recorded_chain
from oracle.slow_rows import difference, rows_of, slow_rows
from support.daemons import Cluster, Process, ampd, wait_for

Json = Any

MAINNET_BLOCKS = Path(__file__).parents[1] / "data" / "blocks" / "ethereum-17686110-17686132"
FIRST_BLOCK = 17_686_110
VERSION = "1.0.0"

_FILES = """
SELECT r.path || '/' || f.file_name, f.start_block, f.end_block, f.start_parent_hash, f.end_hash FROM files f
JOIN table_revisions r ON r.id = f.revision_id
JOIN physical_tables t ON t.active_revision_id = r.id
WHERE t.dataset_namespace || '/' || t.dataset_name = %s AND t.table_name = %s
ORDER BY f.start_block
"""


class Lake:
    """The lake of one dataset, as readers see it."""

    def __init__(self, data_dir: Path, database_url: str, dataset: str) -> None:
        self.data_dir = data_dir
        self._database_url = database_url
        self._dataset = dataset

    def _files(self, table: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._database_url) as connection:
            return connection.execute(_FILES, (self._dataset, table)).fetchall()

    def table(self, name: str) -> pa.Table:
        """Return all rows of a table, in the order of their blocks."""
        files = [pq.read_table(self.data_dir / row[0]) for row in self._files(name)]
        return pa.concat_tables(files) if files else TABLES[name].empty_table()

    def tables(self) -> dict[str, pa.Table]:
        return {name: self.table(name) for name in TABLES}

    def assert_equals_node(self, chain: Sequence[tuple[Json, Json]]) -> None:
        """Compare every column of every row with the slow path over what the node states."""
        expected = [slow_rows(block, receipts) for block, receipts in chain]
        for name, schema in TABLES.items():
            table = self.table(name)
            assert table.schema.equals(schema), f"{name}: the schema is {table.schema}"
            found = difference(name, [row for rows in expected for row in rows[name]], rows_of(table))
            assert found is None, found

    def assert_equals(self, tables: dict[str, pa.Table]) -> None:
        """Compare every column of every row with the lake of another run."""
        for name, table in self.tables().items():
            assert table.num_rows == tables[name].num_rows, name
            for column, other in zip(table.columns, tables[name].columns, strict=True):
                assert column.equals(other), f"{name}: a column differs"

    def segments(self, table: str) -> list[tuple[int, int]]:
        """Return the ranges of a table's files, after a look at how each hangs on the one before it."""
        rows = self._files(table)
        for (_, _, end, _, end_hash), (_, start, _, parent_hash, _) in itertools.pairwise(rows):
            assert start == end + 1, f"{table}: block {end} is followed by block {start}"
            assert bytes(parent_hash) == bytes(end_hash), f"{table}: block {start} does not hang on block {end}"
        return [(start, end) for _, start, end, _, _ in rows]

    def assert_whole(self, start: int, end: int) -> None:
        """Check that each table has each block once, tables in step, and that no file is there that does not count."""
        all_segments = {name: self.segments(name) for name in TABLES}
        segments = all_segments["blocks"]
        assert (segments[0][0], segments[-1][1]) == (start, end)
        assert all(found == segments for found in all_segments.values()), "the tables are out of step"
        assert self.table("blocks").column("block_num").to_pylist() == list(range(start, end + 1))
        assert self.orphans() == set()

    def orphans(self) -> set[Path]:
        """Return the files on disk that do not count, but for those that were replaced and stay for their readers; a
        file that counts and is gone fails.
        """
        counting = {self.data_dir / row[0] for name in TABLES for row in self._files(name)}
        on_disk = {path for path in self.data_dir.glob(f"{self._dataset}/**/*") if path.is_file()}
        gone = {path for path in counting if not path.exists()}
        assert not gone, f"files that count are gone: {gone}"
        return on_disk - counting - self._replaced()

    def _replaced(self) -> set[Path]:
        query = "SELECT path FROM uncounted_files WHERE reason IN ('ORPHANED', 'COMPACTED')"
        with psycopg.connect(self._database_url) as connection:
            return {self.data_dir / row[0] for row in connection.execute(query)}


def lake_of(cluster: Cluster, database_url: str, dataset: str) -> Lake:
    return Lake(cluster.directory / "data", database_url, dataset)


def register(
    admin_url: str,
    node_url: str,
    *,
    dataset: str,
    network: str,
    start_block: int = 0,
    finalized_blocks_only: bool = False,
    **provider: Json,
) -> str:
    """Register a provider for ``network``, named after it, with more settings, and a dataset; return its reference."""
    manifest = json.loads(generate_manifest("evm-rpc", network, start_block, finalized_blocks_only).canonical_json())
    with Ampd(admin_url) as client:
        settings = {"network": network, "url": node_url, **provider}
        client.providers.register(network.replace("-", "_"), "evm-rpc", settings)
        client.datasets.register(dataset, manifest, VERSION)
    return f"{dataset}@{VERSION}"


def deploy(admin_url: str, reference: str, end_block: int | str | None = None) -> int:
    with Ampd(admin_url) as client:
        return client.datasets.deploy(reference, end_block=end_block)


def wait_for_completion(cluster: Cluster, job_id: int, timeout: float = 60.0) -> None:
    """Wait until a job is COMPLETED; an error of the job fails at once."""

    def is_completed() -> bool:
        job = cluster.job(job_id)
        assert job["last_error"] is None, job["last_error"]
        return bool(job["status"] == "COMPLETED")

    wait_for(f"job {job_id} to be COMPLETED", is_completed, timeout)


def current_block(cluster: Cluster, job_id: int) -> int | None:
    """Return the block that all tables have reached."""
    reached = [table["current_block"] for table in cluster.progress(job_id)["tables"].values()]
    return min(reached) if reached and None not in reached else None


class ProgressWatch:
    """Polls a job's progress until its end, and keeps every current block of every table that it saw. With
    ``bears_outages`` it asks again when there is no answer, and counts that.
    """

    def __init__(self, admin_url: str, job_id: int, *, bears_outages: bool = False) -> None:
        self._url = f"{admin_url}/jobs/{job_id}/progress"
        self._bears_outages = bears_outages
        self.outages = 0
        self._seen: dict[str, list[int]] = {}
        self._failure: Exception | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def assert_never_went_back(self) -> None:
        assert self._failure is None, self._failure
        assert set(self._seen) == set(TABLES)
        for name, blocks in self._seen.items():
            assert len(set(blocks)) > 3, f"{name}: hardly any progress was seen: {set(blocks)}"
            assert blocks == sorted(blocks), f"{name}: progress went back"

    @property
    def looks(self) -> int:
        """How many answers there were."""
        return len(self._seen.get("blocks", []))

    def _run(self) -> None:
        with httpx.Client() as client:
            while not self._end.wait(0.02):
                try:
                    tables = client.get(self._url).raise_for_status().json()["tables"]
                except httpx.HTTPError as error:
                    if self._bears_outages:
                        self.outages += 1
                        continue
                    self._failure = error
                    return
                for name, table in tables.items():
                    block = table["current_block"]
                    self._seen.setdefault(name, []).append(-1 if block is None else block)


def repeated_blocks(length: int, blocks: Path = MAINNET_BLOCKS) -> list[tuple[Json, Json]]:
    """Return what ``ampd replay-node --length`` serves: blocks, each with its receipts."""
    chain = load_recorded_chain(blocks, length=length)
    numbers = range(chain.first_block, chain.last_block + 1)
    return [(_json(chain.block(number, full=True)), _json(chain.receipts(number))) for number in numbers]


def _json(parts: Sequence[bytes]) -> Json:
    return json.loads(b"".join(parts))


@contextmanager
def replay_node(directory: Path, *options: str, blocks: Path = MAINNET_BLOCKS) -> Iterator[tuple[str, Process]]:
    """Run the command ``ampd replay-node`` on the recorded mainnet blocks, or on others, and give its URL."""
    arguments = ["replay-node", "--blocks", str(blocks), "--port", "0", *options]
    process: Process = ampd(*arguments, log=directory / f"replay-node-{time.monotonic_ns()}.log")
    try:
        line = process.wait_for_text("listening on")
        yield next(word for word in line.split() if word.startswith("http://")), process
    finally:
        process.end()
