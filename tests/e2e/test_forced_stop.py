"""A stop that a real worker does not heed in time is forced, and the worker lets go of the job when it wakes up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.chain import FIRST_BLOCK
from support.daemons import Cluster, wait_for
from support.faults import assert_alive, slow_job
from support.promises import ampctl_json, cluster_in, events, start_workers, stop, stop_and_wait

# A frozen worker is not dead yet when its stop is overdue.
SETTINGS = """
[worker]
lease_secs = 60
stop_timeout_secs = 1
slots = 1
[writer]
max_range_blocks = 4
"""


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    with cluster_in(tmp_path, database_url, SETTINGS) as made:
        made.start_controller()
        yield made


def test_a_frozen_worker_does_not_hold_up_a_stop_and_works_again_when_it_wakes(
    cluster: Cluster, database_url: str
) -> None:
    (worker,) = start_workers(cluster, "w")
    with slow_job(cluster, database_url, "frozen", end_block=None, length=4000) as job:
        job.wait_for_commits(1)
        worker.signal(signal.SIGSTOP)
        try:
            assert stop(cluster, job.id).json()["status"] == "STOP_REQUESTED"
            job.wait_for_state("STOPPED")
            assert ampctl_json(cluster, "worker", "inspect", "w")["live"] is True
        finally:
            worker.signal(signal.SIGCONT)
        last = events(cluster, job.id)[-1]
        assert (last["event_type"], last["actor"], last["node_id"]) == ("STOPPED", "controller", "w")
        assert last["detail"] == {"forced": True, "worker": "w"}
        worker.wait_for_text("job.lease_lost")
        committed = job.lake.segments("blocks")

        # Its one slot is free again, and what it had in hand when it was cut off does not count.
        assert ampctl_json(cluster, "dataset", "deploy", "chaos/frozen@1.0.0") == {"job_id": job.id}
        job.wait_for_worker("w", 30)
        job.wait_for_commits(1)
        stop_and_wait(cluster, job.id)
        assert job.states()[-2:] == ["STOPPING", "STOPPED"]
        segments = job.lake.segments("blocks")
        assert set(committed) < set(segments)
        job.lake.assert_whole(FIRST_BLOCK, segments[-1][1])
    wait_for("it to be idle", lambda: ampctl_json(cluster, "worker", "inspect", "w")["running_jobs"] == 0)
    assert_alive(worker)
