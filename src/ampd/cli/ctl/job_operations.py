"""`ampctl job cancel`, `pause`, `resume`, `retry`: for one job, or for all that options choose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter

from ampd.cli.ctl import job_output, output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, admin_api
from ampd.cli.ctl.schedule import interval
from ampd.cli.ctl.which import ONE, Many
from ampd.client import Ampd, BulkResult, Job, JobSelection

Delay = Annotated[int | None, Parameter(converter=interval)]


def cancel(
    job_id: int | None = None,
    /,
    *,
    reason: str | None = None,
    many: Many = ONE,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Ask for the end of a job, or of many. Their workers finish what they hold; asking again changes nothing.

    Parameters
    ----------
    job_id
        Id of the job. Without it the options say which: of active ones, unless --status is given.
    reason
        Why; kept in the job and its history.
    """
    with _asked_for("cancel", job_id, many, options) as (client, selection):
        if selection is not None:
            _tell_of_many(client.jobs.cancel_many(reason=reason, **selection), "cancelled", options)
        elif job_id is not None:
            _tell_of_one(client.jobs.cancel(job_id, reason=reason), "cancel requested", options)


def pause(
    job_id: int | None = None,
    /,
    *,
    reason: str | None = None,
    many: Many = ONE,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Set a job aside until it is resumed, or many. Their workers commit what they hold.

    Parameters
    ----------
    job_id
        Id of the job. Without it the options say which: of active ones, unless --status is given.
    reason
        Why; kept in the job and its history.
    """
    with _asked_for("pause", job_id, many, options) as (client, selection):
        if selection is not None:
            _tell_of_many(client.jobs.pause_many(reason=reason, **selection), "paused", options)
        elif job_id is not None:
            _tell_of_one(client.jobs.pause(job_id, reason=reason), "pause requested", options)


def resume(job_id: int | None = None, /, *, many: Many = ONE, options: Options = DEFAULT_OPTIONS) -> None:
    """Let a paused job go on from where it is, or many.

    Parameters
    ----------
    job_id
        Id of the job. Without it the options say which of the paused ones.
    """
    with _asked_for("resume", job_id, many, options) as (client, selection):
        if selection is not None:
            _tell_of_many(client.jobs.resume_many(**selection), "resumed", options)
        elif job_id is not None:
            _tell_of_one(client.jobs.resume(job_id), "resumed", options)


def retry(
    job_id: int | None = None,
    /,
    *,
    delay: Delay = None,
    many: Many = ONE,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Have a job that failed or was cancelled run again, or many. One that waits for a retry is tried again sooner.

    Parameters
    ----------
    job_id
        Id of the job. Without it the options say which: of those that failed, unless --status is given.
    delay
        How long to wait before: 90s, 15m, 1h30m, or milliseconds. Not at all unless given.
    """
    with _asked_for("retry", job_id, many, options) as (client, selection):
        if selection is not None:
            _tell_of_many(client.jobs.retry_many(delay=delay, **selection), "retried", options)
        elif job_id is not None:
            _tell_of_one(client.jobs.retry(job_id, delay=delay), "retried", options)


@contextmanager
def _asked_for(
    verb: str, job_id: int | None, many: Many, options: Options
) -> Iterator[tuple[Ampd, JobSelection | None]]:
    """Give the client, and which jobs are meant; None: the one that was named."""
    failure = f"failed to {verb} jobs" if job_id is None else f"failed to {verb} job {job_id}"
    selection = many.selection(job_id, failure)
    with admin_api(options, failure) as client:
        yield client, selection


def _tell_of_many(result: BulkResult, done: str, options: Options) -> None:
    output.emit(result.raw, job_output.bulk(result, done), as_json=options.json)


def _tell_of_one(job: Job, done: str, options: Options) -> None:
    output.emit(job.raw, job_output.operated(job, done), as_json=options.json)
