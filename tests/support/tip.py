"""Jobs that follow a chain which the test bends as it likes: real workers, database and node, all in this process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString, Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from ampd.chain.tables import TABLES
from ampd.data_store import CompactionStore, Leftovers, RangeStore, TableStore
from ampd.datasets import DatasetStore, Provider, ProviderStore, generate_manifest
from ampd.extraction import (
    CompactionHandler,
    CompactionSettings,
    ExtractionHandler,
    ExtractionSettings,
    HeldRanges,
    KeeperSettings,
    LakeKeeper,
    OpenExtractions,
    Parts,
    RangeBorrower,
    SegmentLimits,
)
from ampd.extraction.collected import Collected
from ampd.extraction.sources import open_source
from ampd.jobs import AttemptStore, Deployment, Job, JobState, JobStore, LeasedJobs, WorkerIdentity
from ampd.metadata_db import MetadataDb
from ampd.object_store import ObjectStore
from ampd.replay_node import ForkingNode, RecordedBlock, ReplayChain, build_chain, fork_chain, read_recorded_blocks
from ampd.sources.blocks import BlockSource
from ampd.worker import HeartbeatSettings, WorkerNode, WorkerSettings
from support.nodes import BLOCKS

FIRST_BLOCK = 1_000_000
SECONDS = 30.0  # no wait lasts longer
POLL_SECONDS = 0.02
_SMALL_BLOCK = BLOCKS / "ethereum" / "1000000.json.gz"  # it has two transactions


def recorded_block() -> list[RecordedBlock]:
    with TemporaryDirectory() as alone:
        shutil.copy(_SMALL_BLOCK, alone)
        return read_recorded_blocks(Path(alone))


class Forks:
    """Chains of one origin. ``base`` is the first; :meth:`fork` parts from any at a block."""

    def __init__(self, length: int) -> None:
        self._recorded = recorded_block()
        self.base = build_chain(self._recorded, length=length, first_block=FIRST_BLOCK)
        self.all = [self.base]

    def fork(self, chain: ReplayChain, *, at: int, length: int) -> ReplayChain:
        """Return a chain of ``length`` blocks that parts from ``chain`` at block FIRST_BLOCK + ``at``."""
        forked = fork_chain(chain, self._recorded, at=FIRST_BLOCK + at, length=length, late_seconds=len(self.all))
        self.all.append(forked)
        return forked


class Segments:
    """One look of a reader at the canonical files of a table."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = rows

    @property
    def end(self) -> int:
        return int(self.rows[-1]["end_block"]) if self.rows else FIRST_BLOCK - 1

    def is_of(self, chain: ReplayChain) -> bool:
        if self.end > chain.last_block:
            return False
        return all(
            chain.identity(row["end_block"]).hash == "0x" + row["end_hash"].hex()
            and chain.identity(row["start_block"]).parent_hash == "0x" + row["start_parent_hash"].hex()
            for row in self.rows
        )

    def assert_whole(self, forks: Forks) -> None:
        """Check that there is neither gap nor duplicate, and that all of it is of one chain."""
        following = FIRST_BLOCK
        for row in self.rows:
            assert row["start_block"] == following, f"block {following} is followed by {row['start_block']}"
            following = row["end_block"] + 1
        assert any(self.is_of(chain) for chain in forks.all), f"a mixture: {self.rows}"


class Tip:
    """A database, a lake in memory, a node, and workers. ``kind`` says how jobs read from the node."""

    kind = "evm-rpc"
    table_names: Sequence[str] = tuple(TABLES)
    settings: Mapping[str, Any] = {}

    def __init__(self, db: MetadataDb, forks: Forks, node: ForkingNode, executor: ThreadPoolExecutor) -> None:
        self.db = db
        self.forks = forks
        self.node = node
        self.lake = ObjectStore.open("memory:///")
        self.jobs = JobStore(db)
        self.tables = TableStore(db)
        self._manifests, self._providers = ObjectStore.open("memory:///"), ObjectStore.open("memory:///")
        self._executor = executor
        self._running: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        self.segment_blocks = 100_000
        self.target_seconds = 10.0
        self.keeper = KeeperSettings(sweep_seconds=0.2)
        self.compaction: CompactionSettings | None = None
        self.collected = Collected()

    def _parts(self) -> Parts:
        return Parts(
            datasets=DatasetStore(self.db, self._manifests),
            providers=ProviderStore(self._providers),
            tables=TableStore(self.db),
            ranges=RangeStore(self.db, lease_seconds=5.0, deletion_delay_seconds=3600.0),
            leftovers=Leftovers(self.db, self.lake),
            compaction=CompactionStore(self.db, cooldown_seconds=0.0, deletion_delay_seconds=3600.0),
            lake=self.lake,
            executor=self._executor,
            open_source=open_source,
            settings=ExtractionSettings(
                limits=SegmentLimits(self.target_seconds, self.segment_blocks, 10**9),
                poll_interval_seconds=POLL_SECONDS,
                compaction=self.compaction,
            ),
            collected=self.collected,
        )

    async def start_worker(self, name: str = "worker", slots: int = 4) -> None:
        worker, parts = WorkerIdentity(name, uuid4()), self._parts()
        opened, held, leased = OpenExtractions(parts), HeldRanges(parts.ranges, worker), LeasedJobs(self.db)
        node = WorkerNode(
            self.db,
            worker,
            {
                "extraction": ExtractionHandler(parts, opened, held, leased),
                "compaction": CompactionHandler(parts, held, AttemptStore(self.db), leased),
            },
            leased,
            WorkerSettings(heartbeat=HeartbeatSettings(0.2, 5.0), slots=slots),
            info={},
            companions=[
                RangeBorrower(parts, opened, held, worker),
                LakeKeeper(parts.ranges, parts.leftovers, self.keeper),
            ],
        )
        stop = asyncio.Event()
        self._running.append((asyncio.create_task(node.run(stop)), stop))

    async def register_idle_worker(self, name: str) -> None:
        """Add a worker that lives and has free slots, and never does anything."""
        worker = {"name": name, "incarnation": uuid4()}
        await self.db.execute(
            "INSERT INTO workers (node_id, incarnation, info, slots) VALUES (%(name)s, %(incarnation)s, '{}', 4)",
            worker,
        )
        await self.db.execute(
            "INSERT INTO worker_heartbeats (node_id, incarnation, heartbeat_at)"
            " VALUES (%(name)s, %(incarnation)s, now() + interval '1 hour')",
            worker,
        )

    async def register(self, *, finalized: bool = False, start_block: int = FIRST_BLOCK, **provider: Any) -> str:
        """Register the dataset `tip/chain` and its provider; return the hash of the manifest."""
        settings = {"network": "tip", "url": self.node.url, **self.settings, **provider}
        await ProviderStore(self._providers).put("tip", self.kind, settings)
        manifest = generate_manifest(self.kind, "tip", start_block, finalized)
        registered = await DatasetStore(self.db, self._manifests).register("tip", "chain", "1.0.0", manifest)
        return registered.manifest_hash

    async def deploy(
        self,
        *,
        end_block: str | None = None,
        parallelism: int = 1,
        finalized: bool = False,
        start_block: int = FIRST_BLOCK,
        **provider: Any,
    ) -> int:
        """Deploy the dataset `tip/chain` with ``provider`` settings (another node's ``url``, say); return its job."""
        manifest_hash = await self.register(finalized=finalized, start_block=start_block, **provider)
        wanted = {
            "dataset_namespace": "tip",
            "dataset_name": "chain",
            "manifest_hash": manifest_hash,
            "end_block": end_block,
            "max_writers": parallelism,
        }
        return (await self.jobs.deploy(Deployment("extraction", str(wanted), wanted), actor="test")).id

    @asynccontextmanager
    async def source(self) -> AsyncIterator[BlockSource]:
        """Give the source that jobs read from."""
        config = {"kind": "evm-rpc", "network": "tip", "url": self.node.url}
        source = open_source([Provider("tip", "evm-rpc", "tip", config)], "tip", self._executor)
        try:
            yield source
        finally:
            await source.close()

    async def segments(self, table: str = "blocks") -> Segments:
        query: LiteralString = (
            "SELECT c.path, f.start_block, f.end_block, f.start_parent_hash, f.end_hash FROM canonical_files c"
            " JOIN files f ON f.start_block = c.start_block"
            " JOIN table_revisions r ON r.id = f.revision_id AND c.path = r.path || '/' || f.file_name"
            " WHERE c.table_name = %(table)s ORDER BY f.start_block"
        )
        return Segments(await self.db.fetch_all(query, {"table": table}))

    async def wait_for_chain(self, job_id: int, chain: ReplayChain, end: int | None = None) -> None:
        """Wait until all tables have ``chain`` up to a block (its last one unless given); an error fails at once."""
        last = chain.last_block if end is None else end

        async def is_there() -> bool:
            job = await self.jobs.get(job_id)
            assert job.last_error is None, job.last_error
            looks = [await self.segments(table) for table in self.table_names]
            return all(look.end == last and look.is_of(chain) for look in looks)

        await self.until(f"the chain up to {last}", is_there)

    async def wait_for_state(self, job_id: int, state: JobState) -> Job:
        async def is_there() -> bool:
            return (await self.jobs.get(job_id)).state is state

        await self.until(f"job {job_id} to be {state}", is_there)
        return await self.jobs.get(job_id)

    async def until(self, what: str, probe: Any) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SECONDS
        while not await probe():
            for task, _ in self._running:
                if task.done():
                    task.result()
            if loop.time() > deadline:
                look = await self.segments()
                raise AssertionError(f"waited {SECONDS} s for {what}; there is block {look.end}: {look.rows[-5:]}")
            await asyncio.sleep(0.01)

    async def table(self, name: str) -> pa.Table:
        """Return the rows of a table, as a reader of the canonical files sees them."""
        found = []
        for row in (await self.segments(name)).rows:
            data = await self.lake.get(row["path"])
            assert data is not None, f"{row['path']} is gone"
            found.append(pq.read_table(pa.BufferReader(data)))
        return pa.concat_tables(found)

    async def assert_rows_of(self, chain: ReplayChain, end: int | None = None) -> None:
        """Check that the rows are those of the blocks of ``chain``, each once."""
        last = chain.last_block if end is None else end
        numbers = range(FIRST_BLOCK, last + 1)
        blocks = await self.table("blocks")
        assert blocks.column("block_num").to_pylist() == list(numbers)
        expected = [chain.identity(number).hash for number in numbers]
        assert ["0x" + value.hex() for value in blocks.column("hash").to_pylist()] == expected
        hashes = (await self.table("transactions")).column("block_hash").to_pylist()
        assert ["0x" + value.hex() for value in hashes] == [one for one in expected for _ in range(2)]

    async def end(self) -> None:
        for _, stop in self._running:
            stop.set()
        await asyncio.gather(*(task for task, _ in self._running))


class Onlooker:
    """Looks at a lake all the time, as others do, from its beginning to its end; what a look raises is raised then."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        raise NotImplementedError


class Reader(Onlooker):
    """Looks at the canonical files all the time, and keeps what is wrong with them."""

    def __init__(self, tip: Tip) -> None:
        super().__init__()
        self._tip = tip
        self.ends: list[int] = []

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        assert self.ends == sorted(self.ends), "blocks went without others in their place"

    async def _run(self) -> None:
        while True:
            look = await self._tip.segments()
            look.assert_whole(self._tip.forks)
            self.ends.append(look.end)
            for row in look.rows[-3:]:
                assert await self._tip.lake.get(row["path"]) is not None, "a file that was just listed is gone"
            await asyncio.sleep(0.005)


@asynccontextmanager
async def tip_of(db: MetadataDb, *, length: int, head: int) -> AsyncIterator[Tip]:
    """Give a node whose chain has ``length`` blocks, of which the first ``head`` are there."""
    forks = Forks(length)
    with ThreadPoolExecutor(2) as executor:
        async with ForkingNode(forks.base, gzip=False) as node:
            node.head = FIRST_BLOCK + head - 1
            tip = Tip(db, forks, node, executor)
            try:
                yield tip
            finally:
                await tip.end()
