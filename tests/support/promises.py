"""What the tests of the documents' promises share: clusters with settings of their own, small datasets, a node that
keeps count, and looks into the metadata database.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from ampd.replay_node import (
    Delay,
    Fault,
    ReplayChain,
    ReplayNode,
    RpcCall,
    load_recorded_chain,
)
from support.ampctl import run
from support.daemons import Cluster, Process, ampd, wait_for
from support.deploy import deploy, register_dataset
from support.nodes import FIRST_BLOCK, LAST_BLOCK, MAINNET, on_thread

Json = Any
TABLES = ("blocks", "logs", "transactions", "withdrawals")


@contextmanager
def cluster_in(directory: Path, database_url: str, settings: str = "") -> Iterator[Cluster]:
    """Give a cluster with these settings; its processes end with the block, and none may have logged a stack trace."""
    cluster = Cluster(directory, database_url, settings)
    try:
        yield cluster
    finally:
        cluster.end()
    for log in directory.glob("*.log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in text, f"a stack trace in {log}:\n{text}"


def launch_worker(
    cluster: Cluster, node_id: str, environment: Mapping[str, str] | None = None, *, config: Path | None = None
) -> Process:
    """Start a worker, with the config file of its cluster or its own, and do not wait for it: several come up in the
    time of one.
    """
    log = cluster.directory / f"{node_id}-{len(cluster.processes)}.log"
    arguments = ["--config", str(config or cluster.config), "worker", "--node-id", node_id]
    process = ampd(*arguments, log=log, environment=environment)
    cluster.processes.append(process)
    return process


def start_workers(cluster: Cluster, *node_ids: str) -> list[Process]:
    """Start several workers together and wait until all are registered."""
    workers = [launch_worker(cluster, node_id) for node_id in node_ids]
    for worker in workers:
        worker.wait_for_text("worker.registered")
    return workers


def ampctl(cluster: Cluster, *arguments: str, code: int = 0) -> str:
    """Run a command of ampctl in this process; return stdout, or stderr when an error is wanted."""
    out, complaints = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(complaints):
        ended = run([*arguments, "--admin-url", cluster.admin_url])
    assert ended == code, complaints.getvalue()
    return complaints.getvalue() if code else out.getvalue()


def ampctl_json(cluster: Cluster, *arguments: str) -> Json:
    """Run a command of ampctl with ``--json`` in this process and return what it tells."""
    return json.loads(ampctl(cluster, *arguments, "--json"))


def deploy_new(
    cluster: Cluster, name: str, *, network: str = "mainnet", start: int = FIRST_BLOCK, **options: Any
) -> int:
    """Register a dataset and deploy it; return its job."""
    register_dataset(cluster, name, network, start_block=start)
    return deploy(cluster, name, **options)


def follow_the_tip(cluster: Cluster, name: str, **options: Any) -> int:
    """Deploy a dataset that has one block and waits for more; return its job when it runs and the block counts."""
    job_id = deploy_new(cluster, name, start=LAST_BLOCK, **options)
    wait_for_block(cluster, job_id, LAST_BLOCK)
    return job_id


def wait_for_block(cluster: Cluster, job_id: int, block: int) -> None:
    """Wait until all tables of the job have reached ``block``."""

    def reached() -> bool:
        tables = cluster.progress(job_id)["tables"].values()
        return bool(tables) and all((table["current_block"] or 0) >= block for table in tables)

    wait_for(f"block {block} of job {job_id}", reached, 60)


def stop(cluster: Cluster, job_id: int) -> httpx.Response:
    return httpx.put(f"{cluster.admin_url}/jobs/{job_id}/stop", timeout=60)


def stop_and_wait(cluster: Cluster, job_id: int) -> None:
    assert stop(cluster, job_id).status_code == 200
    cluster.wait_for_status(job_id, "STOPPED")


def events(cluster: Cluster, job_id: int) -> list[Json]:
    """Return the history of a job, oldest first."""
    return list(httpx.get(f"{cluster.admin_url}/jobs/{job_id}/events").json()["events"])


def states(cluster: Cluster, job_id: int) -> list[str]:
    """Return the states that a job entered."""
    return [event["event_type"] for event in events(cluster, job_id)]


def rows(database_url: str, query: str, *parameters: Any) -> list[dict[str, Any]]:
    """Return what the metadata database says."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def execute(database_url: str, statement: str, *parameters: Any) -> int:
    """Change the metadata database; return the number of changed rows."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(statement.encode(), parameters).rowcount


@contextmanager
def row_locked(database_url: str, query: str, *parameters: Any) -> Iterator[None]:
    """Hold the locks that ``query`` takes, and with them whoever wants to change the rows."""
    connection = psycopg.connect(database_url)
    with closing(connection):
        assert connection.execute(query.encode(), parameters).fetchall(), "there is nothing to lock"
        yield


def waits_for_a_lock(database_url: str) -> bool:
    """Tell whether a session of this database waits for the lock of a row."""
    query = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND wait_event IN ('transactionid', 'tuple')"
    )
    return bool(rows(database_url, query))


@contextmanager
def commits_held_up(database_url: str) -> Iterator[None]:
    """No commit of blocks gets through; what waits goes on at the end of the block."""
    connection = psycopg.connect(database_url)
    with closing(connection):
        connection.execute("LOCK TABLE files IN SHARE MODE")
        yield


def commit_waits(database_url: str) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(rows(database_url, f"{query} AND query LIKE '%%INSERT INTO files%%'"))


class CountingNode:
    """A node that keeps the numbers of the blocks that it was asked for: it has the recorded ones, or so many
    ``small`` ones. ``head`` is the newest one that exists so far; from ``silent_from`` on none is answered.
    """

    def __init__(self, *, head: int | None = None, small: int | None = None, silent_from: int | None = None) -> None:
        self.asked: list[int] = []
        self._silent_from = silent_from
        chain = load_recorded_chain(MAINNET) if small is None else _small_blocks(small)
        self._node = ReplayNode(chain, faults=self._keep)
        if head is not None:
            self._node.head = head

    async def __aenter__(self) -> str:
        await self._node.__aenter__()
        return self._node.url

    async def __aexit__(self, *error: Any) -> None:
        await self._node.__aexit__(*error)

    def grow(self, head: int) -> None:
        self._node.head = head

    def _keep(self, call: RpcCall) -> Fault | None:
        if call.method != "eth_getBlockByNumber" or not call.params[0].startswith("0x") or not call.params[1]:
            return None  # a header alone is a look at the chain, not a block that is taken
        number = int(call.params[0], 16)
        self.asked.append(number)
        is_silent = self._silent_from is not None and number >= self._silent_from
        return Delay(3600) if is_silent else None


def _small_blocks(count: int) -> ReplayChain:
    """Return a chain of blocks with two transactions each."""
    with TemporaryDirectory() as alone:
        shutil.copy(MAINNET.parent / "ethereum" / "1000000.json.gz", alone)
        return load_recorded_chain(Path(alone), length=count, chain_id=1, first_block=FIRST_BLOCK)


@contextmanager
def counting_node(**options: int) -> Iterator[tuple[CountingNode, str]]:
    """Serve a node in this process and give it with its URL."""
    node = CountingNode(**options)
    with on_thread(node) as url:
        yield node, url
