"""How soon a deployed job runs, a running job hears of its stop, and a killed worker's job runs elsewhere.

Measured by the client (monotonic clock), from before its call until it reads the new state in the database, which it
asks every millisecond. As in any cluster a controller runs (``ampd controller``); workers are processes with default
settings (``jobs_worker.py``).
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from ampd.jobs import Deployment, JobState, JobStore, WorkerStore
from ampd.jobs.notification import CHANNEL
from ampd.metadata_db import MetadataDb, migrate
from ampd.worker import WorkerSettings
from jobs_throughput import start_ours
from jobs_worker import UNTIL_STOPPED
from support.daemons import Cluster, Process

POLL_SECONDS = 0.001
LONGEST_WAIT_SECONDS = 60.0
HEARTBEAT_SECONDS = WorkerSettings().heartbeat.interval_seconds
# Samples must not keep step with heartbeats; as heartbeats are what is measured when notifications are cut, the pauses
# before a sample are then spread over a whole interval.
PAUSE_SECONDS = 0.2

# How notifications are cut: whoever calls pg_notify finds this one before PostgreSQL's, so that nothing is ever sent.
CUT_NOTIFICATIONS = """
CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT';
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$;
"""


class _Cluster:
    """A controller, workers, and a client that also hears what is notified."""

    def __init__(self, url: str, directory: Path, db: MetadataDb, watch: psycopg.AsyncConnection[Any]) -> None:
        self._url = url
        self._directory = directory
        self._db = db
        self._jobs = JobStore(db)
        self._watch = watch
        self._random = random.Random(1)
        self.workers: dict[str, Process] = {}

    async def add_worker(self) -> None:
        """Start a worker and wait until it is live."""
        node_id = f"bench-{len(self.workers)}"
        self.workers[node_id] = start_ours(self._url, self._directory / f"{node_id}.log", node_id)
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            while True:
                workers = await WorkerStore(self._db).list_all()
                if any(worker.live and worker.node_id == node_id for worker in workers):
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def deploy(self, key: str) -> int:
        return (await self._jobs.deploy(Deployment(UNTIL_STOPPED, key, {}), actor="benchmark")).id

    async def request_stop(self, job_id: int) -> None:
        await self._jobs.request_stop(job_id, actor="benchmark")

    async def until(self, job_id: int, there: Callable[[str, str | None], bool]) -> str | None:
        """Wait until ``there`` says so of the job's state and worker; return the worker."""
        query = "SELECT state, worker_id FROM jobs WHERE id = %s"
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            while True:
                row = await (await self._watch.execute(query, (job_id,))).fetchone()
                assert row is not None, f"job {job_id} is gone"
                state, worker_id = row
                if there(state, worker_id):
                    return None if worker_id is None else str(worker_id)
                await asyncio.sleep(POLL_SECONDS)

    async def until_state(self, job_id: int, state: JobState) -> str | None:
        return await self.until(job_id, lambda found, _: found == state)

    async def pause(self, seconds: float) -> None:
        """Pass up to ``seconds``."""
        await asyncio.sleep(self._random.uniform(0, seconds))

    async def heard(self) -> int:
        """Return how many notifications have arrived."""
        return len([notification async for notification in self._watch.notifies(timeout=0.1)])


@asynccontextmanager
async def _cluster(url: str, directory: Path) -> AsyncIterator[_Cluster]:
    controller = Cluster(directory, url)
    try:
        controller.start_controller()
        async with MetadataDb(url) as db, await psycopg.AsyncConnection.connect(url, autocommit=True) as watch:
            await watch.execute(f"LISTEN {CHANNEL}")
            cluster = _Cluster(url, directory, db, watch)
            try:
                yield cluster
            finally:
                for worker in cluster.workers.values():
                    worker.end()
    finally:
        controller.end()


async def start_and_stop(url: str, directory: Path, samples: int, *, notify: bool) -> tuple[list[float], list[float]]:
    """Return the seconds from deploy to RUNNING on an idle worker, and from a stop's request until the worker acts on
    it; with ``notify`` False only heartbeats tell the worker.
    """
    migrate(url)
    if not notify:
        with psycopg.connect(url) as connection:
            connection.execute(CUT_NOTIFICATIONS)
    async with _cluster(url, directory) as cluster:
        await cluster.add_worker()
        pause = PAUSE_SECONDS if notify else HEARTBEAT_SECONDS
        pairs = [await _start_and_stop(cluster, f"job {number}", pause) for number in range(samples)]
        heard = await cluster.heard()
    assert (heard > 0) is notify, f"{heard} notifications were heard"
    return [started for started, _ in pairs], [stopped for _, stopped in pairs]


async def _start_and_stop(cluster: _Cluster, key: str, pause: float) -> tuple[float, float]:
    await cluster.pause(pause)
    began = time.monotonic()
    job_id = await cluster.deploy(key)
    await cluster.until_state(job_id, JobState.RUNNING)
    started = time.monotonic() - began
    await cluster.pause(pause)
    began = time.monotonic()
    await cluster.request_stop(job_id)
    await cluster.until(job_id, lambda state, _: state not in {JobState.RUNNING, JobState.STOP_REQUESTED})
    stopped = time.monotonic() - began
    await cluster.until_state(job_id, JobState.STOPPED)
    return started, stopped


async def failover(url: str, directory: Path, samples: int) -> list[float]:
    """Return the seconds from the kill of a job's worker until the job is RUNNING on another one."""
    migrate(url)
    async with _cluster(url, directory) as cluster:
        await cluster.add_worker()
        return [await _failover(cluster, f"job {number}") for number in range(samples)]


async def _failover(cluster: _Cluster, key: str) -> float:
    job_id = await cluster.deploy(key)
    victim = await cluster.until_state(job_id, JobState.RUNNING)
    assert victim is not None
    await cluster.add_worker()
    await cluster.pause(HEARTBEAT_SECONDS)
    cluster.workers[victim].signal(signal.SIGKILL)
    killed = time.monotonic()
    await cluster.until(job_id, lambda state, worker_id: state == JobState.RUNNING and worker_id != victim)
    taken_over = time.monotonic() - killed
    await cluster.request_stop(job_id)
    await cluster.until_state(job_id, JobState.STOPPED)
    return taken_over
