"""Stops raced with completions, and deploys raced with each other, over HTTP between real daemons."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from ampd.metadata_db import EmbeddedPostgres
from support.chain import FIRST_BLOCK, replay_node
from support.daemons import Cluster, Process, free_port
from support.databases import fresh_database
from support.faults import start_controller_at
from support.load import LENGTH, Client, Load, assert_legal, assert_none_has_ended, attempts_of, paths_of, snapshot

pytestmark = pytest.mark.chaos

RACED = 8
CLIENTS = 10
# Nothing dies here: no lease shall be lost because the machine is busy. The last net is out of reach.
SETTINGS = "[worker]\nheartbeat_interval_secs = 0.5\nlease_secs = 10\nreconcile_interval_secs = 600\nslots = 16\n"


@dataclass(frozen=True)
class Races:
    """Two controllers, two workers, and a node that can be held up."""

    cluster: Cluster
    database_url: str
    urls: list[str]
    node_url: str
    node: Process

    def load(self, name: str, datasets: int) -> Load:
        return Load(self.cluster, self.database_url, self.node_url, name, datasets=datasets, urls=self.urls)

    @contextmanager
    def node_held_up(self) -> Iterator[None]:
        """No job can end meanwhile, because the node does not answer."""
        self.node.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.node.signal(signal.SIGCONT)

    def assert_calm(self) -> None:
        """No process has ended, none shows a stack trace or an error of its own."""
        assert_none_has_ended(self.cluster.processes)
        for log in self.cluster.directory.glob("*.log"):
            errors = [line for line in log.read_text(encoding="utf-8").splitlines() if '"level": "error"' in line]
            assert errors == [], f"{log}: {errors}"


@pytest.fixture(scope="module")
def races(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres, migrated_template: str
) -> Iterator[Races]:
    with fresh_database(postgres_server, migrated_template) as database_url:
        cluster = Cluster(tmp_path_factory.mktemp("races"), database_url, SETTINGS)
        try:
            cluster.start_controller()
            port = free_port()
            start_controller_at(cluster, port)
            for name in ("left", "right"):
                cluster.start_worker(name)
            with replay_node(cluster.directory, "--length", str(LENGTH)) as (url, node):
                yield Races(cluster, database_url, [cluster.admin_url, f"http://127.0.0.1:{port}"], url, node)
        finally:
            cluster.end()


@pytest.mark.parametrize("stops", [120, pytest.param(1000, marks=pytest.mark.long)])
def test_stops_that_meet_completions_end_every_job_and_no_process(races: Races, stops: int) -> None:
    load = races.load(f"raced_{stops}", RACED)
    load.race(stops // RACED)
    assert load.ends.total() == stops
    assert set(load.ends) == {"COMPLETED", "STOPPED"}
    load.finish()
    rows = load.assert_sound()

    paths = load.paths(rows)
    assert paths.total() == stops + RACED, "a deploy was not one execution"
    # Stops came before the start, while the job ran, and after its end; and each side has won what it could.
    assert {("SCHEDULED", "STOPPED"), ("SCHEDULED", "RUNNING", "COMPLETED")} < set(paths)
    met = {path[-1] for path in paths if "STOP_REQUESTED" in path}
    assert met == {"COMPLETED", "STOPPED"}, paths
    assert max(count for job_id in load.jobs.values() for count in attempts_of(rows, job_id).values()) == 1
    races.assert_calm()


Answer = tuple[int, Any]  # status and body


def deploy_at_once(races: Races, dataset: str, *, end_blocks: tuple[int, ...] = (FIRST_BLOCK,)) -> list[Answer]:
    """Let ten clients, half of them at each controller, deploy in the same moment, and return what they are answered.

    They want the ``end_blocks`` in turn.
    """
    barrier = threading.Barrier(CLIENTS, timeout=30)

    def alone(number: int) -> Answer:
        with closing(Client([races.urls[number % 2]])) as client:
            assert client.ask("GET", "/healthz").status_code == 200  # its connection is open now
            barrier.wait()
            answer = client.try_deploy(dataset, end_block=end_blocks[number // 2 % len(end_blocks)])
            return answer.status_code, answer.json()

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(alone, range(CLIENTS)))


def complete(races: Races, job_ids: list[int]) -> None:
    with closing(Client(races.urls)) as client:
        assert [client.end_of(job_id) for job_id in job_ids] == ["COMPLETED"] * len(job_ids)


def the_one_job(answers: list[Answer]) -> int:
    assert {status for status, _ in answers} == {202}, answers
    (job_id,) = {body["job_id"] for _, body in answers}
    return int(job_id)


def assert_run_once_each(races: Races, job_ids: list[int], *, executions: int) -> None:
    rows = snapshot(races.database_url)
    for job_id in job_ids:
        assert_legal(rows, job_id)
        assert paths_of(rows, job_id) == [("SCHEDULED", "RUNNING", "COMPLETED")] * executions
        assert attempts_of(rows, job_id) == dict.fromkeys(range(1, executions + 1), 1)


def test_ten_clients_that_deploy_at_once_get_one_job_that_runs_once(races: Races) -> None:
    load = races.load("fresh", 4)
    with races.node_held_up():
        job_ids = [the_one_job(deploy_at_once(races, dataset)) for dataset in load.names]
    complete(races, job_ids)
    assert_run_once_each(races, job_ids, executions=1)
    assert len({*job_ids}) == len(load.names)
    races.assert_calm()


def test_ten_clients_that_deploy_an_ended_job_at_once_run_it_once_more(races: Races) -> None:
    load = races.load("again", 4)
    with closing(Client(races.urls)) as client:
        job_ids = [client.deploy(dataset, end_block=FIRST_BLOCK) for dataset in load.names]
    complete(races, job_ids)
    for number in (2, 3):
        with races.node_held_up():
            assert [the_one_job(deploy_at_once(races, dataset)) for dataset in load.names] == job_ids
        complete(races, job_ids)
        assert_run_once_each(races, job_ids, executions=number)
    races.assert_calm()


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "ended"])
def test_of_two_options_deployed_at_once_one_wins_and_the_other_is_told_of_the_conflict(
    races: Races, is_new: bool
) -> None:
    load = races.load(f"options_{is_new}".lower(), 3)
    wanted = (FIRST_BLOCK, FIRST_BLOCK + 1)
    job_ids = []
    if not is_new:
        with closing(Client(races.urls)) as client:
            complete(races, [client.deploy(dataset, end_block=FIRST_BLOCK) for dataset in load.names])
    with races.node_held_up():
        for dataset in load.names:
            answers = deploy_at_once(races, dataset, end_blocks=wanted)
            job_id = the_one_job([answer for answer in answers if answer[0] != 409])
            job_ids.append(job_id)
            with closing(Client(races.urls)) as client:
                end_block = int(client.ask("GET", f"/jobs/{job_id}").json()["end_block"])
            for number, (status, body) in enumerate(answers):
                won = wanted[number // 2 % 2] == end_block
                assert (status, body.get("error_code")) == ((202, None) if won else (409, "ACTIVE_JOB_CONFLICT"))
    complete(races, job_ids)
    assert_run_once_each(races, job_ids, executions=1 if is_new else 2)
    races.assert_calm()


def test_deploys_of_two_options_that_meet_completions_find_the_same_job_or_a_conflict(races: Races) -> None:
    """Nothing is held up: what one deploy has begun may have ended when the next one comes."""
    (dataset,) = (load := races.load("free", 1)).names
    for _ in range(12):
        answers = deploy_at_once(races, dataset, end_blocks=(FIRST_BLOCK, FIRST_BLOCK + 1))
        job_id = the_one_job([answer for answer in answers if answer[0] != 409])
        assert load.jobs.setdefault(dataset, job_id) == job_id
        assert all(body["error_code"] == "ACTIVE_JOB_CONFLICT" for status, body in answers if status == 409)
    complete(races, [job_id])
    with closing(Client(races.urls)) as client:
        assert client.deploy(dataset, end_block=FIRST_BLOCK + 1) == job_id
    complete(races, [job_id])
    rows = snapshot(races.database_url)
    assert_legal(rows, job_id)
    assert set(paths_of(rows, job_id)) == {("SCHEDULED", "RUNNING", "COMPLETED")}
    assert set(attempts_of(rows, job_id).values()) == {1}
    load.lake(dataset).assert_whole(FIRST_BLOCK, FIRST_BLOCK + 1)
    races.assert_calm()
