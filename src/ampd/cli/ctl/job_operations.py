"""`ampctl job cancel`, `pause`, `resume`, `retry`: for one job, or for all that options choose."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ampd.cli.ctl import job_output, output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, admin_api
from ampd.cli.ctl.schedule import interval
from ampd.cli.ctl.which import ONE, Many

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
    failure = _failure("cancel", job_id)
    selection = many.selection(job_id, failure)
    with admin_api(options, failure) as client:
        if selection is not None:
            result = client.jobs.cancel_many(reason=reason, **selection)
            output.emit(result.raw, job_output.bulk(result, "cancelled"), as_json=options.json)
        elif job_id is not None:
            job = client.jobs.cancel(job_id, reason=reason)
            output.emit(job.raw, job_output.operated(job, "cancel requested"), as_json=options.json)


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
    failure = _failure("pause", job_id)
    selection = many.selection(job_id, failure)
    with admin_api(options, failure) as client:
        if selection is not None:
            result = client.jobs.pause_many(reason=reason, **selection)
            output.emit(result.raw, job_output.bulk(result, "paused"), as_json=options.json)
        elif job_id is not None:
            job = client.jobs.pause(job_id, reason=reason)
            output.emit(job.raw, job_output.operated(job, "pause requested"), as_json=options.json)


def resume(job_id: int | None = None, /, *, many: Many = ONE, options: Options = DEFAULT_OPTIONS) -> None:
    """Let a paused job go on from where it is, or many.

    Parameters
    ----------
    job_id
        Id of the job. Without it the options say which of the paused ones.
    """
    failure = _failure("resume", job_id)
    selection = many.selection(job_id, failure)
    with admin_api(options, failure) as client:
        if selection is not None:
            result = client.jobs.resume_many(**selection)
            output.emit(result.raw, job_output.bulk(result, "resumed"), as_json=options.json)
        elif job_id is not None:
            job = client.jobs.resume(job_id)
            output.emit(job.raw, job_output.operated(job, "resumed"), as_json=options.json)


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
    failure = _failure("retry", job_id)
    selection = many.selection(job_id, failure)
    with admin_api(options, failure) as client:
        if selection is not None:
            result = client.jobs.retry_many(delay=delay, **selection)
            output.emit(result.raw, job_output.bulk(result, "retried"), as_json=options.json)
        elif job_id is not None:
            job = client.jobs.retry(job_id, delay=delay)
            output.emit(job.raw, job_output.operated(job, "retried"), as_json=options.json)


def _failure(verb: str, job_id: int | None) -> str:
    return f"failed to {verb} jobs" if job_id is None else f"failed to {verb} job {job_id}"
