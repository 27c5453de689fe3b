"""What the wanted document on job management promises, sentence by sentence (tests/promises.toml has the sentences)."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ampd.client import Ampd
from ampd.datasets import generate_manifest
from support.daemons import Cluster, Process, ampd, free_port, wait_for
from support.deploy import register, register_provider
from support.lake import read_table
from support.nodes import FIRST_BLOCK, LAST_BLOCK
from support.promises import (
    ampctl,
    ampctl_json,
    cluster_in,
    counting_node,
    deploy_new,
    events,
    execute,
    follow_the_tip,
    launch_worker,
    row_locked,
    rows,
    states,
    stop,
    stop_and_wait,
    wait_for_block,
    waits_for_a_lock,
)

# A worker that is frozen for a while keeps its jobs, also those that it is asked to stop.
SETTINGS = """
poll_interval_secs = 0.2
[writer]
target_range_secs = 1.0
[worker]
slots = 32
lease_secs = 600
stop_timeout_secs = 600
"""
ACTIVE = ("SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPING")
TERMINAL = ("COMPLETED", "STOPPED", "FAILED")


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, recorded_node: str, slow_node: str
) -> Iterator[Cluster]:
    """A controller and worker-01; the networks `mainnet` (23 blocks) and `slow` (4,000 that take minutes)."""
    with cluster_in(tmp_path_factory.mktemp("cluster"), module_database_url, SETTINGS) as cluster:
        worker = launch_worker(cluster, "worker-01")
        cluster.start_controller()
        register(cluster, recorded_node, network="mainnet", start_block=FIRST_BLOCK, name="ethereum/mainnet")
        register(cluster, slow_node, network="slow", start_block=FIRST_BLOCK, name="ethereum/slow")
        worker.wait_for_text("worker.registered")
        yield cluster


def listed(cluster: Cluster, **params: str | int) -> list[int]:
    """Return the ids that GET /jobs lists."""
    page = httpx.get(f"{cluster.admin_url}/jobs", params=params)
    assert page.status_code == 200, page.text
    return [job["id"] for job in page.json()["jobs"]]


def test_a_job_is_a_task_that_syncs_blockchain_data_for_a_dataset_executed_by_a_worker_node(
    cluster: Cluster, module_database_url: str
) -> None:
    job_id = deploy_new(cluster, "jobs/sync", end_block=LAST_BLOCK)
    job = cluster.wait_for_status(job_id, *TERMINAL)
    assert (job["kind"], job["status"]) == ("extraction", "COMPLETED")
    assert (job["dataset"]["namespace"], job["dataset"]["name"]) == ("jobs", "sync")
    assert job["worker_id"] == "worker-01"
    blocks = read_table(module_database_url, cluster.directory / "data", "blocks", "jobs/sync")
    assert sorted(blocks.column("_block_num").to_pylist()) == list(range(FIRST_BLOCK, LAST_BLOCK + 1))


@contextmanager
def held_while_stopping(cluster: Cluster, database_url: str, job_id: int, worker: Process) -> Iterator[None]:
    """Bring a job into STOPPING and freeze its worker there: what it wanted to write of the end is undone."""
    execution = "SELECT FROM job_executions WHERE job_id = %s FOR UPDATE"
    with row_locked(database_url, execution, job_id):
        assert stop(cluster, job_id).status_code == 200
        cluster.wait_for_status(job_id, "STOPPING")
        wait_for("the worker to write the end", lambda: waits_for_a_lock(database_url))
        worker.signal(signal.SIGSTOP)
        waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        rows(database_url, f"{waiting} AND datname = current_database()")
    try:
        yield
    finally:
        worker.signal(signal.SIGCONT)


@pytest.fixture(scope="class")
def jobs(cluster: Cluster, module_database_url: str) -> Iterator[dict[str, int]]:
    """A job in every state. The worker of two of them is frozen, until the class has been run."""
    worker = launch_worker(cluster, "freezing", {"AMP_CONFIG_WORKER__SLOTS": "2"})
    worker.wait_for_text("worker.registered")
    found = {
        "SCHEDULED": deploy_new(cluster, "states/scheduled", worker_id="nobody"),
        "RUNNING": deploy_new(cluster, "states/running", network="slow", worker_id="worker-01"),
        "STOP_REQUESTED": follow_the_tip(cluster, "states/stop_requested", worker_id="freezing"),
        "STOPPING": follow_the_tip(cluster, "states/stopping", worker_id="freezing"),
        "COMPLETED": deploy_new(cluster, "states/completed", end_block="latest", worker_id="worker-01"),
        "STOPPED": follow_the_tip(cluster, "states/stopped", worker_id="worker-01"),
        "FAILED": deploy_new(cluster, "states/failed", end_block=f"-{LAST_BLOCK}", worker_id="worker-01"),
    }
    stop_and_wait(cluster, found["STOPPED"])
    with held_while_stopping(cluster, module_database_url, found["STOPPING"], worker):
        assert stop(cluster, found["STOP_REQUESTED"]).status_code == 200
        for state, job_id in found.items():
            cluster.wait_for_status(job_id, state)
        yield found
    for state in ("STOP_REQUESTED", "STOPPING"):
        cluster.wait_for_status(found[state], "STOPPED")
    stop_and_wait(cluster, found["RUNNING"])
    assert worker.end() == 0


def assert_terminal(cluster: Cluster, job_id: int, state: str) -> None:
    """The job has ended: it is listed as such, and nothing moves it but a new deploy."""
    assert job_id in listed(cluster, status="terminal")
    before = events(cluster, job_id)
    assert before[-1]["event_type"] == state
    assert stop(cluster, job_id).status_code == 200
    assert events(cluster, job_id) == before


class TestAJobThatIs:
    def test_scheduled_is_queued_waiting_for_worker_assignment(self, cluster: Cluster, jobs: dict[str, int]) -> None:
        job = cluster.job(jobs["SCHEDULED"])
        assert (job["status"], job["lifecycle"]) == ("SCHEDULED", "queued")
        assert (job["waiting_for"], job["worker_id"]) == ("worker", None)

    def test_running_is_actively_syncing_blockchain_data(self, cluster: Cluster, jobs: dict[str, int]) -> None:
        def reached() -> int:
            tables = cluster.progress(jobs["RUNNING"])["tables"]
            return (tables.get("blocks", {}).get("current_block")) or 0

        first = wait_for("its first blocks", reached)
        wait_for("more blocks", lambda: reached() > first)
        assert cluster.job(jobs["RUNNING"])["status"] == "RUNNING"

    def test_stop_requested_was_sent_the_stop_signal_and_its_worker_is_finishing_current_work(
        self, cluster: Cluster, jobs: dict[str, int]
    ) -> None:
        job = cluster.job(jobs["STOP_REQUESTED"])
        assert (job["status"], job["worker_id"]) == ("STOP_REQUESTED", "freezing")
        assert events(cluster, job["id"])[-1]["actor"] == "admin-api"

    def test_stopping_is_being_shut_down_by_its_worker(self, cluster: Cluster, jobs: dict[str, int]) -> None:
        job = cluster.job(jobs["STOPPING"])
        assert (job["status"], job["worker_id"]) == ("STOPPING", "freezing")
        assert events(cluster, job["id"])[-1]["actor"] == "worker:freezing"

    def test_completed_finished_successfully_and_is_terminal(self, cluster: Cluster, jobs: dict[str, int]) -> None:
        assert cluster.job(jobs["COMPLETED"])["last_error"] is None
        tables = cluster.progress(jobs["COMPLETED"])["tables"]
        assert {table["current_block"] for table in tables.values()} == {LAST_BLOCK}
        assert_terminal(cluster, jobs["COMPLETED"], "COMPLETED")

    def test_stopped_was_stopped_by_an_operator_and_is_terminal(self, cluster: Cluster, jobs: dict[str, int]) -> None:
        history = events(cluster, jobs["STOPPED"])
        assert [event["actor"] for event in history if event["event_type"] == "STOP_REQUESTED"] == ["admin-api"]
        assert_terminal(cluster, jobs["STOPPED"], "STOPPED")

    def test_failed_encountered_an_error_and_is_terminal(self, cluster: Cluster, jobs: dict[str, int]) -> None:
        assert cluster.job(jobs["FAILED"])["last_error"]["error_code"] == "RESOLVE_END_BLOCK"
        assert_terminal(cluster, jobs["FAILED"], "FAILED")

    def test_non_terminal_is_shown_by_the_filter_active_which_is_the_default(
        self, cluster: Cluster, jobs: dict[str, int]
    ) -> None:
        active = {jobs[state] for state in ACTIVE}
        assert set(listed(cluster)) == set(listed(cluster, status="active")) == active
        by_ampctl = ampctl_json(cluster, "job", "list")["jobs"]
        assert {job["id"]: job["status"] for job in by_ampctl} == {jobs[state]: state for state in ACTIVE}

    def test_in_any_state_is_shown_by_the_filter_all(self, cluster: Cluster, jobs: dict[str, int]) -> None:
        assert set(jobs.values()) <= set(listed(cluster, status="all"))

    def test_in_one_of_several_states_is_found_with_comma_separated_values(
        self, cluster: Cluster, jobs: dict[str, int]
    ) -> None:
        found = set(listed(cluster, status="scheduled,running,completed,stopped,error")) & set(jobs.values())
        assert found == set(jobs.values()) - {jobs["STOP_REQUESTED"], jobs["STOPPING"]}
        assert set(listed(cluster, status="scheduled,running")) == {jobs["SCHEDULED"], jobs["RUNNING"]}

    @pytest.mark.parametrize("state", ACTIVE)
    def test_not_in_a_terminal_state_cannot_be_removed_and_returns_409_conflict(
        self, cluster: Cluster, jobs: dict[str, int], state: str
    ) -> None:
        answer = httpx.delete(f"{cluster.admin_url}/jobs/{jobs[state]}", timeout=30)
        assert (answer.status_code, answer.json()["error_code"]) == (409, "JOB_CONFLICT")
        assert cluster.job(jobs[state])["status"] == state


def test_a_worker_finishes_current_operations_before_stopping(cluster: Cluster) -> None:
    """It holds blocks that do not count yet, and waits for more, which never come, when it is asked to stop.

    The first range has 16 blocks; the next one is begun when the first eight of it have been taken.
    """
    with counting_node(small=64, silent_from=FIRST_BLOCK + 8) as (node, url):
        register_provider(cluster, "silent", "silent", url, concurrent_request_limit=100)
        job_id = deploy_new(cluster, "jobs/current", network="silent")
        wait_for("it to hold eight blocks", lambda: max(node.asked, default=0) >= FIRST_BLOCK + 16)
        assert stop(cluster, job_id).status_code == 200
        cluster.wait_for_status(job_id, "STOPPED")
    tables = cluster.progress(job_id)["tables"]
    assert {table["current_block"] for table in tables.values()} == {FIRST_BLOCK + 7}


def test_a_job_transitions_from_running_over_stop_requested_and_stopping_to_stopped(cluster: Cluster) -> None:
    jobs = [deploy_new(cluster, f"jobs/transitions_{number}", start=LAST_BLOCK) for number in range(8)]
    for job_id in jobs:
        wait_for_block(cluster, job_id, LAST_BLOCK)
    for job_id in jobs:
        stop(cluster, job_id)
    for job_id in jobs:
        cluster.wait_for_status(job_id, "STOPPED")
        assert states(cluster, job_id) == ["SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPING", "STOPPED"]


def test_stopping_an_already_stopped_job_returns_success(cluster: Cluster) -> None:
    job_id = follow_the_tip(cluster, "jobs/stopped_twice")
    stop_and_wait(cluster, job_id)
    before = events(cluster, job_id)
    ampctl(cluster, "job", "stop", str(job_id))
    assert stop(cluster, job_id).status_code == 200
    assert events(cluster, job_id) == before


def test_running_jobs_must_be_stopped_before_they_are_removed(cluster: Cluster) -> None:
    job_id = follow_the_tip(cluster, "jobs/stop_first")
    assert f"ampctl job stop {job_id}" in ampctl(cluster, "job", "rm", str(job_id), code=1)
    stop_and_wait(cluster, job_id)
    ampctl(cluster, "job", "rm", str(job_id))
    assert httpx.get(f"{cluster.admin_url}/jobs/{job_id}").status_code == 404


def test_deleting_a_non_existent_job_returns_success_204(cluster: Cluster) -> None:
    assert httpx.delete(f"{cluster.admin_url}/jobs/987654321").status_code == 204
    ampctl(cluster, "job", "rm", "987654321")


def test_pruning_frees_up_database_storage(cluster: Cluster, module_database_url: str) -> None:
    job_id = deploy_new(cluster, "jobs/pruned", start=LAST_BLOCK, end_block="latest")
    cluster.wait_for_status(job_id, "COMPLETED")

    def stored() -> list[int]:
        keys = {"jobs": "id", "job_executions": "job_id", "job_attempts": "job_id", "job_progress": "job_id"}
        counts = [f"(SELECT count(*) FROM {table} WHERE {key} = {job_id}) AS {table}" for table, key in keys.items()]
        return list(rows(module_database_url, f"SELECT {', '.join(counts)}")[0].values())

    assert stored() == [1, 1, 1, 1]
    pruned = ampctl_json(cluster, "job", "prune", "--status", "completed")
    assert pruned["deleted_count"] >= 1
    assert stored() == [0, 0, 0, 0]
    assert listed(cluster, status="completed") == []


def test_completed_jobs_older_than_7_days_are_removed_when_the_configuration_says_so(
    cluster: Cluster, module_database_url: str
) -> None:
    old, young = (deploy_new(cluster, f"aged/{age}", start=LAST_BLOCK, end_block="latest") for age in ("old", "young"))
    for job_id, days in ((old, 8), (young, 6)):
        cluster.wait_for_status(job_id, "COMPLETED")
        aged = f"UPDATE jobs SET updated_at = now() - interval '{days} days' WHERE id = %s"
        assert execute(module_database_url, aged, job_id) == 1
    log = cluster.directory / "retention.log"
    environment = {
        "AMP_CONFIG_RETENTION__TERMINAL_JOB_DAYS": "7",
        "AMP_CONFIG_ADMIN_API_ADDR": f"127.0.0.1:{free_port()}",
    }
    controller = ampd("--config", str(cluster.config), "controller", log=log, environment=environment)
    cluster.processes.append(controller)
    wait_for("the old job to be removed", lambda: old not in listed(cluster, status="completed"))
    assert young in listed(cluster, status="completed")
    assert controller.end() == 0


def test_operators_list_jobs_inspect_details_monitor_progress_stop_and_clean_up(cluster: Cluster) -> None:
    job_id = follow_the_tip(cluster, "jobs/operated")
    assert job_id in [job["id"] for job in ampctl_json(cluster, "job", "list", "--limit", "10")["jobs"]]
    assert ampctl_json(cluster, "job", "inspect", str(job_id))["dataset"]["name"] == "operated"
    assert ampctl_json(cluster, "job", "progress", str(job_id))["tables"]["logs"]["current_block"] == LAST_BLOCK
    ampctl(cluster, "job", "stop", str(job_id))
    cluster.wait_for_status(job_id, "STOPPED")
    ampctl(cluster, "job", "prune")
    assert listed(cluster, status="terminal") == []


@pytest.fixture(scope="module")
def many(cluster: Cluster) -> list[int]:
    """Jobs that wait, more than a page of them; the newest first."""
    manifest = json.loads(generate_manifest("evm-rpc", "mainnet", FIRST_BLOCK, False).canonical_json())
    with Ampd(cluster.admin_url) as client:
        for number in range(53):
            client.datasets.register(f"many/job_{number}", manifest, "1.0.0")
        jobs = [client.datasets.deploy(f"many/job_{number}@1.0.0", worker_id="nobody") for number in range(53)]
    return sorted(jobs, reverse=True)


def test_lists_show_50_jobs_by_default_and_as_many_as_the_limit_says(cluster: Cluster, many: list[int]) -> None:
    assert [job["id"] for job in ampctl_json(cluster, "job", "list")["jobs"]] == many[:50]
    assert listed(cluster) == many[:50]
    assert listed(cluster, limit=52) == many[:52]


def test_the_last_job_id_is_the_cursor_that_gets_the_next_50_jobs(cluster: Cluster, many: list[int]) -> None:
    page = httpx.get(f"{cluster.admin_url}/jobs", params={"status": "scheduled"}).json()
    assert page["next_cursor"] == many[49]
    assert listed(cluster, last_job_id=page["next_cursor"], status="scheduled")[:3] == many[50:]
    after = ampctl_json(cluster, "job", "list", "--after", str(many[0]), "--status", "scheduled")["jobs"]
    assert [job["id"] for job in after] == many[1:51]


def test_the_limit_is_1000_at_most(cluster: Cluster, many: list[int]) -> None:
    assert set(many) <= set(listed(cluster, limit=1000))
    refused = httpx.get(f"{cluster.admin_url}/jobs", params={"limit": 1001})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "LIMIT_TOO_LARGE")


def test_the_openapi_specification_has_the_endpoints_of_job_management_with_their_schemas(cluster: Cluster) -> None:
    endpoints = {
        ("/jobs", "get"): "list_jobs",
        ("/jobs", "delete"): "delete_jobs",
        ("/jobs/{id}", "get"): "get_job",
        ("/jobs/{id}", "delete"): "delete_job",
        ("/jobs/{id}/stop", "put"): "stop_job",
        ("/jobs/{id}/progress", "get"): "get_job_progress",
    }
    specification = httpx.get(f"{cluster.admin_url}/openapi.json").json()
    found = {(path, method): specification["paths"][path][method] for path, method in endpoints}
    assert {key: operation["operationId"] for key, operation in found.items()} == endpoints
    for (_, method), operation in found.items():
        success = operation["responses"]["204" if method == "delete" else "200"]
        assert method == "delete" or "$ref" in success["content"]["application/json"]["schema"]
    assert json.loads(Path("docs/reference/openapi.json").read_text(encoding="utf-8"))["paths"].keys() >= {
        path for path, _ in endpoints
    }
