"""Timetables on a real database: what fires when, what runs, what is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import JobState, RetryPolicy, TimetableStore, expire_firings, parse_schedule
from ampd.jobs.time_zones import load_zone
from ampd.metadata_db import EmbeddedPostgres
from support.databases import fresh_database
from support.engine import FATAL, TRANSIENT, on_job
from support.timetables import HOUR_MS, Timetables, timetables

S = JobState


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
async def engine(url: str) -> AsyncIterator[Timetables]:
    async with timetables(url, RetryPolicy(initial_delay=3600, max_delay=7200)) as engine:
        await engine.change("TRUNCATE jobs, job_attempts, job_events, job_firings RESTART IDENTITY CASCADE")
        yield engine


async def test_a_job_with_a_timetable_waits_fires_runs_and_waits_again(engine: Timetables) -> None:
    job = await engine.recur(schedule={"start_at": (await engine.now() + timedelta(hours=1)).isoformat()})
    assert (job.state, job.lifecycle, job.waiting_for, job.execution_count) == (S.SCHEDULED, "scheduled", "run_at", 0)
    assert await engine.fire_all() == []
    assert await engine.place() == set()
    assert await engine.executions(job.id) == []
    await engine.pass_time(hours=1)
    assert await engine.place() == set(), "only what was fired is run"
    assert await engine.fire_all() == [job.id]
    assert await engine.fire_all() == []
    await engine.run(job.id)
    done = await engine.store.get(job.id)
    assert (done.state, done.lifecycle, done.execution_count, done.worker_id) == (S.SCHEDULED, "scheduled", 1, None)
    assert done.next_run_at is not None and done.next_run_at == done.run_at > await engine.now()
    assert await engine.path(job.id) == ["SCHEDULED", "SCHEDULED", "RUNNING", "SCHEDULED"]
    events, _ = await engine.store.events(job.id)
    assert [event.execution_number for event in events] == [0, 1, 1, 1]
    assert events[-1].detail == {"execution_outcome": "COMPLETED"}
    assert await engine.executions(job.id) == ["COMPLETED"]
    (firing,) = await engine.firings(job.id)
    assert (firing["outcome"], firing["execution_number"]) == ("FIRED", 1)
    assert firing["lateness_ms"] >= 0


async def test_an_interval_fires_at_once_and_then_counts_from_there(engine: Timetables) -> None:
    job = await engine.recur()
    assert await engine.fire_all() == [job.id]
    first = (await engine.firings(job.id))[0]["fire_time"]
    assert (await engine.store.get(job.id)).next_run_at == first + timedelta(hours=1)


async def test_a_job_that_runs_once_at_a_time_waits_for_it_and_then_completes(engine: Timetables) -> None:
    start = await engine.now() + timedelta(hours=2)
    job = await engine.deploy_at("once", parse_schedule({"start_at": start}))
    assert (job.waiting_for, job.recurring, job.next_run_at) == ("run_at", False, None)
    assert await engine.place() == set()
    await engine.pass_time(hours=2)
    await engine.run(job.id)
    assert (await engine.store.get(job.id)).state is S.COMPLETED


async def test_a_failed_execution_is_retried_first_then_the_job_goes_on(engine: Timetables) -> None:
    job = await engine.recur(retries=1)
    await engine.fire_all()
    assert await engine.leased.fail(await engine.begin(job.id), TRANSIENT)
    waiting = await engine.store.get(job.id)
    assert (waiting.waiting_for, waiting.retry_count) == ("retry", 1)
    await engine.change("UPDATE jobs SET run_at = now()")
    assert await engine.leased.fail(await engine.begin(job.id), TRANSIENT)
    after = await engine.store.get(job.id)
    assert (after.state, after.waiting_for) == (S.SCHEDULED, "run_at")
    assert after.last_error is not None
    events, _ = await engine.store.events(job.id)
    assert events[-1].detail is not None
    assert events[-1].detail["execution_outcome"] == "FAILED"
    assert events[-1].detail["error_code"] == "NODE_UNREACHABLE"
    assert await engine.executions(job.id) == ["FAILED"]
    await engine.pass_time(hours=1)
    assert await engine.fire_all() == [job.id]
    assert (await engine.store.get(job.id)).retry_count == 0
    await engine.run(job.id)
    assert await engine.executions(job.id) == ["FAILED", "COMPLETED"]
    assert (await engine.store.get(job.id)).last_error is None


async def test_a_failure_pauses_a_job_whose_schedule_says_so(engine: Timetables) -> None:
    job = await engine.recur(schedule={"pause_on_failure": True})
    await engine.fire_all()
    assert await engine.leased.fail(await engine.begin(job.id), FATAL)
    paused = await engine.store.get(job.id)
    assert (paused.state, paused.next_run_at) == (S.PAUSED, None)
    assert (await engine.path(job.id))[-2:] == ["SCHEDULED", "PAUSED"]
    assert await engine.executions(job.id) == ["FAILED"]
    await engine.store.resume(job.id, actor="operator")
    await engine.pass_time(hours=1)
    assert await engine.fire_all() == [job.id]


async def test_while_an_execution_goes_on_times_are_skipped(engine: Timetables) -> None:
    job = await engine.recur()
    await engine.fire_all()
    lease = await engine.begin(job.id)
    for _ in range(2):
        await engine.pass_time(hours=1)
        assert await engine.fire_all() == []
    assert await engine.leased.complete(lease)
    assert await engine.fire_all() == []
    assert await engine.outcomes(job.id) == [("FIRED", 1), ("SKIPPED", 1), ("SKIPPED", 1)]


async def test_queued_times_run_one_after_the_other_when_the_execution_has_ended(engine: Timetables) -> None:
    job = await engine.recur(schedule={"overlap": "queue"})
    await engine.fire_all()
    lease = await engine.begin(job.id)
    for _ in range(2):
        await engine.pass_time(hours=1)
        assert await engine.fire_all() == []
    assert await engine.leased.complete(lease)
    for _ in range(2):
        assert await engine.fire_all() == [job.id]
        await engine.run(job.id)
    assert await engine.fire_all() == []
    assert await engine.outcomes(job.id) == [("FIRED", 1)] * 3
    assert await engine.executions(job.id) == ["COMPLETED"] * 3
    numbers = [row["execution_number"] for row in await engine.firings(job.id)]
    assert numbers == [1, 2, 3]


async def test_cancel_running_ends_the_execution_and_begins_the_next(engine: Timetables) -> None:
    job = await engine.recur(schedule={"overlap": "cancel_running"})
    await engine.fire_all()
    lease = await engine.begin(job.id)
    await engine.pass_time(hours=1)
    fired = await engine.fire()
    assert (fired.begun, fired.stopping) == ([], [("w1", job.id)])
    assert (await engine.store.get(job.id)).state is S.STOP_REQUESTED
    assert await engine.leased.acknowledge_stop(lease)
    assert await engine.leased.stop(lease)
    assert await engine.fire_all() == [job.id]
    await engine.run(job.id)
    assert await engine.executions(job.id) == ["STOPPED", "COMPLETED"]
    assert await engine.outcomes(job.id) == [("FIRED", 1), ("FIRED", 1)]
    assert (await engine.store.get(job.id)).state is S.SCHEDULED


async def test_hours_without_a_controller_are_made_up_for_as_the_schedule_says(engine: Timetables) -> None:
    once = await engine.recur("once")
    none = await engine.recur("none", schedule={"catch_up": "skip"})
    everything = await engine.recur("all", schedule={"catch_up": "run_all", "catch_up_window_ms": 4 * HOUR_MS})
    await engine.pass_time(hours=6, minutes=5)
    await engine.fire_all()
    assert await engine.outcomes(once.id) == [("MISSED", 6), ("FIRED", 1)]
    assert await engine.outcomes(none.id) == [("MISSED", 7)]
    assert await engine.outcomes(everything.id) == [("MISSED", 3), ("FIRED", 1), *[("QUEUED", 1)] * 3]
    for _ in range(4):
        await engine.run(everything.id)
        await engine.fire_all()
    assert await engine.executions(everything.id) == ["COMPLETED"] * 4


async def test_a_paused_job_does_not_fire_and_goes_on_at_its_next_time(engine: Timetables) -> None:
    job = await engine.recur(schedule={"catch_up": "run_all"})
    await engine.fire_all()
    await engine.run(job.id)
    assert (await engine.store.pause(job.id, actor="operator")).state is S.PAUSED
    await engine.pass_time(hours=5, minutes=30)
    assert await engine.fire_all() == []
    resumed = await engine.store.resume(job.id, actor="operator")
    now = await engine.now()
    assert resumed.next_run_at is not None and now < resumed.next_run_at < now + timedelta(minutes=31)
    assert await engine.fire_all() == []
    assert (await engine.store.get(job.id)).next_run_at == resumed.next_run_at
    assert await engine.outcomes(job.id) == [("FIRED", 1)]
    await engine.pass_time(minutes=31)
    assert await engine.fire_all() == [job.id]


async def test_pausing_ends_the_execution_under_way_and_what_waits_for_its_end(engine: Timetables) -> None:
    job = await engine.recur(schedule={"overlap": "queue"})
    await engine.fire_all()
    lease = await engine.begin(job.id)
    await engine.pass_time(hours=1)
    await engine.fire_all()
    await engine.store.pause(job.id, actor="operator")
    assert await engine.leased.stop(lease)
    assert (await engine.store.get(job.id)).state is S.PAUSED
    assert await engine.executions(job.id) == ["STOPPED"]
    assert await engine.outcomes(job.id) == [("FIRED", 1), ("SKIPPED", 1)]
    await engine.store.resume(job.id, actor="operator")
    assert await engine.fire_all() == []
    await engine.pass_time(hours=1)
    assert await engine.fire_all() == [job.id]


async def test_after_its_last_execution_a_job_has_completed(engine: Timetables) -> None:
    job = await engine.recur(schedule={"limit": 2})
    await engine.fire_all()
    await engine.run(job.id)
    await engine.pass_time(hours=1)
    await engine.fire_all()
    assert (await engine.store.get(job.id)).next_run_at is None
    await engine.run(job.id)
    done = await engine.store.get(job.id)
    assert (done.state, done.execution_count) == (S.COMPLETED, 2)
    again = await engine.recur(schedule={"limit": 2})
    assert (again.id, again.state, again.execution_count) == (job.id, S.SCHEDULED, 0)
    await engine.fire_all()
    await engine.run(job.id)
    assert await engine.executions(job.id) == ["COMPLETED"] * 3


async def test_a_last_execution_that_fails_ends_its_job(engine: Timetables) -> None:
    job = await engine.recur(schedule={"limit": 1, "pause_on_failure": True})
    await engine.fire_all()
    assert await engine.leased.fail(await engine.begin(job.id), FATAL)
    assert (await engine.store.get(job.id)).state is S.FAILED


async def test_a_job_whose_end_date_passes_while_it_rests_has_completed_and_lets_others_go(engine: Timetables) -> None:
    end = await engine.now() + timedelta(hours=1, minutes=30)
    job = await engine.recur(schedule={"end_date": end, "catch_up": "skip"})
    follower = await engine.deploy("follower", on_job(job.id))
    await engine.fire_all()
    await engine.run(job.id)
    await engine.pass_time(hours=2)
    assert (await engine.fire()).ended == [job.id]
    assert (await engine.store.get(job.id)).state is S.COMPLETED
    assert await engine.outcomes(job.id) == [("FIRED", 1), ("MISSED", 1)]
    assert await engine.place() == {follower.id}


async def test_a_stopped_job_stays_stopped_and_an_operators_retry_runs_it_and_its_timetable_again(
    engine: Timetables,
) -> None:
    job = await engine.recur(schedule={"catch_up": "run_all"})
    await engine.fire_all()
    await engine.run(job.id)
    await engine.store.request_stop(job.id, actor="operator")
    assert await engine.executions(job.id) == ["COMPLETED"], "a stop between executions ends none"
    await engine.pass_time(hours=3)
    assert await engine.fire_all() == []
    await engine.store.retry(job.id, actor="operator")
    await engine.run(job.id)
    assert await engine.executions(job.id) == ["COMPLETED", "COMPLETED"]
    assert await engine.fire_all() == []
    await engine.pass_time(hours=1)
    assert await engine.fire_all() == [job.id]


async def test_a_lost_worker_does_not_end_an_execution(engine: Timetables) -> None:
    job = await engine.recur()
    await engine.fire_all()
    lease = await engine.begin(job.id)
    assert await engine.leased.hand_back(lease)
    await engine.run(job.id)
    assert await engine.executions(job.id) == ["COMPLETED"]


async def test_controllers_beside_each_other_fire_each_time_once(engine: Timetables) -> None:
    jobs = [await engine.recur(f"k{number}") for number in range(20)]
    fired = [job_id for each in await asyncio.gather(*(engine.fire_all() for _ in range(5))) for job_id in each]
    assert sorted(fired) == sorted(job.id for job in jobs)


# --- changed schedules


async def test_a_rescheduled_job_fires_at_its_new_times(engine: Timetables) -> None:
    job = await engine.recur()
    await engine.fire_all()
    await engine.run(job.id)
    store = TimetableStore(engine.db)
    await store.reschedule(job.id, {"cron": "0 10 * * *", "tz": "America/New_York"}, actor="operator")
    changed = await engine.store.get(job.id)
    assert changed.schedule is not None
    assert (changed.schedule.cron, changed.schedule.every_ms) == ("0 10 * * *", None)
    assert changed.next_run_at is not None and changed.next_run_at == changed.run_at
    assert changed.next_run_at.astimezone(load_zone(changed.schedule.tz)).hour == 10
    await store.reschedule(job.id, {"every": 2 * HOUR_MS, "limit": 5}, actor="operator")
    changed = await engine.store.get(job.id)
    now = await engine.now()
    assert changed.next_run_at is not None
    assert now + timedelta(minutes=119) < changed.next_run_at <= now + timedelta(minutes=120)
    await store.reschedule(job.id, {"limit": None}, actor="operator")
    assert (await engine.store.get(job.id)).schedule.limit is None  # type: ignore[union-attr]
    assert [event.event_type for event in (await engine.store.events(job.id))[0]][-3:] == ["RESCHEDULED"] * 3


async def test_a_job_that_runs_once_is_put_off_until_it_has_begun(engine: Timetables) -> None:
    later = await engine.now() + timedelta(hours=2)
    job = await engine.deploy_at("once", parse_schedule({"start_at": await engine.now() + timedelta(hours=1)}))
    store = TimetableStore(engine.db)
    await store.reschedule(job.id, {"start_at": later}, actor="operator")
    await engine.pass_time(minutes=90)
    assert await engine.place() == set()
    await engine.pass_time(minutes=30)
    await engine.begin(job.id)
    with pytest.raises(AmpError, match="runs once, and has begun") as refused:
        await store.reschedule(job.id, {"start_at": later}, actor="operator")
    assert refused.value.code is ErrorCode.JOB_CONFLICT


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, "schedule"),
        ({"cron": "61 * * * *"}, "cron"),
        ({"limit": 1}, "limit"),
        ({"end_date": 0}, "end_date"),
        ({"cron": "0 0 * * *", "every": 5000}, "every"),
        ({"every": 10}, "every"),
        ({"tz": "Europe/Berlin"}, "tz"),
    ],
)
async def test_a_refused_change_of_a_schedule_names_the_field_and_changes_nothing(
    engine: Timetables, changes: dict[str, object], field: str
) -> None:
    job = await engine.recur()
    await engine.fire_all()
    before = await engine.store.get(job.id)
    with pytest.raises(AmpError) as refused:
        await TimetableStore(engine.db).reschedule(job.id, changes, actor="operator")
    assert (refused.value.code, refused.value.context["field"]) == (ErrorCode.INVALID_SCHEDULE, field)
    assert await engine.store.get(job.id) == before


async def test_deploying_with_another_schedule_is_another_deploy(engine: Timetables) -> None:
    job = await engine.recur()
    assert (await engine.recur()).id == job.id
    with pytest.raises(AmpError, match="different options") as refused:
        await engine.recur(schedule={"every": 2 * HOUR_MS})
    assert refused.value.code is ErrorCode.ACTIVE_JOB_CONFLICT
    await TimetableStore(engine.db).reschedule(job.id, {"every": 2 * HOUR_MS}, actor="operator")
    assert (await engine.recur(schedule={"every": 2 * HOUR_MS})).id == job.id


async def test_a_schedule_that_would_never_run_is_refused(engine: Timetables) -> None:
    with pytest.raises(AmpError, match="end_date: no time of the schedule") as refused:
        await engine.recur(schedule={"end_date": await engine.now() - timedelta(days=1)})
    assert refused.value.code is ErrorCode.INVALID_SCHEDULE


# --- what is kept


async def test_what_was_kept_of_fire_times_goes_with_its_age_and_with_its_job(engine: Timetables) -> None:
    old, young = await engine.recur("old"), await engine.recur("young")
    await engine.fire_all()
    await engine.change("UPDATE job_firings SET created_at = now() - interval '91 days' WHERE job_id = %s", old.id)
    assert await expire_firings(engine.db, days=90) == 1
    assert (len(await engine.firings(old.id)), len(await engine.firings(young.id))) == (0, 1)
    await engine.store.request_stop(young.id, actor="operator")
    assert await engine.store.delete(young.id, actor="operator")
    assert await engine.firings(young.id) == []
