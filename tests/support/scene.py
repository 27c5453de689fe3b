"""A small cluster that the tests of a module share: two controllers, two workers, a node that can be held up, another
one that has moods.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from ampd.replay_node import ErrorAnswer, Fault, HttpAnswer, RpcCall, load_recorded_chain
from support import nodes
from support.chain import replay_node
from support.daemons import Cluster, Process, ampd, free_port, wait_for
from support.deploy import deploy, register_dataset, register_provider
from support.load import LENGTH, TERMINAL, assert_legal, assert_none_has_ended, snapshot

# Short leases; the last net is out of reach, so that nothing hangs in it.
SETTINGS = """
poll_interval_secs = 0.2
[worker]
heartbeat_interval_secs = 0.5
lease_secs = 2.0
reconcile_interval_secs = 600
"""
WORKERS = ("left", "right")
# The only block of most datasets here; the nodes have more.
BLOCK = nodes.LAST_BLOCK
RECOVERABLE = ErrorAnswer(-32000, "no backend is healthy")
FATAL = HttpAnswer(401, "who are you")


class MoodyNode:
    """Answers truly, or every call with ``mood``."""

    def __init__(self) -> None:
        self.mood: Fault | None = None

    def __call__(self, call: RpcCall) -> Fault | None:
        return self.mood


@dataclass
class Scene:
    """The workers are ``left`` and ``right``, with four slots each. A stop asked at ``hasty_url`` has a second to end.

    The networks are ``quick``, served by the process ``node``, and ``moody``, served by :class:`MoodyNode`.
    """

    cluster: Cluster
    database_url: str
    hasty_url: str
    controllers: list[Process]
    node: Process
    moody: MoodyNode
    moody_url: str
    workers: dict[str, Process] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def url(self) -> str:
        return self.cluster.admin_url

    def dataset(self, network: str = "quick") -> str:
        """Register a dataset that starts at BLOCK, and return its name."""
        name = f"scene/{network}_{next(self._numbers)}"
        register_dataset(self.cluster, name, network, start_block=BLOCK)
        return name

    def deploy(self, name: str | None = None, **options: Any) -> int:
        """Deploy a dataset, a new one unless named. Without an ``end_block`` its job runs until it is stopped."""
        return deploy(self.cluster, name or self.dataset(), **options)

    def running(self, name: str | None = None, **options: Any) -> int:
        """Return a job that runs, and runs on until it is stopped."""
        job_id = self.deploy(name, **options)
        self.wait_for(job_id, "RUNNING")
        return job_id

    def complete(self, *worker_ids: str) -> None:
        """Let a new job complete on each of these workers: they work, and have heard what was said before."""
        for name, job_id in {name: self.deploy(worker_id=name, end_block=BLOCK) for name in worker_ids}.items():
            wait_for(f"{name} to complete job {job_id}", partial(self._completes, name, job_id))

    def _completes(self, worker_id: str, job_id: int) -> bool:
        worker = self.workers[worker_id]
        assert worker.popen.poll() is None, f"{worker_id} ended: {worker.text().splitlines()[-1:]}"
        return bool(self.job(job_id)["status"] == "COMPLETED")

    def stop(self, job_id: int, *, url: str | None = None) -> str:
        """Stop a job and return the state that the answer tells."""
        answer = httpx.put(f"{url or self.url}/jobs/{job_id}/stop", timeout=30)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["status"])

    def remove(self, job_id: int) -> None:
        assert httpx.delete(f"{self.url}/jobs/{job_id}").status_code == 204
        assert httpx.get(f"{self.url}/jobs/{job_id}").status_code == 404

    def job(self, job_id: int) -> Any:
        return self.cluster.job(job_id)

    def wait_for(self, job_id: int, status: str) -> None:
        """Wait until a job has this state; another end fails."""
        assert self.cluster.wait_for_status(job_id, status, *TERMINAL)["status"] == status

    def states(self, job_id: int) -> list[str]:
        """Return the states that the job entered."""
        return [str(event["event_type"]) for event in self.events(job_id)]

    def runs(self, job_id: int) -> list[str]:
        """Return the workers that began it."""
        return [str(event["node_id"]) for event in self.events(job_id) if event["event_type"] == "RUNNING"]

    def events(self, job_id: int) -> list[dict[str, Any]]:
        return self.sql("SELECT * FROM job_events WHERE job_id = %s ORDER BY id", job_id)

    def attempts(self, job_id: int) -> list[dict[str, Any]]:
        return self.sql("SELECT * FROM job_attempts WHERE job_id = %s ORDER BY lease_epoch", job_id)

    def sql(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.database_url, row_factory=dict_row, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def start_worker(self, node_id: str, **settings: str) -> Process:
        environment = {f"AMP_CONFIG_WORKER__{name.upper()}": value for name, value in settings.items()}
        self.workers[node_id] = self.cluster.start_worker(node_id, environment=environment)
        return self.workers[node_id]

    def is_live(self, node_id: str) -> bool:
        return bool(httpx.get(f"{self.url}/workers/{node_id}").json()["live"])

    def calm(self) -> None:
        """Put all back as it was: both workers there, both nodes well, no job left that has not ended."""
        self.moody.mood = None
        self.node.signal(signal.SIGCONT)
        for name, worker in list(self.workers.items()):
            if worker.popen.poll() is None:
                worker.signal(signal.SIGCONT)
            else:
                self.start_worker(name)
        active = httpx.get(f"{self.url}/jobs?limit=1000").json()["jobs"]
        for job in active:
            self.stop(job["id"])
        for job in active:
            self.cluster.wait_for_status(job["id"], *TERMINAL)
        wait_for("workers that beat", lambda: all(self.is_live(name) for name in WORKERS))

    def assert_sound(self) -> None:
        """No process has ended but those that a test has ended, and what the tables say of all jobs is legal."""
        assert_none_has_ended([*self.controllers, *self.workers.values()])
        rows = snapshot(self.database_url)
        for job in rows["jobs"]:
            assert_legal(rows, job["id"])


@contextmanager
def scene(directory: Path, database_url: str) -> Iterator[Scene]:
    """Start it all, and end it."""
    moody = MoodyNode()
    with ExitStack() as all_of_it:
        quick_url, node = all_of_it.enter_context(replay_node(directory, "--length", str(LENGTH)))
        strange = nodes.replay_node(load_recorded_chain(nodes.MAINNET, length=LENGTH), moody)
        moody_url = all_of_it.enter_context(nodes.on_thread(strange))
        cluster = Cluster(directory, database_url, SETTINGS)
        all_of_it.callback(cluster.end)
        port = free_port()
        controllers = [cluster.start_controller(), _start_hasty_controller(cluster, port)]
        made = Scene(cluster, database_url, f"http://127.0.0.1:{port}", controllers, node, moody, moody_url)
        for name in WORKERS:
            made.start_worker(name)
        register_provider(cluster, "quick", "quick", quick_url)
        register_provider(cluster, "moody", "moody", moody_url)
        yield made


def _start_hasty_controller(cluster: Cluster, port: int) -> Process:
    environment = {"AMP_CONFIG_ADMIN_API_ADDR": f"127.0.0.1:{port}", "AMP_CONFIG_WORKER__STOP_TIMEOUT_SECS": "1"}
    log = cluster.directory / "hasty.log"
    process = ampd("--config", str(cluster.config), "controller", log=log, environment=environment)
    cluster.processes.append(process)
    process.wait_for_text("controller.started")
    return process


_HOLD_UP = 4711
_HOLD_UP_FUNCTION = f"""
CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_advisory_xact_lock({_HOLD_UP}); RETURN NEW; END $$
"""
_HOLD_UP_TRIGGER = """
CREATE TRIGGER hold_up BEFORE UPDATE ON jobs FOR EACH ROW WHEN (NEW.state = '{state}') EXECUTE FUNCTION hold_up()
"""


@contextmanager
def held_up(database_url: str, state: str) -> Iterator[None]:
    """Let no job enter ``state``: whoever writes it waits until the block ends."""
    with psycopg.connect(database_url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (_HOLD_UP,))
        holder.execute(_HOLD_UP_FUNCTION.encode())
        holder.execute(_HOLD_UP_TRIGGER.format(state=state).encode())
        try:
            yield
        finally:
            holder.execute("SELECT pg_advisory_unlock_all()")
            holder.execute("DROP FUNCTION hold_up CASCADE")


def waits_to_enter(database_url: str) -> bool:
    """Tell whether somebody waits in :func:`held_up`."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT FROM pg_locks WHERE objid = %s AND NOT granted", (_HOLD_UP,)).fetchone()
    return row is not None
