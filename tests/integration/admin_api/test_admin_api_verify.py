"""Verification over HTTP, the clients and ampctl: the option of a deploy."""

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
