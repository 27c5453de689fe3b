"""A lake in a bucket: real processes extract the recorded blocks into moto's server and into SeaweedFS, configured as
the how-to says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from ampd.chain.tables import TABLES
from support.chain import replay_node
from support.daemons import Cluster, wait_for
from support.deploy import deploy, register, register_dataset
from support.lake import read_table
from support.nodes import FIRST_BLOCK, LAST_BLOCK
from support.s3 import BUCKET, KEY, SECRET, S3Server, moto, seaweedfs, use_credentials

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "object-stores.md"
# Small segments, so that a server can be restarted between two of them.
MORE_SETTINGS = "allow_http = true\n[writer]\nmax_range_blocks = 4\n[worker]\nslots = 4\n"
FILES = """
SELECT r.path || '/' || f.file_name FROM files f JOIN table_revisions r ON r.id = f.revision_id
JOIN physical_tables t ON t.active_revision_id = r.id
WHERE t.dataset_namespace = 'ethereum' AND t.dataset_name = 'mainnet' AND t.table_name = %s ORDER BY f.start_block
"""


def how_to(language: str, server: S3Server) -> str:
    """Return the first block of the how-to in ``language``, for the bucket of ``server``."""
    found = re.search(rf"```{language}\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1].replace("https://s3.example.com", server.url).replace("my-lake", BUCKET)


@contextmanager
def cluster_on(server: S3Server, directory: Path, database_url: str) -> Iterator[Cluster]:
    """Run a controller and a worker whose lake, providers and manifests are in the bucket of ``server``."""
    cluster = Cluster(directory, database_url, how_to("toml", server) + MORE_SETTINGS)
    try:
        cluster.start_controller()
        worker = cluster.start_worker("worker")
        yield cluster
    finally:
        cluster.end()
    for process in cluster.processes:
        assert "Traceback" not in process.text(), process.text()
        assert SECRET not in process.text()
    assert "lake." not in worker.text(), "it warns of its lake, or removed a leftover"


def tables_in(server: S3Server, database_url: str) -> dict[str, pa.Table]:
    """Read the rows that count with pyarrow, and look that nothing else is in the lake."""
    bucket = fs.S3FileSystem(endpoint_override=server.url, access_key=KEY, secret_key=SECRET, region="us-east-1")
    tables, counting = {}, set()
    with psycopg.connect(database_url) as connection:
        for name in TABLES:
            files = [f"{BUCKET}/data/{row[0]}" for row in connection.execute(FILES, (name,))]
            tables[name] = pa.concat_tables(pq.read_table(file, filesystem=bucket, partitioning=None) for file in files)
            counting |= set(files)
    found = bucket.get_file_info(fs.FileSelector(f"{BUCKET}/data", recursive=True))
    assert {info.path for info in found if info.type == fs.FileType.File} == counting
    return tables


# The rows of a local lake, extracted by the first test that asks for them.
_LOCAL: dict[str, pa.Table] = {}


def local_lake(cluster: Cluster, database_url: str) -> dict[str, pa.Table]:
    """Extract the same blocks into a directory, with a worker of its own, and return the rows."""
    if _LOCAL:
        return _LOCAL
    directory = cluster.directory / "data"
    leftover = directory / "ethereum" / f".ampd-put-{'0' * 32}.tmp"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"of a worker that was killed")
    worker = cluster.start_worker("local", environment={"AMP_CONFIG_DATA_DIR": str(directory)})
    register_dataset(cluster, "ethereum/local", "mainnet", start_block=FIRST_BLOCK)
    job_id = deploy(cluster, "ethereum/local", end_block="latest", worker_id="local")
    assert cluster.wait_for_status(job_id, "COMPLETED", "FAILED")["status"] == "COMPLETED"
    worker.wait_for_text("lake.leftover_removed")
    assert not leftover.exists()
    _LOCAL.update({name: read_table(database_url, directory, name, "ethereum/local") for name in TABLES})
    return _LOCAL


def assert_equal(tables: dict[str, pa.Table], expected: dict[str, pa.Table]) -> None:
    assert expected["blocks"].num_rows == LAST_BLOCK - FIRST_BLOCK + 1
    for name, table in tables.items():
        assert table.equals(expected[name]), name


def committed_blocks(cluster: Cluster, job_id: int) -> int:
    last = (cluster.progress(job_id)["tables"].get("blocks") or {}).get("current_block")
    return last - FIRST_BLOCK + 1 if last else 0


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    use_credentials(monkeypatch)


def test_a_bucket_holds_the_rows_of_a_local_lake_and_the_how_to_reads_them(
    tmp_path: Path, database_url: str, recorded_node: str
) -> None:
    with moto() as server, cluster_on(server, tmp_path, database_url) as cluster:
        register(cluster, recorded_node, network="mainnet", start_block=FIRST_BLOCK, name="ethereum/mainnet")
        job_id = deploy(cluster, "ethereum/mainnet", end_block="latest", worker_id="worker")
        local = local_lake(cluster, database_url)
        assert cluster.wait_for_status(job_id, "COMPLETED", "FAILED")["status"] == "COMPLETED"

        assert_equal(tables_in(server, database_url), local)
        lost = cluster.start_worker("lost", environment={"AMP_CONFIG_DATA_DIR": "s3://no-such-bucket/data"})
        assert "DATA_STORE_NOT_FOUND" in lost.wait_for_text("lake.not_ready")
        names: dict[str, Any] = {}
        exec(compile(how_to("python", server), str(HOW_TO), "exec"), names)
        assert names["rows"] == 9807
        assert names["tokens"] == [(len(local["logs"].column("address").unique()),)]


@pytest.mark.long
def test_a_store_that_is_killed_in_the_middle_of_a_job_ends_with_every_row(tmp_path: Path, database_url: str) -> None:
    with (
        seaweedfs() as server,
        replay_node(tmp_path, "--latency", "0.15") as (node_url, _),
        cluster_on(server, tmp_path, database_url) as cluster,
    ):
        limit = {"concurrent_request_limit": 1}
        register(cluster, node_url, network="mainnet", start_block=FIRST_BLOCK, name="ethereum/mainnet", **limit)
        job_id = deploy(cluster, "ethereum/mainnet", end_block="latest", worker_id="worker")
        wait_for("the first segment", lambda: committed_blocks(cluster, job_id))

        server.kill()
        reached = committed_blocks(cluster, job_id)
        server.start()

        assert cluster.wait_for_status(job_id, "COMPLETED", "FAILED")["status"] == "COMPLETED"
        assert reached < LAST_BLOCK - FIRST_BLOCK + 1, "it was too quick to be disturbed"
        assert_equal(tables_in(server, database_url), local_lake(cluster, database_url))
