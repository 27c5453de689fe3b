"""Three workers share one dataset while one of them is killed again and again: the lake ends as if one had worked in
peace.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ampd.client import Ampd
from support.chain import (
    FIRST_BLOCK,
    Lake,
    ProgressWatch,
    current_block,
    lake_of,
    register,
    replay_node,
    wait_for_completion,
)
from support.daemons import Cluster, wait_for
from support.faults import kill
from support.promises import launch_worker

pytestmark = pytest.mark.chaos

LENGTH = 200
LAST_BLOCK = FIRST_BLOCK + LENGTH - 1
# Short leases, and ranges of a few blocks: there is much to share, and much to lose.
SETTINGS = """
[worker]
lease_secs = 2.0
heartbeat_interval_secs = 0.5
slots = 2
[writer]
target_range_secs = 0.4
"""
WORKERS = ("one", "two", "three")


@contextmanager
def extraction(
    cluster: Cluster, database_url: str, name: str, *, latency: str, parallelism: int, **settings: int
) -> Iterator[tuple[int, Lake]]:
    """Deploy a dataset of LENGTH blocks, with a node of its own."""
    with replay_node(cluster.directory, "--length", str(LENGTH), "--latency", latency) as (url, _):
        reference = register(cluster.admin_url, url, dataset=f"shared/{name}", network=name, start_block=FIRST_BLOCK)
        with Ampd(cluster.admin_url) as client:
            job_id = client.datasets.deploy(reference, end_block=LAST_BLOCK, parallelism=parallelism)
        yield job_id, lake_of(cluster, database_url, f"shared/{name}")


def committed_by(cluster: Cluster, worker: str, job_id: int) -> int:
    """Return how many segments of a job the processes of a worker say they have committed."""
    lines = [line for log in cluster.directory.glob(f"{worker}-*.log") for line in log.read_text().splitlines()]
    return sum("segment.committed" in line and json.loads(line)["job_id"] == job_id for line in lines)


def holder_of(database_url: str, job_id: int) -> str | None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT worker_id FROM jobs WHERE id = %s AND state = 'RUNNING'", (job_id,)).fetchone()
    return row and row[0]


def blocks_of(database_url: str, job_id: int) -> int:
    """Return how many blocks the tables of a job have together."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT sum(end_block - start_block + 1) FROM block_runs b JOIN table_revisions r ON r.id = b.revision_id"
            " WHERE r.writer_job_id = %s",
            (job_id,),
        ).fetchone()
    return int(row[0] or 0) if row else 0


def in_hand(database_url: str, job_id: int) -> dict[str, int]:
    """Return how many ranges of a job each worker has."""
    with psycopg.connect(database_url) as connection:
        return dict(
            connection.execute(
                "SELECT worker_id, count(*) FROM block_range_leases WHERE job_id = %s AND incarnation IS NOT NULL"
                " GROUP BY 1",
                (job_id,),
            ).fetchall()
        )


def test_one_dataset_is_extracted_by_three_workers_of_which_one_dies_again_and_again(
    cluster: Cluster, module_database_url: str
) -> None:
    workers = {name: cluster.start_worker(name) for name in WORKERS}
    with extraction(cluster, module_database_url, "calm", latency="0", parallelism=1) as (job_id, calm):
        wait_for_completion(cluster, job_id)
        calm.assert_whole(FIRST_BLOCK, LAST_BLOCK)

    with (
        extraction(
            cluster, module_database_url, "stormy", latency="0.2", parallelism=5, concurrent_request_limit=2
        ) as (job_id, lake),
        ProgressWatch(cluster.admin_url, job_id) as watch,
    ):
        wait_for("three workers at one job", lambda: len(in_hand(module_database_url, job_id)) == 3)
        assert sum(in_hand(module_database_url, job_id).values()) <= 2 * 5
        for wants_holder in (False, True, False):
            victim = wait_for(
                "somebody to kill", lambda is_it=wants_holder: _victim(module_database_url, job_id, is_it)
            )
            kill(workers[victim])
            workers[victim] = launch_worker(cluster, victim)
        wait_for_completion(cluster, job_id, timeout=120)
        assert current_block(cluster, job_id) == LAST_BLOCK
    watch.assert_never_went_back()
    lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)
    lake.assert_equals(calm.tables())
    shares = {name: committed_by(cluster, name, job_id) for name in WORKERS}
    assert all(shares.values()), f"somebody has done nothing: {shares}"
    assert in_hand(module_database_url, job_id) == {}


def _victim(database_url: str, job_id: int, wants_holder: bool) -> str | None:
    """Return a worker that has a range, and has the job itself or not."""
    holder = holder_of(database_url, job_id)
    fitting = [name for name in in_hand(database_url, job_id) if (name == holder) == wants_holder]
    return fitting[0] if holder and fitting else None


def test_a_stop_lets_all_workers_commit_what_they_have_and_the_next_deploy_goes_on(
    cluster: Cluster, module_database_url: str
) -> None:
    with extraction(
        cluster, module_database_url, "halted", latency="0.3", parallelism=5, concurrent_request_limit=2
    ) as (job_id, lake):
        wait_for(
            "several workers at one job, and some blocks",
            lambda: len(in_hand(module_database_url, job_id)) >= 2 and blocks_of(module_database_url, job_id),
        )
        with Ampd(cluster.admin_url) as client:
            client.jobs.stop(job_id)
        cluster.wait_for_status(job_id, "STOPPED")
        assert in_hand(module_database_url, job_id) == {}
        assert lake.orphans() == set()
        stopped_at = lake.table("blocks").num_rows
        assert 0 < stopped_at < LENGTH
        with Ampd(cluster.admin_url) as client:
            assert client.datasets.deploy("shared/halted@1.0.0", end_block=LAST_BLOCK, parallelism=5) == job_id
        wait_for_completion(cluster, job_id, timeout=120)
    lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)


def test_slots_of_a_worker_are_not_lent_out_twice(cluster: Cluster, module_database_url: str) -> None:
    """Three workers have two slots each: one holds the job, five help."""
    with extraction(
        cluster, module_database_url, "many", latency="0.15", parallelism=60, concurrent_request_limit=2
    ) as (job_id, _):
        wait_for("all slots at one job", lambda: _reading(module_database_url, job_id) == 6)
        with Ampd(cluster.admin_url) as client:
            client.jobs.stop(job_id)
        cluster.wait_for_status(job_id, "STOPPED")
    assert in_hand(module_database_url, job_id) == {}


def _reading(database_url: str, job_id: int) -> int:
    with psycopg.connect(database_url) as connection:
        query = "SELECT worker_id, count(*) FROM block_range_leases WHERE job_id = %s AND state = 'READING' GROUP BY 1"
        found = connection.execute(query, (job_id,)).fetchall()
    assert all(count <= 2 for _, count in found), found
    return sum(count for _, count in found)
