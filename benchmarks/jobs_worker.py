"""A worker process of ours for ``benchmarks/jobs.py``: ``python jobs_worker.py DATABASE_URL NODE_ID [SLOTS]``.

It is what ``ampd worker`` runs, with handlers that do nothing in place of those that extract.
"""

from __future__ import annotations

import asyncio
import sys
from uuid import uuid4

from ampd.daemons.lifecycle import run_until_stopped
from ampd.jobs import JobContext, JobHandler, LeasedJobs, Notifier, WorkerIdentity
from ampd.metadata_db import MetadataDb
from ampd.telemetry import configure_logging
from ampd.worker import WorkerNode, WorkerSettings

NOOP = "noop"
UNTIL_STOPPED = "until-stopped"


class Noop:
    """Is done at once."""

    async def run(self, context: JobContext) -> bool:
        return True


class UntilStopped:
    """Runs until it hears of a stop."""

    async def run(self, context: JobContext) -> bool:
        await context.stop.wait()
        return False


HANDLERS: dict[str, JobHandler] = {NOOP: Noop(), UNTIL_STOPPED: UntilStopped()}


async def run_worker(url: str, node_id: str, settings: WorkerSettings, stop: asyncio.Event) -> None:
    async with MetadataDb(url) as db:
        notifier = Notifier(db)
        leased_jobs = LeasedJobs(db, notifier=notifier)
        identity = WorkerIdentity(node_id, uuid4())
        await WorkerNode(db, identity, HANDLERS, leased_jobs, settings, info={}, notifier=notifier).run(stop)


def main() -> None:
    url, node_id, *slots = sys.argv[1:]
    settings = WorkerSettings(slots=int(slots[0])) if slots else WorkerSettings()
    configure_logging(component="worker")
    run_until_stopped(lambda stop: run_worker(url, node_id, settings, stop))


if __name__ == "__main__":
    main()
