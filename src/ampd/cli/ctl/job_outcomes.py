"""`ampctl job history`, `stats`: what became of jobs."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ampd.cli.ctl import job_output, output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, admin_api
from ampd.cli.ctl.which import ANY, Which


def show_history(
    job_id: int,
    /,
    *,
    limit: Annotated[int | None, Parameter(name=["--limit", "-l"])] = None,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Show the executions of a job, the newest first. JSON when a program reads.

    Parameters
    ----------
    job_id
        Id of the job.
    limit
        How many at most: 50 unless given, up to 1000.
    """
    with admin_api(options, f"failed to get the history of job {job_id}") as client:
        history = client.jobs.get_history(job_id, limit=limit)
    output.emit(history.raw, job_output.history(history), as_json=output.wants_json(options.json))


def show_stats(
    *,
    status: Annotated[str | None, Parameter(name=["--status", "-s"])] = None,
    which: Which = ANY,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Show how many jobs stand where: of all jobs, unless options say which. JSON when a program reads.

    Parameters
    ----------
    status
        Only jobs in this status, or in several with commas between.
    """
    failure = "failed to get the statistics of jobs"
    criteria = which.criteria(failure, status)
    with admin_api(options, failure) as client:
        stats = client.jobs.get_stats(**criteria)
    output.emit(stats.raw, job_output.stats(stats), as_json=output.wants_json(options.json))
