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


def test_an_end_block_can_be_counted_back_from_the_newest(node: Anvil, cluster: Cluster, lake: LakeOfCluster) -> None:
    head = mine_colourful_chain(node)
    cluster.register(node.url, network="anvil", name=DATASET, start_block=2)
    job_id = cluster.deploy(f"{DATASET}@1.0.0", "--end-block=-3")
    cluster.wait_for_status(job_id, "COMPLETED")
    lake.assert_whole(2, head - 3)
    lake.assert_equals_node(node.chain(range(2, head - 2)))
    assert cluster.progress(job_id)["end_block"] == head - 3


def test_a_job_without_an_end_follows_the_chain_until_it_is_stopped(
    node: Anvil, cluster: Cluster, lake: LakeOfCluster
) -> None:
    head = mine_colourful_chain(node)
    cluster.register(node.url, network="anvil", name=DATASET)
    job_id = cluster.deploy(f"{DATASET}@1.0.0")
    for blocks in (1, 5, 2):
        wait_for(f"block {head}", lambda wanted=head: current_blocks(cluster, job_id) == {wanted})
        assert cluster.job(job_id)["status"] == "RUNNING"
        node.send(1, to=node.accounts[2], value=7)
        head = node.mine(blocks)
    wait_for(f"block {head}", lambda: current_blocks(cluster, job_id) == {head})

    stopped = cluster.ampctl("job", "stop", str(job_id))
    assert stopped.returncode == 0, stopped.stderr
    cluster.wait_for_status(job_id, "STOPPED")
    lake.assert_whole(0, head)
    lake.assert_equals_node(node.chain(range(head + 1)))

    # Deployed again, the same job goes on where it stopped.
    later = node.mine(3)
    assert cluster.deploy(f"{DATASET}@1.0.0", "--end-block", "latest") == job_id
    cluster.wait_for_status(job_id, "COMPLETED")
    lake.assert_whole(0, later)
    lake.assert_equals_node(node.chain(range(later + 1)))


def register_finalized(cluster: Cluster, node: Anvil) -> str:
    """Register a dataset that takes finalized blocks only, and return its reference."""
    cluster.register(node.url, network="anvil", name=DATASET)
    manifest = cluster.directory / "finalized.json"
    for arguments in (
        ("manifest", "generate", "--kind", "evm-rpc", "--network", "anvil", "--finalized-blocks-only", "--out", str(manifest)),
        ("dataset", "register", "local/finalized", str(manifest), "--tag", "1.0.0"),
    ):
        done = cluster.ampctl(*arguments)
        assert done.returncode == 0, done.stderr
    assert json.loads(manifest.read_text())["finalized_blocks_only"] is True
    return "local/finalized@1.0.0"


def test_a_dataset_of_finalized_blocks_never_passes_the_finalized_block(
    node: Anvil, cluster: Cluster, lake: LakeOfCluster
) -> None:
    head = mine_colourful_chain(node)
    job_id = cluster.deploy(register_finalized(cluster, node))

    def reached_finalized() -> bool:
        current = current_blocks(cluster, job_id)
        finalized = node.finalized()  # asked later, it can only be higher
        assert all(block is None or block <= finalized for block in current), (current, finalized)
        return current == {finalized}

    for _ in range(3):
        wait_for("the finalized block", reached_finalized)
        head = node.mine(2)
        assert node.finalized() < head
    wait_for("the finalized block", reached_finalized)
    assert cluster.ampctl("job", "stop", str(job_id)).returncode == 0
    cluster.wait_for_status(job_id, "STOPPED")

    node.mine(1)
    assert cluster.deploy("local/finalized@1.0.0", "--end-block", "latest") == job_id
    cluster.wait_for_status(job_id, "COMPLETED")
    lake.assert_whole(0, node.finalized())
    lake.assert_equals_node(node.chain(range(node.finalized() + 1)))


def test_another_chain_behind_the_same_provider_is_refused_and_nothing_is_written(
    node: Anvil, cluster: Cluster, lake: LakeOfCluster, tmp_path: Path
) -> None:
    head = mine_colourful_chain(node)
    cluster.register(node.url, network="anvil", name=DATASET)
    job_id = cluster.deploy(f"{DATASET}@1.0.0", "--end-block", str(head - 2))
    cluster.wait_for_status(job_id, "COMPLETED")
    before = (lake.digests(), lake.segments("blocks"))

    with Anvil(tmp_path, chain_id=4242) as other:
        other.mine(head + 5)
        cluster.register(other.url, network="anvil", name=DATASET)
        assert cluster.deploy(f"{DATASET}@1.0.0", "--end-block", str(head)) == job_id
        job = cluster.wait_for_status(job_id, "FAILED")
    assert job["last_error"]["error_code"] == "NETWORK_MISMATCH"
    assert "4242" in job["last_error"]["error_message"]
    assert "31337" in job["last_error"]["error_message"]
    assert (lake.digests(), lake.segments("blocks")) == before
    lake.assert_whole(0, head - 2)

    # With the right chain behind it again, the job ends well.
    cluster.register(node.url, network="anvil", name=DATASET)
    assert cluster.deploy(f"{DATASET}@1.0.0", "--end-block", str(head)) == job_id
    cluster.wait_for_status(job_id, "COMPLETED")
    lake.assert_whole(0, head)
    lake.assert_equals_node(node.chain(range(head + 1)))


def test_a_well_known_network_is_refused_before_the_first_block(
    node: Anvil, cluster: Cluster, lake: LakeOfCluster
) -> None:
    node.mine(3)
    cluster.register(node.url, network="sepolia", name=DATASET)
    job_id = cluster.deploy(f"{DATASET}@1.0.0", "--end-block", "latest")
    job = cluster.wait_for_status(job_id, "FAILED")
    assert job["last_error"]["error_code"] == "NETWORK_MISMATCH"
    assert "11155111" in job["last_error"]["error_message"]
    assert lake.is_empty()
    assert list(lake.data_dir.glob("**/*.parquet")) == []
