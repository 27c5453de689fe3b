"""The jobs that run in a worker process: a task for each, from its start to its outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import structlog
from structlog.contextvars import bind_contextvars

from ampd.errors import AmpError, ErrorCode, describe_exception
from ampd.jobs import Completed, JobContext, JobHandler, Lease, LeasedJobs, StartedJob
from ampd.tasks import cancel_all
from ampd.telemetry.job_metrics import ATTEMPTS, ERRORS, RUNNING
from ampd.telemetry.traces import span

_log = structlog.get_logger(__name__)

_WRITE_PAUSE_SECONDS = 0.5
# What is written of an end, as metrics call it.
_ENDS = {"complete": "completed", "fail": "failed", "stop": "stopped", "hand_back": "handed_back"}
Outcome = Callable[[Lease], Awaitable[bool]]
_attempts = cache(ATTEMPTS.labels)


@dataclass(eq=False)
class RunningJob:
    """A job in this process. ``since`` is the monotonic time (seconds) at which it came here; ``gives_back`` says that
    another worker shall go on with it.
    """

    lease: Lease
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    since: float = field(default_factory=time.monotonic)
    gives_back: bool = False
    outcome_is_being_written: bool = False
    hears_stop: asyncio.Task[None] | None = None
    task: asyncio.Task[None] | None = None


class JobRunner:
    """Runs jobs by the handler of their kind, and writes how they ended.

    ``lease_is_valid`` tells whether this process may still write; ``on_end`` is called when a slot has become free.
    """

    def __init__(
        self,
        handlers: Mapping[str, JobHandler],
        leased_jobs: LeasedJobs,
        *,
        lease_is_valid: Callable[[], bool],
        on_end: Callable[[], None],
    ) -> None:
        self._log = _log.bind()  # once: it takes longer than what is logged of a job, when nothing is
        self._handlers = handlers
        self._leased_jobs = leased_jobs
        self._lease_is_valid = lease_is_valid
        self._on_end = on_end
        self._running: dict[int, RunningJob] = {}
        # Attempts that were taken away and still clean up while a newer one of the same job is here.
        self._outdated: set[RunningJob] = set()

    def __len__(self) -> int:
        return len(self._running) + len(self._outdated)

    def get(self, lease: Lease) -> RunningJob | None:
        """Return the attempt with this lease, if it is here."""
        job = self._running.get(lease.job_id)
        return job if job is not None and job.lease.lease_epoch == lease.lease_epoch else None

    def jobs(self) -> list[RunningJob]:
        """Return all jobs that are here."""
        return [*self._running.values(), *self._outdated]

    def begin(self, lease: Lease, started: StartedJob | None = None) -> None:
        """Run a job; ``started`` when its attempt has begun already. Of two attempts of one job the older was taken
        away: it is dropped, or not begun.
        """
        other = self._running.get(lease.job_id)
        if other is not None:
            if other.lease.lease_epoch >= lease.lease_epoch:
                return
            self._outdated.add(other)
            self.drop(other)
        job = RunningJob(lease)
        self._running[lease.job_id] = job
        RUNNING.inc()
        job.task = asyncio.create_task(self._run(job, started), name=f"job {lease.job_id}")
        job.task.add_done_callback(lambda ended: self._forget(job, ended))

    def give_back(self) -> list[asyncio.Task[None]]:
        """Ask all jobs to finish what they hold, for another worker to go on, and return their tasks."""
        for job in self.jobs():
            job.gives_back = True
            job.stop.set()
        return [job.task for job in self.jobs() if job.task is not None]

    def drop(self, job: RunningJob) -> None:
        """Let go of a job that is not ours any more, at once; what tidies up after it is not interrupted again."""
        if job.task is not None and not job.outcome_is_being_written and not job.task.cancelling():
            self._log.warning("job.lease_lost", job_id=job.lease.job_id, lease_epoch=job.lease.lease_epoch)
            job.task.cancel()

    async def cancel(self, *, seconds: float) -> None:
        """End all jobs. Those that give back have ``seconds`` to say so; after a lease they are taken back anyway."""
        tasks = [job.task for job in self.jobs() if job.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        await cancel_all(tasks)

    def _forget(self, job: RunningJob, ended: asyncio.Task[None]) -> None:
        RUNNING.dec()
        if not ended.cancelled() and ended.exception() is not None:
            self._log.error("job.outcome_lost", job_id=job.lease.job_id, exc_info=ended.exception())
        self._outdated.discard(job)
        if self._running.get(job.lease.job_id) is job:
            del self._running[job.lease.job_id]
        self._on_end()

    async def _run(self, job: RunningJob, started: StartedJob | None) -> None:
        """Run a job, in a task of its own: what is bound to its logs ends with the task."""
        lease = job.lease
        bind_contextvars(job_id=lease.job_id, lease_epoch=lease.lease_epoch)
        started = started or await self._start(lease)
        if started is None:
            return
        numbers = {"execution": started.execution_number, "attempt": started.attempt}
        bind_contextvars(**numbers)
        with span("job.attempt", job_id=lease.job_id, kind=started.kind, **numbers):
            await self._run_attempt(job, started)

    async def _run_attempt(self, job: RunningJob, started: StartedJob) -> None:
        self._log.info("job.started", kind=started.kind)
        how = "lost"
        try:
            outcome = await self._outcome(job, started)
            job.outcome_is_being_written = True
            written = await self._write_outcome(job.lease, outcome)
            self._log.info("job.left", outcome=outcome.__name__, written=written)
            how = _ENDS[outcome.__name__] if written else how
        finally:
            _attempts(started.kind, how).inc()

    async def _start(self, lease: Lease) -> StartedJob | None:
        try:
            started = await self._leased_jobs.start(lease)
        except AmpError as error:
            self._log.warning("job.start_failed", error=error.message)
            return None
        if started is None:
            self._log.info("job.start_refused")
        return started

    async def _outcome(self, job: RunningJob, started: StartedJob) -> Outcome:
        """Run the handler and return what is to be written of its end."""
        jobs = self._leased_jobs
        try:
            context = JobContext(started.lease, started.input, job.stop, self._lease_is_valid)
            ended = await self._handler(started.kind).run(context)
            if isinstance(ended, Completed):
                return _completion(jobs, ended)
            if ended:
                return jobs.complete
            return jobs.hand_back if job.gives_back else jobs.stop
        except asyncio.CancelledError:
            if not job.gives_back:
                raise  # the lease is lost: there is nothing that we may write
            return jobs.hand_back
        except AmpError as error:
            self._log.warning("job.failed", code=error.code, error=error.message, recoverable=error.recoverable)
            ERRORS.labels(started.kind, str(error.code)).inc()
            return _failure(jobs, error)
        except Exception as error:
            self._log.exception("job.crashed")
            ERRORS.labels(started.kind, str(ErrorCode.HANDLER_CRASHED)).inc()
            crash = AmpError(
                ErrorCode.HANDLER_CRASHED,
                f"the handler of kind {started.kind!r} crashed: {describe_exception(error)}. This is a defect; "
                "the worker's log has the details",
            )
            return _failure(jobs, crash)

    def _handler(self, kind: str) -> JobHandler:
        handler = self._handlers.get(kind)
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            raise AmpError(ErrorCode.UNKNOWN_JOB_KIND, f"this worker runs no jobs of kind {kind!r}; it knows {known}")
        return handler

    async def _write_outcome(self, lease: Lease, write: Outcome) -> bool:
        """Write the outcome; while the database is away try again for as long as the lease can be ours."""
        while True:
            try:
                return await write(lease)
            except AmpError as error:
                if not self._lease_is_valid():
                    self._log.warning("job.outcome_lost", error=error.message)
                    return False
            await asyncio.sleep(_WRITE_PAUSE_SECONDS)


def _completion(jobs: LeasedJobs, completed: Completed) -> Outcome:
    async def complete(lease: Lease) -> bool:
        return await jobs.complete(lease, completed)

    return complete


def _failure(jobs: LeasedJobs, error: AmpError) -> Outcome:
    async def fail(lease: Lease) -> bool:
        return await jobs.fail(lease, error)

    return fail
