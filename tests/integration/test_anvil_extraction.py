"""Extraction from a live EVM node: what anvil states about its blocks is what the lake holds, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.anvil import Anvil, mine_colourful_chain
from support.chain import (
    current_block,
    deploy,
    lake_of,
    register,
    wait_for_completion,
)
from support.daemons import Cluster, free_port, wait_for
from support.deploy import register_provider

SETTINGS = "poll_interval_secs = 0.1\n"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Anvil]:
    with Anvil(tmp_path, "--slots-in-an-epoch", "1") as node:
        yield node


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Cluster]:
    """A controller and a worker for all tests here; each test has its own node, network and dataset."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), module_database_url, settings=SETTINGS)
    try:
        cluster.start_controller()
        cluster.start_worker("anvil-worker")
        yield cluster
    finally:
        cluster.end()


def test_every_cell_of_every_row_is_what_the_node_states(
    node: Anvil, cluster: Cluster, module_database_url: str
) -> None:
    head = mine_colourful_chain(node)
    reference = register(cluster.admin_url, node.url, dataset="anvil/whole", network="anvil-whole")
    wait_for_completion(cluster, deploy(cluster.admin_url, reference, "latest"))

    lake = lake_of(cluster, module_database_url, "anvil/whole")
    lake.assert_whole(0, head)
    lake.assert_equals_node(node.chain(range(head + 1)))
    # The chain has what it was made for: else the comparison says little.
    transactions, logs = lake.table("transactions"), lake.table("logs")
    assert set(transactions.column("type").to_pylist()) == {0, 1, 2, 4}
    assert transactions.column("status").to_pylist().count(False) == 3
    assert [len(one) for one in transactions.column("access_list").to_pylist() if one] == [2, 1]
    assert [len(one) for one in transactions.column("authorization_list").to_pylist() if one] == [1]
    assert sum(address is not None for address in transactions.column("contract_address").to_pylist()) >= 2
    assert [logs.column(f"topic{at}").null_count for at in range(4)] == [6, 12, 18, 24]
    assert {len(data) for data in logs.column("data").to_pylist()} == {0, 1, 2, 3, 700}


def test_an_end_block_can_be_counted_back_from_the_newest(
    node: Anvil, cluster: Cluster, module_database_url: str
) -> None:
    head = mine_colourful_chain(node)
    reference = register(cluster.admin_url, node.url, dataset="anvil/back", network="anvil-back", start_block=2)
    job_id = deploy(cluster.admin_url, reference, "-3")
    wait_for_completion(cluster, job_id)
    lake = lake_of(cluster, module_database_url, "anvil/back")
    lake.assert_whole(2, head - 3)
    lake.assert_equals_node(node.chain(range(2, head - 2)))
    assert cluster.progress(job_id)["end_block"] == head - 3


def stop(cluster: Cluster, job_id: int) -> None:
    stopped = cluster.ampctl("job", "stop", str(job_id))
    assert stopped.returncode == 0, stopped.stderr
    cluster.wait_for_status(job_id, "STOPPED")


def wait_for_block(cluster: Cluster, job_id: int, block: int) -> None:
    """Wait until all tables have reached ``block``; a failure of the job fails at once."""

    def is_there() -> bool:
        job = cluster.job(job_id)
        assert job["last_error"] is None, job["last_error"]
        return current_block(cluster, job_id) == block

    wait_for(f"block {block}", is_there)


def test_a_job_without_an_end_follows_the_chain_until_it_is_stopped(
    node: Anvil, cluster: Cluster, module_database_url: str
) -> None:
    head = mine_colourful_chain(node)
    reference = register(cluster.admin_url, node.url, dataset="anvil/tip", network="anvil-tip")
    job_id = deploy(cluster.admin_url, reference)
    for blocks in (1, 5, 2):
        wait_for_block(cluster, job_id, head)
        assert cluster.job(job_id)["status"] == "RUNNING"
        node.send(1, to=node.accounts[2], value=7)
        head = node.mine(blocks)
    wait_for_block(cluster, job_id, head)
    stop(cluster, job_id)
    lake = lake_of(cluster, module_database_url, "anvil/tip")
    lake.assert_whole(0, head)
    lake.assert_equals_node(node.chain(range(head + 1)))

    # Deployed again, the same job goes on where it stopped.
    later = node.mine(3)
    assert deploy(cluster.admin_url, reference, "latest") == job_id
    wait_for_completion(cluster, job_id)
    lake.assert_whole(0, later)
    lake.assert_equals_node(node.chain(range(later + 1)))


def test_a_dataset_of_finalized_blocks_never_passes_the_finalized_block(
    node: Anvil, cluster: Cluster, module_database_url: str
) -> None:
    mine_colourful_chain(node)
    reference = register(
        cluster.admin_url, node.url, dataset="anvil/final", network="anvil-final", finalized_blocks_only=True
    )
    job_id = deploy(cluster.admin_url, reference)

    def reached_finalized() -> bool:
        assert cluster.job(job_id)["last_error"] is None
        current = current_block(cluster, job_id)
        finalized = node.finalized()  # asked later, it can only be higher
        assert current is None or current <= finalized
        return current == finalized

    for _ in range(3):
        wait_for("the finalized block", reached_finalized)
        assert node.mine(2) > node.finalized()
    wait_for("the finalized block", reached_finalized)
    stop(cluster, job_id)

    node.mine(1)
    assert deploy(cluster.admin_url, reference, "latest") == job_id
    wait_for_completion(cluster, job_id)
    lake = lake_of(cluster, module_database_url, "anvil/final")
    lake.assert_whole(0, node.finalized())
    lake.assert_equals_node(node.chain(range(node.finalized() + 1)))


def test_another_chain_behind_the_same_provider_is_refused_and_nothing_is_written(
    node: Anvil, cluster: Cluster, module_database_url: str, tmp_path: Path
) -> None:
    head = mine_colourful_chain(node)
    reference = register(cluster.admin_url, node.url, dataset="anvil/other", network="anvil-other")
    job_id = deploy(cluster.admin_url, reference, head - 2)
    wait_for_completion(cluster, job_id)
    lake = lake_of(cluster, module_database_url, "anvil/other")
    before = lake.tables()

    with Anvil(tmp_path, chain_id=4242) as other:
        other.mine(head + 5)
        register(cluster.admin_url, other.url, dataset="anvil/other", network="anvil-other")
        assert deploy(cluster.admin_url, reference, head) == job_id
        job = cluster.wait_for_status(job_id, "FAILED")
    assert job["last_error"]["error_code"] == "NETWORK_MISMATCH"
    assert "4242" in job["last_error"]["error_message"]
    assert "31337" in job["last_error"]["error_message"]
    lake.assert_whole(0, head - 2)
    lake.assert_equals(before)

    # With the right chain behind it again, the job ends well.
    register(cluster.admin_url, node.url, dataset="anvil/other", network="anvil-other")
    assert deploy(cluster.admin_url, reference, head) == job_id
    cluster.wait_for_status(job_id, "COMPLETED")
    lake.assert_whole(0, head)
    lake.assert_equals_node(node.chain(range(head + 1)))


def test_a_well_known_network_is_refused_before_the_first_block(
    node: Anvil, cluster: Cluster, module_database_url: str
) -> None:
    node.mine(3)
    reference = register(cluster.admin_url, node.url, dataset="anvil/known", network="sepolia")
    job_id = deploy(cluster.admin_url, reference, "latest")
    job = cluster.wait_for_status(job_id, "FAILED")
    assert job["last_error"]["error_code"] == "NETWORK_MISMATCH"
    assert "11155111" in job["last_error"]["error_message"]
    lake = lake_of(cluster, module_database_url, "anvil/known")
    assert all(table.num_rows == 0 for table in lake.tables().values())
    assert lake.orphans() == set()


def test_blocks_of_a_reorganised_chain_are_replaced_by_what_the_node_states_then(
    node: Anvil, cluster: Cluster, module_database_url: str
) -> None:
    head = mine_colourful_chain(node)
    reference = register(cluster.admin_url, node.url, dataset="anvil/reorg", network="anvil-reorg")
    job_id = deploy(cluster.admin_url, reference)
    lake = lake_of(cluster, module_database_url, "anvil/reorg")
    wait_for_block(cluster, job_id, head)
    for depth in (1, 4, 2):
        node.call("anvil_reorg", depth, [])
        for _ in range(2):
            node.send(1, to=node.accounts[2], value=7)
            head = node.mine()
        last_hash = node.call("eth_getBlockByNumber", hex(head), False)["hash"]

        def has_followed(last_hash: str = last_hash) -> bool:
            assert cluster.job(job_id)["last_error"] is None
            hashes = lake.table("blocks").column("hash").to_pylist()
            return bool(hashes) and "0x" + hashes[-1].hex() == last_hash

        wait_for("the chain of the node", has_followed)
        lake.assert_equals_node(node.chain(range(head + 1)))
    stop(cluster, job_id)
    assert lake.segments("blocks")[-1][1] == head


@pytest.mark.parametrize("way", ["ws", "ipc"])
def test_a_node_gives_the_same_rows_over_websocket_and_over_its_socket(
    way: str, cluster: Cluster, module_database_url: str, tmp_path: Path
) -> None:
    with Anvil(tmp_path, "--ipc", str(tmp_path / "anvil.ipc")) as node:
        head = mine_colourful_chain(node)
        url = node.url.replace("http://", "ws://") if way == "ws" else f"ipc://{tmp_path}/anvil.ipc"
        reference = register(cluster.admin_url, url, dataset=f"anvil/{way}", network=f"anvil-{way}")
        wait_for_completion(cluster, deploy(cluster.admin_url, reference, "latest"))
        lake = lake_of(cluster, module_database_url, f"anvil/{way}")
        lake.assert_whole(0, head)
        lake.assert_equals_node(node.chain(range(head + 1)))


def test_all_providers_of_a_network_are_used_and_stand_in_for_each_other(
    node: Anvil, cluster: Cluster, module_database_url: str, tmp_path: Path
) -> None:
    head = mine_colourful_chain(node)
    with Anvil(tmp_path, chain_id=4242) as stranger:
        reference = register(cluster.admin_url, node.url, dataset="anvil/several", network="anvil-several")
        register_provider(cluster, "a_dead_one", "anvil-several", f"http://127.0.0.1:{free_port()}")
        register_provider(cluster, "anvil_twin", "anvil-several", node.url.replace("http://", "ws://"))
        register_provider(cluster, "b_stranger", "anvil-several", stranger.url)
        wait_for_completion(cluster, deploy(cluster.admin_url, reference, "latest"))
    lake = lake_of(cluster, module_database_url, "anvil/several")
    lake.assert_whole(0, head)
    lake.assert_equals_node(node.chain(range(head + 1)))
