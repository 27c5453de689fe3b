"""Cases of query plans: what the dashboard asks of all jobs, and who counts and watches for it."""

from __future__ import annotations

from ampd.jobs import HELD_STATES, JobChanges, JobOverview, count_job_minute
from ampd.jobs.minutes import LATE_SECONDS
from ampd.metadata_db import sql
from ampd.metadata_db.late_ids import FIRST_ROWS
from support.many_jobs import DEPENDENT, FAILED, HELD, WORKERS
from support.query_plan_list_cases import COUNTS
from support.query_plan_registry import reads
from support.query_plans import LEASE_SECONDS, Engine


@reads(read_clock=0, overview_of_jobs=COUNTS, newest_failures=3 * len(FAILED))
async def looking_at_all_jobs(engine: Engine) -> None:
    overview = JobOverview(engine.db)
    assert await overview.now()
    assert (await overview.states()).failed_last_day == 0
    assert len(await overview.failures(limit=20)) == 20


# Of the failures of a day those of some namespaces are found by their jobs.
@reads(overview_of_jobs=COUNTS, newest_failures=3 * len(FAILED))
async def looking_at_the_jobs_of_some_namespaces(engine: Engine) -> None:
    overview = JobOverview(engine.db).limited_to(("team_3", "archive"))
    assert sum((await overview.states()).states.values()) > 0
    assert len(await overview.failures(limit=20)) > 0


@reads(lock_minutes=0, next_job_minute=2)
async def looking_for_a_minute_to_count(engine: Engine) -> None:
    await engine.connection.run("INSERT INTO job_minutes VALUES (date_trunc('minute', now()), '*', 0, 0)")
    assert await count_job_minute(engine.db) is False


# The events of the minute and those behind it, each with its job, attempt and execution, and those of one look back.
_EVENTS = 300


@reads(outcomes_of_minute=10 * _EVENTS)
async def counting_what_became_of_executions_in_a_minute(engine: Engine) -> None:
    await engine.connection.run(
        """INSERT INTO job_events (job_id, created_at, actor, event_type, from_state, execution_number, lease_epoch)
           SELECT id, now() + make_interval(secs => 3600 + mod(id, 100)), 't', 'FAILED', 'RUNNING', 1, 1
           FROM jobs WHERE id <= %s""",
        _EVENTS,
    )
    (row,) = await engine.connection.run("SELECT now() + interval '1 hour' AS at")
    minute = {"at": row["at"], "late_seconds": LATE_SECONDS, "held_states": list(HELD_STATES)}
    found = await engine.db.fetch_all(sql("jobs", "outcomes_of_minute"), minute)
    assert sum(each["failures"] for each in found) == _EVENTS * 60 // 100


@reads(add_job_minutes=1, expire_job_minutes=200)
async def keeping_what_was_counted(engine: Engine) -> None:
    await engine.connection.run(
        """INSERT INTO job_minutes
           SELECT now() - make_interval(mins => n), '*', 0, 0 FROM generate_series(11500, 11600) n"""
    )
    row = {"namespaces": ["*"], "retries": [1], "failures": [0], "durations": ["{}"]}
    (now,) = await engine.connection.run("SELECT now() AS at")
    await engine.db.execute(sql("jobs", "add_job_minutes"), {"at": now["at"], **row})
    await engine.db.execute(sql("jobs", "expire_job_minutes"), {"kept_days": 8})


@reads(job_trend=2 * 3 * 60)
async def showing_what_became_of_executions(engine: Engine) -> None:
    await engine.connection.run(
        """INSERT INTO job_minutes SELECT to_timestamp(60 * n), namespace, 0, 0
           FROM generate_series(1, 10000) n, unnest(ARRAY['*', 'a', 'b']) namespace"""
    )
    await engine.connection.run("ANALYZE job_minutes")
    found = await JobOverview(engine.db).trend(since=60 * 5000, step_seconds=60, points=60)
    assert None not in found


@reads(changes_of_jobs=4 * FIRST_ROWS + 6 * HELD + 5 * WORKERS)
async def watching_jobs(engine: Engine) -> None:
    changes = JobChanges(engine.db, lease_seconds=LEASE_SECONDS)
    assert not (await changes.look()).jobs
    await engine.connection.run(
        """INSERT INTO job_events (job_id, actor, event_type, execution_number, lease_epoch)
           VALUES (%s, 't', 'SCHEDULED', 1, 1)""",
        DEPENDENT[0],
    )
    assert set((await changes.look()).jobs or ()) == {DEPENDENT[0]}
