"""A node that lies fails its job, and `ampctl verify` tells whether a lake holds: through a real worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ampd.cli.ampctl import run
from ampd.replay_node import Fault, RpcCall, load_recorded_chain
from ampd.replay_node.faults import ChangeResult
from support import nodes
from support.daemons import Cluster
from support.deploy import deploy, register
from support.lake import registered_files
from support.nodes import FIRST_BLOCK, LAST_BLOCK

DATASET = "truth/mainnet"
REFERENCE = f"{DATASET}@1.0.0"


@dataclass
class Liar:
    """Says of one transaction in the first block that it failed, while it ``lies``."""

    lies: bool = True

    def __call__(self, call: RpcCall) -> Fault | None:
        if not self.lies or call.method != "eth_getBlockReceipts":
            return None
        return ChangeResult(self._change)

    @staticmethod
    def _change(receipts: Any) -> Any:
        if receipts and receipts[0]["blockNumber"] == hex(FIRST_BLOCK):
            receipts[4]["status"] = "0x0" if receipts[4]["status"] == "0x1" else "0x1"
        return receipts


@pytest.fixture(scope="module")
def liar() -> Liar:
    return Liar()


@pytest.fixture(scope="module")
def cluster(module_cluster: Cluster, liar: Liar) -> Iterator[Cluster]:
    """A controller, a worker, and a dataset that comes from the liar."""
    with nodes.on_thread(nodes.replay_node(load_recorded_chain(nodes.MAINNET), liar)) as url:
        module_cluster.start_controller()
        module_cluster.start_worker("verifier")
        register(module_cluster, url, network="mainnet", start_block=FIRST_BLOCK, name=DATASET)
        yield module_cluster


def test_a_lie_fails_the_job_that_found_it_and_nothing_of_it_is_in_the_lake(
    cluster: Cluster, liar: Liar, module_database_url: str
) -> None:
    job_id = deploy(cluster, DATASET, end_block=LAST_BLOCK)
    job = cluster.wait_for_status(job_id, "FAILED", "COMPLETED")
    assert job["descriptor"]["verify"] == "sample", "the first block of a batch is always looked at"
    error = job["last_error"]
    assert error["error_code"] == "BLOCK_VERIFICATION_FAILED"
    context = error["error_context"]
    assert (context["block"], context["commitment"], context["fetches"]) == (FIRST_BLOCK, "receipts_root", 4)
    assert context["stated"] != context["computed"]
    assert context["endpoint"].startswith("http://127.0.0.1:")
    assert registered_files(module_database_url, cluster.directory / "data", "blocks", DATASET) == []

    liar.lies = False
    assert deploy(cluster, DATASET, end_block=LAST_BLOCK, verify=True) == job_id
    assert cluster.wait_for_status(job_id, "FAILED", "COMPLETED")["status"] == "COMPLETED"
    assert cluster.job(job_id)["descriptor"]["verify"] == "full"


def test_a_lake_that_holds_ends_with_0_and_one_that_does_not_with_1(
    cluster: Cluster, module_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def verify(*options: str) -> tuple[int, str]:
        code = run(["verify", REFERENCE, "--interval", "0.1", *options, "--admin-url", cluster.admin_url])
        return code, capsys.readouterr().out

    code, out = verify()
    assert code == 0, out
    assert f"✓ {REFERENCE} verifies: 23 blocks, {FIRST_BLOCK} to {LAST_BLOCK}" in out
    assert "not checked: withdrawals_root of 23 blocks: the node left the withdrawals out" in out
    assert "COMPLETED  23 of 23 blocks, 0 violations" in out, "lines for who reads a pipe"
    code, out = verify("--start-block", str(LAST_BLOCK - 2), "--json")
    (line,) = out.splitlines()
    part = json.loads(line)
    assert (code, part["job_status"], part["verification"]["verified_blocks"]) == (0, "COMPLETED", 3)

    (file, *_) = registered_files(module_database_url, cluster.directory / "data", "logs", DATASET)
    file.rename(file.with_suffix(".gone"))
    code, out = verify()
    assert code == 1
    assert f"block {FIRST_BLOCK}, file_content: " in out
    assert file.name in out
    code, out = verify("--json")
    assert (code, json.loads(out)["last_error"]["error_code"]) == (1, "VERIFICATION_FAILED")
    assert run(["job", "list", "--status", "all", "--kind", "verification", "--admin-url", cluster.admin_url]) == 0
    listed = capsys.readouterr().out
    assert " - FAILED (verifier)" in listed
    assert "Kind: verification" in listed
    assert run(["verify", "no/such", "--admin-url", cluster.admin_url]) == 1
