from __future__ import annotations

import re

import pytest
from admin_api_cluster import LEASE_SECONDS, Cluster, error

from ampd.data_store import PlannedRange, RangeStore


async def test_workers_are_listed_with_build_and_times_and_unknown_where_they_do_not_tell(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("RUNNING", "a/x")
    assert job_id
    (worker,) = (await cluster.api.get("/workers")).json()["workers"]
    for key in ("created_at", "registered_at", "heartbeat_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", worker[key])
    assert worker["node_id"] == "worker-01"
    assert (worker["live"], worker["slots"], worker["running_jobs"]) == (True, 20, 1)
    assert worker["info"] == {
        "version": "0.1.0",
        "commit_sha": "8b065bde",
        "commit_timestamp": "unknown",
        "build_date": "unknown",
    }
    inspected = (await cluster.api.get("/workers/worker-01")).json()
    assert {**inspected, "heartbeat_at": worker["heartbeat_at"]} == {**worker, "ranges": []}


async def test_a_worker_tells_which_ranges_it_has_in_hand_and_of_which_job(cluster: Cluster) -> None:
    await cluster.register("a/x")
    job_id = await cluster.deploy("a/x")
    lease = await cluster.start(job_id)
    store = RangeStore(cluster.db, lease_seconds=LEASE_SECONDS)
    await store.begin_plan(lease, 4)
    await store.plan_more(lease, [PlannedRange(0, 9, False), PlannedRange(10, 19, False)], done=[])
    assert await store.lease_next(job_id, cluster.identity) is not None
    (found,) = (await cluster.api.get("/workers/worker-01")).json()["ranges"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("leased_at"))
    dataset = {"namespace": "a", "name": "x"}
    assert found == {"job_id": job_id, "dataset": dataset, "start_block": 0, "end_block": 9, "state": "READING"}
    assert [each.start_block for each in await cluster.services.tables.ranges_of_worker("worker-01", ["a"])] == [0]
    assert await cluster.services.tables.ranges_of_worker("worker-01", ["b"]) == []
    assert await cluster.services.tables.ranges_of_worker("worker-02") == []


async def test_a_silent_worker_stays_in_the_list_but_is_not_live(cluster: Cluster) -> None:
    await cluster.db.fetch_all(
        "UPDATE worker_heartbeats SET heartbeat_at = now() - interval '1 minute' RETURNING node_id"
    )
    (worker,) = (await cluster.api.get("/workers")).json()["workers"]
    assert worker["live"] is False


async def test_an_unknown_worker_is_not_found(cluster: Cluster) -> None:
    answer = await cluster.api.get("/workers/worker-99")
    assert error(answer) == (404, "WORKER_NOT_FOUND")
    assert answer.json()["error_message"] == "worker 'worker-99' not found"


@pytest.mark.parametrize(("node_id", "reason"), [("1-worker", "letter"), ("worker@01", "'@'"), ("w%C3%A9", "'é'")])
async def test_a_bad_worker_id_is_refused_with_the_reason(cluster: Cluster, node_id: str, reason: str) -> None:
    answer = await cluster.api.get(f"/workers/{node_id}")
    assert error(answer) == (400, "INVALID_WORKER_ID")
    assert answer.json()["error_message"].startswith("invalid worker node ID: ")
    assert reason in answer.json()["error_message"]
