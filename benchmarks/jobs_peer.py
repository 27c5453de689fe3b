"""procrastinate, as ``benchmarks/jobs.py`` measures it: its application, run by its own command line.

What its documentation offers for speed is used: asynchronous tasks on psycopg 3, as many pooled connections as jobs at
once plus one ("mind the size of your PostgreSQL pool"), notifications, deferring in batches, and quiet logs. Finished
jobs stay in its tables, as in ours (its default). On two quiet cores, with 2,000 jobs, the best of 6 runs each gave
881, 860, 807 and 746 jobs/s at a concurrency of 2, 4, 8 and 16 (CPU of the worker: 0.96, 0.97, 1.0, 1.0 ms a job); a
concurrency of 4 was not beaten beyond the noise.
"""

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

CONCURRENCY = 4
URL_VARIABLE = "BENCHMARK_PEER_DATABASE_URL"
# What runs the worker; the database is named by URL_VARIABLE.
WORKER = (
    *("-m", "procrastinate", "--app", f"{__name__}.app", "--log-level", "warning"),
    *("worker", "--concurrency", str(CONCURRENCY), "--delete-jobs", "never"),
)
_BATCH = 1000

app = App(connector=PsycopgConnector(conninfo=os.environ.get(URL_VARIABLE, ""), max_size=CONCURRENCY + 1))


@app.task(name="noop")
async def noop() -> None:
    """Do nothing."""


def fill(url: str, count: int) -> None:
    """Make procrastinate's tables in an empty database, and ``count`` jobs."""
    with app.replace_connector(SyncPsycopgConnector(conninfo=url)) as filler, filler.open():
        filler.schema_manager.apply_schema()
        for first in range(0, count, _BATCH):
            noop.batch_defer(*({} for _ in range(min(_BATCH, count - first))))
