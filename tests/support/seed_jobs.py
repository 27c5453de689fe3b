"""What the tests of the seed on scheduled jobs share: a real cluster, a service that its jobs call, and a client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Unpack

import psycopg

from ampd.client import AsyncAmpd, CreateOptions, Job
from support.actions import Actions
from support.daemons import POLL_SECONDS, Cluster
from support.engine import SECONDS
from support.timetables import PASS_TIME_OF_JOBS

HOUR = 3_600_000
DAY = 24 * HOUR
# A worker that there is not: what only it may run waits.
NOBODY = "nobody"
QUICK_RETRY = {"initial_delay_secs": 0.1, "multiplier": 1.0, "max_delay_secs": 1.0, "jitter": 0.0}


def date_now() -> int:
    """``Date.now()``: milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Service:
    """A cluster, what its jobs call, and the URL of its database."""

    cluster: Cluster
    actions: Actions
    database_url: str


class Jobs:
    """Creates jobs in the states that a test wants, of a product of its own."""

    def __init__(self, service: Service, client: AsyncAmpd, product: str) -> None:
        self.client = client
        self.product = product
        self.actions = service.actions
        self.database_url = service.database_url
        self._holds = 0

    async def create(self, action: str = "done", **options: Unpack[CreateOptions]) -> Job:
        options.setdefault("product", self.product)
        options.setdefault("env", "prd")
        return await self.client.jobs.create("http", {"url": self.actions.url(action)}, **options)

    async def recurring(self, **schedule: Any) -> Job:
        """Create a job that first runs in an hour."""
        return await self.create(schedule={"every": HOUR, "start_at": date_now() + HOUR} | schedule)  # type: ignore[typeddict-item]

    async def in_status(self, status: str) -> Job:
        """Create a job and bring it to where ``status`` says."""
        return await getattr(self, f"_{status}")()

    async def until(self, job_id: int | str, holds: Callable[[Job], bool]) -> Job:
        """Look at a job until something holds of it, and return it."""
        async with asyncio.timeout(SECONDS):
            while not holds(job := await self.client.jobs.get(job_id)):
                await asyncio.sleep(POLL_SECONDS)
        return job

    async def until_status(self, job_id: int | str, status: str) -> Job:
        return await self.until(job_id, lambda job: job.status == status)

    def pass_time(self, milliseconds: int, *ids: int) -> None:
        """Move the times of jobs into the past, as if so much time had passed."""
        with psycopg.connect(self.database_url) as connection:
            statement = PASS_TIME_OF_JOBS + " WHERE id = ANY (%(ids)s)"
            connection.execute(statement, {"by": timedelta(milliseconds=milliseconds), "ids": [*ids]})

    async def _scheduled(self) -> Job:
        return await self.create(start_at=date_now() + HOUR)

    async def _queued(self) -> Job:
        return await self.create(worker=NOBODY)

    async def held(self, **options: Unpack[CreateOptions]) -> Job:
        """Create a job whose call, once it has been made, is answered when the test says so: see :meth:`until_held`."""
        self._holds += 1
        return await self.create(self._held_action(), **options)

    async def until_held(self) -> None:
        """Wait until the call of the last :meth:`held` job has arrived: one that comes later is not let go."""
        async with asyncio.timeout(SECONDS):
            while not self.actions.calls[f"/{self._held_action()}"]:
                await asyncio.sleep(POLL_SECONDS)

    def _held_action(self) -> str:
        return f"held/{self.product}/{self._holds}"

    async def _running(self) -> Job:
        job = await self.held()
        await self.until_held()
        return await self.until_status(job.id, "running")

    async def _completed(self) -> Job:
        return await self.client.jobs.wait((await self.create()).id, SECONDS, poll_seconds=POLL_SECONDS)

    async def _failed(self) -> Job:
        job = await self.create("refused")
        return await self.client.jobs.wait(job.id, SECONDS, poll_seconds=POLL_SECONDS)

    async def _cancelled(self) -> Job:
        return await self.client.jobs.cancel((await self._scheduled()).id)

    async def _paused(self) -> Job:
        return await self.client.jobs.pause((await self.recurring()).id)


async def jobs_of(service: Service, product: str) -> AsyncIterator[Jobs]:
    """Give jobs for one test; what is held is let go at its end."""
    async with AsyncAmpd(service.cluster.admin_url) as client:
        yield Jobs(service, client, product)
    service.actions.release()
