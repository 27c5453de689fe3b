"""What the demo shows: bars and tables on a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from ampd.client import Progress
from ampd.demo.queries import Answer, Query

Advance = Callable[[Progress], None]


def introduce(console: Console, own_node: str | None, network: str, start: int, end: int) -> None:
    """Say what is about to happen."""
    node = own_node or "a replay node (a real JSON-RPC server that serves recorded blocks)"
    console.print("[bold]ampd demo[/bold]")
    console.print(f"  Chain   {network}, blocks {start} to {end}, from {node}", soft_wrap=True)
    console.print("  Runs    PostgreSQL, controller with Admin API, worker: the processes of a real cluster")
    console.print("  Writes  blocks, transactions (with receipts), logs and withdrawals as Parquet\n")


@contextmanager
def progress_bar(console: Console, start: int, end: int) -> Iterator[Advance]:
    """Give a function that shows the progress of the job."""
    total = end - start + 1
    if not console.is_terminal:
        yield _plain_lines(console, start, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("blocks"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("Extracting", total=total)
        yield lambda progress: bars.update(task, completed=_done(progress, start))


def _plain_lines(console: Console, start: int, total: int) -> Advance:
    shown: list[int] = []

    def advance(progress: Progress) -> None:
        done = _done(progress, start)
        if not shown or shown[-1] != done:
            shown.append(done)
            console.print(f"Extracting: {done} of {total} blocks ({progress.job_status})")

    return advance


def _done(progress: Progress, start: int) -> int:
    """Return how many blocks all tables have."""
    ends = [table.current_block for table in progress.tables.values()]
    reached = [end for end in ends if end is not None]
    return min(reached) - start + 1 if reached and len(reached) == len(ends) else 0


def result(
    console: Console,
    *,
    blocks: int,
    transactions: int,
    logs: int,
    files: int,
    bytes: int,  # noqa: A002 - the word of the JSON line
    seconds: float,
    data_dir: str,
) -> None:
    """Show what was written."""
    console.print(
        f"\n[bold]{blocks:,}[/bold] blocks, [bold]{transactions:,}[/bold] transactions, [bold]{logs:,}[/bold] logs "
        f"in {files} Parquet files of {bytes / 1e6:.1f} MB"
    )
    console.print(
        f"{seconds:.1f} s from deploy to the end, {blocks / seconds:.0f} blocks/s, in {data_dir}\n", soft_wrap=True
    )


def answer(console: Console, query: Query, found: Answer) -> None:
    """Show a query's question and its rows."""
    table = Table(title=query.title, title_justify="left", title_style="bold")
    for column in found.columns:
        table.add_column(column, overflow="fold")
    for row in found.rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table)
    console.print()


def dashboard(console: Console, url: str) -> None:
    """Say where the dashboard is, and what there is to see."""
    console.print(f"[bold]Dashboard[/bold]  {url}/", soft_wrap=True)
    console.print("  demo/tip    follows a chain that grows by a block every three seconds")
    console.print("  demo/long   extracts 2,000 blocks from a slow node")
    console.print("  and jobs by the clock, and one that fails. Ctrl+C ends everything.\n")


def next_steps(console: Console, kept: Path | None) -> None:
    """Say which commands to try next."""
    console.print("[bold]Next[/bold]")
    if kept is not None:
        console.print(f"  ampd solo --amp-dir {kept}            the same lake, with its daemons", soft_wrap=True)
        console.print("  ampctl job list --status all            its jobs (while solo runs)")
        console.print("  ampctl dataset inspect demo/blocks@1.0.0")
    else:
        console.print("  ampd demo --keep ./lake                 the same, and the lake stays")
    console.print("  ampd demo --dashboard                   the same, then the dashboard")
    console.print("  ampd demo --rpc-url URL --start N --end M   your own node")
    console.print("  ampd solo                               a lake of your own: see docs/tutorial.md")
