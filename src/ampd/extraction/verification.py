"""Runs a verification job: checks a lake that exists, from its Parquet files alone (design section 7.3)."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import structlog

from ampd.chain.commitments import Commitment, Verification, Violation, hex_text
from ampd.chain.verification import verify_blocks
from ampd.data_store import LakeFiles
from ampd.datasets import DatasetStore
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.lake_report import Finding, LakeCommitment, LakeReport, file_finding
from ampd.extraction.lake_walk import LakeBatch, LakeWalk, SkippedBlocks
from ampd.jobs import JobContext, Lease, LeasedJobs
from ampd.metadata_db import MetadataDb
from ampd.object_store import ObjectStore
from ampd.tasks import cancel_all

_log = structlog.get_logger(__name__)

# What is verified in one call: enough for its fixed cost not to matter, little enough to be held twice.
_BATCH_BLOCKS: Final = 128
_REPORT_SECONDS: Final = 1.0


@dataclass(frozen=True)
class VerificationInput:
    """The descriptor of a verification job. Blocks None: from the dataset's first to the last that the lake has
    (before the first gap, while the dataset is being extracted).
    """

    namespace: str
    name: str
    manifest_hash: str
    start_block: int | None
    end_block: int | None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> VerificationInput:
        """Read what the Admin API wrote."""
        start_block, end_block = data.get("start_block"), data.get("end_block")
        return cls(
            namespace=data["dataset_namespace"],
            name=data["dataset_name"],
            manifest_hash=data["manifest_hash"],
            start_block=None if start_block is None else int(start_block),
            end_block=None if end_block is None else int(end_block),
        )


class VerificationHandler:
    """The :class:`ampd.jobs.JobHandler` of kind ``verification``."""

    def __init__(
        self,
        *,
        db: MetadataDb,
        datasets: DatasetStore,
        leased_jobs: LeasedJobs,
        lake: ObjectStore,
        executor: Executor,
        batch_blocks: int = _BATCH_BLOCKS,
    ) -> None:
        self._db = db
        self._datasets = datasets
        self._leased_jobs = leased_jobs
        self._lake = lake
        self._executor = executor
        self._batch_blocks = batch_blocks

    async def run(self, context: JobContext) -> bool:
        """Verify the lake from where the attempt before stopped. True when all of it holds.

        :raises AmpError: VERIFICATION_FAILED, with the first violations, when something does not.
        """
        wanted = VerificationInput.from_json(context.input)
        manifest = await self._datasets.manifest(wanted.manifest_hash)
        files = LakeFiles(self._db, wanted.namespace, wanted.name, wanted.manifest_hash)
        stored = await self._leased_jobs.last_progress(context.lease)
        if stored is None:
            report = await _fresh_report(wanted, manifest.start_block, files)
        else:
            report = LakeReport.from_json(stored)
        walk = LakeWalk(files, manifest.table_names, self._lake, self._executor, batch_blocks=self._batch_blocks)
        await self._write(context.lease, report)
        if not await self._verify(context, walk, manifest.network, report):
            return False
        if report.violation_count:
            raise _failure(wanted, report)
        _log.info("lake.verified", blocks=report.verified_blocks)
        return True

    async def _verify(self, context: JobContext, walk: LakeWalk, network: str, report: LakeReport) -> bool:
        """Verify what is left; while one batch is verified the next is read. False when a stop came first."""
        pace = _Pace(report)
        batches = walk.batches(report.next_block, report.end_block)
        reading = asyncio.ensure_future(anext(batches, None))
        try:
            while (batch := await reading) is not None:
                if context.stop.is_set():
                    await self._write(context.lease, report)
                    return False
                reading = asyncio.ensure_future(anext(batches, None))
                await self._check(batch, network, report)
                if pace.is_due(report) or report.next_block > report.end_block:
                    await self._write(context.lease, report)
        finally:
            await cancel_all([reading])
            await batches.aclose()
        return True

    async def _check(self, batch: LakeBatch | SkippedBlocks, network: str, report: LakeReport) -> None:
        if isinstance(batch, SkippedBlocks):
            report.add_skipped(batch.end_block - batch.start_block + 1, batch.findings)
        else:
            loop = asyncio.get_running_loop()
            checked = await loop.run_in_executor(self._executor, _check_batch, batch, network, report.previous_hash)
            report.add_outcome(batch.blocks, checked.outcome, checked.link_faults)
            report.previous_hash = checked.last_hash
        report.next_block = batch.end_block + 1

    async def _write(self, lease: Lease, report: LakeReport) -> None:
        if not await self._leased_jobs.report_progress(lease, report.to_json()):
            raise AmpError(
                ErrorCode.LEASE_LOST,
                f"job {lease.job_id} no longer belongs to this worker: its progress was not written",
                recoverable=True,
            )


async def _fresh_report(wanted: VerificationInput, first_block: int, files: LakeFiles) -> LakeReport:
    start = first_block if wanted.start_block is None else wanted.start_block
    end = await files.last_block() if wanted.end_block is None else wanted.end_block
    if end is None or end < start:
        raise AmpError(
            ErrorCode.VERIFICATION_FAILED,
            f"the lake has no blocks of {wanted.namespace}/{wanted.name} from {start} on: there is nothing to verify. "
            "Extract the dataset first (ampctl dataset deploy)",
        )
    return LakeReport(start_block=start, end_block=end, next_block=start)


def _failure(wanted: VerificationInput, report: LakeReport) -> AmpError:
    first = report.violations[0]
    blocks = f"{report.verified_blocks} blocks verify, {report.broken_blocks} do not"
    skipped = f", {report.skipped_blocks} could not be read" if report.skipped_blocks else ""
    return AmpError(
        ErrorCode.VERIFICATION_FAILED,
        f"the lake of {wanted.namespace}/{wanted.name} does not hold: {blocks}{skipped}. First: block "
        f"{first['block']}, {first['commitment']}: {first['detail']}",
        context={
            "violation_count": report.violation_count,
            "verified_blocks": report.verified_blocks,
            "broken_blocks": report.broken_blocks,
            "skipped_blocks": report.skipped_blocks,
            "violations": report.violations,
        },
    )


class _Pace:
    """When to write the report, and how fast it goes: blocks a second since the attempt began."""

    def __init__(self, report: LakeReport) -> None:
        self._first_block = report.next_block
        self._started = self._written = time.monotonic()

    def is_due(self, report: LakeReport) -> bool:
        """Tell whether the report should be written, and note the speed in it."""
        now = time.monotonic()
        report.blocks_per_second = round((report.next_block - self._first_block) / max(now - self._started, 0.001), 1)
        if now - self._written < _REPORT_SECONDS:
            return False
        self._written = now
        return True


@dataclass(frozen=True)
class _Checked:
    outcome: Verification
    link_faults: list[Finding]
    last_hash: bytes | None


def _check_batch(batch: LakeBatch, network: str, previous_hash: bytes | None) -> _Checked:
    """Verify a batch: its rows, how it hangs on the block before it, and how its files were registered."""
    try:
        expected = range(batch.start_block, batch.end_block + 1)
        outcome = verify_blocks(batch.tables, network=network, expected=expected)
        blocks = batch.tables["blocks"]
        if previous_hash is not None and blocks.num_rows and blocks.column("parent_hash")[0].as_py() != previous_hash:
            outcome.violations.insert(0, _broken_link(batch, previous_hash))
        last_hash = blocks.column("hash")[-1].as_py() if blocks.num_rows else None
        return _Checked(outcome, _link_faults(batch), last_hash)
    except (ValueError, KeyError, pa.ArrowException) as error:
        detail = f"the tables of the blocks {batch.start_block} to {batch.end_block} are none of an EVM chain: {error}"
        violation = Violation(batch.start_block, Commitment.COLUMN_RULES, detail)
        return _Checked(Verification(batch.blocks, [violation], []), [], None)


def _broken_link(batch: LakeBatch, previous_hash: bytes) -> Violation:
    stated, computed = hex_text(batch.tables["blocks"].column("parent_hash")[0].as_py()), hex_text(previous_hash)
    detail = f"its parent hash is {stated}, the hash of the block before it {computed}"
    return Violation(batch.start_block, Commitment.PARENT_HASH, detail, None, stated, computed)


def _link_faults(batch: LakeBatch) -> list[Finding]:
    """Compare the hashes that files were registered with to those of the blocks in them."""
    blocks = batch.tables["blocks"]
    rows = {number: row for row, number in enumerate(blocks.column("block_num").to_pylist())}
    faults = []
    for file in batch.files:
        ends = ((file.start_block, "parent_hash", file.start_parent_hash), (file.end_block, "hash", file.end_hash))
        for block, column, registered in ends:
            row = rows.get(block)  # None: of another batch, or not there, which is told already
            found = None if row is None else blocks.column(column)[row].as_py()
            if row is not None and found != registered:
                detail = f"{column} is {hex_text(found)}, the file was registered with {hex_text(registered)}"
                faults.append(file_finding(file, block, LakeCommitment.SEGMENT_LINK, detail))
    return faults
