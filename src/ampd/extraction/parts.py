"""What the parts of an extraction are made of: the stores and settings of a worker, and an extraction that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from ampd.data_store import CompactionStore, Compression, Leftovers, RangeStore, Revision, TableStore
from ampd.datasets import DatasetStore, Provider, ProviderStore, RawManifest
from ampd.extraction.collected import Collected
from ampd.extraction.compaction import CompactionLimits
from ampd.extraction.head import Head
from ampd.extraction.plan import ExtractionInput
from ampd.object_store import ObjectStore
from ampd.sources.blocks import BlockSource
from ampd.telemetry.extraction_metrics import DatasetMeter, meter_of


class OpenSource(Protocol):
    """Makes the source of providers (:func:`ampd.extraction.sources.open_source`)."""

    def __call__(
        self, providers: Sequence[Provider], network: str, executor: Executor, *, finalized_only: bool = False
    ) -> BlockSource:
        """Make it."""


@dataclass(frozen=True)
class SegmentLimits:
    """When a segment is closed before its range has ended: blocks, and bytes of Arrow data. ``seconds`` of reading are
    what a range should take; a segment is closed after several times as many.
    """

    seconds: float
    blocks: int
    bytes: int


@dataclass(frozen=True)
class CompactionSettings:
    """When small segments are compacted, and how often to look for them (seconds)."""

    interval_seconds: float = 30.0
    limits: CompactionLimits = field(default_factory=CompactionLimits)


@dataclass(frozen=True)
class ExtractionSettings:
    """How ranges and segments are cut and written, and how often a job that follows the chain looks for new blocks
    (seconds). ``compaction`` None: small segments stay.
    """

    limits: SegmentLimits = field(default_factory=lambda: SegmentLimits(10.0, 100_000, 128 * 1024 * 1024))
    compression: Compression = field(default_factory=Compression)
    poll_interval_seconds: float = 1.0
    compaction: CompactionSettings | None = field(default_factory=CompactionSettings)


@dataclass(frozen=True)
class Parts:
    """The stores of a worker process, and what it works with. ``open_source`` makes the source of providers."""

    datasets: DatasetStore
    providers: ProviderStore
    tables: TableStore
    ranges: RangeStore
    leftovers: Leftovers
    compaction: CompactionStore
    lake: ObjectStore
    executor: Executor
    open_source: OpenSource
    settings: ExtractionSettings
    collected: Collected = field(default_factory=Collected)


@dataclass(frozen=True)
class Target:
    """Where a job writes: revisions of tables, by the tables' names, with blocks of a network. ``meter`` counts it."""

    job_id: int
    network: str
    revisions: Mapping[str, Revision]
    meter: DatasetMeter


@dataclass(frozen=True)
class Extraction:
    """A job's extraction, open in this process: where its blocks come from and where they go."""

    job_id: int
    wanted: ExtractionInput
    manifest: RawManifest
    source: BlockSource
    head: Head
    revisions: dict[str, Revision]

    @cached_property
    def meter(self) -> DatasetMeter:
        """Counts what becomes of its blocks."""
        return meter_of(self.wanted.namespace, self.wanted.name)

    @property
    def target(self) -> Target:
        """Where its blocks go."""
        return Target(self.job_id, self.manifest.network, self.revisions, self.meter)
