"""`ampctl job`: what runs, how far it is, and how to end it. Its other commands are in the modules job_*."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from ampd.cli.ctl import job_operations, job_outcomes, job_times, output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, admin_api
from ampd.cli.ctl.watch import watch_progress
from ampd.cli.ctl.which import ANY, Which

app = App(name="job", alias="jobs", help="Jobs: create, list, look, operate one or many, remove.")
app.command(job_times.create, name="create")
app.command(job_operations.cancel, name="cancel")
app.command(job_operations.pause, name="pause")
app.command(job_operations.resume, name="resume")
app.command(job_operations.retry, name="retry")
app.command(job_times.reschedule, name="reschedule")
app.command(job_times.show_next, name="next")
app.command(job_outcomes.show_history, name="history")
app.command(job_outcomes.show_stats, name="stats")

FAILED = 1


@app.command(name="list", alias="ls")
def list_jobs(
    *,
    limit: Annotated[int | None, Parameter(name=["--limit", "-l"])] = None,
    after: Annotated[int | None, Parameter(name=["--after", "-a"])] = None,
    status: Annotated[str, Parameter(name=["--status", "-s"])] = "active",
    which: Which = ANY,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """List jobs, the newest first. Filters that are given together must all fit.

    Parameters
    ----------
    limit
        How many at most: 50 unless given, up to 1000.
    after
        Go on after this job (the next cursor of the page before).
    status
        active, terminal, all, or states with commas between: scheduled, running, completed, stopped, error, ...
    """
    failure = "failed to list jobs"
    criteria = which.criteria(failure, status)
    with admin_api(options, failure) as client:
        page = client.jobs.list(limit=limit, after=after, **criteria)
    output.emit(page.raw, output.job_list(page), as_json=options.json)


@app.command(name="inspect", alias="get")
def inspect_job(job_id: int, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Show a job with all its settings. JSON when a program reads.

    Parameters
    ----------
    job_id
        Id of the job.
    """
    with admin_api(options, f"failed to inspect job {job_id}") as client:
        job = client.jobs.get(job_id)
    output.emit(job.raw, output.job_details(job), as_json=output.wants_json(options.json))


@app.command(name="progress")
def show_progress(
    job_id: int,
    /,
    *,
    watch: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    interval: float = 2.0,
    options: Options = DEFAULT_OPTIONS,
) -> int:
    """Show how far a job is, per table.

    Parameters
    ----------
    job_id
        Id of the job.
    watch
        Go on until the job has ended. Exit code 1 when it failed.
    interval
        Seconds between two looks with --watch.
    """
    with admin_api(options, f"failed to get the progress of job {job_id}") as client:
        if watch:
            last = watch_progress(client, job_id, interval=interval, as_json=options.json)
            return FAILED if last.job_status == "FAILED" else 0
        progress = client.jobs.progress(job_id)
    output.emit(progress.raw, output.progress_details(progress), as_json=options.json)
    return 0


@app.command(name="events")
def show_events(
    job_id: int,
    /,
    *,
    event_id: int | None = None,
    limit: Annotated[int | None, Parameter(name=["--limit", "-l"])] = None,
    after: Annotated[int | None, Parameter(name=["--after", "-a"])] = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Show the history of a job, oldest first: all of it, or a page. That of a removed job too, while it is kept.

    Parameters
    ----------
    job_id
        Id of the job.
    event_id
        Show this one entry with its details.
    limit
        How many entries at most, up to 1000.
    after
        Go on after this entry (the next cursor of the page before).
    """
    with admin_api(options, f"failed to get the events of job {job_id}") as client:
        if event_id is not None:
            event = client.jobs.event(job_id, event_id)
            output.emit(event.raw, output.event_details(event), as_json=options.json)
            return
        if limit is not None or after is not None:
            page = client.jobs.event_page(job_id, limit=limit, after=after)
            output.emit(page.raw, output.event_list(job_id, page.events, page.next_cursor), as_json=options.json)
            return
        events = client.jobs.events(job_id)
    raw = {"job_id": job_id, "events": [event.raw for event in events]}
    output.emit(raw, output.event_list(job_id, events), as_json=options.json)


@app.command(name="stop")
def stop_job(job_id: int, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Ask for the end of a job. Its worker finishes what it holds; asking again changes nothing.

    Parameters
    ----------
    job_id
        Id of the job.
    """
    with admin_api(options, f"failed to stop job {job_id}") as client:
        client.jobs.stop(job_id)
    output.emit({"job_id": job_id}, output.success(f"Job {job_id} stop requested"), as_json=options.json)


@app.command(name="rm", alias="remove")
def remove_job(job_id: int, /, *, options: Options = DEFAULT_OPTIONS) -> None:
    """Remove a job that has ended. One that does not exist is a success too.

    Parameters
    ----------
    job_id
        Id of the job.
    """
    with admin_api(options, f"failed to remove job {job_id}") as client:
        client.jobs.delete(job_id)
    output.emit({"job_id": job_id}, output.success(f"Job {job_id} removed"), as_json=options.json)


@app.command(name="prune")
def prune_jobs(
    *,
    status: Annotated[str | None, Parameter(name=["--status", "-s"])] = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Remove all jobs that have ended.

    Parameters
    ----------
    status
        Only these: completed, stopped or error.
    """
    with admin_api(options, "failed to prune jobs") as client:
        count = client.jobs.prune(status)
    which = f'Jobs with status "{status}"' if status else "Terminal jobs"
    raw = {"status_filter": status, "deleted_count": count}
    output.emit(raw, output.success(f"{which} pruned", f"Removed: {count}"), as_json=options.json)
