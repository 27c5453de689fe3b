"""The plan of a job: which ranges are to be extracted next, until everything is there (design section 7.1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

import structlog

from ampd.data_store import PlannedRange, PlanView, Run
from ampd.data_store.ranges import BlockRange, intersect, merge, subtract
from ampd.errors import AmpError
from ampd.extraction.parts import Extraction, Parts
from ampd.extraction.reorgs import ReorgFinder, has_break
from ampd.extraction.sizing import RangeSizer, SizeLimits, are_outgrown, cut, share_of
from ampd.jobs import JobContext
from ampd.tasks import wait_for_any, wait_until

_log = structlog.get_logger(__name__)

# How often to look at the plan while others work on it, and how often to take back what dead workers have (seconds).
_LOOK_SECONDS = 0.5
_RESCUE_SECONDS = 1.0
_OPEN_STATES = frozenset({"FREE", "READING", "WRITING"})


class Planner:
    """Plans the ranges of one job, a few ahead of those that are being read. ``end_block`` None: it follows the
    chain. ``planned`` is set when there are more; ``tell_head`` is told of each new head of the chain.
    """

    def __init__(
        self,
        parts: Parts,
        extraction: Extraction,
        context: JobContext,
        end_block: int | None,
        tell_head: Callable[[int], Awaitable[object]],
    ) -> None:
        self.planned = asyncio.Event()
        self._parts = parts
        self._extraction = extraction
        self._lease = context.lease
        self._stop = context.stop
        self._end_block = end_block
        self._tell_head = tell_head
        self._parallelism = extraction.wanted.parallelism
        self._wake = asyncio.Event()
        self._head: int | None = None
        self._head_asked_at = -float("inf")
        self._rescued_at = -float("inf")
        limits = parts.settings.limits
        self._reorgs = ReorgFinder(extraction.source, parts.ranges, list(extraction.revisions.values()))
        self._sizer = RangeSizer(SizeLimits(limits.seconds, limits.bytes))

    def wake(self) -> None:
        """Look again: something has changed."""
        self._wake.set()

    async def run(self) -> bool:
        """Plan until everything is there (True) or until a stop has been obeyed by all who have a range (False, unless
        everything is there).

        :raises AmpError: LEASE_LOST, or what the node did wrong.
        """
        await self._parts.ranges.begin_plan(self._lease, self._parallelism)
        await self._tidy()
        while not self._stop.is_set():
            self._wake.clear()
            view = await self._look()
            missing = await self._plan(view)
            if self._is_complete(view, missing):
                await self._tidy()
                return True
            await self._wait(has_work=bool(view.ranges or missing))
        return await self._wind_up()

    async def _look(self) -> PlanView:
        if time.monotonic() - self._rescued_at >= _RESCUE_SECONDS:
            await self._parts.ranges.free_lost()
            self._rescued_at = time.monotonic()
        return await self._parts.ranges.view(self._lease.job_id, list(self._extraction.revisions.values()))

    async def _plan(self, view: PlanView) -> list[BlockRange]:
        """Plan what is missing, a few ranges ahead, and return what was missing."""
        done = [each for each in view.ranges if each.state == "DONE"]
        for each in done:
            self._sizer.learn(blocks=each.blocks, size=each.bytes, seconds=each.seconds)
        missing = self._missing(view)
        was_asked = not missing and await self._ask_for_head()
        repairs = await self._repairs(view, looks_at_end=was_asked)
        missing = self._missing(view)
        free = [each for each in view.ranges if each.state == "FREE" and not each.replaces]
        free_ranges = [(each.start_block, each.end_block) for each in free]
        left = merge([*missing, *free_ranges])
        blocks = share_of(left, self._parallelism, self._sizer.blocks())
        if are_outgrown(free_ranges, left, blocks):
            dropped = [each.id for each in free]
            await self._parts.ranges.plan_more(self._lease, [], done=[each.id for each in done], dropped=dropped)
            self._wake.set()
            return left
        more = cut(missing, blocks=blocks, count=max(0, self._parallelism + 1 - len(free)))
        planned = repairs + [PlannedRange(*each, replaces=_is_there(view, each)) for each in more]
        if planned or done:
            await self._parts.ranges.plan_more(self._lease, planned, done=[each.id for each in done])
        if planned:
            self._wake.set()
            self.planned.set()
        return missing

    async def _repairs(self, view: PlanView, *, looks_at_end: bool) -> list[PlannedRange]:
        """Plan to replace what is not of the chain any more, one line of segments at a time."""
        if any(each.replaces and each.state in _OPEN_STATES for each in view.ranges):
            return []
        found = await self._reorgs.find_at_breaks(view)
        if found is None and looks_at_end:
            found = await self._reorgs.find_at_end(view)
        return [] if found is None else [PlannedRange(*found, replaces=True)]

    def _missing(self, view: PlanView) -> list[BlockRange]:
        if self._head is None:
            return []
        last = self._head if self._end_block is None else min(self._head, self._end_block)
        planned = [(each.start_block, each.end_block) for each in view.ranges if each.state in _OPEN_STATES]
        return subtract((self._extraction.manifest.start_block, last), [*_common(view.runs.values()), *planned])

    async def _ask_for_head(self) -> bool:
        """Ask for the newest block, unless that was done just now or nothing behind it is wanted; tell whether that was
        done.
        """
        reached = self._head is not None and self._end_block is not None and self._end_block <= self._head
        if reached or time.monotonic() - self._head_asked_at < self._parts.settings.poll_interval_seconds:
            return False
        before, self._head = self._head, await self._extraction.head.ask()
        self._head_asked_at = time.monotonic()
        if self._head is not None and self._head != before:
            await self._tell_head(self._head)
        return True

    def _is_complete(self, view: PlanView, missing: list[BlockRange]) -> bool:
        if self._end_block is None or self._head is None or self._end_block > self._head:
            return False
        return not missing and not has_break(view) and not any(each.state in _OPEN_STATES for each in view.ranges)

    async def _wait(self, *, has_work: bool) -> None:
        """Wait for a change in this process, for the time to look at the others, or for the time to ask the node."""
        seconds = _LOOK_SECONDS if has_work else self._parts.settings.poll_interval_seconds
        await wait_for_any((self._stop, self._wake), seconds)

    async def _wind_up(self) -> bool:
        """Let everybody finish what is in hand; then tell whether everything is there."""
        await self._parts.ranges.stop_plan(self._lease)
        while True:
            self._wake.clear()
            view = await self._look()
            if not any(each.state in {"READING", "WRITING"} for each in view.ranges):
                break
            await wait_until(self._wake, _LOOK_SECONDS)
        await self._tidy()
        return self._is_complete(view, self._missing(view))

    async def _tidy(self) -> None:
        """Remove what attempts that are over have left in the store."""
        await self._parts.ranges.free_lost()
        await self._parts.leftovers.sweep()
        try:
            await self._parts.leftovers.collect(list(self._extraction.revisions.values()))
        except AmpError as error:
            _log.warning("leftovers.kept", job_id=self._lease.job_id, error=error.message)


def _common(runs: Iterable[list[Run]]) -> list[BlockRange]:
    """Return the blocks that all tables have."""
    tables = [merge((run.start_block, run.end_block) for run in table) for table in runs]
    common = tables[0]
    for other in tables[1:]:
        common = common if other == common else intersect(common, other)
    return common


def _is_there(view: PlanView, wanted: BlockRange) -> bool:
    """Tell whether a table has a block of a range that another one lacks: the range is written anew in all of them."""
    start, end = wanted
    return any(run.start_block <= end and run.end_block >= start for runs in view.runs.values() for run in runs)
