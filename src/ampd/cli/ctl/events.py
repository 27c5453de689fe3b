"""`ampctl events`: what happens to the tables that jobs write."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter

from ampd.cli.ctl import output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, admin_api
from ampd.cli.ctl.times import duration, instant
from ampd.client import ApiError, WorkerEvent

app = App(name="events", alias="event", help="Worker events: what happens to the tables that jobs write.")

NOTHING: list[str] = []


@app.command(name="tail")
def tail_events(
    *,
    after: str | None = None,
    type: Annotated[list[str], Parameter(negative=(), show_default=False)] = NOTHING,
    namespace: str | None = None,
    dataset: str | None = None,
    table: str | None = None,
    job: int | None = None,
    follow: Annotated[bool, Parameter(negative="--no-follow")] = True,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Print events as they happen, a line for each, until Ctrl+C. A controller that is started again is waited for.

    Parameters
    ----------
    after
        Begin behind this event, by its id or event_id; "start" is all that is kept. Only what comes from now on,
        unless given.
    type
        Only this type, such as sync.completed. May be repeated.
    namespace
        Only events of datasets in this namespace.
    dataset
        Only events of this dataset: namespace/name.
    table
        Only events of tables of this name.
    job
        Only events of this job.
    follow
        With --no-follow: end when all that is there was printed.
    """
    with admin_api(options, "failed to follow the events") as client:
        stream = client.events.stream(
            after=after,
            types=type or None,
            namespace=namespace,
            dataset=dataset,
            table=table,
            job_id=job,
            follow=follow,
            on_interruption=_tell,
        )
        for event in stream:
            output.emit(event.raw, event_line(event), as_json=options.json)
            sys.stdout.flush()


def _tell(error: ApiError) -> None:
    print(output.clean(f"  → {error.message}; still trying (Ctrl+C ends)"), file=sys.stderr)


def event_line(event: WorkerEvent) -> str:
    """Return an event on one line."""
    what = event.type.removeprefix("sync.").upper()
    about = f"{instant(event.timestamp)}  {what:<9}  {event.dataset} {event.table}  job {event.job_id}"
    told = " ".join(_details(event).splitlines())
    return f"{about}  {told}" if told else about


def _details(event: WorkerEvent) -> str:
    if event.type == "sync.failed":
        return f"{event.error_type or 'error'}: {event.error_message}"
    if event.type == "sync.completed":
        return f"to block {event.current_block} in {duration((event.duration_ms or 0) // 1000)}"
    end = "" if event.end_block is None else f" of {event.end_block}"
    if event.type == "sync.progress":
        size = output.size(event.total_size_bytes or 0)
        return f"blocks {event.start_block} to {event.current_block}{end} ({event.files_count} files, {size})"
    return f"from block {event.start_block}{f' to {event.end_block}' if end else ''} on {event.worker_id}"
