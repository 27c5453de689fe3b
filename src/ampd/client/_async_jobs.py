"""Jobs, for the asynchronous client."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Unpack

from ampd.client import _job_calls as calls
from ampd.client._job_calls import JobId
from ampd.client._job_models import BulkResult, FireTimes, Job, JobHistory, JobPage, JobStats
from ampd.client._models import Event, EventPage, Progress
from ampd.client._options import (
    CreateOptions,
    JobFilterOptions,
    JobSelection,
    Moment,
    ScheduleOptions,
)
from ampd.client._transport import SendAsync
from ampd.client._webhooks import AsyncWebhooks, Webhook

POLL_SECONDS = 1.0


class AsyncJobs:
    """Jobs: create, look, operate one or many, and see what became of them."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    # New jobs

    async def create(self, kind: str, input: Mapping[str, Any] | None = None, **options: Unpack[CreateOptions]) -> Job:  # noqa: A002 - the word of the API
        """Create a job and return it: the same one again for the same ``idempotency_key``.

        ``kind``: extraction, verification, compaction, http, or one that an installed package brings; ``input`` is what
        it needs.
        """
        return await self._send(calls.create_job(kind, input, options))

    async def preview(
        self, *, count: int | None = None, from_: Moment | None = None, **schedule: Unpack[ScheduleOptions]
    ) -> FireTimes:
        """Return when a job with a schedule would run, if it were given at ``from_`` (now): ``count`` times (10)."""
        return await self._send(calls.preview(count, from_, schedule))

    # Looking

    async def get(self, job_id: JobId) -> Job:
        """Return a job."""
        return await self._send(calls.get_job(job_id))

    async def list(
        self,
        *,
        limit: int | None = None,
        after: int | None = None,
        offset: int | None = None,
        **filters: Unpack[JobFilterOptions],
    ) -> JobPage:
        """Return one page of jobs, the newest first: of all, unless ``filters`` say which.

        ``limit``: how many at most (50 unless given). ``after`` is the ``next_cursor`` of the page before; ``offset``
        passes over so many, and pages that are turned by it move when jobs come or go.
        """
        return await self._send(calls.list_jobs(limit, after, offset, filters))

    async def iterate(self, *, page_size: int | None = None, **filters: Unpack[JobFilterOptions]) -> AsyncIterator[Job]:
        """Go through the jobs of all pages, the newest first."""
        after = None
        while True:
            page = await self.list(limit=page_size, after=after, **filters)
            for job in page.jobs:
                yield job
            if page.next_cursor is None:
                return
            after = page.next_cursor

    async def progress(self, job_id: JobId) -> Progress:
        """Return how far a job is."""
        return await self._send(calls.job_progress(job_id))

    async def wait(self, job_id: JobId, timeout: float | None = None, *, poll_seconds: float = POLL_SECONDS) -> Job:  # noqa: ASYNC109 - the same face as the synchronous client
        """Wait until a job has ended, and return it. One with a timetable ends with its last execution.

        :raises TimeoutError: when it has not ended after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (job := await self.get(job_id)).is_terminal:
            remaining = poll_seconds if deadline is None else deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"job {job_id} is {job.state} after {timeout} seconds")
            await asyncio.sleep(min(poll_seconds, remaining))
        return job

    async def next(self, job_id: JobId, *, count: int | None = None) -> FireTimes:
        """Return when a job runs next, ``count`` times (10); a paused one: when it would if it were resumed now."""
        return await self._send(calls.next_runs(job_id, count))

    async def get_history(self, job_id: JobId, *, limit: int | None = None) -> JobHistory:
        """Return the newest executions of a job (50 unless ``limit`` is given), and how all of them have ended."""
        return await self._send(calls.history(job_id, limit))

    async def get_stats(self, **filters: Unpack[JobFilterOptions]) -> JobStats:
        """Return how many jobs stand where: of all, unless ``filters`` say which."""
        return await self._send(calls.stats(filters))

    # Operating one

    async def cancel(self, job_id: JobId, *, reason: str | None = None) -> Job:
        """Ask for the end of a job and return it; the worker that runs it commits what it holds first.

        Asking again, or for one that has ended, changes nothing. See :meth:`wait` for the end itself.
        """
        return await self._send(calls.operate(job_id, "cancel", reason=reason))

    async def stop(self, job_id: JobId) -> Job:
        """Ask for the end of a job, as :meth:`cancel` without a reason."""
        return await self._send(calls.stop_job(job_id))

    async def pause(self, job_id: JobId, *, reason: str | None = None) -> Job:
        """Set a job aside until it is resumed and return it; the worker that runs it commits what it holds first."""
        return await self._send(calls.operate(job_id, "pause", reason=reason))

    async def resume(self, job_id: JobId) -> Job:
        """Let a paused job go on from where it is, and return it."""
        return await self._send(calls.operate(job_id, "resume"))

    async def retry(self, job_id: JobId, *, delay: int | None = None) -> Job:
        """Have a job that failed or was cancelled run again, ``delay`` milliseconds from now (at once), and return it.

        Its failures are counted afresh. One that waits for a retry is tried again then instead.
        """
        return await self._send(calls.operate(job_id, "retry", delay_ms=delay))

    async def reschedule(self, job_id: JobId, **schedule: Unpack[ScheduleOptions]) -> Job:
        """Change the schedule of a job that has not ended, and return it.

        What is given takes the place of what was, None takes it away; ``cron`` and ``every`` take the place of each
        other. Of a job that runs once only ``start_at`` can be changed, until it has begun.
        """
        return await self._send(calls.reschedule(job_id, schedule))

    async def delete(self, job_id: JobId) -> None:
        """Remove a job that has ended; one that does not exist is a success too."""
        await self._send(calls.delete_job(job_id))

    # Operating many: those that there are when it begins

    async def cancel_many(self, *, reason: str | None = None, **selection: Unpack[JobSelection]) -> BulkResult:
        """Ask for the end of many jobs; of active ones, unless ``status`` is given."""
        return await self._send(calls.operate_many("cancel", selection, reason=reason))

    async def pause_many(self, *, reason: str | None = None, **selection: Unpack[JobSelection]) -> BulkResult:
        """Set many jobs aside; active ones, unless ``status`` is given."""
        return await self._send(calls.operate_many("pause", selection, reason=reason))

    async def resume_many(self, **selection: Unpack[JobSelection]) -> BulkResult:
        """Let many paused jobs go on."""
        return await self._send(calls.operate_many("resume", selection))

    async def retry_many(self, *, delay: int | None = None, **selection: Unpack[JobSelection]) -> BulkResult:
        """Have many jobs run again, ``delay`` milliseconds from now; failed ones, unless ``status`` is given."""
        return await self._send(calls.operate_many("retry", selection, delay_ms=delay))

    async def delete_many(self, **selection: Unpack[JobSelection]) -> BulkResult:
        """Remove many jobs that have ended."""
        return await self._send(calls.operate_many("delete", selection))

    async def prune(self, status: str | None = None) -> int:
        """Remove the jobs that have ended, or those with ``status`` (completed, stopped, error), and count them."""
        return await self._send(calls.prune_jobs(status))

    # What happened, and who is told

    async def event_page(self, job_id: JobId, *, limit: int | None = None, after: int | None = None) -> EventPage:
        """Return one page of what has happened to a job, oldest first, from after an event."""
        return await self._send(calls.job_events(job_id, limit, after))

    async def events(self, job_id: JobId) -> builtins.list[Event]:
        """Return all that has happened to a job, oldest first."""
        page = await self.event_page(job_id)
        events = [*page.events]
        while page.next_cursor is not None:
            page = await self.event_page(job_id, after=page.next_cursor)
            events += page.events
        return events

    async def event(self, job_id: JobId, event_id: int) -> Event:
        """Return one entry of what has happened to a job."""
        return await self._send(calls.job_event(job_id, event_id))

    async def set_webhook(self, *, url: str, events: Sequence[str] | None = None, secret: str | None = None) -> Webhook:
        """Tell ``url`` of what happens to jobs: of all ``events`` unless named. The same call again changes nothing.

        More can be said with the resource ``webhooks``.
        """
        return await AsyncWebhooks(self._send).set(url, events=events, secret=secret)
