"""Runs an extraction job from its first missing block to its end (design section 7.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from ampd.data_store import Compression, Dataset, Revision, TableStore
from ampd.data_store.ranges import BlockRange, subtract
from ampd.datasets import DatasetStore, EvmRpcManifest, Provider, ProviderStore
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.plan import ExtractionInput, resolve_end_block
from ampd.extraction.segment_writer import SegmentLimits, SegmentWriter
from ampd.jobs import JobContext, LeasedJobs
from ampd.object_store import ObjectStore
from ampd.sources.blocks import BlockBatch, BlockSource
from ampd.tasks import cancel_all, wait_until

_log = structlog.get_logger(__name__)

OpenSource = Callable[[Sequence[Provider], str, Executor], BlockSource]


@dataclass(frozen=True)
class ExtractionSettings:
    """How segments are cut and written, and how often a job that follows the chain looks for new blocks (seconds)."""

    limits: SegmentLimits = field(default_factory=lambda: SegmentLimits(10.0, 100_000, 128 * 1024 * 1024))
    compression: Compression = field(default_factory=Compression)
    poll_interval_seconds: float = 1.0


@dataclass(frozen=True)
class _Run:
    """One attempt: where blocks come from, where they go, and how far."""

    context: JobContext
    manifest: EvmRpcManifest
    source: BlockSource
    revisions: dict[str, Revision]
    end_block: int | None


class ExtractionHandler:
    """The :class:`ampd.jobs.JobHandler` of kind ``extraction``. ``open_source`` makes the source of providers."""

    def __init__(
        self,
        *,
        datasets: DatasetStore,
        providers: ProviderStore,
        tables: TableStore,
        leased_jobs: LeasedJobs,
        lake: ObjectStore,
        executor: Executor,
        open_source: OpenSource,
        settings: ExtractionSettings,
    ) -> None:
        self._datasets = datasets
        self._providers = providers
        self._tables = tables
        self._leased_jobs = leased_jobs
        self._lake = lake
        self._executor = executor
        self._open_source = open_source
        self._settings = settings

    async def run(self, context: JobContext) -> bool:
        """Extract what is missing. True when the job has reached its end block; see :class:`ampd.jobs.JobHandler`."""
        wanted = ExtractionInput.from_json(context.input)
        manifest = await self._datasets.manifest(wanted.manifest_hash)
        providers = await self._providers.find(manifest.kind, manifest.network)
        source = self._open_source(providers, manifest.network, self._executor)
        try:
            return await self._follow(await self._prepare(context, wanted, manifest, source))
        finally:
            await source.close()

    async def _prepare(
        self, context: JobContext, wanted: ExtractionInput, manifest: EvmRpcManifest, source: BlockSource
    ) -> _Run:
        chain_id = await source.chain_id()
        dataset = Dataset(wanted.namespace, wanted.name, wanted.manifest_hash, manifest.start_block)
        revisions = await self._tables.open_revisions(context.lease, dataset, manifest.table_names)
        await self._tables.bind_chain(revisions.values(), chain_id)
        await self._remove_orphans(revisions)
        latest = await source.latest_block(finalized=manifest.finalized_blocks_only)
        end_block = resolve_end_block(wanted.end_block, start_block=manifest.start_block, latest=latest)
        report = {"start_block": manifest.start_block, "end_block": end_block, "latest_block": latest}
        await self._leased_jobs.report_progress(context.lease, report)
        return _Run(context, manifest, source, revisions, end_block)

    async def _remove_orphans(self, revisions: dict[str, Revision]) -> None:
        """Delete files that an attempt before this one wrote and did not commit.

        Whoever wrote them has an older lease, so that no commit can make them count any more.
        """
        for revision in revisions.values():
            registered = await self._tables.registered_files(revision)
            for found in await self._lake.list(revision.path):
                if found.path.rpartition("/")[2] not in registered:
                    _log.info("orphan.removed", path=found.path, bytes=found.size)
                    await self._lake.delete(found.path)

    async def _follow(self, run: _Run) -> bool:
        """Extract missing blocks as far as the chain reaches, again and again, until the end block or a stop."""
        while not run.context.stop.is_set():
            head = await run.source.latest_block(finalized=run.manifest.finalized_blocks_only)
            missing = await self._missing(run, head)
            for block_range in missing:
                if not await self._extract(run, block_range):
                    return False
            if run.end_block is not None and head is not None and run.end_block <= head:
                return True
            if not missing:
                await wait_until(run.context.stop, self._settings.poll_interval_seconds)
        return False

    async def _missing(self, run: _Run, head: int | None) -> list[BlockRange]:
        if head is None:
            return []
        last = head if run.end_block is None else min(head, run.end_block)
        present = await self._tables.present_ranges(list(run.revisions.values()))
        return subtract((run.manifest.start_block, last), present)

    async def _extract(self, run: _Run, block_range: BlockRange) -> bool:
        """Extract one range; False when a stop came first (what was in hand is committed)."""
        start_block, end_block = block_range
        reached = start_block - 1
        writer = self._writer(run)
        most_blocks = self._settings.limits.blocks
        expected_parent = await self._tables.hash_before(next(iter(run.revisions.values())), start_block)
        try:
            async for batch in _until(
                run.context.stop, run.source.read(start_block, end_block, most_blocks=most_blocks)
            ):
                if expected_parent is not None and batch.start_parent_hash != expected_parent:
                    raise AmpError(
                        ErrorCode.PARENT_HASH_MISMATCH,
                        f"block {batch.start_block}: its parent hash is not the hash of block {batch.start_block - 1} "
                        "in the lake: the chain reorganised below it, or the node follows another fork",
                        recoverable=True,
                    )
                expected_parent = None
                await writer.add(batch)
                reached = batch.end_block
            await writer.finish()
        except BaseException:
            await writer.abandon()
            raise
        # A stop that meets the last commit finds the range done.
        return reached == end_block

    def _writer(self, run: _Run) -> SegmentWriter:
        return SegmentWriter(
            lease=run.context.lease,
            revisions=run.revisions,
            network=run.manifest.network,
            tables=self._tables,
            lake=self._lake,
            executor=self._executor,
            compression=self._settings.compression,
            limits=self._settings.limits,
            lease_is_valid=run.context.lease_is_valid,
        )


async def _until(stop: asyncio.Event, batches: AsyncGenerator[BlockBatch, None]) -> AsyncGenerator[BlockBatch, None]:
    """Give what ``batches`` gives until ``stop`` is set, also while the next one is awaited."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        async with aclosing(batches):
            while not stop.is_set():
                coming = asyncio.ensure_future(anext(batches, None))
                try:
                    await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not coming.done():
                        await cancel_all([coming])
                if coming.cancelled() or (batch := coming.result()) is None:
                    return
                yield batch
    finally:
        stopping.cancel()
