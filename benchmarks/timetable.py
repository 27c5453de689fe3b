"""How late jobs fire: 10,000 with a timetable, their times spread over a minute, and all at the same moment.

    make bench-timetable [BENCH_ARGS="--jobs 1000"]

Starts one embedded PostgreSQL with its default, durable settings, and one controller as a process. A job has fired when
the transaction that makes its execution due has been committed; how late that is says the database, by its own clock.
The last line of the output is one JSON object; all else goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from ampd.metadata_db import EmbeddedPostgres, migrate  # noqa: E402
from support.daemons import Cluster, wait_for  # noqa: E402 - the harness of the tests
from support.databases import url_of  # noqa: E402

JOBS = 10_000
SPREAD_SECONDS = 60.0
# Before the first time everything has started.
LEAD_SECONDS = 5.0
PATIENCE_SECONDS = 300.0

_FILL = """
INSERT INTO jobs (kind, state, input, retries, schedule, recurring, rests, next_run_at, run_at, execution_number,
                  execution_count)
SELECT 'noop', 'SCHEDULED', '{}', 0, jsonb_build_object('every_ms', 3600000, 'anchor', at), true, true, at, at, 0, 0
FROM (SELECT now() + make_interval(secs => %(lead)s::float8 + %(spread)s::float8 * n / %(jobs)s) AS at
      FROM generate_series(0, %(jobs)s - 1) AS n) AS given
"""
_LATENESS = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - fire_time)::float8 * 1000 AS late
FROM job_firings WHERE outcome = 'FIRED' ORDER BY 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"jobs with a timetable (default {JOBS})")
    jobs = parser.parse_args().jobs
    with (
        tempfile.TemporaryDirectory(prefix="ampd-bench-") as text,
        EmbeddedPostgres(Path(text) / "metadb", settings={"track_commit_timestamp": "on"}) as server,
    ):
        result = {
            "jobs": jobs,
            "spread_over_a_minute": measure(server, Path(text), "spread", jobs, SPREAD_SECONDS),
            "at_one_moment": measure(server, Path(text), "together", jobs, 0.0),
        }
    print(json.dumps(result, separators=(",", ":")))


def measure(server: EmbeddedPostgres, directory: Path, name: str, jobs: int, spread: float) -> dict[str, float]:
    """Let ``jobs`` fire once each, over ``spread`` seconds, and return how late they were in milliseconds."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = url_of(server, name)
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection, controller(directory / name, url):
        connection.execute(_FILL, {"lead": LEAD_SECONDS, "spread": spread, "jobs": jobs})
        connection.execute("ANALYZE")
        say(f"{name}: {jobs} jobs wait")
        wait_for("all jobs to fire", lambda: _fired(connection) >= jobs, spread + PATIENCE_SECONDS)
        late = [row[0] for row in connection.execute(_LATENESS).fetchall()]
    result = {"p50_ms": _rank(late, 50), "p99_ms": _rank(late, 99), "max_ms": round(late[-1], 1)}
    say(f"{name}: {result}")
    return result


@contextmanager
def controller(directory: Path, url: str) -> Iterator[None]:
    directory.mkdir()
    cluster = Cluster(directory, url)
    cluster.start_controller()
    try:
        yield
    finally:
        cluster.end()


def _fired(connection: psycopg.Connection[Any]) -> int:
    time.sleep(0.5)  # it asks no more than it must: the database is what is measured
    row = connection.execute("SELECT count(*) FROM job_firings").fetchone()
    return int(row[0]) if row else 0


def _rank(values: list[float], rank: int) -> float:
    return round(values[math.ceil(len(values) * rank / 100) - 1], 1)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
