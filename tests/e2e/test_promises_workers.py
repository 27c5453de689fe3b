"""What the wanted document on worker management promises, sentence by sentence (tests/promises.toml has them)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import psutil
import pytest

from ampd.daemons.build_info import build_info
from support.daemons import Cluster, Process, start_interpreter, wait_for
from support.deploy import register_provider
from support.faults import Proxy, kill, through
from support.forked import run_daemon
from support.nodes import LAST_BLOCK
from support.promises import (
    ampctl,
    ampctl_json,
    cluster_in,
    deploy_new,
    execute,
    launch_worker,
    rows,
    start_workers,
)
from support.shell import TIMESTAMP

SETTINGS = "[worker]\nlease_secs = 3\n"
VALID = ("worker-01", "indexer-node-1", "eu_west_1a_worker", "worker.production.01")
INVALID = {"1-worker": "must start with a letter", "worker@01": "'@'", "worker#01": "'#'"}


@dataclass(frozen=True)
class Fleet:
    """A cluster, and its workers by node id."""

    cluster: Cluster
    workers: dict[str, Process]

    def worker(self, node_id: str) -> Any:
        return httpx.get(f"{self.cluster.admin_url}/workers/{node_id}").json()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, module_database_url: str, recorded_node: str) -> Iterator[Fleet]:
    """Workers under the names that the document calls valid."""
    with cluster_in(tmp_path_factory.mktemp("cluster"), module_database_url, SETTINGS) as cluster:
        workers = dict(zip(VALID, start_workers(cluster, *VALID), strict=True))
        cluster.start_controller()
        register_provider(cluster, "mainnet", "mainnet", recorded_node)
        yield Fleet(cluster, workers)


def last_beat(database_url: str, node_id: str) -> datetime:
    query = "SELECT heartbeat_at FROM worker_heartbeats WHERE node_id = %s"
    found: datetime = rows(database_url, query, node_id)[0]["heartbeat_at"]
    return found


def next_beat(database_url: str, node_id: str, seen: datetime) -> datetime:
    return wait_for("a beat", lambda: (found := last_beat(database_url, node_id)) > seen and found)


def test_a_worker_is_a_process_running_ampd_worker_that_executes_extraction_jobs(
    fleet: Fleet, module_database_url: str
) -> None:
    log = fleet.cluster.directory / "worker-as-typed.log"
    command = ("--config", str(fleet.cluster.config), "worker", "--node-id", "worker-as-typed")
    worker = Process(command, log=log, start=start_interpreter)
    try:
        worker.wait_for_text("worker.registered")
        assert psutil.Process(worker.popen.pid).cmdline()[-3:] == list(command[-3:])
        job_id = deploy_new(
            fleet.cluster, "fleet/work", start=LAST_BLOCK, end_block="latest", worker_id="worker-as-typed"
        )
        job = fleet.cluster.wait_for_status(job_id, "COMPLETED", "FAILED")
    finally:
        assert worker.end() == 0
    assert (job["status"], job["kind"], job["worker_id"]) == ("COMPLETED", "extraction", "worker-as-typed")
    assert '"segment.committed"' in worker.text()


@pytest.mark.parametrize("node_id", VALID)
def test_a_worker_with_a_valid_node_id_is_registered_under_it(fleet: Fleet, node_id: str) -> None:
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_\-\.]*", node_id)
    assert fleet.worker(node_id)["node_id"] == node_id


@pytest.mark.parametrize("node_id", INVALID)
def test_a_worker_with_an_invalid_node_id_does_not_start_and_is_told_why(
    fleet: Fleet, module_database_url: str, node_id: str
) -> None:
    done = run_daemon("--config", str(fleet.cluster.config), "worker", "--node-id", node_id)
    assert done.returncode == 1
    assert INVALID[node_id] in done.stderr
    assert rows(module_database_url, "SELECT FROM workers WHERE node_id = %s", node_id) == []


def test_workers_send_a_heartbeat_to_the_metadata_database_every_second(fleet: Fleet, module_database_url: str) -> None:
    """Beat after beat, a second apart by the database's clock; a busy machine may be late now and then."""
    beats = [last_beat(module_database_url, "eu_west_1a_worker")]
    on_time = 0

    def another_on_time() -> bool:
        nonlocal on_time
        beats.append(next_beat(module_database_url, "eu_west_1a_worker", beats[-1]))
        on_time += 0.8 < (beats[-1] - beats[-2]).total_seconds() < 1.2
        return on_time == 3

    wait_for("three pairs of beats that are a second apart", another_on_time, 60)


def test_worker_info_is_build_metadata_including_version_commit_sha_and_build_date(fleet: Fleet) -> None:
    info = fleet.worker("worker-01")["info"]
    assert set(info) == {"version", "commit_sha", "commit_timestamp", "build_date"}
    assert info["version"] == build_info()["version"]
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", info["commit_sha"])
    assert re.fullmatch(rf"{TIMESTAMP}|unknown", info["build_date"])


def test_workers_register_with_the_metadata_database_and_maintain_liveness_through_periodic_heartbeats(
    fleet: Fleet, module_database_url: str
) -> None:
    registered = rows(
        module_database_url, "SELECT node_id FROM workers JOIN worker_heartbeats USING (node_id, incarnation)"
    )
    assert {row["node_id"] for row in registered} >= set(VALID)
    first = beat = last_beat(module_database_url, "worker-01")
    while (beat - first).total_seconds() < 3.5:  # longer than a lease
        beat = next_beat(module_database_url, "worker-01", beat)
        wait_for("it to be live", lambda: fleet.worker("worker-01")["live"])


def test_operators_list_all_registered_workers_inspect_details_with_version_and_monitor_heartbeat_timestamps(
    fleet: Fleet,
) -> None:
    lines = ampctl(fleet.cluster, "worker", "list").splitlines()
    assert {line.split()[0] for line in lines} >= set(VALID)
    assert all(re.fullmatch(rf"\S+ \(last heartbeat: {TIMESTAMP}\)", line) for line in lines)
    inspected = ampctl_json(fleet.cluster, "worker", "inspect", "worker-01")
    assert inspected["info"]["version"].startswith("v")
    assert all(re.fullmatch(TIMESTAMP, inspected[key]) for key in ("created_at", "registered_at", "heartbeat_at"))


def test_worker_inspect_requires_the_node_id_which_is_the_unique_identifier_of_the_worker_node(fleet: Fleet) -> None:
    assert "NODE-ID" in ampctl(fleet.cluster, "worker", "inspect", code=2).upper().replace("_", "-")
    for node_id in VALID:
        assert ampctl_json(fleet.cluster, "worker", "inspect", node_id)["node_id"] == node_id
    assert "worker 'nobody' not found" in ampctl(fleet.cluster, "worker", "inspect", "nobody", code=1)


@pytest.mark.parametrize("command", ["list", "ls", "inspect", "get", "drain", "undrain"])
def test_all_worker_commands_support_json_output_for_scripting(fleet: Fleet, command: str) -> None:
    lists = command in {"list", "ls"}
    text = ampctl(fleet.cluster, "worker", command, *([] if lists else ["worker.production.01"]), "--json")
    assert text.count("\n") == 1
    answer = json.loads(text)
    listed = answer["workers"] if lists else [answer]
    assert "worker.production.01" in {worker["node_id"] for worker in listed}


def assert_stale(fleet: Fleet, database_url: str, node_id: str) -> None:
    """The worker's heartbeat gets older than a lease, and the worker is no longer live; the others are."""
    wait_for(f"{node_id} to be gone", lambda: not fleet.worker(node_id)["live"])
    stale = "SELECT FROM worker_heartbeats WHERE node_id = %s AND heartbeat_at < now() - interval '3 seconds'"
    assert rows(database_url, stale, node_id)
    wait_for("another one to be live", lambda: fleet.worker("worker-01")["live"])


def test_a_stale_heartbeat_indicates_that_the_worker_has_lost_connectivity(
    fleet: Fleet, module_database_url: str
) -> None:
    with Proxy(module_database_url) as proxy:
        worker = launch_worker(fleet.cluster, "cut-off", through(proxy))
        worker.wait_for_text("worker.registered")
        wait_for("it to be live", lambda: fleet.worker("cut-off")["live"])
        proxy.freeze()
        assert_stale(fleet, module_database_url, "cut-off")
        proxy.thaw()
        wait_for("it to be live again", lambda: fleet.worker("cut-off")["live"])
        assert worker.end() == 0


@pytest.fixture(scope="module")
def crashed(fleet: Fleet) -> str:
    """The node id of a worker that has crashed."""
    kill(fleet.workers["indexer-node-1"])
    return "indexer-node-1"


def test_a_stale_heartbeat_indicates_that_the_worker_has_crashed(
    fleet: Fleet, crashed: str, module_database_url: str
) -> None:
    assert_stale(fleet, module_database_url, crashed)


def test_a_heartbeat_reaches_ampctl_over_the_metadata_db_and_the_admin_api(
    fleet: Fleet, crashed: str, module_database_url: str
) -> None:
    change = "UPDATE worker_heartbeats SET heartbeat_at = '2025-01-15T17:20:15.9Z' WHERE node_id = %s"
    assert execute(module_database_url, change, crashed) == 1
    assert fleet.worker(crashed)["heartbeat_at"] == "2025-01-15T17:20:15Z"
    assert f"{crashed} (last heartbeat: 2025-01-15T17:20:15Z)" in ampctl(fleet.cluster, "worker", "list").splitlines()
