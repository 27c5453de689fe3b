"""Ten thousand blocks under kills and a restart of the database, and blocks of ten thousand logs: exact, and modest."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from ampd.client import Ampd
from ampd.metadata_db import migrate
from support.chain import (
    FIRST_BLOCK,
    ProgressWatch,
    current_block,
    lake_of,
    register,
    repeated_blocks,
    replay_node,
)
from support.daemons import Cluster, Process, wait_for
from support.databases import fresh_database
from support.faults import Server, kill
from support.made_blocks import LARGE_LOGS, write_large_blocks, write_small_blocks
from support.memory import Peaks
from support.promises import launch_worker, start_workers

pytestmark = [pytest.mark.chaos, pytest.mark.long]

WORKERS = ("one", "two", "three")
LENGTH = 10_000
KILL_SECONDS = 3.0
SETTINGS = """
[worker]
lease_secs = 2.0
heartbeat_interval_secs = 0.5
[writer]
target_range_secs = 1.0
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    with fresh_database(server.postgres, "template0") as url:
        migrate(url)
        yield url


class Storm:
    """Kills one worker after the other, chosen by chance, and starts another process in its place."""

    def __init__(self, cluster: Cluster, workers: dict[str, Process], peaks: Peaks) -> None:
        self._cluster = cluster
        self._workers = workers
        self._peaks = peaks
        self._chance = random.Random(4)
        self.killed: list[str] = []

    def strike(self) -> None:
        victim = self._chance.choice(WORKERS)
        self._peaks.look(self._workers[victim])
        kill(self._workers[victim])
        self._workers[victim] = launch_worker(self._cluster, victim)
        self.killed.append(victim)


def test_ten_thousand_blocks_are_exact_though_workers_die_every_few_seconds_and_the_database_restarts(
    server: Server, database_url: str, tmp_path: Path
) -> None:
    blocks = write_small_blocks(tmp_path / "blocks", FIRST_BLOCK)
    last = FIRST_BLOCK + LENGTH - 1
    cluster = Cluster(tmp_path, database_url, SETTINGS)
    peaks = Peaks()
    try:
        cluster.start_controller()
        workers = dict(zip(WORKERS, start_workers(cluster, *WORKERS), strict=True))
        storm = Storm(cluster, workers, peaks)
        with replay_node(tmp_path, "--length", str(LENGTH), "--latency", "0.03", blocks=blocks) as (url, _):
            reference = register(
                cluster.admin_url,
                url,
                dataset="long/storm",
                network="storm",
                start_block=FIRST_BLOCK,
                concurrent_request_limit=4,
            )
            with Ampd(cluster.admin_url) as client:
                job_id = client.datasets.deploy(reference, end_block=last, parallelism=6)
            with ProgressWatch(cluster.admin_url, job_id, bears_outages=True) as watch:
                _storm_until_the_end(cluster, server, storm, job_id, last)
        peaks.look(*workers.values())
        lake = lake_of(cluster, database_url, "long/storm")
        watch.assert_never_went_back()
        wait_for("the sweep of what the dead have left", lambda: not lake.orphans(), timeout=150)
        lake.assert_whole(FIRST_BLOCK, last)
        lake.assert_equals_node(repeated_blocks(LENGTH, blocks))
        assert set(storm.killed) == set(WORKERS)
        peaks.assert_modest()
    finally:
        cluster.end()
    print(f"{len(storm.killed)} kills, {watch.looks} looks, {watch.outages} without an answer; {peaks}")


def _storm_until_the_end(cluster: Cluster, server: Server, storm: Storm, job_id: int, last: int) -> None:
    """Kill somebody every few seconds; restart the database once, when half of the blocks are there."""
    rest, was_restarted = Event(), False
    while (status := cluster.job(job_id)["status"]) != "COMPLETED":
        assert status in {"RUNNING", "SCHEDULED"}, cluster.job(job_id)
        storm.strike()
        reached = current_block(cluster, job_id)
        if not was_restarted and reached is not None and reached > last - LENGTH // 2:
            server.stop()
            server.start()
            wait_for("the Admin API", lambda: cluster.job(job_id).get("status"))
            was_restarted = True
        rest.wait(KILL_SECONDS)  # the pace of the storm
    assert was_restarted


@pytest.mark.parametrize("verify", ["sample", "full"])
def test_blocks_of_ten_thousand_logs_take_less_than_a_gigabyte(verify: str, database_url: str, tmp_path: Path) -> None:
    """Usual settings: four ranges at once on each worker, each of blocks with seven megabytes of JSON."""
    length = 600  # enough for ranges to grow to their largest size
    blocks = write_large_blocks(tmp_path / "blocks", FIRST_BLOCK)
    last = FIRST_BLOCK + length - 1
    cluster = Cluster(tmp_path, database_url)
    peaks = Peaks()
    try:
        cluster.start_controller()
        workers = start_workers(cluster, *WORKERS[:2])
        with replay_node(tmp_path, "--length", str(length), blocks=blocks) as (url, _):
            reference = register(cluster.admin_url, url, dataset="long/large", network="large", start_block=FIRST_BLOCK)
            with Ampd(cluster.admin_url) as client:
                job_id = client.datasets.deploy(reference, end_block=last, parallelism=8, verify=verify)
            cluster.wait_for_status(job_id, "COMPLETED", timeout=300)
        peaks.look(*workers)
        lake = lake_of(cluster, database_url, "long/large")
        lake.assert_whole(FIRST_BLOCK, last)
        assert lake.table("logs").num_rows == length * LARGE_LOGS
        peaks.assert_modest()
    finally:
        cluster.end()
        print(peaks)
