"""A running extraction job in a database, with workers that lease its ranges as a test says, and a lake in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from ampd.data_store import (
    Cost,
    Dataset,
    Leftovers,
    PlannedRange,
    RangeLease,
    RangeStore,
    Revision,
    Segment,
    SegmentFile,
    TableStore,
    WrittenSegment,
)
from ampd.jobs import Deployment, JobStore, Lease, LeasedJobs, WorkerIdentity, WorkerSession, place_due_jobs
from ampd.metadata_db import MetadataDb
from ampd.object_store import ObjectStore

LEASE_SECONDS = 60.0
TABLES = ("blocks", "logs")
COST = Cost(bytes=1000, seconds=0.5)


def hash_of(block: int, fork: int = 0) -> bytes:
    """Return the hash of a block of a made-up chain."""
    return bytes([fork]) + (block + 1).to_bytes(31, "big")


def segment(start: int, end: int, fork: int = 0, parent_fork: int | None = None) -> Segment:
    before = fork if parent_fork is None else parent_fork
    return Segment(start, end, hash_of(start - 1, before), hash_of(end, fork), 1_700_000_000)


class Ranges:
    """A job with the tables of TABLES, held by the worker ``holder``; more workers by :meth:`worker`."""

    def __init__(self, db: MetadataDb, holder: WorkerSession, lease: Lease, revisions: dict[str, Revision]) -> None:
        self.db = db
        self.store = RangeStore(db, lease_seconds=LEASE_SECONDS)
        self.jobs = JobStore(db, lease_seconds=LEASE_SECONDS)
        self.leased = LeasedJobs(db)
        self.lake = ObjectStore.open("memory:///")
        self.leftovers = Leftovers(db, self.lake)
        self.lease = lease
        self.revisions = revisions
        self.holder = holder
        self.workers = {"holder": holder._identity}
        self._sessions = ExitStack()

    @property
    def job_id(self) -> int:
        return self.lease.job_id

    def worker(self, name: str) -> WorkerIdentity:
        """Register a worker that has just beaten (again, as another process, when it is there)."""
        connection = self._sessions.enter_context(psycopg.connect(self.db.url, autocommit=True, row_factory=dict_row))
        identity = WorkerIdentity(name, uuid4())
        WorkerSession(connection, identity, lease_seconds=LEASE_SECONDS).register(info={}, slots=4)
        self.workers[name] = identity
        return identity

    async def die(self, name: str) -> None:
        """Let the last heartbeat of a worker be long ago."""
        await self.run("UPDATE worker_heartbeats SET heartbeat_at = now() - interval '1 day' WHERE node_id = %s", name)

    async def plan(self, *ranges: tuple[int, int], parallelism: int = 4, replaces: bool = False) -> None:
        await self.store.begin_plan(self.lease, parallelism)
        await self.store.plan_more(self.lease, [PlannedRange(*each, replaces) for each in ranges], done=[])

    async def take(self, name: str = "holder", *, closing: RangeLease | None = None) -> RangeLease:
        lease = await self.store.lease_next(self.job_id, self.workers[name], closing=closing)
        assert lease is not None, "there is no range"
        return lease

    async def write(self, lease: RangeLease, written: Segment) -> dict[str, SegmentFile]:
        """Put the files of a segment into the store; they do not count yet."""
        name = f"{written.start_block:09d}-{uuid4().hex[:16]}.parquet"
        begun = {f"{revision.path}/{name}": revision for revision in self.revisions.values()}
        await self.store.begin_files(lease, begun)
        files = {}
        for path, revision in begun.items():
            await self.lake.put(path, b"rows")
            files[path] = SegmentFile(revision.id, name, 7, 4, None, None, {})
        return files

    async def commit(self, lease: RangeLease, written: Segment) -> dict[str, SegmentFile]:
        files = await self.write(lease, written)
        await self.store.commit(lease, [WrittenSegment(written, files)], COST)
        return files

    async def counting(self, table: str = "blocks") -> list[tuple[int, int]]:
        """Return the ranges of the files of a table that count."""
        rows = await self.run(
            "SELECT start_block, end_block FROM files WHERE revision_id = %s ORDER BY start_block",
            self.revisions[table].id,
        )
        return [(row["start_block"], row["end_block"]) for row in rows]

    async def objects(self) -> set[str]:
        return {found.path for found in await self.lake.list()}

    async def counting_objects(self) -> set[str]:
        rows = await self.run(
            "SELECT r.path || '/' || f.file_name AS path FROM files f JOIN table_revisions r ON r.id = f.revision_id"
        )
        return {row["path"] for row in rows}

    async def run(self, statement: LiteralString, *parameters: Any) -> list[dict[str, Any]]:
        async with self.db.transaction() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self._sessions.close()


@asynccontextmanager
async def running_extraction(db: MetadataDb, *, start_block: int = 0) -> AsyncIterator[Ranges]:
    """Give a running extraction job."""
    await _add_manifest(db)
    jobs, leased = JobStore(db, lease_seconds=LEASE_SECONDS), LeasedJobs(db)
    with psycopg.connect(db.url, autocommit=True, row_factory=dict_row) as connection:
        holder = WorkerSession(connection, WorkerIdentity("holder", uuid4()), lease_seconds=LEASE_SECONDS)
        holder.register(info={}, slots=4)
        await jobs.deploy(Deployment("extraction", "key", {"max_writers": 4}), actor="test")
        (lease,) = await place_due_jobs(db, lease_seconds=LEASE_SECONDS)
        assert await leased.start(lease) is not None
        dataset = Dataset("ethereum", "mainnet", _MANIFEST, start_block)
        ranges = Ranges(db, holder, lease, await TableStore(db).open_revisions(lease, dataset, TABLES))
        try:
            yield ranges
        finally:
            ranges.close()


# As the commits of the segments would have left it; their triggers would take minutes.
_FILL = """
INSERT INTO files (revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size,
                   metadata, created_at)
SELECT r.id, n::text, %(each)s * n, %(each)s * (n + 1) - 1,
       '\\x00'::bytea || decode(lpad(to_hex(%(each)s * n), 62, '0'), 'hex'),
       '\\x00'::bytea || decode(lpad(to_hex(%(each)s * (n + 1)), 62, '0'), 'hex'), 20, 1000, '{}',
       now() - interval '1 day'
FROM table_revisions r, generate_series(0, %(segments)s - 1) AS n
"""
_RUNS = """
INSERT INTO block_runs
SELECT revision_id, min(start_block), max(end_block), %(parent)s, %(end)s, count(*), sum(object_size), sum(row_count)
FROM files GROUP BY revision_id
"""


def fill_lake(url: str, *, segments: int, blocks_each: int) -> None:
    """Give every revision so many segments from block 0 on, at once."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE files DISABLE TRIGGER files_come")
        connection.execute(_FILL, {"each": blocks_each, "segments": segments})
        connection.execute("ALTER TABLE files ENABLE TRIGGER files_come")
        connection.execute(_RUNS, {"parent": hash_of(-1), "end": hash_of(segments * blocks_each - 1)})
        connection.execute("VACUUM ANALYZE")


_MANIFEST = "0" * 64


async def _add_manifest(db: MetadataDb) -> None:
    await db.execute("INSERT INTO manifests (hash, kind, path) VALUES (%(hash)s, 'evm-rpc', 'p')", {"hash": _MANIFEST})
