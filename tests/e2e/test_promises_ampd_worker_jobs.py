"""What the wanted document on ``ampd worker`` promises of job assignment, fault tolerance and scaling
(tests/promises.toml has the sentences).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from support.daemons import Cluster, Process, wait_for
from support.deploy import register_provider
from support.faults import kill
from support.nodes import FIRST_BLOCK, LAST_BLOCK
from support.promises import (
    cluster_in,
    commit_waits,
    commits_held_up,
    counting_node,
    deploy_new,
    events,
    execute,
    follow_the_tip,
    launch_worker,
    rows,
    start_workers,
    states,
    stop_and_wait,
    wait_for_block,
)

# No lease ends because the machine is busy: a worker is dead when a test says so.
SETTINGS = "poll_interval_secs = 0.2\n[writer]\nmax_range_blocks = 4\n[worker]\nlease_secs = 3600\n"
ONE_SLOT = {"AMP_CONFIG_WORKER__SLOTS": "1"}


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, recorded_node: str
) -> Iterator[Cluster]:
    """A controller. Tests bind their jobs to the workers that they mean."""
    with cluster_in(tmp_path_factory.mktemp("cluster"), module_database_url, SETTINGS) as cluster:
        cluster.start_controller()
        register_provider(cluster, "mainnet", "mainnet", recorded_node)
        yield cluster


@pytest.fixture(scope="module")
def pair(cluster: Cluster) -> dict[str, Process]:
    """Two workers, pair-1 and pair-2."""
    names = ("pair-1", "pair-2")
    return dict(zip(names, start_workers(cluster, *names), strict=True))


@pytest.fixture(scope="module")
def narrow(cluster: Cluster) -> Process:
    """The worker narrow-1, which has one slot."""
    worker = launch_worker(cluster, "narrow-1", ONE_SLOT)
    worker.wait_for_text("worker.registered")
    return worker


def worker_running(cluster: Cluster, job_id: int) -> str:
    """Wait until the job runs, and return where."""
    return str(cluster.wait_for_status(job_id, "RUNNING")["worker_id"])


def waiting_for(cluster: Cluster, job_id: int) -> Any:
    job = cluster.job(job_id)
    assert job["status"] == "SCHEDULED"
    return job["waiting_for"]


class TestScaling:
    def test_a_single_worker_processes_blocks_sequentially(
        self, cluster: Cluster, pair: dict[str, Process], module_database_url: str
    ) -> None:
        job_id = deploy_new(cluster, "scale/single", end_block="latest", worker_id="pair-1")
        cluster.wait_for_status(job_id, "COMPLETED")
        query = (
            "SELECT f.start_block, f.end_block FROM files f JOIN table_revisions r ON r.id = f.revision_id"
            " WHERE r.writer_job_id = %s AND r.path LIKE '%%/blocks/%%' ORDER BY f.id"
        )
        segments = [(row["start_block"], row["end_block"]) for row in rows(module_database_url, query, job_id)]
        assert (segments[0][0], segments[-1][1]) == (FIRST_BLOCK, LAST_BLOCK)
        assert all(after[0] == before[1] + 1 for before, after in pairwise(segments))

    def test_multiple_workers_process_jobs_in_parallel_and_are_added_and_removed_dynamically(
        self, cluster: Cluster, narrow: Process
    ) -> None:
        """What one worker with one slot cannot do at once, two can; what a removed one ran goes on at the next."""
        one = follow_the_tip(cluster, "scale/one", worker_id="narrow-*")
        other = deploy_new(cluster, "scale/other", worker_id="narrow-*")
        assert waiting_for(cluster, other) == "slot"

        added = launch_worker(cluster, "narrow-2", ONE_SLOT)
        assert worker_running(cluster, other) == "narrow-2"
        wait_for_block(cluster, other, LAST_BLOCK)
        assert worker_running(cluster, one) == "narrow-1"

        stop_and_wait(cluster, one)
        third = follow_the_tip(cluster, "scale/third", worker_id="narrow-*")
        assert added.end() == 0
        wait_for("it to wait", lambda: cluster.job(other)["status"] == "SCHEDULED")
        assert waiting_for(cluster, other) == "slot"
        stop_and_wait(cluster, third)
        assert worker_running(cluster, other) == "narrow-1"
        stop_and_wait(cluster, other)


class TestTheControllerAssignsJobsBasedOn:
    def test_current_workload(self, cluster: Cluster, pair: dict[str, Process]) -> None:
        jobs = [follow_the_tip(cluster, f"load/job_{number}", worker_id="pair-*") for number in range(2)]
        assert {worker_running(cluster, job_id) for job_id in jobs} == set(pair)
        # The one that has less to do gets the next one.
        stop_and_wait(cluster, jobs[1])
        idle = set(pair) - {worker_running(cluster, jobs[0])}
        following = follow_the_tip(cluster, "load/next", worker_id="pair-*")
        assert {worker_running(cluster, following)} == idle
        for job_id in (jobs[0], following):
            stop_and_wait(cluster, job_id)

    def test_job_priority(self, cluster: Cluster, narrow: Process) -> None:
        first = follow_the_tip(cluster, "prior/first", worker_id="narrow-1")
        jobs = {
            priority: deploy_new(cluster, f"prior/job_{priority}", worker_id="narrow-1", priority=priority)
            for priority in (1, 3, 2)
        }
        assert {waiting_for(cluster, job_id) for job_id in jobs.values()} == {"slot"}
        stop_and_wait(cluster, first)
        for priority, lower in ((3, {1, 2}), (2, {1}), (1, set[int]())):
            assert worker_running(cluster, jobs[priority]) == "narrow-1"
            assert {waiting_for(cluster, jobs[waiting]) for waiting in lower} <= {"slot"}
            stop_and_wait(cluster, jobs[priority])

    def test_job_dependencies(self, cluster: Cluster, pair: dict[str, Process]) -> None:
        with counting_node(head=LAST_BLOCK - 1) as (node, url):
            register_provider(cluster, "upstream", "upstream", url)
            upstream = deploy_new(
                cluster,
                "after/first",
                network="upstream",
                start=LAST_BLOCK - 1,
                end_block=LAST_BLOCK,
                worker_id="pair-1",
            )
            options = {"start": LAST_BLOCK, "end_block": "latest", "worker_id": "pair-2"}
            by_id = deploy_new(cluster, "after/second", depends_on=[upstream], **options)
            by_name = deploy_new(cluster, "after/third", depends_on=["after/second@1.0.0"], **options)
            wait_for_block(cluster, upstream, LAST_BLOCK - 1)
            assert {waiting_for(cluster, job_id) for job_id in (by_id, by_name)} == {"dependency"}
            node.grow(LAST_BLOCK)
            jobs = (upstream, by_id, by_name)
            for job_id in jobs:
                cluster.wait_for_status(job_id, "COMPLETED")
        histories = [events(cluster, job_id) for job_id in jobs]
        assert [[event["event_type"] for event in history] for history in histories] == [
            ["SCHEDULED", "RUNNING", "COMPLETED"]
        ] * 3
        for before, after in pairwise(histories):
            assert before[-1]["id"] < after[1]["id"], "it began before the one that it depends on had completed"

    def test_worker_availability_by_heartbeat_status(
        self, cluster: Cluster, pair: dict[str, Process], module_database_url: str
    ) -> None:
        kill(pair["pair-1"])
        long_ago = "UPDATE worker_heartbeats SET heartbeat_at = now() - interval '2 hours' WHERE node_id = 'pair-1'"
        assert execute(module_database_url, long_ago) == 1
        jobs = [follow_the_tip(cluster, f"heard/job_{number}", worker_id="pair-*") for number in range(3)]
        assert {worker_running(cluster, job_id) for job_id in jobs} == {"pair-2"}
        bound = deploy_new(cluster, "heard/bound", worker_id="pair-1")
        assert waiting_for(cluster, bound) == "worker"
        for job_id in (*jobs, bound):
            stop_and_wait(cluster, job_id)


class TestFaultTolerance:
    def test_jobs_resume_from_checkpoints_on_worker_restart(self, cluster: Cluster) -> None:
        """After Ctrl+C and after a crash no block is asked for again that counts already."""
        with counting_node(head=FIRST_BLOCK + 3) as (node, url):
            register_provider(cluster, "resumed", "resumed", url)
            worker = launch_worker(cluster, "resumed")
            job_id = deploy_new(
                cluster, "worker/resumed", network="resumed", end_block=FIRST_BLOCK + 11, worker_id="resumed"
            )
            for number, checkpoint in ((signal.SIGINT, FIRST_BLOCK + 3), (signal.SIGKILL, FIRST_BLOCK + 7)):
                wait_for_block(cluster, job_id, checkpoint)
                worker.signal(number)
                worker.wait()
                node.grow(checkpoint + 4)
                worker = launch_worker(cluster, "resumed")
            cluster.wait_for_status(job_id, "COMPLETED")
            assert sorted(node.asked) == list(range(FIRST_BLOCK, FIRST_BLOCK + 12))
        assert states(cluster, job_id) == ["SCHEDULED", "RUNNING"] * 3 + ["COMPLETED"]
        assert worker.end() == 0

    def test_ctrl_c_allows_in_progress_jobs_to_complete(self, cluster: Cluster, module_database_url: str) -> None:
        """The last blocks of a job are being committed when Ctrl+C comes: the job completes, then the worker ends."""
        worker = launch_worker(cluster, "graceful")
        worker.wait_for_text("worker.registered")
        with commits_held_up(module_database_url):
            job_id = deploy_new(
                cluster, "worker/graceful", start=LAST_BLOCK, end_block=LAST_BLOCK, worker_id="graceful"
            )
            wait_for("its commit", lambda: commit_waits(module_database_url))
            worker.signal(signal.SIGINT)
            worker.wait_for_text("worker.draining")
        assert worker.wait() == 0
        wait_for_block(cluster, job_id, LAST_BLOCK)
        assert states(cluster, job_id) == ["SCHEDULED", "RUNNING", "COMPLETED"]
