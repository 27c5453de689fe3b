"""No-op jobs through one worker process: of ours, and of procrastinate. The same way for both (``benchmarks/jobs.py``).

Each run has a database of its own. The queue is filled, swept and written to disk, then the worker starts. The rate
comes from the database's clock: the jobs that finished after the first one (or the first batch), by the time from then
to the last one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg

import jobs_peer
from ampd.jobs import Deployment, JobStore
from ampd.metadata_db import MetadataDb, migrate
from jobs_worker import NOOP
from support.daemons import Process, wait_for

HERE = Path(__file__).parent
# Beyond this a worker gains nothing more from larger batches (8,900 jobs/s; 6,300 with 400, 8,000 with 800).
SLOTS = 2000

# What a deploy writes, many times over.
COPY_JOB: LiteralString = """
WITH job AS (
    INSERT INTO jobs (kind, idempotency_key, state, input, retries)
    SELECT kind, 'noop:' || number, state, input, retries FROM jobs, generate_series(2, %(count)s) AS number
    RETURNING id, execution_number, input, lease_epoch
), execution AS (
    INSERT INTO job_executions (job_id, number, input) SELECT id, execution_number, input FROM job
)
INSERT INTO job_events (job_id, actor, event_type, execution_number, lease_epoch, detail)
SELECT id, 'benchmark', 'SCHEDULED', execution_number, lease_epoch, input FROM job
"""


@dataclass(frozen=True)
class System:
    """A job system: how it is filled and run, and the questions to its tables. ``finished`` gives the time of each
    job's end, in order; each of ``counts`` must give as many as there are jobs.
    """

    name: str
    fill: Callable[[str, int], None]
    worker: Callable[[str, Path], Process]
    unfinished: LiteralString
    finished: LiteralString
    counts: dict[str, LiteralString]


def fill_ours(url: str, count: int) -> None:
    """Deploy a job to an empty database, and copy it."""

    async def deploy_one() -> None:
        async with MetadataDb(url) as db:
            await JobStore(db).deploy(Deployment(NOOP, "noop:1", {}), actor="benchmark")

    migrate(url)
    asyncio.run(deploy_one())
    with psycopg.connect(url) as connection:
        connection.execute(COPY_JOB, {"count": count})


def start_ours(url: str, log: Path, node_id: str = "bench", *slots: str) -> Process:
    """Start a worker process of ours, by default with the default slots."""
    command = [sys.executable, str(HERE / "jobs_worker.py"), url, node_id, *slots]
    return Process(command, log=log, environment={"AMP_LOG": "warn"})


def start_peer(url: str, log: Path) -> Process:
    """Start a worker process of procrastinate."""
    environment = {jobs_peer.URL_VARIABLE: url, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    return Process([sys.executable, *jobs_peer.WORKER], log=log, environment=environment)


OURS = System(
    name="ours",
    fill=fill_ours,
    worker=lambda url, log: start_ours(url, log, "bench", str(SLOTS)),
    unfinished="SELECT FROM jobs WHERE state IN ('SCHEDULED', 'RUNNING') LIMIT 1",
    finished="SELECT created_at FROM job_events WHERE event_type = 'COMPLETED' ORDER BY created_at",
    counts={
        "jobs COMPLETED": "SELECT count(*) FROM jobs WHERE state = 'COMPLETED'",
        "histories SCHEDULED, RUNNING, COMPLETED": """
            SELECT count(*) FROM (
                SELECT FROM job_events GROUP BY job_id
                HAVING array_agg(event_type ORDER BY id) = ARRAY['SCHEDULED', 'RUNNING', 'COMPLETED']) AS histories""",
        "events by three": "SELECT count(*) / 3.0 FROM job_events",
        "attempts closed": """
            SELECT count(*) FROM job_attempts
            WHERE started_at IS NOT NULL AND finished_at IS NOT NULL AND outcome = 'COMPLETED'""",
        "executions closed": """
            SELECT count(*) FROM job_executions WHERE finished_at IS NOT NULL AND outcome = 'COMPLETED'""",
    },
)
PEER = System(
    name="procrastinate",
    fill=jobs_peer.fill,
    worker=start_peer,
    unfinished="SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing') LIMIT 1",
    finished="SELECT at FROM procrastinate_events WHERE type = 'succeeded' ORDER BY at",
    counts={
        "jobs succeeded": "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'",
        "histories deferred, started, succeeded": """
            SELECT count(*) FROM (
                SELECT FROM procrastinate_events GROUP BY job_id
                HAVING array_agg(type::text ORDER BY id) = ARRAY['deferred', 'started', 'succeeded']) AS histories""",
    },
)


def jobs_per_second(system: System, url: str, count: int, log: Path) -> float:
    """Run ``count`` jobs through one worker process of ``system``, check what it left, and return the rate."""
    system.fill(url, count)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
        worker = system.worker(url, log)
        try:
            wait_for(f"{system.name} to finish {count} jobs", lambda: _finished(system, connection, worker), 3600)
        finally:
            worker.end()
        check(system, connection, count)
        return rate([row[0] for row in connection.execute(system.finished)])


def rate(finished: Sequence[datetime]) -> float:
    """Return jobs a second. The first one, or the batch of the first one, only starts the clock."""
    first, last = finished[0], finished[-1]
    if first == last:
        raise RuntimeError(f"all {len(finished)} jobs ended in one batch: there is no rate to tell. Use more --jobs")
    return sum(time > first for time in finished) / (last - first).total_seconds()


def _finished(system: System, connection: psycopg.Connection[Any], worker: Process) -> bool:
    if worker.popen.poll() is not None:
        raise RuntimeError(f"the worker of {system.name} ended:\n{worker.text()}")
    return connection.execute(system.unfinished).fetchone() is None


def check(system: System, connection: psycopg.Connection[Any], count: int) -> None:
    """Count what must be there once for every job, and say so."""
    for what, query in system.counts.items():
        found = _number(connection, query)
        if found != count:
            raise RuntimeError(f"{system.name}: {found} {what}, not {count}")
    print(f"{system.name}: checked {count} {', '.join(system.counts)}", file=sys.stderr, flush=True)


def _number(connection: psycopg.Connection[Any], query: LiteralString) -> Any:
    row = connection.execute(query).fetchone()
    if row is None:
        raise RuntimeError(f"no answer to {query}")
    return row[0]
