"""The metadata database is lost for good: the dataset is restored from its files, and its job goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pytest
from psycopg import sql

from ampd.chain.tables import TABLES
from ampd.metadata_db import EmbeddedPostgres
from ampd.replay_node import Fault, RpcCall, load_recorded_chain
from support import nodes
from support.daemons import Cluster
from support.databases import execute
from support.lake import files_on_disk, read_table, registered_ranges
from support.nodes import FIRST_BLOCK, LAST_BLOCK

DATASET = "ethereum/mainnet"
REFERENCE = f"{DATASET}@1.0.0"
MIDDLE = FIRST_BLOCK + 12


class WatchedNode:
    """Answers truly, and remembers which blocks it was asked for."""

    def __init__(self) -> None:
        self.blocks: set[int] = set()

    def __call__(self, call: RpcCall) -> Fault | None:
        if call.method == "eth_getBlockByNumber" and call.params[1]:
            self.blocks.add(int(call.params[0], 16))
        return None


@pytest.fixture(scope="module")
def node() -> WatchedNode:
    return WatchedNode()


@pytest.fixture(scope="module")
def node_url(node: WatchedNode) -> Iterator[str]:
    with nodes.on_thread(nodes.replay_node(load_recorded_chain(nodes.MAINNET), node)) as url:
        yield url


def all_rows(database_url: str, data: Path) -> dict[str, pa.Table]:
    return {name: read_table(database_url, data, name, DATASET) for name in TABLES}


def lose(server: EmbeddedPostgres, database_url: str, template: str) -> None:
    """Drop the database, and make an empty one of its name."""
    name = sql.Identifier(urlsplit(database_url).path.lstrip("/"))
    execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
    execute(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template)))


def test_a_dataset_outlives_its_database_and_nothing_is_extracted_twice(
    cluster: Cluster,
    database_url: str,
    postgres_server: EmbeddedPostgres,
    migrated_template: str,
    node: WatchedNode,
    node_url: str,
) -> None:
    data = cluster.directory / "data"
    settings = cluster.config.read_text(encoding="utf-8")
    small = settings.replace("[writer]", "[writer]\nmax_range_blocks = 4\ncompaction_cooldown_secs = 0.1")
    cluster.config.write_text(small, encoding="utf-8")
    cluster.start_controller()
    cluster.start_worker("one")
    cluster.register(node_url, start_block=FIRST_BLOCK)
    cluster.wait_for_status(cluster.deploy(REFERENCE, "--end-block", str(MIDDLE)), "COMPLETED")
    compaction = cluster.create("compaction", {"dataset": REFERENCE})
    assert cluster.wait_for_status(compaction, "COMPLETED", "FAILED")["status"] == "COMPLETED"
    rows = all_rows(database_url, data)
    ranges = registered_ranges(database_url, "blocks", DATASET)
    files = {name: files_on_disk(data, name) for name in TABLES}
    assert all(len(files[name]) > len(ranges) for name in TABLES), "what was compacted is still there"

    cluster.end()
    lose(postgres_server, database_url, migrated_template)
    cluster.start_controller()
    cluster.start_worker("two")
    assert httpx.get(f"{cluster.admin_url}/datasets").json() == {"datasets": []}
    (manifest,) = (cluster.directory / "manifests").iterdir()
    done = cluster.ampctl("dataset", "register", DATASET, str(manifest), "--tag", "1.0.0")
    assert done.returncode == 0, done.stderr
    done = cluster.ampctl("dataset", "restore", REFERENCE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"✓ Dataset restored successfully\n→ Restored {len(TABLES)} table(s):\n")
    assert registered_ranges(database_url, "blocks", DATASET) == ranges
    for name, table in all_rows(database_url, data).items():
        assert table.equals(rows[name]), name

    node.blocks.clear()
    job_id = cluster.deploy(REFERENCE, "--end-block", str(LAST_BLOCK))
    assert cluster.wait_for_status(job_id, "COMPLETED", "FAILED")["status"] == "COMPLETED"
    assert node.blocks == set(range(MIDDLE + 1, LAST_BLOCK + 1)), "no block came twice, none was left out"
    expected = set(range(FIRST_BLOCK, LAST_BLOCK + 1))
    for name, table in all_rows(database_url, data).items():
        assert table.slice(0, rows[name].num_rows).equals(rows[name]), name
        assert {*table["_block_num"].to_pylist()} <= expected
    blocks = read_table(database_url, data, "blocks", DATASET)
    assert blocks["_block_num"].to_pylist() == sorted(expected)
    verify = cluster.ampctl("verify", REFERENCE, "--interval", "0.1")
    assert verify.returncode == 0, verify.stderr
