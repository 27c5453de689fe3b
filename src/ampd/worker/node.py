"""A worker node: runs the jobs that the database says it should, and lets go of those that it should not (design
section 4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from ampd.errors import AmpError
from ampd.jobs import (
    Beat,
    Claim,
    JobAction,
    JobHandler,
    JobState,
    LeasedJobs,
    Notifier,
    WantedJob,
    WorkerIdentity,
    claim_jobs,
    force_overdue_stops,
    release_all_dependents,
    rescue_jobs_of_lost_workers,
)
from ampd.jobs.notification import CHANNEL, parse_action
from ampd.metadata_db import MetadataDb
from ampd.metadata_db.listen import listen
from ampd.tasks import cancel_all
from ampd.telemetry.job_metrics import SLOTS
from ampd.worker.heartbeat import Heartbeat, HeartbeatSettings
from ampd.worker.runner import JobRunner, RunningJob
from ampd.worker.spare_slots import Companion, SpareSlots

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker beats, how many jobs it runs at once, how often it looks for lost ones, how long it drains
    (seconds).
    """

    heartbeat: HeartbeatSettings = field(default_factory=HeartbeatSettings)
    slots: int = 4
    reconcile_interval_seconds: float = 60.0
    drain_timeout_seconds: float = 30.0


class WorkerNode:
    """One worker process. ``handlers`` run jobs by kind, and only jobs of these kinds come here; ``companions`` go on
    beside them; ``info`` is its build data.
    """

    def __init__(
        self,
        db: MetadataDb,
        identity: WorkerIdentity,
        handlers: Mapping[str, JobHandler],
        leased_jobs: LeasedJobs,
        settings: WorkerSettings,
        *,
        info: dict[str, Any],
        notifier: Notifier | None = None,
        companions: Sequence[Companion] = (),
    ) -> None:
        self._db = db
        self._companions = companions
        self._identity = identity
        self._leased_jobs = leased_jobs
        self._settings = settings
        self._notifier = notifier or Notifier(db)
        self._beats: asyncio.Queue[Beat] = asyncio.Queue()
        self._ended: asyncio.Future[AmpError] = asyncio.get_running_loop().create_future()
        self._may_claim = asyncio.Event()
        self._claiming = asyncio.Lock()
        # Claims are counted so that a beat that was sent during one is not misread: see `_is_stranded`.
        self._claims_begun = 0
        self._claims_ended = 0
        self._suspects: dict[tuple[int, int], int] = {}
        self._ends = False
        self._cordoned = False
        self._forced_end: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()
        self._heartbeat = Heartbeat(
            db.url,
            identity,
            info=info | {"kinds": sorted(handlers)},
            slots=settings.slots,
            settings=settings.heartbeat,
            on_beat=lambda beat: _call(loop, self._beats.put_nowait, beat),
            on_end=lambda error: _call(loop, self._end, error),
        )
        self._runner = JobRunner(
            handlers, leased_jobs, lease_is_valid=self._heartbeat.is_trusted, on_end=self._may_claim.set
        )
        self._spare_slots = SpareSlots(
            settings.slots,
            busy=lambda: len(self._runner),
            takes_work=lambda: self._takes_work,
            lease_is_valid=self._heartbeat.is_trusted,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then drain.

        :raises AmpError: NODE_ID_IN_USE, METADATA_DB_UNREACHABLE at the start; NODE_ID_IN_USE when another process
        takes the name later.
        """
        await asyncio.to_thread(self._heartbeat.start)
        SLOTS.set(self._settings.slots)
        _log.info("worker.registered", node_id=self._identity.node_id, slots=self._settings.slots)
        coroutines = (self._reconcile(), self._claim(), self._listen(), self._rescue())
        loops = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
        companions = [asyncio.ensure_future(companion.run(self._spare_slots)) for companion in self._companions]
        stopping = asyncio.ensure_future(stop.wait())
        try:
            waited: set[asyncio.Future[Any]] = {*loops, *companions, stopping, self._ended}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                await self._drain(companions)
            for finished in filter(asyncio.Future.done, (*loops, *companions)):
                finished.result()  # a loop ends only by an error: let it be seen
        finally:
            await cancel_all((*loops, *companions, stopping))
            await self._runner.cancel(seconds=self._settings.heartbeat.lease_seconds)
            await asyncio.to_thread(self._heartbeat.stop)
        if self._ended.done():
            raise self._ended.result()

    def _end(self, error: AmpError) -> None:
        if not self._ended.done():
            self._ended.set_result(error)

    @property
    def _takes_work(self) -> bool:
        return not self._ends and not self._cordoned

    # --- what should run here

    async def _reconcile(self) -> None:
        """Make what runs here equal to what each heartbeat says should run."""
        while True:
            beat = await self._beats.get()
            self._set_cordoned(beat.cordoned)
            for wanted in beat.wanted:
                await self._reconcile_job(wanted)
            keys = {(wanted.job_id, wanted.lease_epoch) for wanted in beat.wanted}
            self._suspects = {key: claims for key, claims in self._suspects.items() if key in keys}
            for job in self._runner.jobs():
                if (job.lease.job_id, job.lease.lease_epoch) not in keys and job.since < beat.sent_at:
                    self._runner.drop(job)
            self._may_claim.set()

    async def _reconcile_job(self, wanted: WantedJob) -> None:
        lease = wanted.lease(self._identity)
        running = self._runner.get(lease)
        if running is not None:
            if wanted.state is JobState.STOP_REQUESTED:
                self._stop(running)
        elif wanted.state is not JobState.SCHEDULED:
            if self._is_stranded(wanted):
                # Ours by the database, but not running here: its outcome could not be written. Another attempt goes on.
                await self._guard(self._leased_jobs.hand_back(lease))
        elif not self._takes_work:
            await self._guard(self._leased_jobs.unassign(lease))
        else:
            self._runner.begin(lease)

    def _is_stranded(self, wanted: WantedJob) -> bool:
        """Tell whether a job that is not here will not come any more: every claim that could have brought it, begun
        before it was first seen, has ended.
        """
        first_seen = self._suspects.setdefault((wanted.job_id, wanted.lease_epoch), self._claims_begun)
        return self._claims_ended >= first_seen

    def _stop(self, running: RunningJob) -> None:
        """Say that the stop was heard, then let the handler know: STOPPING comes before STOPPED."""
        if running.hears_stop is None:
            running.hears_stop = asyncio.create_task(self._acknowledge(running))

    async def _acknowledge(self, running: RunningJob) -> None:
        await self._guard(self._leased_jobs.acknowledge_stop(running.lease))
        running.stop.set()

    # --- more work

    async def _claim(self) -> None:
        """Place due jobs when something has changed and a slot is free, so that work goes on without a controller too;
        those that fall to us begin at once.
        """
        while True:
            await self._may_claim.wait()
            self._may_claim.clear()
            if self._takes_work and len(self._runner) < self._settings.slots:
                async with self._claiming:
                    await self._guard(self._claim_once())

    async def _claim_once(self) -> None:
        self._claims_begun += 1
        try:
            claim = await claim_jobs(self._db, self._identity, lease_seconds=self._settings.heartbeat.lease_seconds)
            await self._begin_claimed(claim)
        finally:
            self._claims_ended += 1
        for lease in claim.placed_elsewhere:
            self._notifier.hint(JobAction(lease.worker_id, lease.job_id, "START"))
        if claim.started or claim.placed_elsewhere:
            self._may_claim.set()  # there may be more

    async def _begin_claimed(self, claim: Claim) -> None:
        """Begin what a claim has brought; when a drain came meanwhile, give it back: no other may think it lost."""
        if self._takes_work:
            for job in claim.started:
                self._runner.begin(job.lease, job)
        else:
            await asyncio.gather(*(self._leased_jobs.hand_back(job.lease) for job in claim.started))

    async def _listen(self) -> None:
        """Follow hints; whatever they say, the next heartbeat brings the truth."""
        async for payload in listen(self._db.url, CHANNEL):
            action = None if payload is None else parse_action(payload)
            if payload is not None and action is None:
                _log.warning("notification.malformed", payload=payload[:200])
            elif action is None or action.node_id in {None, self._identity.node_id}:
                self._may_claim.set()
                self._heartbeat.beat_now()

    async def _rescue(self) -> None:
        """The last net, also when no controller is there: take back jobs of dead workers, first of all those of our own
        predecessor, force overdue stops, and let go of jobs that wait for nothing any more.
        """
        actor = f"worker:{self._identity.node_id}"
        lease_seconds = self._settings.heartbeat.lease_seconds
        while True:
            await self._guard(rescue_jobs_of_lost_workers(self._db, lease_seconds=lease_seconds, actor=actor))
            await self._guard(force_overdue_stops(self._db, actor=actor))
            await self._guard(release_all_dependents(self._db))
            self._heartbeat.beat_now()
            await asyncio.sleep(self._settings.reconcile_interval_seconds)

    async def _guard(self, work: Awaitable[object]) -> None:
        """Await ``work``; a database that is away is logged, and the next heartbeat tries again."""
        try:
            await work
        except AmpError as error:
            _log.warning("worker.database_away", error=error.message)

    # --- less work

    async def _drain(self, companions: Sequence[asyncio.Future[None]]) -> None:
        """No new work; finish and commit what is in hand, give the rest back."""
        timeout = self._settings.drain_timeout_seconds
        _log.info("worker.draining", jobs=len(self._runner), timeout_s=timeout)
        self._ends = True
        self._heartbeat.drain()
        self._spare_slots.closing.set()
        # What a claim that is under way brings is given back too.
        last_claim = asyncio.ensure_future(self._claiming.acquire())
        waited: list[asyncio.Future[Any]] = [last_claim, *self._runner.give_back(), *companions]
        await asyncio.wait(waited, timeout=timeout)
        await cancel_all([last_claim])

    def _set_cordoned(self, cordoned: bool) -> None:
        """Follow an operator who keeps work away, or lets it come again."""
        if cordoned == self._cordoned:
            return
        self._cordoned = cordoned
        if self._forced_end is not None:
            self._forced_end.cancel()
            self._forced_end = None
        if not cordoned:
            _log.info("worker.undrained")
            return
        _log.info("worker.drained_by_operator", jobs=len(self._runner), timeout_s=self._settings.drain_timeout_seconds)
        tasks = self._runner.give_back()
        loop = asyncio.get_running_loop()
        self._forced_end = loop.call_later(self._settings.drain_timeout_seconds, _cancel, tasks)


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[Any], None], argument: object) -> None:
    """Call ``function`` on the loop's thread; a loop that has ended needs it no more."""
    try:
        loop.call_soon_threadsafe(function, argument)
    except RuntimeError:
        _log.debug("worker.loop_ended")
