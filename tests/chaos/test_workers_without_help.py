"""Workers whose controllers are gone, doubled, or whose names are taken twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from support.daemons import Cluster, Process, ampd, free_port, wait_for
from support.faults import (
    Proxy,
    assert_alive,
    kill,
    kill_sessions,
    slow_job,
    start_controller_at,
    stays,
    through,
)

pytestmark = pytest.mark.chaos

LEASE_SECONDS = 2.0
REFUSAL_SECONDS = 5.0
SETTINGS = f"""
[worker]
lease_secs = {LEASE_SECONDS}
heartbeat_interval_secs = 0.5
reconcile_interval_secs = 1
[writer]
max_range_blocks = 4
"""


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, database_url, SETTINGS)
    yield cluster
    cluster.end()


def launch_worker(cluster: Cluster, node_id: str, log: str, environment: dict[str, str] | None = None) -> Process:
    """Start a worker and do not wait for its registration."""
    arguments = ["--config", str(cluster.config), "worker", "--node-id", node_id]
    process = ampd(*arguments, log=cluster.directory / log, environment=environment)
    cluster.processes.append(process)
    return process


def assert_refused(process: Process, node_id: str) -> None:
    """The process ends soon, and says what to do."""
    wait_for(f"a second worker '{node_id}' to be refused", lambda: not alive(process), REFUSAL_SECONDS)
    assert process.wait() == 1, process.text()
    last = process.text().splitlines()[-1]
    assert last.startswith("Exiting with error: ")
    assert f"a worker with the node id '{node_id}' is already running" in last
    assert "--node-id" in last
    assert "worker.registered" not in process.text()
    assert "Traceback" not in process.text()


def incarnations(database_url: str, node_id: str) -> list[tuple[Any, Any]]:
    """Return which process the tables say has the name: as a worker, and as a heart that beats."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT w.incarnation, h.incarnation FROM workers w JOIN worker_heartbeats h USING (node_id)"
            " WHERE node_id = %s",
            (node_id,),
        ).fetchall()


def last_beat(database_url: str, node_id: str) -> Any:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT heartbeat_at FROM worker_heartbeats WHERE node_id = %s", (node_id,)).fetchone()
    return row and row[0]


def wait_for_beat(database_url: str, node_id: str) -> None:
    """Wait for one more beat."""
    seen = last_beat(database_url, node_id)
    wait_for(f"a beat of {node_id}", lambda: bool(last_beat(database_url, node_id) > seen))


def test_a_worker_places_and_runs_jobs_when_no_controller_lives(cluster: Cluster, database_url: str) -> None:
    controller = cluster.start_controller()
    with slow_job(cluster, database_url, "one") as one, slow_job(cluster, database_url, "other") as other:
        assert one.row()["state"] == other.row()["state"] == "SCHEDULED"
        kill(controller)
        worker = cluster.start_worker("alone")
        one.assert_exact()
        other.assert_exact()
        for job in (one, other):
            assert job.states() == ["SCHEDULED", "RUNNING", "COMPLETED"]
            assert job.runs() == ["alone"]
    assert_alive(worker)


def test_a_worker_rescues_the_job_of_a_dead_one_when_no_controller_lives(cluster: Cluster, database_url: str) -> None:
    controller = cluster.start_controller()
    victim = cluster.start_worker("victim")
    with slow_job(cluster, database_url, "orphaned", latency=0.2) as job:
        job.wait_for_commits()
        heir = cluster.start_worker("heir")
        kill(controller)
        before = job.lake.segments("blocks")
        kill(victim)
        died_at = last_beat(database_url, "victim")
        job.wait_for_worker("heir", 15)
        # A lease, at most a second until the next look, and the way to the worker.
        assert job.at("RUNNING") - died_at < timedelta(seconds=LEASE_SECONDS + 3)
        job.assert_exact()
        assert set(before) <= set(job.lake.segments("blocks"))
        assert job.states() == ["SCHEDULED", "RUNNING", "SCHEDULED", "RUNNING", "COMPLETED"]
    assert_alive(heir)


@pytest.mark.long
def test_two_controllers_run_jobs_once_agree_and_need_not_both_live(cluster: Cluster, database_url: str) -> None:
    first = cluster.start_controller()
    port = free_port()
    second = start_controller_at(cluster, port)
    workers = [cluster.start_worker("left"), cluster.start_worker("right")]
    other_url = f"http://127.0.0.1:{port}"

    def answers(path: str) -> list[Any]:
        return [httpx.get(f"{url}{path}").raise_for_status().json() for url in (cluster.admin_url, other_url)]

    def agree(path: str) -> bool:
        ours, theirs = answers(path)
        return bool(ours == theirs)

    with slow_job(cluster, database_url, "one") as one, slow_job(cluster, database_url, "other") as other:
        one.wait_for_commits()
        jobs = (one, other)
        for job in jobs:
            ours, theirs = answers(f"/jobs/{job.id}")
            unchanging = ("id", "status", "worker_id", "created_at", "end_block")
            assert [ours[key] for key in unchanging] == [theirs[key] for key in unchanging]
        kill(first)
        for job in jobs:
            job.assert_exact()
            assert job.states() == ["SCHEDULED", "RUNNING", "COMPLETED"]
        assert {job.runs()[0] for job in jobs} == {"left", "right"}, "the work was not shared"
        again = cluster.start_controller()
        for path in ("/jobs?status=all", "/workers", *(f"/jobs/{job.id}/events" for job in jobs)):
            wait_for(f"the same answers to {path}", partial(agree, path))
    assert_alive(second, again, *workers)


def test_the_second_worker_of_a_name_is_refused_and_the_first_goes_on(cluster: Cluster, database_url: str) -> None:
    cluster.start_controller()
    first = cluster.start_worker("twin")
    with slow_job(cluster, database_url, "kept", end_block=None, length=4000) as job:
        job.wait_for_commits()
        before = incarnations(database_url, "twin")
        second = launch_worker(cluster, "twin", "second.log")
        assert_refused(second, "twin")
        assert incarnations(database_url, "twin") == before
        job.wait_for_commits(1)

        kill(first)
        third = launch_worker(cluster, "twin", "third.log")
        third.wait_for_text("worker.registered", REFUSAL_SECONDS)
        wait_for("its second run", lambda: len(job.runs()) == 2)
        job.wait_for_commits(1)
        assert job.runs() == ["twin", "twin"]
    assert_alive(third)


def test_of_workers_of_one_name_that_start_together_one_lives(cluster: Cluster, database_url: str) -> None:
    cluster.start_controller()
    for attempt in range(3):
        started = [launch_worker(cluster, "twin", f"{attempt}-{number}.log") for number in range(3)]
        wait_for("all but one to end", partial(one_is_left, started))
        survivor = next(one for one in started if alive(one))
        survivor.wait_for_text("worker.registered")
        for ended in started:
            if ended is not survivor:
                assert ended.wait() == 1
                assert "the node id 'twin'" in ended.text().splitlines()[-1]
                assert "Traceback" not in ended.text()
        wait_for_beat(database_url, "twin")
        kill(survivor)
        # The next ones find a fresh name, then a dead process's, then a stale one.
        if attempt == 1:
            wait_for("its lease to end", lambda: is_stale(database_url, "twin"))


def one_is_left(processes: list[Process]) -> bool:
    return sum(alive(process) for process in processes) == 1


def alive(process: Process) -> bool:
    return process.popen.poll() is None


def is_stale(database_url: str, node_id: str) -> bool:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT heartbeat_at < now() - make_interval(secs => %s) FROM worker_heartbeats WHERE node_id = %s",
            (LEASE_SECONDS, node_id),
        ).fetchone()
    return bool(row and row[0])


def test_a_worker_keeps_its_name_after_its_session_was_ended(cluster: Cluster, database_url: str) -> None:
    first = cluster.start_worker("twin")
    with psycopg.connect(database_url, autocommit=True) as operator:
        assert kill_sessions(operator, "ampd heartbeat %") == 1
    first.wait_for_text("heartbeat.lost")
    wait_for_beat(database_url, "twin")
    assert_refused(launch_worker(cluster, "twin", "second.log"), "twin")
    assert_alive(first)


def test_a_worker_keeps_its_name_when_the_server_notices_the_end_of_its_session_late(
    cluster: Cluster, database_url: str
) -> None:
    """The line breaks on the worker's side alone: for a while the old session holds the lock on the name."""
    with Proxy(database_url) as proxy:
        first = cluster.start_worker("twin", environment=through(proxy))
        proxy.hang_up_on_clients()
        first.wait_for_text("heartbeat.lost")
        wait_for_beat(database_url, "twin")
        proxy.close_links()
        wait_for_beat(database_url, "twin")

        second = launch_worker(cluster, "twin", "second.log")
        assert_refused(second, "twin")
        stays("the first worker lives", lambda: alive(first), 2.0)
        assert_alive(first)
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
