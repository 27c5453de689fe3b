"""Workers that an operator drains, with real daemons and a lake: work moves on, and nothing is lost or doubled."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemons import Cluster, wait_for
from support.faults import Job, assert_alive, slow_job
from support.promises import ampctl_json, cluster_in, start_workers

# Ranges of four blocks: many commits, so that a job moves between them.
SETTINGS = """
[worker]
lease_secs = 3
heartbeat_interval_secs = 0.5
[writer]
max_range_blocks = 4
"""


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    with cluster_in(tmp_path, database_url, SETTINGS) as made:
        made.start_controller()
        yield made


def drain(cluster: Cluster, node_id: str) -> Any:
    return ampctl_json(cluster, "worker", "drain", node_id)


def undrain(cluster: Cluster, node_id: str) -> Any:
    return ampctl_json(cluster, "worker", "undrain", node_id)


def worker(cluster: Cluster, node_id: str) -> Any:
    return ampctl_json(cluster, "worker", "inspect", node_id)


def wait_until_idle(cluster: Cluster, node_id: str) -> None:
    wait_for(f"{node_id} to be idle", lambda: worker(cluster, node_id)["running_jobs"] == 0)


def wait_until_waiting_for(cluster: Cluster, job: Job, reason: str) -> None:
    wait_for(f"job {job.id} to wait for a {reason}", lambda: cluster.job(job.id)["waiting_for"] == reason)


def test_a_job_moves_from_drained_worker_to_worker_and_its_lake_is_exact(cluster: Cluster, database_url: str) -> None:
    """Drained in the middle of its blocks, again and again: from left to right, back, and to the right once more."""
    left, right = start_workers(cluster, "left", "right")
    with slow_job(cluster, database_url, "moving", latency=0.2) as job:
        wait_for("its start", lambda: job.row()["state"] == "RUNNING")
        here = job.row()["worker_id"]
        there = "right" if here == "left" else "left"
        for old, new in ((here, there), (there, here), (here, there)):
            job.wait_for_commits(1)
            before = job.lake.segments("blocks")
            undrain(cluster, new)
            told = drain(cluster, old)
            assert (told["node_id"], told["draining"], told["live"]) == (old, True, True)
            job.wait_for_worker(new, 30)
            assert set(before) <= set(job.lake.segments("blocks"))
            wait_until_idle(cluster, old)
            assert (worker(cluster, old)["live"], worker(cluster, old)["draining"]) == (True, True)
        job.assert_exact()
        assert job.states() == ["SCHEDULED", *["RUNNING", "SCHEDULED"] * 3, "RUNNING", "COMPLETED"]
        assert job.runs() == [here, there, here, there]
    assert cluster.job(job.id)["retry_count"] == 0
    assert_alive(left, right)
    logs = left.text() + right.text()
    assert "job.lease_lost" not in logs


@pytest.mark.long
def test_a_worker_stays_drained_however_its_process_ends_until_it_is_undrained(
    cluster: Cluster, database_url: str
) -> None:
    (only,) = start_workers(cluster, "only")
    with slow_job(cluster, database_url, "waiting", latency=0.2) as job:
        job.wait_for_commits(1)
        drain(cluster, "only")
        wait_until_waiting_for(cluster, job, "worker")
        committed = job.lake.segments("blocks")
        for number in (signal.SIGTERM, signal.SIGKILL):
            only.signal(number)
            only.wait()
            (only,) = start_workers(cluster, "only")
            only.wait_for_text("worker.drained_by_operator")
            assert (worker(cluster, "only")["live"], worker(cluster, "only")["draining"]) == (True, True)
        assert cluster.job(job.id)["waiting_for"] == "worker"
        undrain(cluster, "only")
        job.assert_exact()
        assert set(committed) <= set(job.lake.segments("blocks"))
        assert job.states() == ["SCHEDULED", "RUNNING", "SCHEDULED", "RUNNING", "COMPLETED"]
        assert job.runs() == ["only", "only"]
    assert_alive(only)
