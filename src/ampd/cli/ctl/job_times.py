"""`ampctl job create`, `reschedule`, `next`: new jobs, and when jobs run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from ampd.cli.ctl import job_output, output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, WronglyUsedError, admin_api, read_json_object
from ampd.cli.ctl.schedule import NO_TIMES, When
from ampd.cli.ctl.which import in_utc, read_labels
from ampd.client import CreateOptions, ScheduleOptions

Words = Annotated[list[str], Parameter(negative=(), show_default=False)]
Droppable = Literal["start_at", "tz", "limit", "end_date", "overlap", "catch_up", "pause_on_failure"]
NOTHING: Final[list[str]] = []
NO_DROPS: Final[list[Droppable]] = []


def create(
    kind: str,
    file: Path | None = None,
    /,
    *,
    label: Words = NOTHING,
    product: str | None = None,
    env: str | None = None,
    retries: int | Literal["unlimited"] | None = None,
    priority: int | None = None,
    depends_on: Words = NOTHING,
    worker_id: str | None = None,
    idempotency_key: str | None = None,
    when: When = NO_TIMES,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Create a job of any kind.

    Parameters
    ----------
    kind
        extraction, verification, compaction, http, or a kind that an installed package brings.
    file
        What the kind needs, a JSON file; - reads standard input.
    label
        A name to find it by: key=value. May be repeated.
    product
        The label product.
    env
        The label env.
    retries
        How often a failure that may pass is tried again, or unlimited. Extraction jobs: unlimited unless given,
        verification jobs: 5 times, others: never.
    priority
        The higher is placed first; 0 unless given.
    depends_on
        What must have completed before: the id of a job, or namespace/name@revision of a dataset. May be repeated.
    worker_id
        The worker that must run it: its id, or a prefix and *.
    idempotency_key
        The same key with the same content is the same job.
    """
    failure = f"failed to create a job of kind {kind}"
    job_input = {} if file is None else read_json_object(file, failure)
    given: CreateOptions = {
        "labels": read_labels(label, failure),
        "product": product,
        "env": env,
        "depends_on": _references(depends_on),
        "worker": worker_id,
        "schedule": when.schedule(),
        "idempotency_key": idempotency_key,
    }
    if retries is not None:
        given["retries"] = None if retries == "unlimited" else retries
    if priority is not None:
        given["priority"] = priority
    with admin_api(options, failure) as client:
        job = client.jobs.create(kind, job_input, **given)
    output.emit(job.raw, job_output.created(job), as_json=options.json)


def _references(texts: Sequence[str]) -> list[int | str]:
    return [int(text) if text.isascii() and text.isdigit() else text for text in texts]


def reschedule(
    job_id: int,
    /,
    *,
    when: When = NO_TIMES,
    drop: Annotated[list[Droppable], Parameter(negative=(), show_default=False)] = NO_DROPS,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Change when a job runs. What is not given stays; --cron and --every take the place of each other.

    Parameters
    ----------
    job_id
        Id of the job.
    drop
        Take this setting away. May be repeated.
    """
    failure = f"failed to reschedule job {job_id}"
    changes = {name: value for name, value in when.schedule().items() if value is not None}
    schedule: ScheduleOptions = {**dict.fromkeys(drop), **changes}  # type: ignore[typeddict-item]
    if not schedule:
        raise WronglyUsedError(failure, ["say what to change: --start-at, --cron, --every, …, or --drop"])
    with admin_api(options, failure) as client:
        job = client.jobs.reschedule(job_id, **schedule)
    output.emit(job.raw, job_output.operated(job, "rescheduled"), as_json=options.json)


def show_next(
    job_id: int | None = None,
    /,
    *,
    count: Annotated[int | None, Parameter(name=["--count", "-n"])] = None,
    from_: Annotated[datetime | None, Parameter(name="--from")] = None,
    when: When = NO_TIMES,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Show when a job runs next; or, with --cron or --every, when a job with that schedule would. JSON when a program
    reads.

    Parameters
    ----------
    job_id
        Id of the job.
    count
        How many times: 10 unless given, up to 100.
    from_
        When the schedule is given: now, unless said. UTC unless it has an offset.
    """
    failure = "failed to tell when a schedule runs" if job_id is None else f"failed to tell when job {job_id} runs"
    if (job_id is None) == (when == NO_TIMES) or (job_id is not None and from_ is not None):
        raise WronglyUsedError(failure, ["name either a job, or a schedule by --cron, --every or --start-at"])
    with admin_api(options, failure) as client:
        if job_id is None:
            times = client.jobs.preview(count=count, from_=in_utc(from_), **when.schedule())
        else:
            times = client.jobs.next(job_id, count=count)
    output.emit(times.raw, job_output.fire_times(times), as_json=output.wants_json(options.json))
