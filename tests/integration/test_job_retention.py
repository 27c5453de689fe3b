"""What is too old goes, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import pytest

import ampd.controller.retention
from ampd.controller import run_retention
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    ACTIVE_STATES,
    TERMINAL_STATES,
    Job,
    JobFilter,
    JobState,
    JobStore,
    RetentionPolicy,
    expire_events,
    expire_jobs,
)
from ampd.metadata_db import MetadataDb
from ampd.tasks import cancel_all
from support.engine import SECONDS, Engine, HeldUpDb, RowHolder, deployment, on_job, row_holder, worker_session

# Ages in days, around the ten that are kept here.
DAYS: Final = 10
AGES: Final = {"new": 0.0, "almost": 9.99, "just": 10.01, "old": 400.0}


@pytest.fixture
def engine(metadata_db: MetadataDb, database_url: str) -> Iterator[Engine]:
    with worker_session(database_url) as worker:
        yield Engine(metadata_db, worker)


@pytest.fixture
async def row(database_url: str) -> AsyncIterator[RowHolder]:
    async with row_holder(database_url) as holder:
        yield holder


async def _age_events(engine: Engine, job: Job, days: float) -> None:
    age = "UPDATE job_events SET created_at = now() - make_interval(secs => %s * 86400) WHERE job_id = %s"
    await engine.change(age, days, job.id)


async def _age(engine: Engine, job: Job, days: float) -> None:
    age = "UPDATE jobs SET updated_at = now() - make_interval(secs => %s * 86400) WHERE id = %s"
    await engine.change(age, days, job.id)


async def _ids(engine: Engine) -> list[int]:
    jobs, more = await engine.store.list_page(JobFilter(), limit=1000)
    assert not more
    return sorted(job.id for job in jobs)


async def _count(engine: Engine, table: str) -> int:
    row = await engine.db.fetch_one(f"SELECT count(*) AS n FROM {table}")
    assert row is not None
    return int(row["n"])


# --- events


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
async def test_events_older_than_they_are_kept_go_and_the_others_stay(engine: Engine, batch: int) -> None:
    jobs: dict[str, Job] = {}
    for name in ("old", "just", "almost", "new"):
        jobs[name] = await engine.deploy(name)
        await engine.end(jobs[name].id, "STOPPED")
        await _age_events(engine, jobs[name], AGES[name])
    assert await expire_events(engine.db, days=DAYS, batch=batch) == 4
    for name in ("old", "just"):
        assert (await engine.store.events(jobs[name].id))[0] == []
    for name in ("almost", "new"):
        assert await engine.path(jobs[name].id) == ["SCHEDULED", "STOPPED"]
    assert await expire_events(engine.db, days=DAYS, batch=batch) == 0


async def test_the_events_of_a_job_that_still_runs_grow_old_too_and_the_job_goes_on(engine: Engine) -> None:
    """A job that follows a chain for years: it stays, its history begins later, and what it does is noted as ever."""
    job = await engine.deploy("k")
    (lease,) = await engine.start(job.id)
    await _age_events(engine, job, 11)
    await _age(engine, job, 11)
    assert await expire_events(engine.db, days=DAYS) == 2
    assert await expire_jobs(engine.db, days=DAYS, actor="retention") == 0
    assert await engine.store.events(job.id) == ([], False)
    assert (await engine.store.get(job.id)).state is JobState.RUNNING
    assert await engine.leased.complete(lease)
    assert await engine.path(job.id) == ["COMPLETED"]


async def test_the_history_of_a_removed_job_is_kept_as_long_as_that_of_others_and_then_nobody_knows_it(
    engine: Engine,
) -> None:
    job = await engine.deploy("k")
    await engine.end(job.id, "STOPPED")
    await engine.store.delete(job.id, actor="operator")
    await _age_events(engine, job, 9)
    assert await expire_events(engine.db, days=DAYS) == 0
    assert await engine.path(job.id) == ["SCHEDULED", "STOPPED", "DELETED"]
    await _age_events(engine, job, 11)
    assert await expire_events(engine.db, days=DAYS) == 3
    for after in (0, 2):
        with pytest.raises(AmpError) as unknown:
            await engine.store.events(job.id, after_id=after)
        assert unknown.value.code is ErrorCode.JOB_NOT_FOUND


class GoesAway(MetadataDb):
    """A database that can be reached for so many transactions and then not any more."""

    def __init__(self, url: str, transactions: int) -> None:
        super().__init__(url, max_connections=1)
        self._left = transactions

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    def comes_back(self) -> None:
        self._left = 1000

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        if self._left == 0:
            raise AmpError(ErrorCode.METADATA_DB_UNREACHABLE, "away", recoverable=True)
        self._left -= 1
        async with super().transaction() as connection:
            yield connection


async def _crowd(engine: Engine, count: int) -> None:
    """So many jobs that ended 20 days ago and more, the first one first, each with its two events."""
    await engine.change(
        """
        WITH job AS (
            INSERT INTO jobs (kind, idempotency_key, state, input, updated_at)
            SELECT 'noop', n::text, 'STOPPED', '{}', now() - make_interval(days => 20 + %s - n)
            FROM generate_series(1, %s) AS n RETURNING id, updated_at
        )
        INSERT INTO job_events (job_id, created_at, actor, event_type, from_state, execution_number, lease_epoch)
        SELECT id, updated_at, 'a', entered, left_, 1, 0
        FROM job, (VALUES ('SCHEDULED', NULL), ('STOPPED', 'SCHEDULED')) AS e (entered, left_)
        ORDER BY id
        """,
        count,
        count,
    )


async def test_events_go_in_batches_the_oldest_first(engine: Engine, database_url: str) -> None:
    await _crowd(engine, 20)
    async with GoesAway(database_url, 3) as db:
        with pytest.raises(AmpError):
            await expire_events(db, days=DAYS, batch=8)
    left = await engine.db.fetch_all("SELECT DISTINCT job_id FROM job_events ORDER BY 1")
    assert [row["job_id"] for row in left] == list(range(13, 21))
    assert await expire_events(engine.db, days=DAYS, batch=8) == 16


async def test_events_are_removed_by_one_process_at_a_time_and_another_has_nothing_to_do(
    engine: Engine, database_url: str
) -> None:
    await _crowd(engine, 10)
    async with HeldUpDb(database_url) as db, asyncio.TaskGroup() as group:
        first = group.create_task(expire_events(db, days=DAYS))
        await db.until_held(first)
        assert await expire_events(engine.db, days=DAYS) == 0
        assert await expire_jobs(engine.db, days=DAYS, actor="retention") == 0
        db.go_on()
    assert first.result() == 20


async def test_whoever_removes_does_not_hold_up_those_that_write_events(engine: Engine, database_url: str) -> None:
    await _crowd(engine, 10)
    async with HeldUpDb(database_url) as db, asyncio.TaskGroup() as group:
        removing = group.create_task(expire_events(db, days=DAYS))
        await db.until_held(removing)
        job = await engine.deploy("k")
        await engine.complete(job.id)
        db.go_on()
    assert removing.result() == 20
    assert await engine.path(job.id) == ["SCHEDULED", "RUNNING", "COMPLETED"]


# --- jobs


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
async def test_jobs_that_ended_longer_ago_than_they_are_kept_go_and_their_history_stays(
    engine: Engine, batch: int
) -> None:
    kept: list[int] = []
    gone: list[int] = []
    for end in sorted(TERMINAL_STATES):
        for name, days in AGES.items():
            job = await engine.deploy(f"{end}-{name}")
            await engine.end(job.id, end)
            await _age(engine, job, days)
            (gone if days > DAYS else kept).append(job.id)
    before = {job_id: await engine.path(job_id) for job_id in (*kept, *gone)}
    assert await expire_jobs(engine.db, days=DAYS, actor="retention", batch=batch) == len(gone) == 6
    assert await _ids(engine) == kept
    for job_id, path in before.items():
        assert await engine.path(job_id) == path + ["DELETED"] * (job_id in gone)
    last = (await engine.store.events(gone[0]))[0][-1]
    assert (last.actor, last.from_state) == ("retention", "COMPLETED")
    assert await expire_jobs(engine.db, days=DAYS, actor="retention", batch=batch) == 0


async def test_what_belongs_to_a_removed_job_goes_with_it_and_what_belongs_to_others_stays(engine: Engine) -> None:
    old, other = await engine.deploy("old"), await engine.deploy("other")
    for job in (old, other):
        (lease,) = await engine.start(job.id)
        assert await engine.leased.report_progress(lease, {"blocks": 1})
        assert await engine.leased.complete(lease)
    await engine.deploy("waits", on_job(old.id))
    await engine.deploy("old-waits", on_job(other.id))
    tables = ("jobs", "job_executions", "job_attempts", "job_progress", "job_dependencies")
    before = [await _count(engine, table) for table in tables]
    await _age(engine, old, 11)
    assert await expire_jobs(engine.db, days=DAYS, actor="retention") == 1
    after = [await _count(engine, table) for table in tables]
    assert [there - here for there, here in zip(before, after, strict=True)] == [1, 1, 1, 1, 0]
    assert await _ids(engine) == [other.id, 3, 4]


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
async def test_a_job_that_has_not_ended_stays_however_old_it_is(engine: Engine, state: JobState) -> None:
    job = await engine.deploy("k")
    await engine.change("UPDATE jobs SET state = %s, updated_at = '1999-01-01' WHERE id = %s", state, job.id)
    assert await expire_jobs(engine.db, days=DAYS, actor="retention") == 0
    assert await _ids(engine) == [job.id]


async def test_an_old_job_that_was_deployed_again_is_young_again(engine: Engine) -> None:
    job = await engine.deploy("k")
    await engine.end(job.id, "STOPPED")
    await _age(engine, job, 400)
    await engine.deploy("k")
    await engine.end(job.id, "STOPPED")
    assert await expire_jobs(engine.db, days=DAYS, actor="retention") == 0


async def test_a_job_that_is_deployed_again_while_it_is_removed_is_one_or_the_other(
    engine: Engine, database_url: str, row: RowHolder
) -> None:
    jobs = [await engine.deploy("first"), await engine.deploy("second")]
    for job in jobs:
        await engine.end(job.id, "STOPPED")
        await _age(engine, job, 11)
    async with HeldUpDb(database_url) as db, asyncio.TaskGroup() as group:
        deploying = group.create_task(JobStore(db).deploy(deployment("first"), actor="operator"))
        await db.until_held(deploying)
        assert await expire_jobs(engine.db, days=DAYS, actor="retention") == 1
        db.go_on()
    assert deploying.result().id == jobs[0].id
    assert await _ids(engine) == [jobs[0].id]
    await engine.end(jobs[0].id, "STOPPED")
    await _age(engine, jobs[0], 11)
    async with HeldUpDb(database_url) as db, asyncio.TaskGroup() as group:
        removing = group.create_task(expire_jobs(db, days=DAYS, actor="retention"))
        await db.until_held(removing)
        again = group.create_task(_deploy_or_hear_of_the_removal(engine, "first"))
        await row.until_waiting(again)
        db.go_on()
    assert removing.result() == 1
    job = again.result() or await engine.deploy("first")
    assert await _ids(engine) == [job.id]
    assert job.id != jobs[0].id


async def _deploy_or_hear_of_the_removal(engine: Engine, key: str) -> Job | None:
    try:
        return await engine.deploy(key)
    except AmpError as error:
        assert (error.code, error.recoverable) == (ErrorCode.JOB_CONFLICT, True)
        return None


async def test_several_who_remove_at_once_remove_each_job_once(engine: Engine) -> None:
    await _crowd(engine, 300)
    removed = await asyncio.gather(
        *(expire_jobs(engine.db, days=DAYS, actor=str(number), batch=20) for number in range(5)),
        engine.store.delete_in_states({JobState.STOPPED}, actor="operator"),
    )
    removed.append(await expire_jobs(engine.db, days=DAYS, actor="rest"))
    assert sum(removed) == 300
    assert await _ids(engine) == []
    events = "SELECT count(*) AS n, count(DISTINCT job_id) AS jobs FROM job_events WHERE event_type = 'DELETED'"
    assert await engine.db.fetch_one(events) == {"n": 300, "jobs": 300}


# --- the loop


class Sleeps:
    """The pauses of the loop: each lasts until the test ends it."""

    def __init__(self) -> None:
        self._begun, self._ends = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def sleep(self, _seconds: float) -> None:
        self._begun.release()
        await self._ends.acquire()

    def wake(self) -> None:
        self._ends.release()

    async def until_asleep(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self._begun.acquire()


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    pauses = Sleeps()
    monkeypatch.setattr(ampd.controller.retention, "asyncio", pauses)
    return pauses


@asynccontextmanager
async def _running_loop(db: MetadataDb, policy: RetentionPolicy) -> AsyncIterator[None]:
    task = asyncio.create_task(run_retention(db, policy))
    try:
        yield
        assert not task.done()
    finally:
        await cancel_all([task])


@pytest.mark.parametrize(
    ("policy", "jobs", "events"),
    [
        (RetentionPolicy(event_days=DAYS, terminal_job_days=DAYS), 0, 20),
        (RetentionPolicy(event_days=DAYS), 20, 0),
        (RetentionPolicy(event_days=0, terminal_job_days=DAYS), 0, 60),
        (RetentionPolicy(event_days=1000, terminal_job_days=1000), 20, 40),
        (RetentionPolicy(event_days=0, terminal_job_days=0), 20, 40),
    ],
    ids=["both", "events", "jobs", "nothing is old enough", "for ever"],
)
async def test_the_loop_removes_what_its_policy_does_not_keep(
    engine: Engine, sleeps: Sleeps, policy: RetentionPolicy, jobs: int, events: int
) -> None:
    """The removal of a job is an event too, and a new one."""
    await _crowd(engine, 20)
    async with _running_loop(engine.db, policy):
        await sleeps.until_asleep()
    assert (await _count(engine, "jobs"), await _count(engine, "job_events")) == (jobs, events)


async def test_the_loop_goes_on_when_the_database_was_away(engine: Engine, sleeps: Sleeps, database_url: str) -> None:
    await _crowd(engine, 5)
    async with GoesAway(database_url, 0) as db, _running_loop(db, RetentionPolicy(event_days=DAYS)):
        await sleeps.until_asleep()
        assert await _count(engine, "job_events") == 10
        db.comes_back()
        sleeps.wake()
        await sleeps.until_asleep()
        assert await _count(engine, "job_events") == 0
