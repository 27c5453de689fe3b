"""A restore that shows on the terminal how far it is."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor, wait

from ampd.client import Ampd, ApiError, RestoredTable, RestoreProgress

_LOOK_SECONDS = 0.5


def watched_restore(client: Ampd, reference: str) -> list[RestoredTable]:
    """Restore a dataset; when people look at stderr, a bar there tells how far it is.

    :raises ApiError: that of the restore.
    """
    if not sys.stderr.isatty():
        return client.datasets.restore(reference)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        ThreadPoolExecutor(1) as executor,
        Progress(*columns, console=Console(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task("Listing files", total=None)
        restoring = executor.submit(client.datasets.restore, reference)
        while not wait([restoring], _LOOK_SECONDS).done:
            seen = _progress(client, reference)
            if seen is not None:
                description, completed, total = _shown(seen)
                bar.update(task, description=description, completed=completed, total=total)
        return restoring.result()


def _shown(progress: RestoreProgress) -> tuple[str, int, int | None]:
    if progress.phase == "READING":
        return "Reading footers", progress.files_read, progress.files_found or None
    if progress.phase == "REGISTERING":
        return "Registering files", progress.files_registered, progress.files_read or None
    return "Listing files" if progress.phase == "LISTING" else "Activating tables", 0, None


def _progress(client: Ampd, reference: str) -> RestoreProgress | None:
    try:
        return client.datasets.restore_progress(reference)
    except ApiError:
        return None  # there is nothing to show; the restore itself tells what is wrong
