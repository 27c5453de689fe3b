"""Keeping work away from a worker: over HTTP, through both clients, and by ampctl."""

from __future__ import annotations

import asyncio
import json
import shlex

import pytest
from admin_api_cluster import LEASE_SECONDS, Cluster, error

from ampd.client import Ampd, ApiError, AsyncAmpd
from ampd.jobs import place_due_jobs
from support.ampctl import run


async def test_drain_and_undrain_answer_the_worker_and_change_what_it_gets(cluster: Cluster) -> None:
    assert (await cluster.api.get("/workers/worker-01")).json()["draining"] is False
    running = await cluster.job_in_state("RUNNING", "a/x")
    answer = await cluster.api.post("/workers/worker-01/drain")
    assert answer.status_code == 200
    worker = answer.json()
    assert (worker["node_id"], worker["draining"], worker["live"], worker["running_jobs"]) == (
        "worker-01",
        True,
        True,
        1,
    )
    assert (await cluster.api.get("/workers")).json()["workers"] == [worker]
    assert cluster.session.beat().cordoned
    waiting = await cluster.job_in_state("SCHEDULED", "a/y")
    await cluster.register("a/bound")
    bound = await cluster.deploy("a/bound", worker_id="worker-01")
    assert await place_due_jobs(cluster.db, lease_seconds=LEASE_SECONDS) == []
    for job_id in (waiting, bound):
        assert (await cluster.api.get(f"/jobs/{job_id}")).json()["waiting_for"] == "worker"
    assert (await cluster.api.get(f"/jobs/{running}")).json()["status"] == "RUNNING"
    again = await cluster.api.post("/workers/worker-01/undrain")
    assert (again.status_code, again.json()["draining"]) == (200, False)
    assert not cluster.session.beat().cordoned
    for job_id in (waiting, bound):
        assert (await cluster.api.get(f"/jobs/{job_id}")).json()["waiting_for"] == "slot"
    assert len(await place_due_jobs(cluster.db, lease_seconds=LEASE_SECONDS)) == 2


async def test_a_worker_that_drains_because_it_ends_is_shown_as_draining_too(cluster: Cluster) -> None:
    cluster.session.set_draining()
    assert (await cluster.api.get("/workers/worker-01")).json()["draining"] is True
    undrained = await cluster.api.post("/workers/worker-01/undrain")
    assert undrained.json()["draining"] is True, "it ends all the same"
    job_id = await cluster.job_in_state("SCHEDULED", "a/x")
    assert (await cluster.api.get(f"/jobs/{job_id}")).json()["waiting_for"] == "worker"


@pytest.mark.parametrize("action", ["drain", "undrain"])
async def test_a_dead_worker_can_be_drained_and_an_unknown_one_is_not_found(cluster: Cluster, action: str) -> None:
    await cluster.db.execute("UPDATE worker_heartbeats SET heartbeat_at = now() - interval '1 hour'")
    worker = (await cluster.api.post(f"/workers/worker-01/{action}")).json()
    assert (worker["live"], worker["draining"]) == (False, action == "drain")
    answer = await cluster.api.post(f"/workers/worker-99/{action}")
    assert error(answer) == (404, "WORKER_NOT_FOUND")
    assert answer.json()["error_message"] == "worker 'worker-99' not found"
    assert len((await cluster.api.get("/workers")).json()["workers"]) == 1


@pytest.mark.parametrize("action", ["drain", "undrain"])
@pytest.mark.parametrize(("node_id", "reason"), [("1-worker", "letter"), ("worker@01", "'@'"), ("worker*", "'*'")])
async def test_a_bad_worker_id_is_refused_with_the_reason(
    cluster: Cluster, action: str, node_id: str, reason: str
) -> None:
    answer = await cluster.api.post(f"/workers/{node_id}/{action}")
    assert error(answer) == (400, "INVALID_WORKER_ID")
    assert reason in answer.json()["error_message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_drain_is_a_post(cluster: Cluster, method: str) -> None:
    assert error(await cluster.api.request(method, "/workers/worker-01/drain")) == (405, "METHOD_NOT_ALLOWED")
    assert (await cluster.api.get("/workers/worker-01")).json()["draining"] is False


async def test_drains_and_undrains_at_once_end_as_the_last_of_them_says(cluster: Cluster) -> None:
    for last in ("drain", "undrain"):
        await asyncio.gather(
            *(cluster.api.post(f"/workers/worker-01/{action}") for action in ("drain", "undrain") * 10)
        )
        await cluster.api.post(f"/workers/worker-01/{last}")
        assert (await cluster.api.get("/workers/worker-01")).json()["draining"] is (last == "drain")


async def test_both_clients_drain_and_undrain(cluster: Cluster, admin_url: str) -> None:
    with Ampd(admin_url) as sync:
        async with AsyncAmpd(admin_url) as client:
            assert sync.workers.drain("worker-01").draining
            assert (await client.workers.get("worker-01")).draining
            assert not (await client.workers.undrain("worker-01")).draining
            assert (await client.workers.drain("worker-01")).draining
            assert not sync.workers.undrain("worker-01").draining
            for drain in (sync.workers.drain, sync.workers.undrain):
                with pytest.raises(ApiError) as refused:
                    drain("nobody")
                assert (refused.value.code, refused.value.status) == ("WORKER_NOT_FOUND", 404)
            with pytest.raises(ApiError) as bad:
                await client.workers.drain("no body")
            assert (bad.value.code, bad.value.status) == ("INVALID_WORKER_ID", 400)


async def test_ampctl_drains_and_undrains_and_says_what_comes_next(
    cluster: Cluster, admin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await cluster.job_in_state("RUNNING", "a/x")

    def ampctl(command: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run(shlex.split(f"{command} --admin-url {admin_url}")) == code
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return told.err if code else told.out

    assert ampctl("worker drain worker-01") == (
        "✓ Worker worker-01 gets no new work\n→ Jobs in hand: 1\n→ ampctl worker undrain worker-01\n"
    )
    assert json.loads(ampctl("worker inspect worker-01"))["draining"] is True
    assert ampctl("worker undrain worker-01") == "✓ Worker worker-01 gets work again\n"
    for action, draining in (("drain", True), ("undrain", False)):
        told = json.loads(ampctl(f"worker {action} worker-01 --json"))
        assert (told["node_id"], told["draining"]) == ("worker-01", draining)
        assert "worker 'nobody' not found" in ampctl(f"worker {action} nobody", code=1)
        assert "must start with a letter" in ampctl(f"worker {action} 1st", code=1)
        assert "NODE_ID" in ampctl(f"worker {action}", code=2)
        assert "stray" in ampctl(f"worker {action} worker-01 stray", code=2)
