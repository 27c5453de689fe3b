"""Cases of query plans: timetables."""

from __future__ import annotations

import asyncio

from ampd.jobs import (
    Deployment,
    TimetableStore,
    expire_firings,
    fire_due_jobs,
    parse_schedule,
    seconds_to_next_firing,
)
from support import query_plan_cases  # noqa: F401 - its cases come first: those of this module leave dead rows behind
from support.many_jobs import (
    RUNNING,
    lease_of,
)
from support.query_plan_registry import (
    LISTED,
    TRANSITION,
    reads,
)
from support.query_plans import Engine

# Timetables. Jobs with one are few among all the others.

RECURRING = 1000
HOURLY = parse_schedule({"every": 3_600_000})


async def _jobs_with_timetables(engine: Engine, **columns: str) -> None:
    """Let the last jobs that wait for their time have timetables, whose next time has come."""
    values = {"next_run_at": "now() - interval '1 minute'"} | columns
    changes = "".join(f", {name} = {value}" for name, value in values.items())
    await engine.connection.run(
        "UPDATE jobs SET recurring = true, rests = true, execution_count = 0, schedule = jsonb_build_object("
        "'every_ms', 3600000, 'anchor', now() - interval '1 minute')" + changes + " WHERE id IN ("
        "SELECT id FROM jobs WHERE state = 'SCHEDULED' AND run_at > now() ORDER BY id DESC LIMIT %s)",
        RECURRING,
    )


NONE_EXHAUSTED = {"lock_exhausted_timetables": 2}


@reads(lock_due_timetables=2 * 500, lock_queued_timetables=2, fire_jobs=30 * 500, **NONE_EXHAUSTED)
async def firing_500_jobs(engine: Engine) -> None:
    await _jobs_with_timetables(engine)
    assert len((await fire_due_jobs(engine.db, actor="test")).begun) == 500


# Nothing is known of such jobs in this transaction: it may be by the index of all of them that none is found.
@reads(
    lock_due_timetables=RECURRING,
    lock_queued_timetables=2 * 500,
    first_queued_firings=3 * 500,
    fire_jobs=30 * 500,
    lock_exhausted_timetables=2,
)
async def firing_500_times_that_have_waited(engine: Engine) -> None:
    await _jobs_with_timetables(engine, next_run_at="now() + interval '1 hour'", queued_firings="1")
    await engine.connection.run(
        "INSERT INTO job_firings (job_id, fire_time, outcome, last_time)"
        " SELECT id, now(), 'QUEUED', now() FROM jobs WHERE recurring"
    )
    assert len((await fire_due_jobs(engine.db, actor="test")).begun) == 500


@reads(lock_due_timetables=2, lock_queued_timetables=2, seconds_to_next_firing=1, **NONE_EXHAUSTED)
async def looking_at_timetables_when_nothing_is_due(engine: Engine) -> None:
    assert (await fire_due_jobs(engine.db, actor="test")).looked_at == 0
    assert await seconds_to_next_firing(engine.db) is None


@reads(
    lock_due_timetables=RECURRING,
    lock_queued_timetables=2,
    lock_exhausted_timetables=2 * 500,
    share_dependency_graph=0,
    transition=TRANSITION * 500,
    lock_dependents=6 * 500,
)
async def ending_500_jobs_whose_timetable_is_over(engine: Engine) -> None:
    await _jobs_with_timetables(engine, next_run_at="NULL")
    assert len((await fire_due_jobs(engine.db, actor="test")).ended) == 500


@reads(list_recurring=2 * 3, share_dependency_graph=0, lock_ended_executions=3, transition=TRANSITION * 4)
async def completing_executions_of_timetables(engine: Engine) -> None:
    await engine.connection.run(
        "UPDATE jobs SET recurring = true, schedule = '{}', next_run_at = now() + interval '1 h' WHERE id = ANY (%s)",
        [*RUNNING[:3]],
    )
    leased = engine.leased
    assert all(await asyncio.gather(*(leased.complete(lease_of(job_id)) for job_id in RUNNING[:3])))


@reads(read_clock=0, insert_job=4, set_dependencies=1, list_jobs=LISTED)
async def deploying_a_job_with_a_timetable(engine: Engine) -> None:
    job = await engine.store.deploy(Deployment("noop", "new", {}, schedule=HOURLY), actor="test")
    assert job.recurring


@reads(lock_timetable=1, set_timetable=3)
async def rescheduling_a_job(engine: Engine) -> None:
    await _jobs_with_timetables(engine)
    (row,) = await engine.connection.run("SELECT max(id) AS id FROM jobs WHERE recurring")
    await TimetableStore(engine.db, notifier=engine.notifier).reschedule(row["id"], {"every": 5000}, actor="test")


@reads(lock_retention=0, expire_firings=6 * 1000)
async def expiring_fire_times(engine: Engine) -> None:
    await engine.connection.run(
        "INSERT INTO job_firings (job_id, fire_time, outcome, last_time, created_at) SELECT 1, at, 'FIRED', at, at"
        " FROM (SELECT now() - make_interval(hours => n) AS at FROM generate_series(1, 5000) AS n) AS given"
    )
    assert await expire_firings(engine.db, days=4000 / 24) == 1000
