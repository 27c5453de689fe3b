"""Jobs with timetables on a real database. Time is not waited for: what the database keeps is moved into the past."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, LiteralString

from ampd.jobs import Fired, Job, Lease, RetryPolicy, Schedule, fire_due_jobs, parse_schedule
from ampd.metadata_db import MetadataDb
from support.engine import Engine, worker_session

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
PASS_TIME: tuple[LiteralString, ...] = (
    "UPDATE job_firings SET fire_time = fire_time - %(by)s, last_time = last_time - %(by)s",
    """
UPDATE jobs
SET run_at = run_at - %(by)s, next_run_at = next_run_at - %(by)s, fires_after = fires_after - %(by)s,
    schedule = schedule || coalesce(
        (SELECT jsonb_object_agg(key, value::timestamptz - %(by)s)
         FROM jsonb_each_text(schedule) WHERE key IN ('anchor', 'start_at', 'end_date')),
        '{}')
""",
)


class Timetables(Engine):
    """An engine whose jobs have timetables."""

    async def recur(self, key: str = "k", *, schedule: dict[str, Any] | None = None, **changes: Any) -> Job:
        """Deploy a job that runs every hour from now on, unless ``schedule`` says otherwise."""
        wanted = parse_schedule({"every": HOUR_MS} | (schedule or {}))
        return await self.deploy(key, schedule=wanted, **{"retries": 0} | changes)

    async def deploy_at(self, key: str, schedule: Schedule, **changes: Any) -> Job:
        return await self.deploy(key, schedule=schedule, **changes)

    async def pass_time(self, **ago: float) -> None:
        """Move everything that is kept of times into the past, as if so much time had passed."""
        parameters = {"by": timedelta(**ago)}
        async with self.db.transaction() as connection:
            for statement in PASS_TIME:
                await connection.execute(statement, parameters)

    async def fire(self) -> Fired:
        """Look at the timetables once."""
        return await fire_due_jobs(self.db, actor="timetable")

    async def fire_all(self) -> list[int]:
        """Look until nothing is due; the jobs of which an execution has begun."""
        begun: list[int] = []
        while (fired := await self.fire()).looked_at:
            begun += fired.begun
        return begun

    async def run(self, job_id: int) -> None:
        """Have the worker run what is due to its end."""
        await self.complete(job_id)

    async def begin(self, job_id: int) -> Lease:
        (lease,) = await self.start(job_id)
        return lease

    async def firings(self, job_id: int) -> list[dict[str, Any]]:
        return await self.db.fetch_all(
            """SELECT fire_time, outcome, times, execution_number, lateness_ms FROM job_firings
               WHERE job_id = %(id)s ORDER BY fire_time""",
            {"id": job_id},
        )

    async def outcomes(self, job_id: int) -> list[tuple[str, int]]:
        """What has become of the fire times, in their order, and of how many."""
        return [(row["outcome"], row["times"]) for row in await self.firings(job_id)]

    async def executions(self, job_id: int) -> list[str | None]:
        rows = await self.db.fetch_all(
            "SELECT outcome FROM job_executions WHERE job_id = %(id)s ORDER BY number", {"id": job_id}
        )
        return [row["outcome"] for row in rows]

    async def now(self) -> datetime:
        row = await self.db.fetch_one("SELECT now() AS now")
        assert row is not None
        moment: datetime = row["now"]
        return moment


@asynccontextmanager
async def timetables(url: str, policy: RetryPolicy | None = None) -> AsyncIterator[Timetables]:
    with worker_session(url) as worker:
        async with MetadataDb(url) as db:
            yield Timetables(db, worker, policy)


# --- exactness


async def make_up_for(engine: Timetables, *, jobs: int, times: int) -> None:
    """Deploy jobs, each of which has missed as many times as it may run and makes up for all of them. The worker of
    ``engine`` leaves them to others.
    """
    await engine.change("UPDATE workers SET cordoned = true")
    for number in range(jobs):
        schedule = {"every": MINUTE_MS, "catch_up": "run_all", "limit": times}
        await engine.recur(f"exact-{number}", schedule=schedule, retries=None)
    await engine.pass_time(minutes=times + 10)


async def ended_executions(db: MetadataDb) -> int:
    row = await db.fetch_one("SELECT count(*) AS n FROM job_executions WHERE finished_at IS NOT NULL")
    assert row is not None
    return int(row["n"])


async def have_all_completed(db: MetadataDb) -> bool:
    return await db.fetch_one("SELECT FROM jobs WHERE state <> 'COMPLETED'") is None


async def assert_exact(db: MetadataDb, *, jobs: int, times: int) -> None:
    """Each job has fired at every minute from its beginning on, and each of these was run once, in their order."""
    anchors = await db.fetch_all("SELECT id, (schedule ->> 'anchor')::timestamptz AS anchor, execution_count FROM jobs")
    assert len(anchors) == jobs
    for job in anchors:
        minutes = [job["anchor"] + timedelta(minutes=number) for number in range(times)]
        firings = await db.fetch_all(
            "SELECT * FROM job_firings WHERE job_id = %(id)s ORDER BY fire_time", {"id": job["id"]}
        )
        told = [(row["fire_time"], row["outcome"], row["execution_number"]) for row in firings]
        assert told == [(minute, "FIRED", number) for number, minute in enumerate(minutes, start=1)]
        assert job["execution_count"] == times
        executions = await db.fetch_all(
            """SELECT e.number, e.outcome, count(*) FILTER (WHERE a.outcome = 'COMPLETED') AS completed
               FROM job_executions e LEFT JOIN job_attempts a ON a.job_id = e.job_id AND a.execution_number = e.number
               WHERE e.job_id = %(id)s GROUP BY e.number, e.outcome ORDER BY e.number""",
            {"id": job["id"]},
        )
        assert executions == [
            {"number": number, "outcome": "COMPLETED", "completed": 1} for number in range(1, times + 1)
        ]
