"""Free slots of this worker help with the ranges of running jobs, whichever worker holds these."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from ampd.data_store import OpenPlan, RangeLease
from ampd.errors import AmpError
from ampd.extraction.courtesy import Courtesy
from ampd.extraction.held_ranges import HeldRanges, Holder
from ampd.extraction.open_extractions import OpenExtractions
from ampd.extraction.parts import Parts
from ampd.extraction.plan import ExtractionInput
from ampd.extraction.range_runner import RangeRunner
from ampd.jobs import WorkerIdentity
from ampd.jobs.placement import matches
from ampd.tasks import cancel_all, wait_for_any

_log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
# A job that could not be helped is left to others for so long, then twice as long each time (seconds).
_FIRST_REST_SECONDS = 2.0
_LONGEST_REST_SECONDS = 60.0


class Slots(Protocol):
    """The slots that a worker can spare (:class:`ampd.worker.SpareSlots`)."""

    closing: asyncio.Event
    lease_is_valid: Callable[[], bool]

    @property
    def free(self) -> int:
        """How many can be taken."""

    def take(self) -> None:
        """Take one."""

    def give_back(self) -> None:
        """Give one back."""


@dataclass
class _Help:
    """One slot that helps a job."""

    job_id: int
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def lose(self) -> None:
        if self.task is not None:
            self.task.cancel()


@dataclass
class _Rest:
    """How long a job is left alone after a failure (monotonic seconds)."""

    seconds: float
    until: float


class RangeBorrower:
    """The :class:`ampd.worker.Companion` that leases, for each free slot, the lowest free range of the job that comes
    first, and goes on with that job for as long as it does. A range of a job of which another worker that is free has
    fewer is left to that for a while: a worker that comes later gets its share.
    """

    def __init__(self, parts: Parts, opened: OpenExtractions, held: HeldRanges, worker: WorkerIdentity) -> None:
        self._parts = parts
        self._opened = opened
        self._held = held
        self._worker = worker
        self._helps: list[_Help] = []
        self._rests: dict[int, _Rest] = {}
        self._courtesy = Courtesy(_LOOK_SECONDS)
        self._wake = asyncio.Event()

    async def run(self, slots: Slots) -> None:
        """See :class:`ampd.worker.Companion`."""
        try:
            while not slots.closing.is_set():
                self._wake.clear()
                await _guard(self._held.look())
                self._shed(-slots.free)
                await _guard(self._fill(slots))
                await wait_for_any((self._wake, slots.closing), _LOOK_SECONDS)
            self._shed(len(self._helps))
            tasks = self._tasks()
            while tasks and not all(task.done() for task in tasks):
                await asyncio.wait(tasks, timeout=_LOOK_SECONDS)
                await _guard(self._held.look())
        finally:
            await cancel_all(self._tasks())

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [each.task for each in self._helps if each.task is not None]

    def _shed(self, count: int) -> None:
        """Have so many slots finish what is in hand, those that came last first: jobs of our own need them."""
        for each in reversed(self._helps):
            if count <= 0:
                return
            each.stop.set()
            count -= 1

    async def _fill(self, slots: Slots) -> None:
        while slots.free > 0:
            plan = await self._best_plan()
            if plan is None or not await self._begin(plan, slots):
                return

    async def _best_plan(self, closing: RangeLease | None = None) -> OpenPlan | None:
        """Return the job that comes first among those that we may help and can, also when ``closing`` is its last
        range that may be read at once.
        """
        now = time.monotonic()
        for plan in await self._parts.ranges.open_plans(self._worker, closing=closing):
            rest = self._rests.get(plan.job_id)
            may_help = matches(plan.worker_selector, self._worker.node_id) and (rest is None or rest.until <= now)
            if may_help and not self._is_left(plan, now):
                return plan
        return None

    def _is_left(self, plan: OpenPlan, now: float) -> bool:
        """Tell whether a range of the job is left to a worker that has fewer of them."""
        if any(matches(plan.worker_selector, node_id) for node_id in plan.less_busy):
            return self._courtesy.leaves(plan.job_id, now=now)
        self._courtesy.forget(plan.job_id)
        return False

    async def _begin(self, plan: OpenPlan, slots: Slots) -> bool:
        helping = _Help(plan.job_id)
        holder = Holder(stop=helping.stop, lose=helping.lose)
        lease = await self._held.lease_next(plan.job_id, holder)
        if lease is None:
            return False
        slots.take()
        self._helps.append(helping)
        helping.task = asyncio.create_task(self._help(helping, plan, holder, lease, slots))
        helping.task.add_done_callback(lambda _: self._end(helping, slots))
        return True

    def _end(self, helping: _Help, slots: Slots) -> None:
        self._helps.remove(helping)
        slots.give_back()
        self._wake.set()

    async def _help(self, helping: _Help, plan: OpenPlan, holder: Holder, first: RangeLease, slots: Slots) -> None:
        async def acquire(closing: RangeLease | None, *, waits: bool) -> RangeLease | None:
            best = await self._best_plan(closing)
            if slots.free < 0 or best is None or best.job_id != plan.job_id:
                return None
            return await self._held.lease_next(plan.job_id, holder, closing=closing)

        numbers = {"job_id": plan.job_id, "execution": plan.execution_number, "attempt": plan.attempt}
        with structlog.contextvars.bound_contextvars(**numbers):
            _log.info("range.helping", start_block=first.start_block, end_block=first.end_block)
            is_begun = False
            try:
                async with self._opened.of_other_job(plan.job_id, ExtractionInput.from_json(plan.input)) as extraction:
                    runner = RangeRunner(
                        self._parts,
                        extraction,
                        self._held,
                        stop=helping.stop,
                        lease_is_valid=slots.lease_is_valid,
                    )
                    is_begun = True
                    await runner.run(acquire, first)
                self._rests.pop(plan.job_id, None)
            except AmpError as error:
                self._rest(plan.job_id, error)
            except Exception:
                _log.exception("range.help_crashed")
                self._rest(plan.job_id, None)
            finally:
                if not is_begun:
                    await self._held.release(first)

    def _rest(self, job_id: int, error: AmpError | None) -> None:
        """Leave a job alone for a while: the worker that holds it meets the same trouble, when it is not ours alone."""
        before = self._rests.get(job_id)
        seconds = _FIRST_REST_SECONDS if before is None else min(2 * before.seconds, _LONGEST_REST_SECONDS)
        self._rests[job_id] = _Rest(seconds, time.monotonic() + seconds)
        if error is not None:
            _log.warning("range.help_failed", code=error.code, error=error.message, rest_s=seconds)


async def _guard(work: Awaitable[object]) -> None:
    """Await ``work``; a database that is away is logged, and the next look tries again."""
    try:
        await work
    except AmpError as error:
        _log.warning("range.database_away", error=error.message)
