"""What ``admin_api_load.py`` measures the Admin API over; ``dashboard.py`` does so over a smaller one.

100,000 jobs with their histories, a dataset whose tables have 100,000 files each, workers that beat, an extraction that
goes on, and a controller. Jobs and files are written as the system's own statements would have left them, which
themselves would take hours; all else goes through the Admin API and the stores of the workers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from ampd.access import AccessStore, NewToken, Role
from ampd.data_store import Dataset, PlannedRange, TableStore
from ampd.datasets import generate_manifest
from ampd.jobs import LeasedJobs, WorkerIdentity, WorkerSession
from ampd.metadata_db import EmbeddedPostgres, MetadataDb, migrate
from support.daemons import Cluster, wait_for
from support.deploy import deploy, register_dataset, register_provider
from support.ranges import Ranges, fill_lake, segment

JOBS = 100_000
SEGMENTS = 100_000
SEGMENT_BLOCKS = 10
LAST_BLOCK = 2_000_000
LEASE_SECONDS = 5.0
WORKERS, SLOTS = 10, 20
NAMESPACES = ("ethereum", *(f"team_{number}" for number in range(10)))
WATCHED = "ethereum/mainnet"
# What clients see whose tokens are limited.
LIMITED = ("ethereum", "team_3")

# Which job is what follows from its number: those that have ended come first, then what is held, paused, due, on a
# timetable, and what waits for its time.
ENDED, HELD, PAUSED, DUE, RECURRING = 94_000, WORKERS * SLOTS, 500, 3_300, 1_000


@dataclass(frozen=True)
class Size:
    """How many jobs there are, and of which sort."""

    jobs: int = JOBS
    ended: int = ENDED
    held: int = HELD
    paused: int = PAUSED
    due: int = DUE
    recurring: int = RECURRING


LARGE = Size()
_FILL = Path(__file__).with_suffix(".sql")


@dataclass(frozen=True)
class Scene:
    """What is there: the controller, the job that is watched with its revisions, and tokens by what they see."""

    cluster: Cluster
    controller_pid: int
    job_id: int
    revisions: dict[str, int]
    tokens: dict[str, list[str]]


@asynccontextmanager
async def scene(server: EmbeddedPostgres, directory: Path, *, clients: int, size: Size = LARGE) -> AsyncIterator[Scene]:
    """Make all of it, and keep the workers alive and the extraction going until the end."""
    migrate(server.url)
    cluster = Cluster(directory, server.url)
    with ExitStack() as stack:
        stack.callback(cluster.end)
        controller = cluster.start_controller()
        sessions: list[WorkerSession] = []
        async with MetadataDb(server.url) as db, going_on(_beat(sessions)):
            extraction = await _start_extraction(cluster, db, sessions, stack)
            sessions += [_worker(db.url, f"worker-{number}", SLOTS, stack)[1] for number in range(WORKERS)]
            await asyncio.to_thread(_fill_jobs, server.url, size)
            tokens = await _tokens(AccessStore(db), clients)
            revisions = {table: revision.id for table, revision in extraction.revisions.items()}
            async with going_on(_extract(extraction)):
                yield Scene(cluster, controller.popen.pid, extraction.job_id, revisions, tokens)


@asynccontextmanager
async def going_on(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let ``work`` go on until the end; that it did, is part of what is measured."""
    task = asyncio.create_task(work)
    try:
        yield
        if task.done():
            raise RuntimeError("the workers or the extraction ended early") from task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _start_extraction(
    cluster: Cluster, db: MetadataDb, sessions: list[WorkerSession], stack: ExitStack
) -> Ranges:
    """Register datasets, deploy one, take its job as a worker does, and give its tables their files."""
    register_provider(cluster, "mainnet", "mainnet", "http://127.0.0.1:9/")
    for namespace in NAMESPACES:
        for name in ("mainnet", "sidechain", "testnet"):
            register_dataset(cluster, f"{namespace}/{name}", "mainnet")
    identity, holder = _worker(db.url, "holder", 1, stack)
    job_id = deploy(cluster, WATCHED, end_block=LAST_BLOCK)
    (wanted,) = wait_for("the job to come to its worker", lambda: holder.beat().wanted)
    sessions.append(holder)
    lease = wanted.lease(identity)
    if lease.job_id != job_id or await LeasedJobs(db).start(lease) is None:
        raise RuntimeError(f"{lease} is not job {job_id}")
    await LeasedJobs(db).report_progress(lease, {"start_block": 0, "end_block": LAST_BLOCK})
    manifest = generate_manifest("evm-rpc", "mainnet", 0, False)
    dataset = Dataset(*WATCHED.split("/"), manifest.hash(), 0)
    revisions = await TableStore(db).open_revisions(lease, dataset, manifest.table_names)
    await asyncio.to_thread(fill_lake, db.url, segments=SEGMENTS, blocks_each=SEGMENT_BLOCKS)
    say(f"{len(revisions)} tables with {SEGMENTS} files each")
    extraction = Ranges(db, holder, lease, revisions)
    await extraction.store.begin_plan(lease, 4)
    return extraction


def _worker(url: str, node_id: str, slots: int, stack: ExitStack) -> tuple[WorkerIdentity, WorkerSession]:
    """Register a worker that runs the jobs of all kinds."""
    connection = stack.enter_context(psycopg.connect(url, autocommit=True, row_factory=dict_row))
    identity = WorkerIdentity(node_id, uuid4())
    session = WorkerSession(connection, identity, lease_seconds=LEASE_SECONDS)
    session.register(info={"version": "0.1.0"}, slots=slots)
    return identity, session


def _fill_jobs(url: str, size: Size) -> None:
    counts = {name: count for name, count in asdict(size).items() if name != "jobs"}
    last = dict(zip(counts, accumulate(counts.values()), strict=True))
    numbers = {**last, "jobs": size.jobs, "workers": WORKERS}
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.transaction():
            for statement in _FILL.read_text(encoding="utf-8").split(";\n"):
                if statement.strip():
                    connection.execute(statement.encode(), numbers)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    say(f"{size.jobs} jobs: {counts}")


async def _tokens(store: AccessStore, clients: int) -> dict[str, list[str]]:
    """Make a token for each client; every fourth sees some namespaces only. From now on nobody gets in without one."""
    _, first = await store.create(NewToken(Role.ADMIN, "operator"), actor="benchmark")
    made: dict[str, list[str]] = {"everything": [], "some": [], "operator": [first]}
    for number in range(clients):
        sees, namespaces = ("some", LIMITED) if number % 4 == 3 else ("everything", None)
        new = NewToken(Role.VIEWER, f"client-{number}", namespaces)
        made[sees].append((await store.create(new, actor="benchmark"))[1])
    return made


async def _beat(sessions: Sequence[WorkerSession]) -> None:
    """Let every worker beat, once in a second."""
    while True:
        await asyncio.gather(asyncio.sleep(1), asyncio.to_thread(lambda: [session.beat() for session in sessions]))


async def _extract(extraction: Ranges) -> None:
    """Commit a segment of all tables once in a second, as a worker does it."""
    start = SEGMENTS * SEGMENT_BLOCKS
    while True:
        await asyncio.gather(asyncio.sleep(1), _add_segment(extraction, start, start + SEGMENT_BLOCKS - 1))
        start += SEGMENT_BLOCKS


async def _add_segment(extraction: Ranges, start: int, end: int) -> None:
    await extraction.store.plan_more(extraction.lease, [PlannedRange(start, end)], done=[])
    await extraction.commit(await extraction.take(), segment(start, end))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
