"""Writes of one worker that come together: each is accepted or refused by its own lease."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import Job, JobState, Lease, RetryPolicy
from ampd.metadata_db import MetadataDb
from support.engine import FATAL, TRANSIENT, Engine, worker_session


@pytest.fixture
def engine(metadata_db: MetadataDb, database_url: str) -> Iterator[Engine]:
    with worker_session(database_url) as worker:
        yield Engine(metadata_db, worker)


async def _leases(engine: Engine, count: int) -> list[Lease]:
    """So many running jobs."""
    jobs = [await engine.deploy(str(number)) for number in range(count)]
    return await engine.start(*(job.id for job in jobs))


async def test_of_writes_that_come_together_exactly_those_with_a_current_lease_count(engine: Engine) -> None:
    """Among them: an older epoch, a newer one, another process, a job that is gone, one that was stopped and forced."""
    leases = await _leases(engine, 20)
    await engine.store.request_stop(leases[4].job_id, actor="operator")
    await engine.change("UPDATE jobs SET state = 'STOPPED', worker_incarnation = NULL WHERE id = %s", leases[4].job_id)
    await engine.change("DELETE FROM jobs WHERE id = %s", leases[3].job_id)
    sent = [*leases]
    sent[0] = Lease(sent[0].job_id, 0, "w1", sent[0].incarnation)
    sent[1] = Lease(sent[1].job_id, 2, "w1", sent[1].incarnation)
    sent[2] = Lease(sent[2].job_id, 1, "w1", leases[2].incarnation.__class__(int=7))
    answers = await asyncio.gather(*map(engine.leased.complete, sent))
    assert answers == [False] * 5 + [True] * 15
    rows = await engine.db.fetch_all("SELECT id, state FROM jobs ORDER BY id")
    states = {row["id"]: row["state"] for row in rows}
    assert [states.get(lease.job_id) for lease in leases] == ["RUNNING"] * 3 + [None, "STOPPED"] + ["COMPLETED"] * 15
    for lease in leases[5:]:
        assert await engine.path(lease.job_id) == ["SCHEDULED", "RUNNING", "COMPLETED"]


async def test_more_than_one_batch_can_hold_is_written_all_the_same(engine: Engine) -> None:
    await engine.change(
        "INSERT INTO jobs (kind, idempotency_key, state, input) SELECT 'noop', n::text, 'SCHEDULED', '{}'"
        " FROM generate_series(1, 600) AS n"
    )
    await engine.place()
    leases = [wanted.lease(engine.worker._identity) for wanted in engine.worker.beat().wanted]
    started = await asyncio.gather(*map(engine.leased.start, leases))
    assert [each.lease if each else None for each in started] == leases
    assert await asyncio.gather(*map(engine.leased.complete, leases)) == [True] * 600
    assert await engine.db.fetch_one("SELECT count(*) AS n FROM jobs WHERE state = 'COMPLETED'") == {"n": 600}


async def test_failures_of_one_moment_are_each_judged_by_their_own_job(engine: Engine) -> None:
    """One batch: three policies, a job that is at its end, a fatal error, and one whose lease is stale."""
    jobs: list[Job] = []
    for delay in (10, 20, 30):
        policy = RetryPolicy(initial_delay=delay, jitter=0)
        jobs.append(await engine.deploy(f"d{delay}", retry_policy=policy))
    jobs += [await engine.deploy("end", retries=0), await engine.deploy("fatal"), await engine.deploy("stale")]
    leases = await engine.start(*(job.id for job in jobs))
    stale = Lease(jobs[-1].id, leases[-1].lease_epoch - 1, "w1", leases[-1].incarnation)
    errors = [TRANSIENT] * 4 + [FATAL, TRANSIENT]
    writes = [engine.leased.fail(lease, error) for lease, error in zip([*leases[:-1], stale], errors, strict=True)]
    assert await asyncio.gather(*writes) == [True] * 5 + [False]
    rows = await engine.db.fetch_all(
        "SELECT state, extract(epoch FROM run_at - updated_at)::float AS s FROM jobs ORDER BY id"
    )
    assert [round(each["s"]) for each in rows[:3]] == [10, 20, 30]
    assert [each["state"] for each in rows] == ["SCHEDULED"] * 3 + ["FAILED", "FAILED", "RUNNING"]


async def test_an_error_that_the_database_cannot_keep_does_not_take_the_failures_of_others_with_it(
    engine: Engine,
) -> None:
    leases = await _leases(engine, 3)
    errors = [FATAL, AmpError(ErrorCode.NODE_ANSWERED_ERROR, "it said \x00"), TRANSIENT]
    writes = [engine.leased.fail(lease, error) for lease, error in zip(leases, errors, strict=True)]
    first, second, third = await asyncio.gather(*writes, return_exceptions=True)
    assert (first, third) == (True, True)
    assert second is True or isinstance(second, psycopg.DataError)
    states = [(await engine.store.get(lease.job_id)).state for lease in leases]
    assert [states[0], states[2]] == [JobState.FAILED, JobState.SCHEDULED]


@pytest.mark.parametrize("order", ["current first", "stale first"])
@pytest.mark.parametrize("write", ["complete", "acknowledge_stop", "stop", "hand_back", "fail", "unassign", "start"])
async def test_of_two_leases_of_one_job_in_one_batch_only_the_current_one_is_accepted(
    engine: Engine, write: str, order: str
) -> None:
    """A worker lost a job and has it again, and its old attempt writes in the moment in which the new one does."""
    job = await engine.deploy("k")
    (old,) = await engine.start(job.id)
    assert await engine.leased.hand_back(old)
    await engine.place()
    lease = engine.lease_of(job.id)
    if write not in ("start", "unassign"):
        assert await engine.leased.start(lease)
    if write in ("acknowledge_stop", "stop"):
        await engine.store.request_stop(job.id, actor="operator")
    leases = [lease, old] if order == "current first" else [old, lease]

    async def send(each: Lease) -> Any:
        arguments = (each, TRANSIENT) if write == "fail" else (each,)
        return await getattr(engine.leased, write)(*arguments)

    answers = dict(zip(leases, await asyncio.gather(*map(send, leases)), strict=True))
    assert answers[lease], "the current lease was refused"
    assert not answers[old], "the stale lease was told that it is the current one"
    if write == "start":
        assert answers[lease].lease == lease, "the attempt was begun with a lease that is not its own"
