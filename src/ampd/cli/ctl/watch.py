"""Looking at a job until it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from ampd.cli.ctl import output
from ampd.cli.ctl.progress_bar import picture
from ampd.client import Ampd, ApiError, Progress
from ampd.errors import ErrorCode

Show = Callable[[Progress], None]
_PASSING = frozenset({ErrorCode.ADMIN_API_UNREACHABLE, ErrorCode.METADATA_DB_UNREACHABLE})
MIN_INTERVAL_SECONDS = 0.05


def watch_progress(client: Ampd, job_id: int, *, interval: float, as_json: bool) -> Progress:
    """Show the progress of a job until it has ended, and return the last.

    On a terminal one picture is drawn again and again; elsewhere each change is a line. When the Admin API goes away
    in between (a restart), the watch waits for it.
    """
    with _display(as_json=as_json) as show:
        return watch_job(client, job_id, interval=interval, show=show)


def watch_job(client: Ampd, job_id: int, *, interval: float, show: Show) -> Progress:
    """Look at a job until it has ended, ``show`` its progress each time, and return the last."""
    pause = max(interval, MIN_INTERVAL_SECONDS)
    progress = client.jobs.progress(job_id)
    show(progress)
    while not progress.is_terminal:
        time.sleep(pause)
        progress = _look_again(client, job_id, pause)
        show(progress)
    return progress


def _look_again(client: Ampd, job_id: int, pause: float) -> Progress:
    told = False
    while True:
        try:
            return client.jobs.progress(job_id)
        except ApiError as error:
            if error.code not in _PASSING:
                raise
            if not told:
                print(output.clean(f"  → {error.message}; still trying (Ctrl+C ends)"), file=sys.stderr)
                told = True
        time.sleep(pause)


@contextmanager
def _display(*, as_json: bool) -> Iterator[Show]:
    if as_json or not sys.stdout.isatty():
        yield line_printer(as_json=as_json)
        return
    console = Console(highlight=False, markup=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        yield lambda progress: live.update(picture(progress), refresh=True)


def line_printer(*, as_json: bool) -> Show:
    """Return what prints a line for each change."""
    last: object = None

    def show(progress: Progress) -> None:
        nonlocal last
        # Rates move all the time: alone they are no change.
        state = (progress.job_status, progress.tables, progress.gaps, progress.last_error, progress.verification)
        if state != last:
            output.emit(progress.raw, output.progress_line(progress), as_json=as_json)
            sys.stdout.flush()
        last = state

    return show
