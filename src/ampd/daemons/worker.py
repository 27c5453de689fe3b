"""The worker process: the rooms behind ``ampd worker`` put together."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pyarrow as pa
import structlog

from ampd.config import Config
from ampd.daemons.build_info import build_info
from ampd.daemons.lifecycle import open_metadata_db, traced, warn_of_ignored_keys
from ampd.daemons.metrics_listener import serve_metrics
from ampd.daemons.stores import check_lake, open_store, sweep_lake
from ampd.data_store import CompactionStore, Compression, Leftovers, RangeStore, TableStore
from ampd.datasets import DatasetStore, EndpointCooldowns, ProviderStore
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
    VerificationHandler,
)
from ampd.extraction.sources import open_source
from ampd.handlers import TypedHandler, discover
from ampd.handlers.http_call import USER_AGENT, http_kind
from ampd.jobs import AttemptStore, JobHandler, LeasedJobs, Notifier, WorkerIdentity
from ampd.metadata_db import MetadataDb
from ampd.object_store import ObjectStore
from ampd.sources.memory import ByteBudget
from ampd.tasks import cancel_all
from ampd.webhooks import AddressRules
from ampd.webhooks.guarded import GuardedHttp
from ampd.worker import HeartbeatSettings, WorkerNode, WorkerSettings

_log = structlog.get_logger(__name__)

_ALLOCATOR_VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"  # Arrow's own: who sets it has chosen
_KEEP_MEMORY_MS = 10_000


def keep_memory_for_columns() -> None:
    """Let Arrow keep the memory it has used for a while. Decoding needs hundreds of megabytes again and again: to give
    them back to the system each time costs a tenth of a worker's CPU time (docs/decisions/0014).
    """
    if _ALLOCATOR_VARIABLE not in os.environ and "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
        pa.jemalloc_set_decay_ms(_KEEP_MEMORY_MS)


async def run_worker(
    config: Config, node_id: str, stop: asyncio.Event, *, drain_timeout_seconds: float | None = None
) -> None:
    """Run a worker until ``stop`` is set, then drain, for as long as the configuration says or
    ``drain_timeout_seconds``.

    :raises AmpError: when it cannot start, or another process takes its name.
    """
    warn_of_ignored_keys(config)
    keep_memory_for_columns()
    lake = open_store(config, config.data_dir)
    db = await open_metadata_db(config, process=f"worker {node_id}")
    http = GuardedHttp(AddressRules.of(config.http_jobs.allowed_networks), user_agent=USER_AGENT)
    sweeping = asyncio.create_task(sweep_lake(lake))
    # Decoding and encoding leave Python for Arrow and numpy, so that threads use the cores.
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="columns") as executor:
        try:
            notifier = Notifier(db)
            leased_jobs = LeasedJobs(db, notifier=notifier)
            worker = WorkerIdentity(node_id, uuid4())
            await check_lake(config)
            parts = _parts(config, db, lake, executor)
            opened, held = OpenExtractions(parts), HeldRanges(parts.ranges, worker)
            node = WorkerNode(
                db,
                worker,
                _handlers(db, parts, opened, held, leased_jobs, http=http),
                leased_jobs,
                _settings(config, drain_timeout_seconds),
                info=dict(build_info()),
                notifier=notifier,
                companions=[
                    RangeBorrower(parts, opened, held, worker),
                    LakeKeeper(parts.ranges, parts.leftovers, KeeperSettings()),
                ],
            )
            async with serve_metrics(config.worker.metrics_addr):
                with traced(config, "worker", node_id):
                    await node.run(stop)
        finally:
            await cancel_all([sweeping])
            await http.close()
            await db.close()


def _handlers(
    db: MetadataDb,
    parts: Parts,
    opened: OpenExtractions,
    held: HeldRanges,
    leased_jobs: LeasedJobs,
    *,
    http: GuardedHttp,
) -> dict[str, JobHandler]:
    """Return the handlers of this worker by kind: ampd's own, and those that installed packages bring."""
    attempts = AttemptStore(db)
    handlers: dict[str, JobHandler] = {
        "extraction": ExtractionHandler(parts, opened, held, leased_jobs),
        "verification": VerificationHandler(
            db=db, datasets=parts.datasets, leased_jobs=leased_jobs, lake=parts.lake, executor=parts.executor
        ),
        "compaction": CompactionHandler(parts, held, attempts, leased_jobs),
        "http": TypedHandler(http_kind(http), attempts, leased_jobs),
    }
    for kind in discover().kinds.values():
        _log.info("handler.loaded", kind=kind.name, source=kind.source)
        handlers[kind.name] = TypedHandler(kind, attempts, leased_jobs)
    return handlers


def _parts(config: Config, db: MetadataDb, lake: ObjectStore, executor: ThreadPoolExecutor) -> Parts:
    writer = config.writer
    compression = writer.parsed_compression
    codec = "none" if compression.codec == "uncompressed" else compression.codec
    return Parts(
        datasets=DatasetStore(db, open_store(config, config.manifests_dir)),
        providers=ProviderStore(open_store(config, config.providers_dir)),
        tables=TableStore(db),
        ranges=RangeStore(
            db, lease_seconds=config.worker.lease_secs, deletion_delay_seconds=writer.deletion_delay_secs
        ),
        leftovers=Leftovers(db, lake),
        compaction=CompactionStore(
            db,
            cooldown_seconds=writer.compaction_cooldown_secs,
            deletion_delay_seconds=writer.deletion_delay_secs,
        ),
        lake=lake,
        executor=executor,
        open_source=partial(open_source, cooldowns=EndpointCooldowns(db), memory=ByteBudget()),
        settings=ExtractionSettings(
            limits=SegmentLimits(
                seconds=writer.target_range_secs, blocks=writer.max_range_blocks, bytes=writer.max_range_bytes
            ),
            compression=Compression(codec, compression.level),
            poll_interval_seconds=config.poll_interval_secs,
            compaction=CompactionSettings() if writer.compaction else None,
        ),
    )


def _settings(config: Config, drain_timeout_seconds: float | None) -> WorkerSettings:
    worker = config.worker
    drain = worker.drain_timeout_secs if drain_timeout_seconds is None else drain_timeout_seconds
    return WorkerSettings(
        heartbeat=HeartbeatSettings(worker.heartbeat_interval_secs, worker.lease_secs),
        slots=worker.slots,
        reconcile_interval_seconds=worker.reconcile_interval_secs,
        drain_timeout_seconds=drain,
    )
