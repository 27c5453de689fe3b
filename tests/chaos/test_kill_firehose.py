"""Extraction from a Firehose server by real processes: the rows of JSON-RPC, also when some of them are killed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from ampd.chain.tables import FIREHOSE_TABLES, TABLES
from ampd.client import Ampd
from ampd.datasets import generate_manifest
from ampd.replay_node.firehose_chain import repeated_chain
from ampd.sources.firehose.decode import decode
from oracle.slow_firehose import slow_calls
from oracle.slow_rows import difference, rows_of
from support.chain import Lake, lake_of, replay_node, wait_for_completion
from support.daemons import Cluster, Process, ampd, free_port, wait_for
from support.firehose_blocks import FIREHOSE, FIRST, LAST, recorded_firehose_blocks
from support.telemetry import Scrape

pytestmark = pytest.mark.chaos

LENGTH = 30
SETTINGS = """
[worker]
lease_secs = 2.0
heartbeat_interval_secs = 0.5
[writer]
max_range_blocks = 3
"""

# Cursors that are not behind the last block of a segment of each table of the dataset.
_AHEAD = """
SELECT c.end_block FROM source_cursors c
WHERE (SELECT count(*) FROM files f JOIN physical_tables t ON t.active_revision_id = f.revision_id
       WHERE t.dataset_name = 'killed' AND f.end_block = c.end_block AND f.end_hash = c.end_hash) <> %(tables)s
  AND c.job_id = (SELECT max(id) FROM jobs)
"""


@contextmanager
def replay_firehose(directory: Path, *options: str, port: int = 0) -> Iterator[tuple[str, Process]]:
    """Run the command ``ampd replay-firehose`` on the recorded blocks, and give its URL."""
    arguments = ["replay-firehose", "--blocks", str(FIREHOSE), "--port", str(port), *options]
    process: Process = ampd(*arguments, log=directory / f"replay-firehose-{time.monotonic_ns()}.log")
    try:
        line = process.wait_for_text("listening on")
        yield next(word for word in line.split() if word.startswith("http://")), process
    finally:
        process.end()


def extract(cluster: Cluster, kind: str, url: str, name: str, end: int, **options: Any) -> int:
    """Register a provider and a dataset of mainnet, and deploy it."""
    manifest = json.loads(generate_manifest(kind, "mainnet", FIRST, False).canonical_json())
    with Ampd(cluster.admin_url) as client:
        client.providers.register(kind.replace("-", "_"), kind, {"network": "mainnet", "url": url})
        client.datasets.register(f"chaos/{name}", manifest, "1.0.0")
        return client.datasets.deploy(f"chaos/{name}@1.0.0", end_block=end, **options)


def test_the_same_blocks_through_both_sources_are_the_same_rows(
    cluster: Cluster, module_database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    worker = cluster.start_worker("both", environment={"AMP_CONFIG_WORKER__METRICS_ADDR": f"127.0.0.1:{port}"})
    with replay_node(tmp_path) as (rpc, _), replay_firehose(tmp_path, "--gzip") as (firehose, _):
        jobs = [extract(cluster, "evm-rpc", rpc, "rpc", LAST), extract(cluster, "firehose", firehose, "firehose", LAST)]
        for job_id in jobs:
            wait_for_completion(cluster, job_id)
        told = Scrape.of(f"http://127.0.0.1:{port}/metrics")
    server = {"endpoint": firehose, "network": "mainnet"}
    # Beside the blocks of the range those that tell the newest one: the last, and the one before it.
    sizes = [len(block.payload) for block in recorded_firehose_blocks()]
    heard = int(told.value("firehose_blocks_received_total", **server)) - len(sizes)
    assert 0 <= heard <= 2
    received = told.value("firehose_received_bytes_total", **server)
    assert sum(sizes) <= received <= sum(sizes) + sum(sizes[-2:])
    assert told.value("firehose_streams_total", **server) >= 1 + bool(heard)
    assert told.value("firehose_reconnects_total", **server) == 0
    verified = cluster.ampctl("verify", "chaos/firehose@1.0.0", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert worker.end() == 0
    by_rpc, by_firehose = (lake_of(cluster, module_database_url, f"chaos/{name}") for name in ("rpc", "firehose"))
    for name in TABLES:
        assert by_firehose.table(name).equals(by_rpc.table(name)), name
    assert by_firehose.table("transactions").num_rows == 1010
    expected = [row for block in recorded_firehose_blocks() for row in slow_calls(block.payload)]
    assert (found := difference("calls", expected, rows_of(by_firehose.table("calls")))) is None, found


def undisturbed() -> dict[str, pa.Table]:
    chain = repeated_chain(recorded_firehose_blocks(), length=LENGTH)
    blocks = [chain.block(number) for number in range(chain.first_block, chain.last_block + 1)]
    batches = [decode([block.number], [block.payload], chain_id=1) for block in blocks]
    return {name: pa.concat_tables([batch.tables[name] for batch in batches]) for name in FIREHOSE_TABLES}


class Watched:
    """A job's lake, and whether its cursors are where its data end."""

    def __init__(self, cluster: Cluster, url: str, name: str) -> None:
        self.lake: Lake = lake_of(cluster, url, f"chaos/{name}")
        self._url = url

    def wait_for_commits(self, count: int) -> None:
        before = self._count()  # several ranges grow at once: there are gaps
        wait_for("commits", lambda: self._count() >= before + count)
        self.assert_cursors_behind_data()

    def _count(self) -> int:
        return len(self.lake._files("calls"))

    def assert_cursors_behind_data(self) -> None:
        with psycopg.connect(self._url) as connection:
            assert connection.execute(_AHEAD, {"tables": len(FIREHOSE_TABLES)}).fetchall() == []

    @contextmanager
    def commit_held_up(self) -> Iterator[None]:
        """Hold a commit up between its files and its cursor."""
        with psycopg.connect(self._url) as connection:
            connection.execute("LOCK TABLE source_cursors IN SHARE MODE")
            wait_for("a commit that waits for us", self._commit_waits)
            yield

    def _commit_waits(self) -> bool:
        with psycopg.connect(self._url) as connection:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND query LIKE '%INSERT INTO source_cursors%'"
            )
            row = connection.execute(query).fetchone()
        return bool(row and row[0])


def kill(process: Process) -> None:
    process.signal(signal.SIGKILL)
    process.wait()


def test_workers_and_a_server_that_are_killed_change_no_row_and_no_cursor_is_ahead(
    cluster: Cluster, module_database_url: str, tmp_path: Path
) -> None:
    watched = Watched(cluster, module_database_url, "killed")
    with replay_firehose(tmp_path, "--length", str(LENGTH), "--latency", "0.05") as (url, server):
        port = int(url.rpartition(":")[2])
        job_id = extract(cluster, "firehose", url, "killed", FIRST + LENGTH - 1, parallelism=2)
        worker = cluster.start_worker("one")
        watched.wait_for_commits(2)
        with watched.commit_held_up():
            kill(worker)  # it was committing, files first
        watched.assert_cursors_behind_data()
        cluster.start_worker("two")
        other = cluster.start_worker("three")
        watched.wait_for_commits(1)
        kill(server)
        kill(other)  # it was receiving
        watched.assert_cursors_behind_data()
    with replay_firehose(tmp_path, "--length", str(LENGTH), port=port):
        wait_for_completion(cluster, job_id, timeout=120)
    watched.assert_cursors_behind_data()
    wanted = undisturbed()
    for name in FIREHOSE_TABLES:
        assert watched.lake.segments(name) == watched.lake.segments("blocks")
        assert watched.lake.table(name).equals(wanted[name]), name
