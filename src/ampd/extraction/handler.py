"""Runs an extraction job from its first missing block to its end (design section 7.1)."""

from __future__ import annotations

import asyncio
from functools import partial

from ampd.data_store import RangeLease
from ampd.extraction.compactor import Compaction, Compactor
from ampd.extraction.held_ranges import HeldRanges, Holder
from ampd.extraction.open_extractions import OpenExtractions
from ampd.extraction.parts import Extraction, Parts
from ampd.extraction.plan import ExtractionInput, resolve_end_block
from ampd.extraction.planner import Planner
from ampd.extraction.range_runner import RangeRunner
from ampd.jobs import JobContext, Lease, LeasedJobs
from ampd.tasks import cancel_all, wait_for_any

# How long the slot of a job without a free range waits until it looks again (seconds); changes in this process wake it.
_PAUSE_SECONDS = 1.0


class ExtractionHandler:
    """The :class:`ampd.jobs.JobHandler` of kind ``extraction``: plans the ranges of a job, and extracts them in the
    job's own slot. Slots that are free help, on any worker (:class:`ampd.extraction.RangeBorrower`).
    """

    def __init__(self, parts: Parts, opened: OpenExtractions, held: HeldRanges, leased_jobs: LeasedJobs) -> None:
        self._parts = parts
        self._opened = opened
        self._held = held
        self._leased_jobs = leased_jobs

    async def run(self, context: JobContext) -> bool:
        """Extract what is missing. True when the job has reached its end block; see :class:`ampd.jobs.JobHandler`."""
        wanted = ExtractionInput.from_json(context.input)
        async with self._opened.of_own_job(context.lease, wanted) as extraction:
            end_block = await self._resolve_end(context, extraction)
            planner = Planner(
                self._parts, extraction, context, end_block, partial(self._report, context.lease, extraction, end_block)
            )
            return await _Own(self._parts, extraction, self._held, context, planner).run()

    async def _resolve_end(self, context: JobContext, extraction: Extraction) -> int | None:
        manifest = extraction.manifest
        latest = await extraction.head.ask()
        end_block = resolve_end_block(extraction.wanted.end_block, start_block=manifest.start_block, latest=latest)
        await self._report(context.lease, extraction, end_block, latest)
        return end_block

    async def _report(self, lease: Lease, extraction: Extraction, end_block: int | None, latest: int | None) -> None:
        """Say where the job is to go and how far the chain reaches: progress and lag are told from that."""
        start = extraction.manifest.start_block
        report = {"start_block": start, "end_block": end_block, "latest_block": latest}
        await self._leased_jobs.report_progress(lease, report)


class _Own:
    """A job in its own slot: its planner, and its runner beside it."""

    def __init__(
        self, parts: Parts, extraction: Extraction, held: HeldRanges, context: JobContext, planner: Planner
    ) -> None:
        self._job_id = extraction.job_id
        self._held = held
        self._planner = planner
        self._runner = RangeRunner(parts, extraction, held, stop=context.stop, lease_is_valid=context.lease_is_valid)
        self._parts = parts
        self._compactor = _compactor(parts, extraction, held, context)
        # A range that is lost is found lost when it is written: whoever lost it is about to lose the job too.
        # A stop comes from the job, which has to say first that it was heard.
        self._holder = Holder(stop=asyncio.Event(), lose=planner.wake)
        self._stop = context.stop
        self._changed = planner.planned
        self._ends = asyncio.Event()

    async def run(self) -> bool:
        self._held.listen(self._job_id, self._on_change)
        planning = asyncio.create_task(self._planner.run())
        extracting = asyncio.create_task(self._runner.run(self._acquire))
        compacting = asyncio.create_task(self._compact())
        try:
            await asyncio.wait({planning, extracting}, return_when=asyncio.FIRST_COMPLETED)
            if extracting.done():
                extracting.result()
            is_complete = await planning
            self._ends.set()
            await extracting
        finally:
            self._held.listen(self._job_id, None)
            await cancel_all([planning, extracting, compacting])
        return is_complete

    async def _compact(self) -> None:
        if self._compactor is not None:
            await self._compactor.run(self._parts.compaction)

    def _on_change(self) -> None:
        self._planner.wake()
        self._changed.set()

    async def _acquire(self, closing: RangeLease | None, *, waits: bool) -> RangeLease | None:
        while not self._ends.is_set() and not self._stop.is_set():
            self._changed.clear()
            lease = await self._held.lease_next(self._job_id, self._holder, closing=closing)
            if lease is not None or not waits:
                return lease
            await wait_for_any((self._changed, self._ends, self._stop), _PAUSE_SECONDS)
        return None


def _compactor(parts: Parts, extraction: Extraction, held: HeldRanges, context: JobContext) -> Compactor | None:
    settings = parts.settings.compaction
    if settings is None:
        return None
    compaction = Compaction(parts, extraction.target, held, context, limits=settings.limits)
    return Compactor(compaction, stop=context.stop, interval_seconds=settings.interval_seconds)
