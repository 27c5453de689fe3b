"""`ampctl verify`: whether what the lake has of a dataset holds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ampd.cli.ctl import output
from ampd.cli.ctl.common import DEFAULT_OPTIONS, Options, admin_api
from ampd.cli.ctl.watch import line_printer, watch_job
from ampd.client import Progress

HOLDS, DOES_NOT_HOLD = 0, 1


def verify_dataset(
    reference: Annotated[str, Parameter(name="--dataset")],
    *,
    start_block: int | None = None,
    end_block: int | None = None,
    worker_id: str | None = None,
    detach: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    interval: float = 1.0,
    options: Options = DEFAULT_OPTIONS,
) -> int:
    """Verify what the lake has of a dataset, from its files alone. Exit code 0 when all of it holds, 1 when not.

    A worker does it, as a job that shows in `job list` and goes on when this command is ended.

    Parameters
    ----------
    reference
        namespace/name@revision; without a revision it is `latest`.
    start_block
        The first block; the dataset's first unless given.
    end_block
        The last block; the last that the lake has unless given.
    worker_id
        The worker that must run it: its id, or a prefix and *.
    detach
        Start the job and do not wait for its end.
    interval
        Seconds between two looks at the job.
    """
    failure = f"failed to verify dataset {reference}"
    with admin_api(options, failure) as client:
        job_id = client.datasets.verify(reference, start_block=start_block, end_block=end_block, worker_id=worker_id)
        if detach:
            text = output.success("Verification started", f"Job ID: {job_id}")
            output.emit({"job_id": job_id}, text, as_json=options.json)
            return HOLDS
        with _display(job_id, as_json=options.json) as show:
            last = watch_job(client, job_id, interval=interval, show=show)
    output.emit(last.raw, output.verification_result(reference, last), as_json=options.json)
    return HOLDS if last.job_status == "COMPLETED" else DOES_NOT_HOLD


@contextmanager
def _display(job_id: int, *, as_json: bool) -> Iterator[Callable[[Progress], None]]:
    """Give what shows progress: a bar on a terminal, else a line for each change, and nothing before the JSON."""
    if as_json:
        yield lambda _progress: None
        return
    print(f"→ Job ID: {job_id} (goes on without this command; `ampctl job stop {job_id}` ends it)")
    sys.stdout.flush()
    if not sys.stdout.isatty():
        yield line_printer(as_json=False)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(highlight=False, markup=False)) as bars:
        bar = bars.add_task("waiting", total=None)

        def show(progress: Progress) -> None:
            found = progress.verification
            state = progress.job_status.lower()
            if found is None:
                bars.update(bar, description=state)
                return
            broken = f", {found.violation_count} broken" if found.violation_count else ""
            total, done = found.end_block - found.start_block + 1, found.next_block - found.start_block
            bars.update(bar, description=f"{state}{broken}", total=total, completed=done)

        yield show
