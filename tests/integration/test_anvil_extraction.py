"""Extraction from a live EVM node: what anvil states about its blocks is what the lake holds, cell by cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.anvil import Anvil, mine_colourful_chain
from support.chain import LakeOfCluster
from support.daemons import Cluster, wait_for

DATASET = "local/anvil"
SETTINGS = "poll_interval_secs = 0.1\n"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Anvil]:
    with Anvil(tmp_path, "--slots-in-an-epoch", "1") as node:
        yield node


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, database_url, settings=SETTINGS)
    try:
        cluster.start_controller()
        cluster.start_worker("anvil-worker")
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def lake(cluster: Cluster, database_url: str) -> LakeOfCluster:
    return LakeOfCluster(cluster, database_url)


def current_blocks(cluster: Cluster, job_id: int) -> set[int | None]:
    return {table["current_block"] for table in cluster.progress(job_id)["tables"].values()}


def test_every_cell_of_every_row_is_what_the_node_states(node: Anvil, cluster: Cluster, lake: LakeOfCluster) -> None:
    head = mine_colourful_chain(node)
    cluster.register(node.url, network="anvil", name=DATASET)
    job_id = cluster.deploy(f"{DATASET}@1.0.0", "--end-block", "latest")
    cluster.wait_for_status(job_id, "COMPLETED")

    lake.assert_whole(0, head)
    lake.assert_equals_node(node.chain(range(head + 1)))
    # The chain has what it was made for: else the comparison says little.
    assert lake.table("blocks").column("block_num")[0].as_py() == 0
    transactions, logs = lake.table("transactions"), lake.table("logs")
    assert set(transactions.column("type").to_pylist()) == {0, 1, 2, 4}
    assert transactions.column("status").to_pylist().count(False) == 3
    assert sum(address is not None for address in transactions.column("contract_address").to_pylist()) >= 2
    assert [logs.column(f"topic{at}").null_count for at in range(4)] == [6, 12, 18, 24]
    assert logs.num_rows == 30
