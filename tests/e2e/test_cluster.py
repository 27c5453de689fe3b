"""A cluster of real processes: a controller and workers on one PostgreSQL server, operated through ampctl."""

from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.daemons import Cluster, wait_for
from support.deploy import deploy, register, register_dataset
from support.lake import files_on_disk, read_table, registered_files, registered_ranges
from support.nodes import FIRST_BLOCK, LAST_BLOCK

ROWS = {"blocks": 23, "transactions": 4416, "logs": 9807}
TABLES = ("blocks", "transactions", "logs", "withdrawals")


@pytest.fixture(scope="module")
def two_workers(module_cluster: Cluster, recorded_node: str, slow_node: str) -> Cluster:
    """A controller and the workers `left` and `right`; the networks `mainnet` (23 blocks) and `slow` (4,000)."""
    module_cluster.start_controller()
    module_cluster.start_worker("left")
    module_cluster.start_worker("right")
    register(module_cluster, slow_node, network="slow", start_block=FIRST_BLOCK, name="ethereum/slow")
    module_cluster.register(recorded_node, start_block=FIRST_BLOCK)
    return module_cluster


def data_dir(cluster: Cluster) -> Path:
    return cluster.directory / "data"


def states_entered(cluster: Cluster, job_id: int) -> list[str]:
    events = httpx.get(f"{cluster.admin_url}/jobs/{job_id}/events").json()["events"]
    return [event["event_type"] for event in events]


def wait_for_blocks(cluster: Cluster, job_id: int, count: int) -> int:
    """Wait until so many blocks of the job count, and return how many do."""

    def extracted() -> int | None:
        table = cluster.progress(job_id)["tables"].get("blocks")
        last = table and table["current_block"]
        return last - FIRST_BLOCK + 1 if last and last - FIRST_BLOCK + 1 >= count else None

    return wait_for(f"{count} blocks of job {job_id}", extracted, 60)


def assert_whole(database_url: str, dataset: str, end_block: int) -> None:
    """Every table holds each block from the first to ``end_block`` in exactly one file."""
    for table in TABLES:
        ranges = registered_ranges(database_url, table, dataset)
        assert ranges[0][0] == FIRST_BLOCK
        assert ranges[-1][1] == end_block
        assert all(after[0] == before[1] + 1 for before, after in pairwise(ranges)), (table, ranges)


def assert_disk_holds_what_counts(cluster: Cluster, database_url: str, dataset: str) -> None:
    for table in TABLES:
        counted = registered_files(database_url, data_dir(cluster), table, dataset)
        assert files_on_disk(data_dir(cluster), table, dataset) == set(counted)


@pytest.fixture(scope="module")
def job(two_workers: Cluster) -> Any:
    """The job of the recorded blocks, when it has ended."""
    job_id = two_workers.deploy("ethereum/mainnet@1.0.0", "--end-block", "latest")
    return two_workers.wait_for_status(job_id, "COMPLETED", "FAILED")


@pytest.fixture(scope="module")
def running(two_workers: Cluster) -> int:
    """The id of a job that follows the slow chain, when its first blocks count."""
    job_id = two_workers.deploy("ethereum/slow@1.0.0")
    wait_for_blocks(two_workers, job_id, 1)
    return job_id


class TestTheRecordedBlocks:
    def test_all_rows_are_in_the_files_that_the_database_registers(
        self, two_workers: Cluster, module_database_url: str, job: Any
    ) -> None:
        assert job["status"] == "COMPLETED", job["last_error"]
        tables = {
            table: read_table(module_database_url, data_dir(two_workers), table, "ethereum/mainnet") for table in ROWS
        }
        assert {name: table.num_rows for name, table in tables.items()} == ROWS
        numbers = tables["blocks"].column("_block_num").to_pylist()
        assert sorted(numbers) == list(range(FIRST_BLOCK, LAST_BLOCK + 1))

    def test_no_other_file_is_on_the_disk(self, two_workers: Cluster, module_database_url: str, job: Any) -> None:
        assert job["status"] == "COMPLETED"
        assert_disk_holds_what_counts(two_workers, module_database_url, "ethereum/mainnet")

    def test_the_job_shows_which_worker_ran_it(self, two_workers: Cluster, job: Any) -> None:
        assert job["worker_id"] in {"left", "right"}
        assert job["node_id"] == job["worker_id"]
        assert job["end_block"] == "latest"
        assert job["parallelism"] == 1
        assert job["dataset"] == {"namespace": "ethereum", "name": "mainnet", "version": "1.0.0"}

    def test_the_events_tell_the_story(self, two_workers: Cluster, job: Any) -> None:
        events = httpx.get(f"{two_workers.admin_url}/jobs/{job['id']}/events").json()["events"]
        assert [event["event_type"] for event in events] == ["SCHEDULED", "RUNNING", "COMPLETED"]
        assert [event["actor"] for event in events] == ["admin-api", *[f"worker:{job['worker_id']}"] * 2]

    def test_progress_counts_every_table(self, two_workers: Cluster, job: Any) -> None:
        progress = two_workers.progress(job["id"])
        assert progress["job_status"] == "COMPLETED"
        for table, rows in ROWS.items():
            shown = progress["tables"][table]
            assert (shown["start_block"], shown["current_block"]) == (FIRST_BLOCK, LAST_BLOCK)
            assert shown["row_count"] == rows
            on_disk = files_on_disk(data_dir(two_workers), table, "ethereum/mainnet")
            assert shown["files_count"] == len(on_disk)
            assert shown["total_size_bytes"] == sum(file.stat().st_size for file in on_disk)

    def test_deploying_a_complete_dataset_again_runs_the_same_job_and_writes_nothing_new(
        self, two_workers: Cluster, module_database_url: str, job: Any
    ) -> None:
        before = files_on_disk(data_dir(two_workers), "logs", "ethereum/mainnet")
        assert two_workers.deploy("ethereum/mainnet@1.0.0", "--end-block", "latest") == job["id"]
        wait_for("its second end", lambda: states_entered(two_workers, job["id"]).count("COMPLETED") == 2)
        assert files_on_disk(data_dir(two_workers), "logs", "ethereum/mainnet") == before
        assert_whole(module_database_url, "ethereum/mainnet", LAST_BLOCK)


@pytest.mark.parametrize(
    ("name", "wanted", "end_block"),
    [("at_number", "17686125", 17686125), ("at_latest", "latest", LAST_BLOCK), ("behind", "-10", LAST_BLOCK - 10)],
)
def test_a_job_goes_from_the_start_block_of_its_manifest_to_its_end_block(
    two_workers: Cluster, module_database_url: str, name: str, wanted: str, end_block: int
) -> None:
    register_dataset(two_workers, f"ranges/{name}", "mainnet", start_block=17686120)

    job_id = two_workers.deploy(f"ranges/{name}@1.0.0", "--end-block", wanted)

    assert two_workers.wait_for_status(job_id, "COMPLETED", "FAILED")["status"] == "COMPLETED"
    table = read_table(module_database_url, data_dir(two_workers), "blocks", f"ranges/{name}")
    assert sorted(table.column("_block_num").to_pylist()) == list(range(17686120, end_block + 1))
    assert two_workers.progress(job_id)["end_block"] == end_block


def test_an_end_block_before_the_start_fails_the_job_and_says_so(two_workers: Cluster) -> None:
    register_dataset(two_workers, "ranges/before", "mainnet", start_block=FIRST_BLOCK)
    job_id = two_workers.deploy("ranges/before@1.0.0", "--end-block", "-17686000")
    job = two_workers.wait_for_status(job_id, "FAILED", "COMPLETED")
    assert job["last_error"]["error_code"] == "RESOLVE_END_BLOCK"
    assert "--end-block" in job["last_error"]["error_message"]


class TestARunningJob:
    def test_is_answered_again_to_a_deploy_with_the_same_options(self, two_workers: Cluster, running: int) -> None:
        assert two_workers.deploy("ethereum/slow@1.0.0") == running
        assert two_workers.job(running)["status"] == "RUNNING"

    def test_conflicts_with_a_deploy_with_other_options(self, two_workers: Cluster, running: int) -> None:
        done = two_workers.ampctl("dataset", "deploy", "ethereum/slow@1.0.0", "--parallelism", "2")
        assert done.returncode == 1
        assert f"ampctl job stop {running}" in done.stderr
        url = f"{two_workers.admin_url}/datasets/ethereum/slow/versions/1.0.0/deploy"
        answer = httpx.post(url, json={"end_block": "latest"})
        assert answer.status_code == 409
        assert answer.json()["error_code"] == "ACTIVE_JOB_CONFLICT"
        assert two_workers.job(running)["status"] == "RUNNING"

    def test_cannot_be_removed(self, two_workers: Cluster, running: int) -> None:
        done = two_workers.ampctl("job", "rm", str(running))
        assert done.returncode == 1
        assert "stop it first" in done.stderr
        assert httpx.delete(f"{two_workers.admin_url}/jobs/{running}").status_code == 409
        assert two_workers.job(running)["status"] == "RUNNING"

    def test_stops_with_what_it_had_in_hand_and_goes_on_from_there(
        self, two_workers: Cluster, module_database_url: str, running: int
    ) -> None:
        assert two_workers.ampctl("job", "stop", str(running)).returncode == 0
        two_workers.wait_for_status(running, "STOPPED", timeout=15)
        assert states_entered(two_workers, running)[-3:] == ["STOP_REQUESTED", "STOPPING", "STOPPED"]
        first_part = registered_ranges(module_database_url, "blocks", "ethereum/slow")
        end = first_part[-1][1]
        assert_whole(module_database_url, "ethereum/slow", end)
        assert_disk_holds_what_counts(two_workers, module_database_url, "ethereum/slow")

        again = two_workers.deploy("ethereum/slow@1.0.0", "--end-block", str(end + 60))

        assert again == running
        two_workers.wait_for_status(running, "COMPLETED", "FAILED")
        assert_whole(module_database_url, "ethereum/slow", end + 60)
        assert registered_ranges(module_database_url, "blocks", "ethereum/slow")[: len(first_part)] == first_part
        numbers = read_table(module_database_url, data_dir(two_workers), "blocks", "ethereum/slow").column("_block_num")
        assert sorted(numbers.to_pylist()) == list(range(FIRST_BLOCK, end + 61))

    def test_stopping_what_has_ended_is_a_success_that_changes_nothing(
        self, two_workers: Cluster, running: int
    ) -> None:
        assert two_workers.ampctl("job", "stop", str(running)).returncode == 0
        two_workers.wait_for_status(running, "STOPPED", "COMPLETED")
        before = states_entered(two_workers, running)
        assert two_workers.ampctl("job", "stop", str(running)).returncode == 0
        assert states_entered(two_workers, running) == before


def test_ended_jobs_are_removed_one_by_one_and_all_at_once(two_workers: Cluster) -> None:
    for name in ("one", "other"):
        register_dataset(two_workers, f"gone/{name}", "mainnet", start_block=FIRST_BLOCK)
    one, other = (deploy(two_workers, f"gone/{name}", end_block="latest") for name in ("one", "other"))
    for job_id in (one, other):
        two_workers.wait_for_status(job_id, "COMPLETED")
    assert two_workers.ampctl("job", "rm", str(one)).returncode == 0
    assert httpx.get(f"{two_workers.admin_url}/jobs/{one}").status_code == 404
    assert two_workers.job(other)["status"] == "COMPLETED"
    assert two_workers.ampctl("job", "rm", str(one)).returncode == 0, "removing it again is a success too"

    pruned = two_workers.ampctl_json("job", "prune", "--status", "completed")
    assert pruned["deleted_count"] >= 1
    assert httpx.get(f"{two_workers.admin_url}/jobs/{other}").status_code == 404
    left = {job["status"] for job in two_workers.ampctl_json("job", "list", "--status", "all")["jobs"]}
    assert "COMPLETED" not in left


def test_files_of_a_removed_job_stay_and_the_next_deploy_goes_on_with_them(
    two_workers: Cluster, module_database_url: str
) -> None:
    register_dataset(two_workers, "kept/lake", "mainnet", start_block=FIRST_BLOCK)
    first = deploy(two_workers, "kept/lake", end_block=17686115)
    two_workers.wait_for_status(first, "COMPLETED")
    before = registered_files(module_database_url, data_dir(two_workers), "blocks", "kept/lake")
    assert two_workers.ampctl("job", "rm", str(first)).returncode == 0

    second = deploy(two_workers, "kept/lake", end_block="latest")

    two_workers.wait_for_status(second, "COMPLETED")
    assert second != first
    after = registered_files(module_database_url, data_dir(two_workers), "blocks", "kept/lake")
    assert after[: len(before)] == before
    assert_whole(module_database_url, "kept/lake", LAST_BLOCK)


def test_a_deploy_without_any_worker_waits_and_runs_when_one_starts(
    cluster: Cluster, database_url: str, recorded_node: str
) -> None:
    cluster.start_controller()
    register(cluster, recorded_node, network="mainnet", start_block=FIRST_BLOCK, name="ethereum/mainnet")
    job_id = cluster.deploy("ethereum/mainnet@1.0.0", "--end-block", "latest")
    job = cluster.job(job_id)
    assert (job["status"], job["waiting_for"], job["worker_id"]) == ("SCHEDULED", "worker", None)

    cluster.start_worker("late")

    job = cluster.wait_for_status(job_id, "COMPLETED", "FAILED")
    assert (job["status"], job["worker_id"], job["waiting_for"]) == ("COMPLETED", "late", None)
    assert read_table(database_url, data_dir(cluster), "logs").num_rows == ROWS["logs"]


def test_a_job_bound_to_a_worker_waits_for_that_worker(cluster: Cluster, recorded_node: str) -> None:
    cluster.start_controller()
    cluster.start_worker("other")
    register(cluster, recorded_node, network="mainnet", start_block=FIRST_BLOCK, name="ethereum/mainnet")
    job_id = cluster.deploy("ethereum/mainnet@1.0.0", "--end-block", "latest", "--worker-id", "eth-*")
    assert cluster.job(job_id)["waiting_for"] == "worker"
    cluster.start_worker("eth-1")
    assert cluster.wait_for_status(job_id, "COMPLETED", "FAILED")["worker_id"] == "eth-1"


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)], ids=["SIGTERM", "Ctrl+C"]
)
def test_a_worker_that_is_asked_to_end_drains_and_its_job_goes_on_elsewhere(
    cluster: Cluster, database_url: str, slow_node: str, number: signal.Signals
) -> None:
    cluster.start_controller()
    first = cluster.start_worker("first")
    register(cluster, slow_node, network="slow", start_block=FIRST_BLOCK, name="ethereum/slow")
    job_id = deploy(cluster, "ethereum/slow", end_block=FIRST_BLOCK + 199)
    wait_for_blocks(cluster, job_id, 1)
    cluster.start_worker("second")

    first.signal(number)

    assert first.wait(30) == 0
    job = cluster.wait_for_status(job_id, "COMPLETED", "FAILED")
    assert (job["status"], job["worker_id"], job["retry_count"]) == ("COMPLETED", "second", 0)
    assert states_entered(cluster, job_id) == ["SCHEDULED", "RUNNING", "SCHEDULED", "RUNNING", "COMPLETED"]
    assert_whole(database_url, "ethereum/slow", FIRST_BLOCK + 199)
    assert_disk_holds_what_counts(cluster, database_url, "ethereum/slow")
    workers = {worker["node_id"]: worker["live"] for worker in cluster.ampctl_json("worker", "list")["workers"]}
    assert workers == {"first": False, "second": True}
