"""Runs a compaction job: the lake of a dataset, now, whether a job extracts it or not (design section 7.5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from ampd.data_store import FilesReplacedError
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.compaction import CompactionLimits
from ampd.extraction.compactor import Compaction, Swapped
from ampd.extraction.held_ranges import HeldRanges
from ampd.extraction.parts import Parts, Target
from ampd.jobs import AttemptStore, Completed, JobContext, Lease, LeasedJobs
from ampd.telemetry.extraction_metrics import meter_of

# Two segments are worth a larger one when somebody asks for it.
_FEWEST: Final = 2


class CompactionJobInput(BaseModel):
    """The descriptor of a compaction job. Files that are younger than ``cooldown_secs`` stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset_namespace: str
    dataset_name: str
    manifest_hash: str
    cooldown_secs: float = 0.0


@dataclass
class CompactionReport:
    """What a compaction has done so far: the whole lake of the dataset before, and what was swapped since. A worker
    that is killed right behind a swap takes the word of that one with it.
    """

    files_before: int
    bytes_before: int
    compactions: int = 0
    files_replaced: int = 0
    bytes_replaced: int = 0
    files_written: int = 0
    bytes_written: int = 0
    end_block: int | None = None

    def add(self, swapped: Swapped) -> None:
        """Count one swap."""
        self.compactions += 1
        self.files_replaced += swapped.files_replaced
        self.bytes_replaced += swapped.bytes_replaced
        self.files_written += swapped.files_written
        self.bytes_written += swapped.bytes_written
        self.end_block = swapped.end_block


class CompactionHandler:
    """The :class:`ampd.jobs.JobHandler` of kind ``compaction``. It may run beside the extraction of the same dataset,
    and beside another compaction: see :meth:`ampd.data_store.CompactionStore.swap`.
    """

    def __init__(self, parts: Parts, held: HeldRanges, attempts: AttemptStore, leased_jobs: LeasedJobs) -> None:
        self._parts = parts
        self._held = held
        self._attempts = attempts
        self._leased_jobs = leased_jobs

    async def run(self, context: JobContext) -> bool | Completed:
        """Compact until there is nothing more to compact; see :class:`ampd.jobs.JobHandler`."""
        wanted = _read(context.input)
        dataset = (wanted.dataset_namespace, wanted.dataset_name, wanted.manifest_hash)
        revisions = await self._parts.tables.active_revisions(*dataset)
        store = self._parts.compaction
        report = await self._begin(context.lease, *await store.size(list(revisions.values())))
        if revisions:
            manifest = await self._parts.datasets.manifest(wanted.manifest_hash)
            target = Target(
                context.lease.job_id,
                manifest.network,
                revisions,
                meter_of(wanted.dataset_namespace, wanted.dataset_name),
            )
            compaction = Compaction(
                self._parts,
                target,
                self._held,
                context,
                limits=CompactionLimits(fewest=_FEWEST),
                cooldown_seconds=wanted.cooldown_secs,
            )
            if not await self._compact(context, compaction, report):
                return False
        files, size = await store.size(list(revisions.values()))
        return Completed({**asdict(report), "files_after": files, "bytes_after": size})

    async def _begin(self, lease: Lease, files: int, size: int) -> CompactionReport:
        saved = (await self._attempts.describe(lease)).checkpoint
        return CompactionReport(files, size) if saved is None else CompactionReport(**saved)

    async def _compact(self, context: JobContext, compaction: Compaction, report: CompactionReport) -> bool:
        """Go step by step. False when a stop came first."""
        goes_on = True
        while goes_on:
            if context.stop.is_set():
                return False
            try:
                swapped = await compaction.step(self._parts.compaction)
            except FilesReplacedError:
                continue  # a reorg, or another compaction, has been there: what is there now is another matter
            goes_on = swapped.goes_on
            if swapped.files_written:
                report.add(swapped)
                await self._attempts.save_checkpoint(context.lease, asdict(report))
                await self._leased_jobs.report_progress(context.lease, asdict(report))
        return True


def _read(content: dict[str, Any]) -> CompactionJobInput:
    try:
        return CompactionJobInput.model_validate(content)
    except ValidationError:
        raise AmpError(
            ErrorCode.INVALID_JOB_INPUT, "the input of this compaction job is not that of this version: create it again"
        ) from None
