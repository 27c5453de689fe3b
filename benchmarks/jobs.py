"""The job engine against procrastinate, and how soon it acts.

    make bench-jobs [BENCH_ARGS="--quick"]

Starts one embedded PostgreSQL with its default, durable settings. No-op jobs run through one worker process of ours and
one of procrastinate in turn, ``--rounds`` times (``jobs_throughput.py``; the rates are medians); then come the
latencies (``jobs_latency.py``). The last line of the output is one JSON object; all else goes to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from ampd.metadata_db import EmbeddedPostgres  # noqa: E402
from jobs_latency import failover, start_and_stop  # noqa: E402
from jobs_throughput import OURS, PEER, jobs_per_second  # noqa: E402
from support.databases import url_of  # noqa: E402 - the harness of the tests

MILLI = 1000


@dataclass(frozen=True)
class Size:
    """How much is measured: jobs and rounds of throughput, samples of the latencies."""

    jobs: int = 20_000
    rounds: int = 3
    latencies: int = 200
    latencies_without_notify: int = 30
    failovers: int = 5


QUICK = Size(jobs=2000, rounds=1, latencies=10, latencies_without_notify=3, failovers=1)


def main() -> None:
    size = parse_size()
    with (
        tempfile.TemporaryDirectory(prefix="ampd-bench-") as text,
        EmbeddedPostgres(Path(text) / "metadb") as server,
    ):
        result = throughput(server, Path(text), size) | latencies(server, Path(text), size)
    print(json.dumps(result, separators=(",", ":")))


def parse_size() -> Size:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, help=f"no-op jobs of a round (default {Size.jobs})")
    parser.add_argument("--rounds", type=int, help=f"rounds of each of the two (default {Size.rounds})")
    parser.add_argument("--quick", action="store_true", help="a run of less than a minute, whose figures say little")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size()
    return replace(size, jobs=arguments.jobs or size.jobs, rounds=arguments.rounds or size.rounds)


def throughput(server: EmbeddedPostgres, directory: Path, size: Size) -> dict[str, float]:
    """Run both systems in turn (the machine's mood hits both alike) and compare their medians."""
    rates: dict[str, list[float]] = {OURS.name: [], PEER.name: []}
    for number in range(size.rounds):
        for system in (OURS, PEER):
            name = f"{system.name}_{number}"
            rate = jobs_per_second(system, new_database(server, name), size.jobs, directory / f"{name}.log")
            say(f"{system.name}: {rate:.0f} jobs/s")
            rates[system.name].append(rate)
            drop_database(server, name)
    ours, peer = (statistics.median(rates[system.name]) for system in (OURS, PEER))
    return {
        "ours_jobs_per_s": round(ours, 1),
        "procrastinate_jobs_per_s": round(peer, 1),
        "ratio": round(ours / peer, 2),
    }


def latencies(server: EmbeddedPostgres, directory: Path, size: Size) -> dict[str, Any]:
    place = new_place(server, directory, "latency")
    starts, stops = asyncio.run(start_and_stop(*place, size.latencies, notify=True))
    result = {"start_latency_ms": milliseconds(starts), "stop_notice_ms": milliseconds(stops)}
    say(f"with notifications: {result}")
    place = new_place(server, directory, "latency_without_notify")
    _, stops = asyncio.run(start_and_stop(*place, size.latencies_without_notify, notify=False))
    result["stop_notice_without_notify_ms"] = milliseconds(stops)
    say(f"without notifications: {result['stop_notice_without_notify_ms']}")
    seconds = asyncio.run(failover(*new_place(server, directory, "failover"), size.failovers))
    say("failover: " + ", ".join(f"{second:.2f} s" for second in seconds))
    result["failover_s"] = {"p50": round(percentile(seconds, 50), 2), "max": round(max(seconds), 2)}
    return result


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{rank}": round(percentile(seconds, rank) * MILLI, 1) for rank in (50, 99)}


def percentile(values: Sequence[float], rank: int) -> float:
    """Return the smallest value that is not below ``rank`` percent of ``values``."""
    return sorted(values)[math.ceil(len(values) * rank / 100) - 1]


def new_place(server: EmbeddedPostgres, directory: Path, name: str) -> tuple[str, Path]:
    """Return the URL of a new database, and a new folder for config and logs."""
    place = directory / name
    place.mkdir()
    return new_database(server, name), place


def new_database(server: EmbeddedPostgres, name: str) -> str:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return url_of(server, name)


def drop_database(server: EmbeddedPostgres, name: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
