"""What worker events cost jobs: the throughput with a broker that is dead, beside that without events.

    make bench-events [BENCH_ARGS="--quick"]

Starts one embedded PostgreSQL with its default, durable settings, and in turn, ``--rounds`` times after one that does
not count (the machine's mood hits both alike; which way comes first changes): a controller and a worker with worker
events off (``worker_events.log_hours = 0``), and the same with events recorded and sent to a port on which nobody
listens. Two kinds of jobs:

- no-op jobs, as in ``make bench-jobs``: what the engine loses;
- extraction jobs of 23 recorded blocks each, from the replay node: they are what events are about.

The last line of the output is one JSON object; all else goes to stderr. Rates are medians. ``*_ratio`` is the median
over the rounds of the rate with the dead broker by that without events in the same round, ``*_ratio_lowest`` and
``*_ratio_highest`` are its extremes: when 1 lies between them the difference is noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from ampd.client import Ampd  # noqa: E402
from ampd.metadata_db import EmbeddedPostgres, migrate  # noqa: E402
from jobs_throughput import OURS, jobs_per_second  # noqa: E402
from support.chain import FIRST_BLOCK, register, replay_node  # noqa: E402 - the harness of the tests
from support.daemons import Cluster, free_port, wait_for  # noqa: E402
from support.databases import url_of  # noqa: E402

BLOCKS = 23
WITHOUT, DEAD = "without_events", "dead_broker"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    noop_jobs: int = 20_000
    extraction_jobs: int = 60
    rounds: int = 5


QUICK = Size(noop_jobs=2000, extraction_jobs=8, rounds=1)


def main() -> None:
    size = parse_size()
    with (
        tempfile.TemporaryDirectory(prefix="ampd-bench-") as text,
        EmbeddedPostgres(Path(text) / "metadb") as server,
    ):
        place = Place(Path(text), server)
        result = compare("noop", size.rounds, lambda way, name: noop_jobs(place, way, name, size.noop_jobs))
        result |= compare(
            "extraction", size.rounds, lambda way, name: extraction_jobs(place, way, name, size.extraction_jobs)
        )
        result |= {"rounds": size.rounds, "blocks_per_extraction_job": BLOCKS}
    print(json.dumps(result, separators=(",", ":")))


def parse_size() -> Size:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noop-jobs", type=int, help=f"no-op jobs of a round (default {Size.noop_jobs})")
    parser.add_argument("--extraction-jobs", type=int, help=f"extractions of a round (default {Size.extraction_jobs})")
    parser.add_argument("--rounds", type=int, help=f"rounds of each (default {Size.rounds})")
    parser.add_argument("--quick", action="store_true", help="a run of less than a minute, whose figures say little")
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    return Size(
        given.noop_jobs or size.noop_jobs, given.extraction_jobs or size.extraction_jobs, given.rounds or size.rounds
    )


def compare(what: str, rounds: int, measure: Callable[[str, str], float]) -> dict[str, float]:
    """Measure both ways in turn, and compare them round by round."""
    rates: dict[str, list[float]] = {WITHOUT: [], DEAD: []}
    for number in range(rounds + 1):
        for way in (WITHOUT, DEAD) if number % 2 == 0 else (DEAD, WITHOUT):
            rate = measure(way, f"{what}_{way}_{number}")
            counts = "" if number else " (warming up)"
            print(f"{what}, {way}: {rate:.1f} jobs/s{counts}", file=sys.stderr, flush=True)
            if number:
                rates[way].append(rate)
    ratios = [dead / without for dead, without in zip(rates[DEAD], rates[WITHOUT], strict=True)]
    return {
        f"{what}_jobs_per_s_{WITHOUT}": round(statistics.median(rates[WITHOUT]), 1),
        f"{what}_jobs_per_s_{DEAD}": round(statistics.median(rates[DEAD]), 1),
        f"{what}_ratio": round(statistics.median(ratios), 3),
        f"{what}_ratio_lowest": round(min(ratios), 3),
        f"{what}_ratio_highest": round(max(ratios), 3),
    }


@dataclass(frozen=True)
class Place:
    """Where all of it runs."""

    directory: Path
    server: EmbeddedPostgres

    def cluster(self, way: str, name: str) -> Cluster:
        """Return a cluster without processes yet, on a new database."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        directory = self.directory / name
        directory.mkdir()
        url = url_of(self.server, name)
        migrate(url)
        return Cluster(directory, url, settings_of(way))

    def url(self, name: str) -> str:
        return url_of(self.server, name)


def settings_of(way: str) -> str:
    if way == WITHOUT:
        return "[worker_events]\nlog_hours = 0\n"
    return f'[worker_events]\nenabled = true\nkafka.brokers = ["127.0.0.1:{free_port()}"]\n'


def noop_jobs(place: Place, way: str, name: str, count: int) -> float:
    """Return no-op jobs per second through one worker, beside a controller."""
    cluster = place.cluster(way, name)
    try:
        cluster.start_controller(environment={"AMP_LOG": "info"})
        return jobs_per_second(OURS, place.url(name), count, cluster.directory / "worker.log")
    finally:
        cluster.end()


def extraction_jobs(place: Place, way: str, name: str, count: int) -> float:
    """Return extraction jobs per second through one worker, from the start of the first to the end of the last."""
    cluster = place.cluster(way, name)
    try:
        cluster.start_controller()
        with replay_node(cluster.directory) as (node_url, _):
            references = [
                register(
                    cluster.admin_url, node_url, dataset=f"bench/n{number}", network="mainnet", start_block=FIRST_BLOCK
                )
                for number in range(count)
            ]
            with Ampd(cluster.admin_url) as client:
                for reference in references:
                    client.datasets.deploy(reference, end_block=FIRST_BLOCK + BLOCKS - 1)
            cluster.start_worker("bench")
            with psycopg.connect(place.url(name), autocommit=True) as connection:
                wait_for("the jobs to end", lambda: _ended(connection, count), 3600)
                if way == DEAD:
                    check_events(connection, count)
                return count / _seconds(connection)
    finally:
        cluster.end()


def _ended(connection: psycopg.Connection[Any], count: int) -> bool:
    row = connection.execute("SELECT count(*) FROM jobs WHERE state = 'COMPLETED'").fetchone()
    return row is not None and row[0] == count


def _seconds(connection: psycopg.Connection[Any]) -> float:
    row = connection.execute("SELECT extract(epoch FROM max(ended_at) - min(started_at)) FROM jobs").fetchone()
    assert row is not None
    return float(row[0])


def check_events(connection: psycopg.Connection[Any], count: int) -> None:
    """Make sure that what is compared did happen: every table has begun and ended, and nothing was sent."""
    query = """SELECT event_type, count(DISTINCT job_id) FROM (
                   SELECT event_type, job_id FROM worker_events
                   UNION ALL SELECT event_type, job_id FROM worker_event_outbox
               ) told GROUP BY 1"""
    told = dict(connection.execute(query).fetchall())
    sent = connection.execute("SELECT sent_to FROM worker_event_sender").fetchone()
    assert told["sync.started"] == told["sync.completed"] == count, told
    assert sent == (0,), sent


if __name__ == "__main__":
    main()
