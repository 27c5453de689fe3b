"""Verification over HTTP, the clients and ampctl: the option of a deploy, and jobs that verify a lake."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from admin_api_cluster import Cluster, error
from psycopg.types.json import Jsonb

from ampd.cli.ampctl import run
from ampd.client import Ampd, AsyncAmpd

DEPLOY: Final = "/datasets/ethereum/mainnet/versions/latest/deploy"


async def _verify_of(cluster: Cluster, job_id: int) -> Any:
    return (await cluster.api.get(f"/jobs/{job_id}")).json()["descriptor"]["verify"]


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        ({}, "sample"),
        ({"verify": "sample"}, "sample"),
        ({"verify": "full"}, "full"),
        ({"verify": "off"}, "off"),
        ({"verify": True}, "full"),
        ({"verify": False}, "off"),
    ],
)
async def test_a_deploy_verifies_a_sample_unless_it_says_otherwise(
    cluster: Cluster, body: dict[str, Any], mode: str
) -> None:
    await cluster.register()
    job_id = await cluster.deploy(**body)
    assert await _verify_of(cluster, job_id) == mode
    assert await cluster.deploy(verify=mode) == job_id, "the same in other words"
    other = "off" if mode == "full" else "full"
    assert error(await cluster.api.post(DEPLOY, json={"verify": other})) == (409, "ACTIVE_JOB_CONFLICT")


@pytest.mark.parametrize("body", [{}, {"verify": False}, {"verify": "off"}, {"verify": "sample"}])
async def test_a_job_of_before_verification_is_the_same_deploy_for_who_chose_nothing_or_false(
    cluster: Cluster, body: dict[str, Any]
) -> None:
    await cluster.register()
    job_id = await cluster.deploy()
    await _age(cluster, job_id)
    assert await cluster.deploy(**body) == job_id
    assert await _verify_of(cluster, job_id) is False, "what runs goes on as it is"
    assert error(await cluster.api.post(DEPLOY, json={"verify": True})) == (409, "ACTIVE_JOB_CONFLICT")
    assert error(await cluster.api.post(DEPLOY, json={**body, "end_block": 5})) == (409, "ACTIVE_JOB_CONFLICT")


async def test_a_job_of_before_verification_that_has_ended_runs_again_with_the_new_option(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("STOPPED", "ethereum/mainnet")
    await _age(cluster, job_id)
    assert await cluster.deploy() == job_id
    assert await _verify_of(cluster, job_id) == "sample"


async def _age(cluster: Cluster, job_id: int) -> None:
    """Give a job the input that the release before verification wrote."""
    async with cluster.db.transaction() as connection:
        await connection.execute(
            "UPDATE jobs SET input = input || %s WHERE id = %s", (Jsonb({"verify": False}), job_id)
        )


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ("ethereum/mainnet", "sample"),
        ("ethereum/mainnet --verify", "full"),
        ("--verify ethereum/mainnet", "full"),
        ("--verify sample ethereum/mainnet", "sample"),
        ("ethereum/mainnet --verify=off --priority 3", "off"),
        ("ethereum/mainnet --verify --priority 3", "full"),
    ],
)
async def test_ampctl_takes_verify_with_and_without_a_mode(
    cluster: Cluster, admin_url: str, capsys: pytest.CaptureFixture[str], words: str, mode: str
) -> None:
    await cluster.register()
    assert run(["dataset", "deploy", *words.split(), "--json", "--admin-url", admin_url]) == 0
    assert await _verify_of(cluster, json.loads(capsys.readouterr().out)["job_id"]) == mode


async def test_both_clients_take_verify(cluster: Cluster, admin_url: str) -> None:
    await cluster.register("a/one")
    await cluster.register("a/two")
    with Ampd(admin_url) as client:
        assert await _verify_of(cluster, client.datasets.deploy("a/one", verify="full")) == "full"
    async with AsyncAmpd(admin_url) as client:
        assert await _verify_of(cluster, await client.datasets.deploy("a/two", verify=False)) == "off"


# --- jobs that verify a lake

VERIFY: Final = "/datasets/ethereum/mainnet/versions/latest/verify"
REPORT: Final[dict[str, Any]] = {
    "start_block": 100,
    "end_block": 199,
    "next_block": 150,
    "verified_blocks": 48,
    "broken_blocks": 1,
    "skipped_blocks": 1,
    "violation_count": 2,
    "violations": [{"block": 120, "commitment": "header_hash", "detail": "wrong", "stated": "0x1", "computed": "0x2"}],
    "not_checked": [{"commitment": "withdrawals_root", "reason": "left out", "blocks": 50}],
}
STORED: Final = REPORT | {"previous_hash": None, "blocks_per_second": 25.0}


async def _start_verification(cluster: Cluster, **options: Any) -> int:
    answer = await cluster.api.post(VERIFY, json=options)
    assert answer.status_code == 202, answer.text
    return int(answer.json()["job_id"])


async def test_a_verification_is_a_job_of_its_own_beside_the_extraction(cluster: Cluster) -> None:
    manifest_hash = await cluster.register(start_block=100)
    extraction = await cluster.deploy()
    job_id = await _start_verification(cluster, start_block=120, end_block=130, priority=3)
    assert job_id != extraction
    job = (await cluster.api.get(f"/jobs/{job_id}")).json()
    assert (job["kind"], job["status"], job["priority"]) == ("verification", "SCHEDULED", 3)
    assert job["dataset"] == {"namespace": "ethereum", "name": "mainnet", "version": "1.0.0"}
    assert (job["manifest_hash"], job["end_block"], job["descriptor"]["start_block"]) == (manifest_hash, "130", "120")
    listed = (await cluster.api.get("/jobs?kind=verification")).json()["jobs"]
    assert [each["id"] for each in listed] == [job_id]
    for path in ("/jobs?dataset=ethereum/mainnet", "/datasets/ethereum/mainnet/versions/latest/jobs"):
        jobs = (await cluster.api.get(path)).json()["jobs"]
        assert [each["id"] for each in jobs] == [job_id, extraction], path
    assert await _start_verification(cluster, start_block=120, end_block=130, priority=3) == job_id
    assert error(await cluster.api.post(VERIFY)) == (409, "ACTIVE_JOB_CONFLICT")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"start_block": 99}, "start block 100"),
        ({"start_block": 120, "end_block": 119}, "before block 120"),
        ({"end_block": 50}, "before block 100"),
        ({"start_block": -1}, "start_block"),
        ({"end_block": "latest"}, "end_block"),
        ({"worker_id": "*"}, "empty string"),
        ({"verify": True}, "'verify'"),
    ],
)
async def test_a_bad_verification_is_refused_naming_the_key(cluster: Cluster, body: Any, named: str) -> None:
    await cluster.register(start_block=100)
    answer = await cluster.api.post(VERIFY, json=body)
    assert error(answer) == (400, "INVALID_BODY")
    assert named in answer.json()["error_message"]


async def test_a_dataset_without_blocks_cannot_be_verified(cluster: Cluster) -> None:
    await cluster.register()
    manifest = (await cluster.api.get("/datasets/ethereum/mainnet/versions/latest/manifest")).json()
    del manifest["tables"]["blocks"]
    body = {"namespace": "ethereum", "name": "mainnet", "version": "2.0.0", "manifest": manifest}
    assert (await cluster.api.post("/datasets", json=body)).status_code == 201
    answer = await cluster.api.post(VERIFY)
    assert error(answer) == (400, "INVALID_BODY")
    assert "no table 'blocks'" in answer.json()["error_message"]
    assert error(await cluster.api.post("/datasets/no/such/versions/latest/verify")) == (404, "DATASET_NOT_FOUND")


async def test_the_progress_of_a_verification_is_what_it_has_found(cluster: Cluster) -> None:
    await cluster.register()
    job_id = await _start_verification(cluster)
    progress = (await cluster.api.get(f"/jobs/{job_id}/progress")).json()
    assert (progress["tables"], progress["end_block"], "verification" in progress) == ({}, None, False)
    lease = await cluster.start(job_id)
    assert await cluster.leased.report_progress(lease, STORED)
    progress = (await cluster.api.get(f"/jobs/{job_id}/progress")).json()
    assert progress["verification"] == REPORT
    assert (progress["end_block"], progress["blocks_per_second"], progress["eta_seconds"]) == (199, 25.0, 2)
    assert await cluster.leased.complete(lease)
    assert (await cluster.api.get(f"/jobs/{job_id}/progress")).json()["verification"] == REPORT
    assert await _start_verification(cluster) == job_id, "the same job runs again"
    assert "verification" not in (await cluster.api.get(f"/jobs/{job_id}/progress")).json(), "from the beginning"


async def test_ampctl_and_the_clients_start_and_show_verifications(
    cluster: Cluster, admin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await cluster.register()

    def ampctl(words: str) -> str:
        assert run([*words.split(), "--admin-url", admin_url]) == 0
        return capsys.readouterr().out

    job_id = json.loads(ampctl("verify ethereum/mainnet --start-block 100 --end-block 199 --detach --json"))["job_id"]
    with Ampd(admin_url) as client:
        assert client.datasets.verify("ethereum/mainnet", start_block=100, end_block=199) == job_id
    async with AsyncAmpd(admin_url) as other:
        assert await other.datasets.verify("ethereum/mainnet", start_block=100, end_block=199) == job_id
    assert "Kind: verification" in ampctl("job list")
    assert json.loads(ampctl(f"job inspect {job_id}"))["kind"] == "verification"
    assert await cluster.leased.report_progress(await cluster.start(job_id), STORED)
    shown = ampctl(f"job progress {job_id}")
    for line in (
        "Verified: 48",
        "block 120, header_hash: wrong",
        "not checked: withdrawals_root of 50 blocks: left out",
    ):
        assert line in shown
    with Ampd(admin_url) as client:
        found = client.jobs.progress(job_id).verification
        assert found is not None
        assert (found.next_block, found.not_checked) == (150, (("withdrawals_root", "left out", 50),))
