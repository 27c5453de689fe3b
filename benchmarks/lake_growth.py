"""What a segment costs the database in a small lake and in a large one: commit, planning, progress.

    make bench-growth [BENCH_ARGS="--rounds 100"]

Lakes of 10,000, 100,000 and 1,000,000 blocks in segments of ten blocks (up to 100,000 files a table) stand in one
embedded PostgreSQL with its default, durable settings. In each of ``--rounds`` rounds each lake in turn gets one more
segment by what a worker does (a range planned, leased, written, committed), is looked at by its planner, and tells its
progress. No node and no Parquet: what is measured is what could grow with the lake. The last line of the output is one
JSON object with medians in milliseconds; ``growth`` is the whole cost of a segment in the largest lake by that in the
smallest: 1 means that it stays flat.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from psycopg import sql

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from ampd.data_store import PlannedRange, TableStore, WrittenSegment  # noqa: E402
from ampd.metadata_db import EmbeddedPostgres, MetadataDb, migrate  # noqa: E402
from support.databases import execute, url_of  # noqa: E402 - the harness of the tests
from support.ranges import COST, Ranges, fill_lake, running_extraction, segment  # noqa: E402

_Result = TypeVar("_Result")

SIZES = (10_000, 100_000, 1_000_000)
SEGMENT_BLOCKS = 10
STEPS = ("plan", "view", "commit", "progress")


def main() -> None:
    parser = argparse.ArgumentParser(description="What a segment costs in a small lake and in a large one.")
    parser.add_argument("--rounds", type=int, default=200, help="segments added to each lake (default 200)")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ampd-bench-") as text,
        EmbeddedPostgres(Path(text) / "metadb") as server,
    ):
        costs = asyncio.run(measure(server, arguments.rounds))
    print(json.dumps(result(costs), separators=(",", ":")))


def result(costs: dict[int, dict[str, list[float]]]) -> dict[str, Any]:
    medians = {size: {step: statistics.median(taken) for step, taken in steps.items()} for size, steps in costs.items()}
    totals = {size: sum(steps.values()) for size, steps in medians.items()}
    shown = {
        str(size): {f"{step}_ms": round(taken, 2) for step, taken in steps.items()} for size, steps in medians.items()
    }
    return {**shown, "growth": round(totals[SIZES[-1]] / totals[SIZES[0]], 2)}


async def measure(server: EmbeddedPostgres, rounds: int) -> dict[int, dict[str, list[float]]]:
    """Return the milliseconds that each step took in each round, by the size of the lake."""
    costs: dict[int, dict[str, list[float]]] = {size: {step: [] for step in STEPS} for size in SIZES}
    async with AsyncExitStack() as stack:
        lakes = {size: await open_lake(stack, server, size) for size in SIZES}
        for number in range(rounds):
            for size, lake in lakes.items():
                await add_segment(lake, size + SEGMENT_BLOCKS * number, costs[size])
    return costs


async def open_lake(stack: AsyncExitStack, server: EmbeddedPostgres, blocks: int) -> Ranges:
    """Make a database with a lake of ``blocks`` blocks, and the job that goes on with it."""
    url = url_of(server, f"lake_{blocks}")
    execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"lake_{blocks}")))
    migrate(url)
    db = await stack.enter_async_context(MetadataDb(url))
    lake = await stack.enter_async_context(running_extraction(db))
    fill_lake(url, segments=blocks // SEGMENT_BLOCKS, blocks_each=SEGMENT_BLOCKS)
    await lake.store.begin_plan(lake.lease, 4)
    print(f"a lake of {blocks} blocks", file=sys.stderr)
    return lake


async def add_segment(lake: Ranges, start: int, costs: dict[str, list[float]]) -> None:
    """Add a segment as a worker does, and take the times of what it asks of the database."""
    end = start + SEGMENT_BLOCKS - 1
    revisions = list(lake.revisions.values())
    view = await timed(costs["view"], lambda: lake.store.view(lake.job_id, revisions))
    if view.runs[revisions[0].id][-1].end_block != start - 1:
        raise RuntimeError(f"the lake does not end before block {start}: {view}")
    done = [each.id for each in view.ranges if each.state == "DONE"]
    planned = [PlannedRange(start, end)]
    await timed(costs["plan"], lambda: lake.store.plan_more(lake.lease, planned, done=done))
    await timed(costs["commit"], lambda: commit(lake, start, end))
    await timed(costs["progress"], lambda: progress(lake))


async def commit(lake: Ranges, start: int, end: int) -> None:
    """Lease a range, make its files known, and let them count."""
    lease, written = await lake.take(), segment(start, end)
    files = await lake.write(lease, written)
    await lake.store.commit(lease, [WrittenSegment(written, files)], COST)


async def progress(lake: Ranges) -> None:
    """What ``GET /jobs/{id}/progress`` asks."""
    tables = TableStore(lake.db)
    await tables.progress_of_job(lake.job_id)
    await tables.progress_summary(await lake.jobs.get(lake.job_id))


async def timed(times: list[float], work: Callable[[], Awaitable[_Result]]) -> _Result:
    started = time.perf_counter()
    done = await work()
    times.append(1000 * (time.perf_counter() - started))
    return done


if __name__ == "__main__":
    main()
