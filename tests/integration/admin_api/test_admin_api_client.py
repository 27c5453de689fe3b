from __future__ import annotations

import asyncio

import pytest
from admin_api_cluster import Cluster

from ampd.client import Ampd, ApiError, AsyncAmpd
from ampd.datasets import generate_manifest

MANIFEST = generate_manifest("evm-rpc", "mainnet", 0, False)


async def test_both_clients_read_the_same_from_every_operation(cluster: Cluster, admin_url: str) -> None:
    job_id = await cluster.job_in_state("RUNNING", "ethereum/mainnet")
    with Ampd(admin_url) as sync:
        async with AsyncAmpd(admin_url) as client:
            assert sync.jobs.get(job_id) == await client.jobs.get(job_id)
            assert sync.jobs.list(status="all") == await client.jobs.list(status="all")
            assert sync.jobs.progress(job_id).tables == (await client.jobs.progress(job_id)).tables
            events = sync.jobs.events(job_id)
            assert events == await client.jobs.events(job_id)
            assert sync.jobs.event(job_id, events[0].id) == await client.jobs.event(job_id, events[0].id)
            assert sync.workers.list() == await client.workers.list()
            assert sync.workers.get("worker-01") == await client.workers.get("worker-01")
            assert sync.datasets.list() == await client.datasets.list()
            assert sync.datasets.get("ethereum/mainnet") == await client.datasets.get("ethereum/mainnet")
            assert sync.datasets.inspect("ethereum/mainnet") == await client.datasets.inspect("ethereum/mainnet@latest")
            assert sync.datasets.versions("ethereum/mainnet") == await client.datasets.versions("ethereum/mainnet")
            assert sync.datasets.manifest("ethereum/mainnet") == MANIFEST.to_json()
            assert await client.datasets.manifest("ethereum/mainnet") == MANIFEST.to_json()
            assert sync.datasets.jobs("ethereum/mainnet") == await client.datasets.jobs("ethereum/mainnet")
            assert sync.manifests.list() == await client.manifests.list()
            assert sync.manifests.get(MANIFEST.hash()) == await client.manifests.get(MANIFEST.hash())
            made = generate_manifest("evm-rpc", "sepolia", 3, False).to_json()
            assert sync.manifests.generate("evm-rpc", "sepolia", start_block=3) == made
            assert await client.manifests.generate("evm-rpc", "sepolia", start_block=3) == made
            assert sync.providers.list() == await client.providers.list()
            assert sync.providers.get("mainnet") == await client.providers.get("mainnet")


async def test_a_client_registers_deploys_stops_waits_and_removes(cluster: Cluster, admin_url: str) -> None:
    async with AsyncAmpd(admin_url) as client:
        await client.providers.register("main_rpc", "evm-rpc", {"network": "mainnet", "url": "http://127.0.0.1:1"})
        assert await client.manifests.register(MANIFEST.to_json()) == MANIFEST.hash()
        registered = await client.datasets.register("ethereum/mainnet", MANIFEST.hash(), "1.0.0")
        assert (registered.version, registered.tables) == ("1.0.0", tuple(MANIFEST.table_names))
        job_id = await client.datasets.deploy("ethereum/mainnet", end_block=10, parallelism=2, priority=3)
        job = await client.jobs.get(job_id)
        assert (job.end_block, job.parallelism, job.priority, job.is_terminal) == ("10", 2, 3, False)
        assert str(job.dataset) == "ethereum/mainnet@1.0.0"
        lease = await cluster.start(job_id)
        assert (await client.jobs.stop(job_id)).status == "STOP_REQUESTED"
        waiting = asyncio.create_task(client.jobs.wait(job_id, 30, poll_seconds=0.01))
        assert await cluster.leased.stop(lease)
        assert (await waiting).status == "STOPPED"
        assert await client.jobs.prune("completed") == 0
        assert await client.jobs.prune() == 1
        await client.jobs.delete(job_id)
        await client.providers.delete("main_rpc")
        assert await client.providers.list() == []


async def test_iterate_goes_through_all_pages_and_wait_ends_with_its_timeout(cluster: Cluster, admin_url: str) -> None:
    ids = [await cluster.job_in_state("SCHEDULED", f"a/x{number}") for number in range(5)]
    with Ampd(admin_url) as client:
        assert [job.id for job in client.jobs.iterate(page_size=2)] == ids[::-1]
        with pytest.raises(TimeoutError, match="SCHEDULED"):
            client.jobs.wait(ids[0], 0.05, poll_seconds=0.01)
    async with AsyncAmpd(admin_url) as client:
        assert [job.id async for job in client.jobs.iterate(page_size=2)] == ids[::-1]


async def test_what_the_server_refuses_is_an_error_with_code_message_and_status(admin_url: str) -> None:
    with Ampd(admin_url) as client, pytest.raises(ApiError) as refused:
        client.jobs.get(99)
    assert (refused.value.code, refused.value.status) == ("JOB_NOT_FOUND", 404)
    assert refused.value.message == str(refused.value) == "job '99' not found"
