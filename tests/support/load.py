"""Jobs under load: datasets that are deployed, stopped and completed over HTTP again and again; and what holds then.

Every dataset has a client on a thread of its own. What a client does follows from a seed alone; what it meets is up to
the daemons. Whatever that was, :meth:`Load.assert_sound` tells whether all that came of it is right.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from support.chain import FIRST_BLOCK, Lake, lake_of, repeated_blocks
from support.daemons import Cluster, Process, wait_for
from support.deploy import register_dataset, register_provider
from support.job_model import SNAPSHOT, Rows, check_attempts, check_executions, check_job, check_story, rows_of

NAMESPACE = "load"
VERSION = "1.0.0"
TERMINAL = frozenset({"COMPLETED", "STOPPED", "FAILED"})
# What a stop may be answered: a job that was stopped neither waits nor runs as if nothing had been said.
AFTER_A_STOP = TERMINAL | {"STOP_REQUESTED", "STOPPING"}
# Every so many executions a dataset has one more block; the others find nothing to do and end at once.
GROWTH = 10
LENGTH = 48


class Client:
    """A client of the Admin API. A patient one goes on to the next controller while one is away (no answer, or 503)."""

    def __init__(self, urls: Sequence[str], *, patient: bool = False) -> None:
        self._urls = list(urls)
        self._patient = patient
        self._http = httpx.Client(timeout=30.0)

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        if not self._patient:
            return self._http.request(method, f"{self._urls[0]}{path}", json=body)

        def answer() -> list[httpx.Response]:
            try:
                found = self._http.request(method, f"{self._urls[0]}{path}", json=body)
            except httpx.TransportError:
                found = None
            if found is None or found.status_code == 503:
                self._urls.append(self._urls.pop(0))
                return []
            return [found]

        return wait_for(f"an answer to {method} {path}", answer, 60.0)[0]

    def try_deploy(self, dataset: str, **options: Any) -> httpx.Response:
        return self.ask("POST", f"/datasets/{NAMESPACE}/{dataset}/versions/{VERSION}/deploy", options)

    def deploy(self, dataset: str, **options: Any) -> int:
        return int(_checked(self.try_deploy(dataset, **options), 202)["job_id"])

    def state(self, job_id: int) -> str:
        return str(_checked(self.ask("GET", f"/jobs/{job_id}"), 200)["status"])

    def stop(self, job_id: int) -> str:
        """Stop a job and return the state that the answer tells."""
        state = str(_checked(self.ask("PUT", f"/jobs/{job_id}/stop"), 200)["status"])
        assert state in AFTER_A_STOP, f"job {job_id} was stopped, and the answer says {state}"
        return state

    def end_of(self, job_id: int) -> str:
        """Wait for the end of a job and return its state."""
        return wait_for(
            f"the end of job {job_id}", lambda: state if (state := self.state(job_id)) in TERMINAL else None, 60.0
        )


def _checked(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, f"{answer.request.method} {answer.request.url}: {answer.text}"
    return answer.json()


class Load:
    """Datasets with a job each, on one node that serves LENGTH blocks; their provider and network are ``name``."""

    def __init__(
        self, cluster: Cluster, database_url: str, node_url: str, name: str, *, datasets: int, urls: Sequence[str]
    ) -> None:
        self.names = [f"{name}_{number}" for number in range(datasets)]
        self.jobs: dict[str, int] = {}
        self.ends: Counter[str] = Counter()
        self._cluster = cluster
        self._database_url = database_url
        self._urls = urls
        self._rounds: Counter[str] = Counter()
        self._is_over = threading.Event()
        register_provider(cluster, name, name, node_url)
        for dataset in self.names:
            register_dataset(cluster, f"{NAMESPACE}/{dataset}", name, start_block=FIRST_BLOCK)

    def race(self, rounds: int) -> None:
        """Deploy and stop every job so many times, all jobs at once; each stop at another moment of the job's life."""
        with ThreadPoolExecutor(len(self.names)) as clients, ThreadPoolExecutor(len(self.names)) as others:
            for each in [clients.submit(self._race, name, rounds, others) for name in self.names]:
                each.result()

    def _race(self, name: str, rounds: int, others: ThreadPoolExecutor) -> None:
        chance = random.Random(name)
        with closing(Client(self._urls[:1])) as client, closing(Client(self._urls[-1:])) as other:
            for _ in range(rounds):
                job_id = self._deploy(client, name)
                stops: list[Future[str]] = []
                if chance.random() < 0.25:  # a second one stops it too, at a moment of its own
                    stops = [others.submit(_stop_at_some_moment, other, job_id, random.Random(chance.random()))]
                told = {_stop_at_some_moment(client, job_id, chance), *(stop.result() for stop in stops)}
                self._note(name, job_id, client.end_of(job_id), told)

    def _deploy(self, client: Client, name: str) -> int:
        job_id = client.deploy(name, end_block=self._end_block(name))
        assert self.jobs.setdefault(name, job_id) == job_id
        return job_id

    def _end_block(self, name: str) -> int:
        return FIRST_BLOCK + min(self._rounds[name] // GROWTH, LENGTH - 1)

    def _note(self, name: str, job_id: int, end: str, told: set[str]) -> None:
        assert told & TERMINAL <= {end}, f"a stop of job {job_id} was told {told}, and the job is {end}"
        self.ends[end] += 1
        self._rounds[name] += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Deploy, stop and complete all jobs until the block ends; whatever goes wrong meanwhile fails there."""
        self._is_over.clear()
        with ThreadPoolExecutor(len(self.names)) as clients:
            running = [clients.submit(self._go_on, name) for name in self.names]
            try:
                yield
            finally:
                self._is_over.set()
            for each in running:
                each.result()

    def _go_on(self, name: str) -> None:
        chance = random.Random(name)
        with closing(Client(self._urls, patient=True)) as client:
            while not self._is_over.is_set():
                job_id = self._deploy(client, name)
                told = {_stop_at_some_moment(client, job_id, chance)} if chance.random() < 0.5 else set()
                self._note(name, job_id, client.end_of(job_id), told)
                self._is_over.wait(0.3)  # leave the machine to others for a while

    def wait_for_rounds(self, count: int) -> None:
        """Wait until each job has ended so many times more."""
        wanted = {name: self._rounds[name] + count for name in self.names}
        wait_for("the load to go on", lambda: all(self._rounds[name] >= wanted[name] for name in self.names), 60.0)

    def finish(self) -> None:
        """Let every job complete once more."""
        with closing(Client(self._urls, patient=True)) as client:
            for job_id in [self._deploy(client, name) for name in self.names]:
                assert client.end_of(job_id) == "COMPLETED"

    def assert_sound(self) -> Rows:
        """After :meth:`finish`: every job's rows tell one legal story, and each lake has each block exactly once."""
        rows = snapshot(self._database_url)
        for name in self.names:
            assert_legal(rows, self.jobs[name])
            lake = self.lake(name)
            lake.assert_whole(FIRST_BLOCK, self._end_block(name))
            _assert_exact(lake, self._end_block(name) - FIRST_BLOCK + 1)
        return rows

    def lake(self, name: str) -> Lake:
        return lake_of(self._cluster, self._database_url, f"{NAMESPACE}/{name}")

    def paths(self, rows: Rows) -> Counter[tuple[str, ...]]:
        """Return how often an execution went through which states."""
        return Counter(path for job_id in self.jobs.values() for path in paths_of(rows, job_id))


_EXACT: dict[int, Any] = {}


def _assert_exact(lake: Lake, blocks: int) -> None:
    """Compare all cells of a lake with the slow path, or with a lake of as many blocks that was compared before."""
    if blocks not in _EXACT:
        lake.assert_equals_node(repeated_blocks(LENGTH)[:blocks])
        _EXACT[blocks] = lake.tables()
    lake.assert_equals(_EXACT[blocks])


def _stop_at_some_moment(client: Client, job_id: int, chance: random.Random) -> str:
    """Look at a job for a while and stop it: before it runs, in the middle, or at its end.

    The pauses only spread the moments of all the stops: nothing depends on one of them.
    """
    if chance.random() < 0.6:
        while client.state(job_id) == "SCHEDULED":
            time.sleep(0.02 * chance.random())
    for _ in range(chance.randrange(3)):
        time.sleep(0.02 * chance.random())
        client.state(job_id)
    return client.stop(job_id)


def assert_none_has_ended(processes: Iterable[Process]) -> None:
    """No process has ended, and none shows a stack trace."""
    for process in processes:
        lines = process.text().splitlines()
        assert process.popen.poll() is None, f"{process.log} ended: {lines[-3:]}"
        traces = [line for line in lines if "Traceback" in line]
        assert traces == [], f"stack traces in {process.log}: {traces}"


def snapshot(database_url: str) -> Rows:
    """Return all rows of the job engine, as of one moment."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        row = connection.execute(SNAPSHOT.encode()).fetchone()
    assert row is not None
    return row


def assert_legal(rows: Rows, job_id: int) -> None:
    """What the tables say of a job fits together, and its events are steps of the transition table."""
    (job,) = rows_of(rows, "jobs", job_id)
    events, attempts = rows_of(rows, "events", job_id), rows_of(rows, "attempts", job_id)
    check_story(job, events)
    check_job(job)
    check_attempts(job, attempts)
    check_executions(job, rows_of(rows, "executions", job_id), attempts, events)


def paths_of(rows: Rows, job_id: int) -> list[tuple[str, ...]]:
    """Return the states that each execution of a job went through."""
    found: dict[int, list[str]] = {}
    for event in rows_of(rows, "events", job_id):
        found.setdefault(event["execution_number"], []).append(event["event_type"])
    return [tuple(found[number]) for number in sorted(found)]


def attempts_of(rows: Rows, job_id: int) -> Counter[int]:
    """Return how many attempts each execution of a job had."""
    return Counter(attempt["execution_number"] for attempt in rows_of(rows, "attempts", job_id))
