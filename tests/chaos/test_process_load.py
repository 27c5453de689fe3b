"""While jobs are deployed, stopped and completed all the time, what they need is killed, frozen, cut off, doubled."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx
import pytest

from ampd.metadata_db import migrate
from support.chain import deploy, replay_node
from support.daemons import Cluster, Process, ampd, free_port, wait_for
from support.databases import fresh_database
from support.faults import (
    LAST_BLOCK,
    Job,
    Server,
    SessionKiller,
    kill,
    slow_job,
    start_controller_at,
)
from support.hints import flood
from support.load import LENGTH, Load, assert_legal, assert_none_has_ended, snapshot

pytestmark = pytest.mark.chaos

LEASE_SECONDS = 2.0
# The last net is out of reach, so that nothing hangs in it.
SETTINGS = f"""
[worker]
heartbeat_interval_secs = 0.5
lease_secs = {LEASE_SECONDS}
reconcile_interval_secs = 600
slots = 16
[writer]
max_range_blocks = 4
"""
DATASETS = 3


@dataclass(frozen=True)
class Stage:
    """Two controllers and two workers on a PostgreSQL server of their own."""

    server: Server
    cluster: Cluster
    database_url: str
    node_url: str
    controllers: dict[int, Process]
    workers: dict[str, Process]

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.controllers]

    @contextmanager
    def load(self, name: str) -> Iterator[Load]:
        """Put the cluster under load; afterwards all jobs complete once more, and everything is sound."""
        self._revive()
        load = Load(self.cluster, self.database_url, self.node_url, name, datasets=DATASETS, urls=self.urls)
        with load.running():
            load.wait_for_rounds(1)
            yield load
            load.wait_for_rounds(2)
        load.finish()
        load.assert_sound()
        assert "FAILED" not in load.ends
        assert_none_has_ended([*self.controllers.values(), *self.workers.values()])
        for log in self.cluster.directory.glob("*.log"):
            assert "Traceback" not in log.read_text(encoding="utf-8"), log

    @contextmanager
    def long_job(self, name: str) -> Iterator[tuple[Job, str]]:
        """An extraction that takes some seconds, beside the load, which is quick; and the worker that has it.

        Whatever the block does to that worker: its attempt ends by being taken back, and every row is right.
        """
        with slow_job(self.cluster, self.database_url, name) as job:
            job.wait_for_commits(1)
            row = job.row()
            yield job, str(row["worker_id"])
            job.wait_for_state("COMPLETED")
            attempt = [event.state for event in job.events() if event.lease_epoch == row["lease_epoch"]]
            assert attempt == ["RUNNING", "SCHEDULED"]
            # A file that was in the air when its writer lost the job is an orphan; the next execution sweeps it away.
            assert deploy(self.cluster.admin_url, f"chaos/{name}@1.0.0", LAST_BLOCK) == job.id
            job.assert_exact()
            assert_legal(snapshot(self.database_url), job.id)

    def _revive(self) -> None:
        """Start what a test that failed has left dead."""
        for port, controller in list(self.controllers.items()):
            if controller.popen.poll() is not None:
                self.start_controller(port)
        for name, worker in list(self.workers.items()):
            if worker.popen.poll() is not None:
                self.start_worker(name)

    def start_worker(self, name: str) -> None:
        self.workers[name] = self.cluster.start_worker(name)

    def start_controller(self, port: int) -> None:
        self.controllers[port] = start_controller_at(self.cluster, port)

    def is_live(self, name: str) -> bool:
        return bool(httpx.get(f"{self.cluster.admin_url}/workers/{name}").json()["live"])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Server() as server, fresh_database(server.postgres, "template0") as database_url:
        migrate(database_url)
        cluster = Cluster(tmp_path_factory.mktemp("stage"), database_url, SETTINGS)
        try:
            with replay_node(cluster.directory, "--length", str(LENGTH)) as (url, _):
                controllers = {cluster.port: cluster.start_controller()}
                made = Stage(server, cluster, database_url, url, controllers, {})
                made.start_controller(free_port())
                for name in ("left", "right"):
                    made.start_worker(name)
                yield made
        finally:
            cluster.end()


@pytest.mark.long
def test_restarts_of_the_database_under_load_end_no_daemon_and_leave_no_job_stuck(stage: Stage) -> None:
    daemons = [*stage.controllers.values(), *stage.workers.values()]
    with stage.load("restarts") as load:
        for stop in (Server.stop, Server.crash, Server.stop, Server.crash):
            stop(stage.server)
            stage.server.start()
            load.wait_for_rounds(2)
    assert [*stage.controllers.values(), *stage.workers.values()] == daemons


def test_jobs_start_and_stop_while_all_that_listen_lose_their_sessions_again_and_again(stage: Stage) -> None:
    with stage.load("deaf") as load, SessionKiller(stage.database_url, "ampd listen", every_seconds=0.1) as killer:
        load.wait_for_rounds(5)
        listeners = len(stage.controllers) + len(stage.workers)
        wait_for("each of them to be ended five times", lambda: killer.killed >= 5 * listeners)
        load.wait_for_rounds(2)
    assert set(load.ends) == {"COMPLETED", "STOPPED"}


@pytest.mark.long
def test_a_worker_that_is_killed_under_load_leaves_no_job_behind(stage: Stage) -> None:
    with stage.load("killed") as load, stage.long_job("kill_me") as (job, victim):
        kill(stage.workers[victim])
        wait_for("another worker", partial(runs_elsewhere, job, victim))
        load.wait_for_rounds(2)
        stage.start_worker(victim)


@pytest.mark.long
def test_a_worker_that_freezes_under_load_for_longer_than_its_lease_changes_nothing_when_it_wakes(
    stage: Stage,
) -> None:
    with stage.load("frozen") as load, stage.long_job("freeze_me") as (job, victim):
        zombie = stage.workers[victim]
        zombie.signal(signal.SIGSTOP)
        try:
            wait_for("another worker", partial(runs_elsewhere, job, victim))
            load.wait_for_rounds(2)
        finally:
            zombie.signal(signal.SIGCONT)
        with flood(stage.database_url):  # each hint makes it look again at what it lost, in the middle of letting go
            wait_for("it to beat again", partial(stage.is_live, victim))
            load.wait_for_rounds(1)


def runs_elsewhere(job: Job, name: str) -> bool:
    row = job.row()
    return bool(row["worker_id"] not in (None, name))


def test_of_two_workers_with_one_name_under_load_one_works_and_the_name_survives_its_death(stage: Stage) -> None:
    with stage.load("twins") as load:
        first = stage.workers["left"]
        arguments = ("--config", str(stage.cluster.config), "worker", "--node-id", "left")
        second = ampd(*arguments, log=stage.cluster.directory / "second.log")
        stage.cluster.processes.append(second)
        assert second.wait() == 1
        assert "a worker with the node id 'left' is already running" in second.text()
        load.wait_for_rounds(2)
        assert_none_has_ended([first])

        kill(first)
        stage.start_worker("left")
        load.wait_for_rounds(2)


def test_of_two_controllers_under_load_each_can_die_and_come_back(stage: Stage) -> None:
    with stage.load("controllers") as load:
        for port, controller in list(stage.controllers.items()):
            kill(controller)
            load.wait_for_rounds(2)
            stage.start_controller(port)
            load.wait_for_rounds(1)
