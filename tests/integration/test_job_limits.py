"""How long a stop may last, and how often and when a failure is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    JobState,
    JobStore,
    Lease,
    LeasedJobs,
    RetryPolicy,
    force_overdue_stops,
    hold_lease,
    note_success,
    rescue_jobs_of_lost_workers,
)
from ampd.metadata_db import MetadataDb
from support.engine import (
    FATAL,
    LEASE_SECONDS,
    TRANSIENT,
    Engine,
    HeldUpDb,
    RowHolder,
    row_holder,
    worker_session,
)


@pytest.fixture
def engine(metadata_db: MetadataDb, database_url: str) -> Iterator[Engine]:
    with worker_session(database_url) as worker:
        yield Engine(metadata_db, worker)


@pytest.fixture
async def row(database_url: str) -> AsyncIterator[RowHolder]:
    async with row_holder(database_url) as holder:
        yield holder


async def _running(engine: Engine, key: str = "k", **changes: Any) -> Lease:
    (lease,) = await engine.start((await engine.deploy(key, **changes)).id)
    return lease


# --- stops that are forced

OVERDUE: Final = "UPDATE jobs SET stop_deadline = now() - interval '1 millisecond' WHERE stop_deadline IS NOT NULL"
DEADLINES: Final = "SELECT id, stop_deadline FROM jobs WHERE stop_deadline IS NOT NULL"


async def _stopping(engine: Engine, state: JobState, key: str = "k") -> Lease:
    """A running job whose stop was asked for, and heard if ``state`` says so."""
    lease = await _running(engine, key)
    await engine.store.request_stop(lease.job_id, actor="operator")
    if state is JobState.STOPPING:
        assert await engine.leased.acknowledge_stop(lease)
    assert (await engine.store.get(lease.job_id)).state is state
    return lease


STOPS: Final = pytest.mark.parametrize("state", [JobState.STOP_REQUESTED, JobState.STOPPING])


@STOPS
async def test_a_stop_past_its_deadline_is_forced_and_the_slot_is_free(engine: Engine, state: JobState) -> None:
    lease = await _stopping(engine, state)
    await engine.change(OVERDUE)
    assert await force_overdue_stops(engine.db, actor="controller") == [lease.job_id]
    job = await engine.store.get(lease.job_id)
    assert (job.state, job.worker_id, job.last_error) == (JobState.STOPPED, "w1", None)
    last = (await engine.store.events(job.id))[0][-1]
    assert (last.event_type, last.from_state, last.actor, last.node_id) == ("STOPPED", state, "controller", "w1")
    assert last.detail == {"forced": True, "worker": "w1"}
    assert engine.worker.beat().wanted == []
    attempts = await engine.db.fetch_all("SELECT outcome FROM job_attempts WHERE finished_at IS NOT NULL")
    assert attempts == [{"outcome": "STOPPED"}]
    executions = await engine.db.fetch_all("SELECT outcome FROM job_executions WHERE finished_at IS NOT NULL")
    assert executions == [{"outcome": "STOPPED"}]
    assert await force_overdue_stops(engine.db, actor="controller") == []


@STOPS
async def test_after_a_forced_stop_the_worker_can_write_nothing_more(engine: Engine, state: JobState) -> None:
    lease = await _stopping(engine, state)
    await engine.change(OVERDUE)
    await force_overdue_stops(engine.db, actor="controller")
    before = await engine.path(lease.job_id)
    leased = engine.leased
    for write in (leased.complete, leased.stop, leased.acknowledge_stop, leased.hand_back):
        assert not await write(lease)
    assert not await leased.fail(lease, FATAL)
    assert not await leased.report_progress(lease, {})
    with pytest.raises(AmpError, match="no longer belongs"):
        async with engine.db.transaction() as connection:
            await hold_lease(connection, lease)
    assert await engine.path(lease.job_id) == before


async def test_a_stop_has_the_seconds_that_are_configured_and_asking_again_gives_no_more(engine: Engine) -> None:
    lease = await _running(engine)
    patient = JobStore(engine.db, stop_seconds=1234)
    await patient.request_stop(lease.job_id, actor="operator")
    given = await engine.db.fetch_one(
        "SELECT extract(epoch FROM stop_deadline - updated_at)::float AS seconds, stop_deadline FROM jobs"
    )
    assert given is not None
    assert given["seconds"] == 1234
    await JobStore(engine.db, stop_seconds=99_999).request_stop(lease.job_id, actor="operator")
    assert await engine.leased.acknowledge_stop(lease)
    await JobStore(engine.db, stop_seconds=99_999).request_stop(lease.job_id, actor="operator")
    assert await engine.db.fetch_one("SELECT stop_deadline FROM jobs") == {"stop_deadline": given["stop_deadline"]}
    assert await force_overdue_stops(engine.db, actor="controller") == []
    assert (await engine.store.get(lease.job_id)).state is JobState.STOPPING


@pytest.mark.parametrize("end", ["complete", "stop", "hand_back", "fail", "retry", "lost"])
async def test_a_stop_that_has_ended_in_any_way_has_no_deadline_any_more(engine: Engine, end: str) -> None:
    lease = await _stopping(engine, JobState.STOPPING)
    if end == "lost":
        engine.worker.retire()
        await rescue_jobs_of_lost_workers(engine.db, lease_seconds=LEASE_SECONDS, actor="rescue")
    elif end in ("fail", "retry"):
        assert await engine.leased.fail(lease, FATAL if end == "fail" else TRANSIENT)
    else:
        assert await getattr(engine.leased, end)(lease)
    path = await engine.path(lease.job_id)
    assert await engine.db.fetch_all(DEADLINES) == []
    assert await force_overdue_stops(engine.db, actor="controller") == []
    assert await engine.path(lease.job_id) == path


async def test_a_job_that_is_deployed_after_a_forced_stop_has_no_deadline(engine: Engine) -> None:
    lease = await _stopping(engine, JobState.STOP_REQUESTED)
    await engine.change(OVERDUE)
    await force_overdue_stops(engine.db, actor="controller")
    again = await _running(engine)
    assert again.job_id == lease.job_id
    assert again.lease_epoch > lease.lease_epoch
    assert await engine.db.fetch_all(DEADLINES) == []
    assert await force_overdue_stops(engine.db, actor="controller") == []
    await engine.store.request_stop(lease.job_id, actor="operator")
    assert len(await engine.db.fetch_all(DEADLINES)) == 1


async def test_only_the_stops_that_are_overdue_are_forced(engine: Engine) -> None:
    overdue = await _stopping(engine, JobState.STOPPING, "overdue")
    await engine.change(OVERDUE)
    others = [await _stopping(engine, state, state) for state in (JobState.STOP_REQUESTED, JobState.STOPPING)]
    running = await _running(engine, "running")
    assert await force_overdue_stops(engine.db, actor="controller") == [overdue.job_id]
    states = [(await engine.store.get(lease.job_id)).state for lease in (*others, running)]
    assert states == [JobState.STOP_REQUESTED, JobState.STOPPING, JobState.RUNNING]


async def test_several_who_force_stops_at_once_force_each_once(engine: Engine, database_url: str) -> None:
    leases = [await _stopping(engine, JobState.STOP_REQUESTED, str(number)) for number in range(30)]
    await engine.change(OVERDUE)
    forced = await asyncio.gather(*(force_overdue_stops(engine.db, actor=str(n)) for n in range(5)))
    assert sorted(id for ids in forced for id in ids) == [lease.job_id for lease in leases]
    for lease in leases:
        assert await engine.path(lease.job_id) == ["SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPED"]


async def test_a_stop_that_ends_in_the_moment_of_its_deadline_is_ended_once(
    engine: Engine, database_url: str, row: RowHolder
) -> None:
    """The worker's end and the forced one meet: whoever commits first decides."""
    lease = await _stopping(engine, JobState.STOPPING)
    await engine.change(OVERDUE)
    async with HeldUpDb(database_url) as db, asyncio.TaskGroup() as group:
        completing = group.create_task(LeasedJobs(db).complete(lease))
        await db.until_held(completing)
        assert await force_overdue_stops(engine.db, actor="controller") == []
        db.go_on()
    assert completing.result()
    assert (await engine.path(lease.job_id))[-1] == "COMPLETED"
    other = await _stopping(engine, JobState.STOPPING, "other")
    await engine.change(OVERDUE)
    async with HeldUpDb(database_url) as db, asyncio.TaskGroup() as group:
        forcing = group.create_task(force_overdue_stops(db, actor="controller"))
        await db.until_held(forcing)
        completing = group.create_task(engine.leased.complete(other))
        await row.until_waiting(completing)
        db.go_on()
    assert forcing.result() == [other.job_id]
    assert not completing.result()
    assert (await engine.path(other.job_id))[-2:] == ["STOPPING", "STOPPED"]


# --- retries

BACKOFF: Final = """
SELECT retry_count, extract(epoch FROM run_at - updated_at)::float AS seconds FROM jobs WHERE id = %(id)s
"""


async def _fail(engine: Engine, lease: Lease) -> tuple[int, float]:
    """Let an attempt fail, and tell which retry comes and in how many seconds."""
    assert await engine.leased.fail(lease, TRANSIENT)
    row = await engine.db.fetch_one(BACKOFF, {"id": lease.job_id})
    assert row is not None
    return row["retry_count"], row["seconds"]


async def _again(engine: Engine, job_id: int) -> Lease:
    await engine.change("UPDATE jobs SET run_at = now() WHERE id = %s", job_id)
    (lease,) = await engine.start(job_id)
    return lease


async def _fail_repeatedly(engine: Engine, lease: Lease, times: int) -> list[tuple[int, float]]:
    told = [await _fail(engine, lease)]
    while len(told) < times:
        told.append(await _fail(engine, await _again(engine, lease.job_id)))
    return told


async def test_a_job_waits_as_long_as_its_own_policy_says(engine: Engine) -> None:
    policy = RetryPolicy(initial_delay=20, multiplier=3, max_delay=200, jitter=0)
    told = await _fail_repeatedly(engine, await _running(engine, retry_policy=policy), 4)
    assert told == [(1, 20), (2, 60), (3, 180), (4, 200)]


async def test_chance_takes_its_share_of_a_delay_and_no_more(engine: Engine) -> None:
    policy = RetryPolicy(initial_delay=1000, multiplier=1, max_delay=5000, jitter=0.3)
    leases = [await _running(engine, str(number), retry_policy=policy) for number in range(30)]
    delays = [(await _fail(engine, lease))[1] for lease in leases]
    assert all(700 <= delay <= 1000 for delay in delays)
    assert len(set(delays)) > 20, "all come back at once"


async def test_jobs_without_a_policy_have_that_of_their_worker(engine: Engine, database_url: str) -> None:
    own = RetryPolicy(initial_delay=20, jitter=0)
    slow = Engine(engine.db, engine.worker, RetryPolicy(initial_delay=500, multiplier=2, max_delay=800, jitter=0))
    assert await _fail_repeatedly(slow, await _running(engine, "a"), 3) == [(1, 500), (2, 800), (3, 800)]
    assert await _fail(slow, await _running(engine, "b", retry_policy=own)) == (1, 20)


@pytest.mark.parametrize(("retries", "runs"), [(0, 1), (1, 2), (2, 3)])
async def test_a_job_is_failed_when_its_retries_are_used_up(engine: Engine, retries: int, runs: int) -> None:
    lease = await _running(engine, retries=retries)
    for _ in range(runs - 1):
        assert await engine.leased.fail(lease, TRANSIENT)
        lease = await _again(engine, lease.job_id)
    assert await engine.leased.fail(lease, TRANSIENT)
    job = await engine.store.get(lease.job_id)
    assert (job.state, job.retry_count) == (JobState.FAILED, retries)
    assert job.last_error == TRANSIENT.to_json()
    outcomes = await engine.db.fetch_all("SELECT outcome FROM job_attempts ORDER BY lease_epoch")
    assert [each["outcome"] for each in outcomes] == ["RETRYING"] * retries + ["FAILED"]


async def test_no_limit_is_no_limit(engine: Engine) -> None:
    lease = await _running(engine, retries=None)
    await engine.change("UPDATE jobs SET retry_count = 1000000")
    retry, seconds = await _fail(engine, lease)
    assert retry == 1_000_001
    assert 225 <= seconds <= 300
    assert await engine.waiting_for(lease.job_id) == "retry"


async def test_an_error_that_no_retry_mends_ends_the_job_whatever_its_policy(engine: Engine) -> None:
    lease = await _running(engine, retries=None)
    assert await engine.leased.fail(lease, FATAL)
    assert (await engine.store.get(lease.job_id)).state is JobState.FAILED


async def test_a_job_that_gets_on_begins_its_delays_and_its_retries_anew(engine: Engine) -> None:
    policy = RetryPolicy(initial_delay=20, multiplier=2, max_delay=1000, jitter=0)
    lease = await _running(engine, retries=3, retry_policy=policy)
    assert (await _fail_repeatedly(engine, lease, 3))[-1] == (3, 80)
    lease = await _again(engine, lease.job_id)
    async with engine.db.transaction() as connection:
        await hold_lease(connection, lease)
        await note_success(connection, lease)
    assert await _fail_repeatedly(engine, lease, 3) == [(1, 20), (2, 40), (3, 80)]
    lease = await _again(engine, lease.job_id)
    assert await engine.leased.fail(lease, TRANSIENT)
    assert (await engine.store.get(lease.job_id)).state is JobState.FAILED


async def test_a_lost_worker_costs_no_retry(engine: Engine, database_url: str) -> None:
    lease = await _running(engine, retries=0)
    engine.worker.retire()
    await rescue_jobs_of_lost_workers(engine.db, lease_seconds=LEASE_SECONDS, actor="rescue")
    job = await engine.store.get(lease.job_id)
    assert (job.state, job.retry_count) == (JobState.SCHEDULED, 0)
    with worker_session(database_url, "w2") as other:
        survivors = Engine(engine.db, other)
        (lease,) = await survivors.start(job.id)
        assert await survivors.leased.fail(lease, TRANSIENT)
    assert (await engine.store.get(job.id)).state is JobState.FAILED


async def test_a_new_deploy_brings_its_own_policy_and_begins_to_count_anew(engine: Engine) -> None:
    lease = await _running(engine, retries=1, retry_policy=RetryPolicy(initial_delay=20, jitter=0))
    assert await _fail(engine, lease) == (1, 20)
    await engine.end(lease.job_id, "STOPPED")
    job = await engine.deploy("k", retries=2, retry_policy=RetryPolicy(initial_delay=70, max_delay=90, jitter=0))
    assert (job.retries, job.retry_count, job.last_error, job.retry_policy.initial_delay) == (2, 0, None, 70)
    (lease,) = await engine.start(job.id)
    assert await _fail_repeatedly(engine, lease, 2) == [(1, 70), (2, 90)]


@pytest.mark.parametrize(
    "other",
    [
        {"retries": 6},
        {"retries": None},
        {"retry_policy": None},
        {"retry_policy": RetryPolicy(initial_delay=2, multiplier=4, max_delay=8, jitter=0.5)},
    ],
    ids=["more", "no limit", "no policy", "another policy"],
)
async def test_another_policy_is_another_deploy(engine: Engine, other: dict[str, Any]) -> None:
    policy = RetryPolicy(initial_delay=1.5, multiplier=4, max_delay=8, jitter=0.1 + 0.2)
    job = await engine.deploy("k", retries=5, retry_policy=policy)
    assert (await engine.deploy("k", retries=5, retry_policy=policy)).id == job.id
    with pytest.raises(AmpError) as refused:
        await engine.deploy("k", **{"retries": 5, "retry_policy": policy, **other})
    assert refused.value.code is ErrorCode.ACTIVE_JOB_CONFLICT
    assert (await engine.store.get(job.id)).retry_policy == policy
