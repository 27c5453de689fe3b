"""A worker node: runs the jobs that the database says it should, and lets go of those that it should not (design
section 4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from ampd.errors import AmpError, ErrorCode, describe_exception
from ampd.jobs import (
    JobContext,
    JobHandler,
    JobState,
    Lease,
    LeasedJobs,
    StartedJob,
    WantedJob,
    WorkerIdentity,
    place_due_jobs,
    rescue_jobs_of_lost_workers,
)
from ampd.jobs.notification import CHANNEL, parse_action
from ampd.metadata_db import MetadataDb
from ampd.metadata_db.listen import listen
from ampd.tasks import cancel_all
from ampd.worker.heartbeat import Heartbeat, HeartbeatSettings

_log = structlog.get_logger(__name__)

_WRITE_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker beats, how many jobs it runs at once, how often it looks for lost ones, how long it drains
    (seconds).
    """

    heartbeat: HeartbeatSettings = field(default_factory=HeartbeatSettings)
    slots: int = 4
    reconcile_interval_seconds: float = 60.0
    drain_timeout_seconds: float = 30.0


@dataclass
class _RunningJob:
    lease: Lease
    stop: asyncio.Event
    task: asyncio.Task[None]
    outcome_is_being_written: bool = False


class WorkerNode:
    """One worker process. ``handlers`` run jobs by kind; ``info`` is its build data."""

    def __init__(
        self,
        db: MetadataDb,
        identity: WorkerIdentity,
        handlers: Mapping[str, JobHandler],
        leased_jobs: LeasedJobs,
        settings: WorkerSettings,
        *,
        info: dict[str, Any],
    ) -> None:
        self._db = db
        self._identity = identity
        self._handlers = handlers
        self._leased_jobs = leased_jobs
        self._settings = settings
        self._running: dict[int, _RunningJob] = {}
        self._wanted: asyncio.Queue[list[WantedJob]] = asyncio.Queue()
        self._ended: asyncio.Future[AmpError] = asyncio.get_running_loop().create_future()
        self._draining = False
        loop = asyncio.get_running_loop()
        self._heartbeat = Heartbeat(
            db.url,
            identity,
            info=info,
            slots=settings.slots,
            settings=settings.heartbeat,
            on_beat=lambda wanted: _call(loop, self._wanted.put_nowait, wanted),
            on_end=lambda error: _call(loop, self._end, error),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then drain.

        :raises AmpError: NODE_ID_IN_USE, METADATA_DB_UNREACHABLE at the start; NODE_ID_IN_USE when another process
        takes the name later.
        """
        await asyncio.to_thread(self._heartbeat.start)
        _log.info("worker.registered", node_id=self._identity.node_id, slots=self._settings.slots)
        loops = [asyncio.ensure_future(loop) for loop in (self._reconcile(), self._listen(), self._rescue())]
        stopping = asyncio.ensure_future(stop.wait())
        try:
            waited: set[asyncio.Future[Any]] = {*loops, stopping, self._ended}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                await self._drain()
            for finished in filter(asyncio.Future.done, loops):
                finished.result()  # a loop ends only by an error: let it be seen
        finally:
            await cancel_all((*loops, stopping))
            await self._cancel_jobs()
            await asyncio.to_thread(self._heartbeat.stop)
        if self._ended.done():
            raise self._ended.result()

    def _end(self, error: AmpError) -> None:
        if not self._ended.done():
            self._ended.set_result(error)

    async def _reconcile(self) -> None:
        """Make what runs here equal to what each heartbeat says should run."""
        while True:
            wanted = await self._wanted.get()
            for job in wanted:
                await self._reconcile_job(job)
            self._drop_unwanted({(job.job_id, job.lease_epoch) for job in wanted})
            if not self._draining and len(self._running) < self._settings.slots:
                await self._guard(self._place())

    async def _place(self) -> None:
        """Place jobs ourselves, so that work goes on when no controller is there."""
        if await place_due_jobs(self._db, lease_seconds=self._settings.heartbeat.lease_seconds):
            self._heartbeat.beat_now()

    async def _reconcile_job(self, job: WantedJob) -> None:
        running = self._running.get(job.job_id)
        if running is not None and running.lease.lease_epoch == job.lease_epoch:
            if job.state is JobState.STOP_REQUESTED and not running.stop.is_set():
                running.stop.set()
                await self._guard(self._leased_jobs.acknowledge_stop(running.lease))
            return
        lease = job.lease(self._identity)
        if job.state is not JobState.SCHEDULED:
            # Ours by the database, but not running here: its outcome could not be written. Another attempt goes on.
            await self._guard(self._leased_jobs.hand_back(lease))
        elif self._draining:
            await self._guard(self._leased_jobs.unassign(lease))
        elif running is None:
            self._start(lease)

    def _drop_unwanted(self, wanted: set[tuple[int, int]]) -> None:
        for job_id, running in self._running.items():
            is_wanted = (job_id, running.lease.lease_epoch) in wanted
            if not is_wanted and not running.outcome_is_being_written:
                _log.warning("job.lease_lost", job_id=job_id, lease_epoch=running.lease.lease_epoch)
                running.task.cancel()

    def _start(self, lease: Lease) -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(self._run_job(lease, stop), name=f"job {lease.job_id}")
        self._running[lease.job_id] = _RunningJob(lease, stop, task)
        task.add_done_callback(lambda ended: self._forget(lease, ended))

    def _forget(self, lease: Lease, ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and ended.exception() is not None:
            _log.error("job.outcome_lost", job_id=lease.job_id, exc_info=ended.exception())
        running = self._running.get(lease.job_id)
        if running is not None and running.lease == lease:
            del self._running[lease.job_id]
        self._heartbeat.beat_now()  # a slot is free

    async def _run_job(self, lease: Lease, stop: asyncio.Event) -> None:
        with structlog.contextvars.bound_contextvars(job_id=lease.job_id, lease_epoch=lease.lease_epoch):
            try:
                started = await self._leased_jobs.start(lease)
            except AmpError as error:
                _log.warning("job.start_failed", error=error.message)
                return
            if started is None:
                _log.info("job.start_refused")
                return
            _log.info("job.started", kind=started.kind)
            outcome = await self._outcome(started, stop)
            self._running[lease.job_id].outcome_is_being_written = True
            written = await self._write_outcome(lease, outcome)
            _log.info("job.left", outcome=outcome.__name__, written=written)

    async def _outcome(self, started: StartedJob, stop: asyncio.Event) -> Callable[[Lease], Awaitable[bool]]:
        """Run the handler and return what is to be written of its end."""
        jobs = self._leased_jobs
        try:
            handler = self._handlers.get(started.kind)
            if handler is None:
                known = ", ".join(sorted(self._handlers))
                raise AmpError(
                    ErrorCode.UNKNOWN_JOB_KIND, f"this worker runs no jobs of kind {started.kind!r}; it knows {known}"
                )
            context = JobContext(started.lease, started.input, stop, self._heartbeat.is_trusted)
            if await handler.run(context):
                return jobs.complete
            return jobs.hand_back if self._draining else jobs.stop
        except asyncio.CancelledError:
            if not self._draining:
                raise  # the lease is lost: there is nothing that we may write
            return jobs.hand_back
        except AmpError as error:
            _log.warning("job.failed", code=error.code, error=error.message, recoverable=error.recoverable)
            return _failure(jobs, error)
        except Exception as error:
            _log.exception("job.crashed")
            crash = AmpError(
                ErrorCode.HANDLER_CRASHED,
                f"the handler of kind {started.kind!r} crashed: {describe_exception(error)}. This is a defect; "
                "the worker's log has the details",
            )
            return _failure(jobs, crash)

    async def _write_outcome(self, lease: Lease, write: Callable[[Lease], Awaitable[bool]]) -> bool:
        """Write the outcome; while the database is away try again for as long as the lease can be ours."""
        while True:
            try:
                return await write(lease)
            except AmpError as error:
                if not self._heartbeat.is_trusted():
                    _log.warning("job.outcome_lost", error=error.message)
                    return False
            await asyncio.sleep(_WRITE_PAUSE_SECONDS)

    async def _listen(self) -> None:
        """Follow hints; whatever they say, the next heartbeat brings the truth."""
        async for payload in listen(self._db.url, CHANNEL):
            action = None if payload is None else parse_action(payload)
            if payload is not None and action is None:
                _log.warning("notification.malformed", payload=payload[:200])
            elif action is None or action.node_id in {None, self._identity.node_id}:
                self._heartbeat.beat_now()

    async def _rescue(self) -> None:
        """The last net: take back jobs of dead workers, also when no controller is there. First of all our own
        predecessor's.
        """
        while True:
            await self._guard(
                rescue_jobs_of_lost_workers(
                    self._db,
                    lease_seconds=self._settings.heartbeat.lease_seconds,
                    actor=f"worker:{self._identity.node_id}",
                )
            )
            self._heartbeat.beat_now()
            await asyncio.sleep(self._settings.reconcile_interval_seconds)

    async def _guard(self, work: Awaitable[object]) -> None:
        """Await ``work``; a database that is away is logged, and the next heartbeat tries again."""
        try:
            await work
        except AmpError as error:
            _log.warning("worker.database_away", error=error.message)

    async def _drain(self) -> None:
        """No new work; finish and commit what is in hand, give the rest back."""
        _log.info("worker.draining", jobs=len(self._running), timeout_s=self._settings.drain_timeout_seconds)
        self._draining = True
        self._heartbeat.drain()
        for running in self._running.values():
            running.stop.set()
        tasks = [running.task for running in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.drain_timeout_seconds)

    async def _cancel_jobs(self) -> None:
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            # Time to give the job back; after a lease it is taken back anyway.
            await asyncio.wait(tasks, timeout=self._settings.heartbeat.lease_seconds)
        await cancel_all(tasks)


def _failure(jobs: LeasedJobs, error: AmpError) -> Callable[[Lease], Awaitable[bool]]:
    async def fail(lease: Lease) -> bool:
        return await jobs.fail(lease, error)

    return fail


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[Any], None], argument: object) -> None:
    """Call ``function`` on the loop's thread; a loop that has ended needs it no more."""
    try:
        loop.call_soon_threadsafe(function, argument)
    except RuntimeError:
        _log.debug("worker.loop_ended")
