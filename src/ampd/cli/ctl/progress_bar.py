"""The picture of a job's progress on a terminal: a bar when it has an end, its pace, and the tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ampd.cli.ctl import output
from ampd.cli.ctl.times import duration
from ampd.client import Progress

_BAR_WIDTH = 40


def picture(progress: Progress) -> RenderableType:
    """Return what is drawn of ``progress``."""
    return Group(_bar(progress), Text(""), Text(output.clean(output.progress_details(progress))))


def front(progress: Progress) -> tuple[int, int] | None:
    """Return the blocks (first, last) that all tables have from the dataset's start without a gap; None: there are
    none.
    """
    starts = [table.start_block for table in progress.tables.values() if table.start_block is not None]
    ends = [table.current_block for table in progress.tables.values() if table.current_block is not None]
    if not ends or len(ends) < len(progress.tables):
        return None
    return max(starts), min(ends)


def share_done(progress: Progress) -> float | None:
    """Return which share of the wanted blocks is there, from 0 to 1; None for a job without an end."""
    if progress.end_block is None:
        return None
    reached = front(progress)
    if reached is None:
        return 0.0
    start, current = reached
    return min(1.0, (current - start + 1) / max(1, progress.end_block - start + 1))


def _bar(progress: Progress) -> RenderableType:
    share = share_done(progress)
    grid = Table.grid(padding=(0, 1))
    if share is None:
        reached = front(progress)
        grid.add_row(Text("following the chain"), Text("no block yet" if reached is None else f"block {reached[1]:,}"))
    else:
        # Rounded down: 100 % is everything.
        percent = Text(f"{int(1000 * share) / 10:5.1f}%")
        grid.add_row(ProgressBar(total=1.0, completed=share, width=_BAR_WIDTH), percent)
    pace = []
    if progress.blocks_per_second is not None:
        pace.append(f"{progress.blocks_per_second:,.1f} blocks/s")
    if progress.eta_seconds is not None and not progress.is_terminal:
        pace.append(f"{duration(progress.eta_seconds)} left")
    return Group(grid, Text(", ".join(pace))) if pace else grid
