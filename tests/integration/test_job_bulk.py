"""Operations on many jobs while jobs come and go: exactly those that there were, in portions that hold nobody up."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final, LiteralString

import pytest

from ampd.jobs import (
    ACTIVE_STATES,
    BulkResult,
    JobFilter,
    JobState,
    JobStore,
    LeasedJobs,
    Operation,
    claim_jobs,
    parse_states,
)
from ampd.jobs.bulk import PORTION
from ampd.jobs.notification import CHANNEL, PLACE
from ampd.metadata_db import MetadataDb, Row, sql
from ampd.metadata_db.listen import listen
from support.engine import LEASE_SECONDS, SECONDS, Engine, HeldUpDb, RowHolder, on_job, row_holder, worker_session

SLOTS: Final = 20
MINE: Final = {"product": "my-app"}
ACTIVE: Final = JobFilter(states=ACTIVE_STATES, product="my-app")
# Half of them are of the product that the operations are about.
_FILL: LiteralString = """
WITH job AS (
    INSERT INTO jobs (kind, idempotency_key, state, input, labels)
    SELECT 'noop', 'fill:' || n, 'SCHEDULED', '{}',
           jsonb_build_object('product', CASE mod(n, 2) WHEN 0 THEN 'my-app' ELSE 'other' END)
    FROM generate_series(%s::integer, %s::integer) AS n
    RETURNING id
), execution AS (
    INSERT INTO job_executions (job_id, number, input) SELECT id, 1, '{}' FROM job
)
INSERT INTO job_events (job_id, actor, event_type, execution_number, lease_epoch)
SELECT id, 'fill', 'SCHEDULED', 1, 0 FROM job
"""


@pytest.fixture
def engine(metadata_db: MetadataDb, database_url: str) -> Iterator[Engine]:
    with worker_session(database_url, slots=SLOTS) as worker:
        yield Engine(metadata_db, worker)


@pytest.fixture
async def row(database_url: str) -> AsyncIterator[RowHolder]:
    async with row_holder(database_url) as holder:
        yield holder


async def _fill(engine: Engine, count: int) -> None:
    for first in range(1, count, 20_000):
        await engine.change(_FILL, first, min(first + 19_999, count))


async def _do(engine: Engine, operation: Operation, wanted: JobFilter = ACTIVE) -> BulkResult:
    return await engine.store.change_many(operation, wanted, actor="bulk")


async def _states(engine: Engine, where: LiteralString = "true") -> dict[str, int]:
    rows = await engine.db.fetch_all(
        "SELECT state, count(*) AS count FROM jobs WHERE labels ->> 'product' = 'my-app' AND " + where + " GROUP BY 1"
    )
    return {row["state"]: row["count"] for row in rows}


# --- jobs that come and go


@dataclass
class Traffic:
    """A worker that claims, runs and completes jobs, and somebody who deploys new ones, until they are told to end."""

    engine: Engine
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    completed: int = 0
    deployed: list[int] = field(default_factory=list)

    async def work(self) -> None:
        leased, identity = LeasedJobs(self.engine.db), self.engine.worker._identity
        while not self.ends.is_set():
            claim = await claim_jobs(self.engine.db, identity, lease_seconds=LEASE_SECONDS)
            ended = await asyncio.gather(*(leased.complete(job.lease) for job in claim.started))
            self.completed += sum(ended)

    async def deploy(self) -> None:
        while not self.ends.is_set():
            job = await self.engine.deploy(f"new:{len(self.deployed)}", labels=MINE)
            self.deployed.append(job.id)


class Frozen(MetadataDb):
    """A database of which one sees the highest id that an operation began with."""

    highest_id = 0

    async def fetch_one(self, query: LiteralString, parameters: dict[str, Any] | None = None) -> Row | None:
        row = await super().fetch_one(query, parameters)
        if query == sql("jobs", "highest_job_id"):
            assert row is not None
            self.highest_id = row["id"]
        return row


async def _meets_traffic(engine: Engine, url: str, count: int) -> None:
    await _fill(engine, count)
    traffic = Traffic(engine)
    async with Frozen(url) as db, asyncio.TaskGroup() as group:
        group.create_task(traffic.work())
        group.create_task(traffic.deploy())
        while not traffic.completed or not traffic.deployed:
            await asyncio.sleep(0)
        result = await JobStore(db).change_many(Operation.PAUSE, ACTIVE, actor="bulk")
        while traffic.deployed[-1] <= db.highest_id:
            await asyncio.sleep(0)
        traffic.ends.set()

    # What there was is paused, or was done before its turn came; what came meanwhile nobody has touched.
    touched = await engine.db.fetch_all("SELECT job_id AS id FROM job_events WHERE actor = 'bulk' ORDER BY 1")
    assert len(touched) == result.changed == len({each["id"] for each in touched})
    old = "FROM jobs WHERE id <= %(highest_id)s AND labels ->> 'product' = 'my-app'"
    parameters = {"highest_id": db.highest_id}
    states = await engine.db.fetch_all(f"SELECT DISTINCT state, stop_intent {old}", parameters)
    assert {(each["state"], each["stop_intent"]) for each in states} <= {
        ("PAUSED", None),
        ("COMPLETED", None),
        ("STOP_REQUESTED", "PAUSE"),
    }
    wanted = await engine.db.fetch_all(f"SELECT id {old} AND state <> 'COMPLETED' ORDER BY id", parameters)
    # Of those that are completed some were paused while they ran, and were done before they knew.
    assert {each["id"] for each in wanted} <= {each["id"] for each in touched}
    mine = await engine.db.fetch_all(f"SELECT id {old}", parameters)
    assert {each["id"] for each in touched} <= {each["id"] for each in mine}
    assert result.changed <= result.matched <= len(mine)
    # Each portion is a transaction: its events have its time.
    portions = await engine.db.fetch_all(
        "SELECT count(*) AS count FROM job_events WHERE actor = 'bulk' GROUP BY created_at"
    )
    assert max(each["count"] for each in portions) <= PORTION


async def test_a_pause_of_many_jobs_is_about_those_of_its_beginning_and_no_other_while_jobs_come_and_go(
    engine: Engine, database_url: str
) -> None:
    await _meets_traffic(engine, database_url, 4_000)


@pytest.mark.long
async def test_so_it_is_with_a_hundred_thousand_jobs(engine: Engine, database_url: str) -> None:
    await _meets_traffic(engine, database_url, 200_000)


async def _most_memory(engine: Engine, operation: Operation, wanted: JobFilter) -> tuple[int, BulkResult]:
    """Return the most bytes that an operation had in hand beyond what there was, and what it did."""
    tracemalloc.start()
    try:
        result = await engine.store.change_many(operation, wanted, actor="bulk")
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


async def test_the_memory_that_it_takes_does_not_grow_with_the_number_of_jobs(engine: Engine) -> None:
    await _fill(engine, 8_000)
    few = JobFilter(states=ACTIVE_STATES, product="my-app", job_ids=tuple(range(1, PORTION * 2)))
    await _most_memory(engine, Operation.PAUSE, few)  # what is loaded once is loaded
    little, result = await _most_memory(engine, Operation.RESUME, replace(few, states=parse_states("paused")))
    assert result == BulkResult(PORTION - 1, PORTION - 1)
    much, result = await _most_memory(engine, Operation.PAUSE, ACTIVE)
    assert result == BulkResult(4_000, 4_000)
    assert much < 2 * little


# --- what others hold


async def test_a_job_that_somebody_holds_keeps_the_others_waiting_for_nothing_and_is_done_at_last(
    engine: Engine, row: RowHolder
) -> None:
    jobs = [await engine.deploy(str(number), labels=MINE) for number in range(5)]
    async with asyncio.TaskGroup() as group, row.held(jobs[2].id):
        pausing = group.create_task(_do(engine, Operation.PAUSE))
        await row.until_waiting(pausing)
        assert not pausing.done()
        assert await _states(engine) == {"PAUSED": 4, "SCHEDULED": 1}
        await engine.deploy("later", labels=MINE)
        assert len(await engine.place()) == 1  # neither waits for the operation
    assert pausing.result() == BulkResult(5, 5)
    assert await _states(engine) == {"PAUSED": 5, "SCHEDULED": 1}


async def test_a_completion_that_holds_one_job_and_wants_another_meets_no_deadlock(
    engine: Engine, row: RowHolder, database_url: str
) -> None:
    """The completion has its job and waits for the one that depends on it; the operation is about both."""
    dependent_first = await engine.deploy("a", labels=MINE)
    await engine.store.request_stop(dependent_first.id, actor="operator")
    (lease,) = await engine.start((await engine.deploy("b", labels=MINE)).id)
    dependent = await engine.deploy("a", on_job(lease.job_id), labels=MINE)
    assert dependent.id < lease.job_id
    async with HeldUpDb(database_url, before="lock_dependents") as db, asyncio.TaskGroup() as group:
        completing = group.create_task(LeasedJobs(db).complete(lease))
        await db.until_held(completing)
        cancelling = group.create_task(_do(engine, Operation.CANCEL))
        await row.until_waiting(cancelling)
        db.go_on()
    assert completing.result() is True
    assert cancelling.result() == BulkResult(2, 1)
    assert await _states(engine) == {"COMPLETED": 1, "STOPPED": 1}


async def test_a_job_that_goes_on_to_a_state_that_was_not_asked_for_is_left_alone(
    engine: Engine, row: RowHolder
) -> None:
    waiting = await engine.deploy("a", labels=MINE)
    await engine.place()
    lease = engine.lease_of(waiting.id)
    scheduled = JobFilter(states=frozenset({JobState.SCHEDULED}))
    async with asyncio.TaskGroup() as group, row.held(waiting.id):
        starting = group.create_task(engine.leased.start(lease))
        await row.until_waiting(starting)
        cancelling = group.create_task(_do(engine, Operation.CANCEL, scheduled))
        await row.until_waiting(starting, cancelling)
    assert starting.result() is not None
    assert cancelling.result() == BulkResult(1, 0)
    assert (await engine.store.get(waiting.id)).state is JobState.RUNNING


async def test_workers_hear_of_jobs_that_are_stopped_and_of_those_that_go_on(engine: Engine, database_url: str) -> None:
    jobs = [await engine.deploy(str(number), labels=MINE) for number in range(3)]
    leases = await engine.start(*(job.id for job in jobs))
    async with asyncio.timeout(SECONDS), aclosing(listen(database_url, CHANNEL)) as hints:
        assert await anext(hints) is None  # it listens
        assert await _do(engine, Operation.PAUSE) == BulkResult(3, 3)
        assert await anext(hints) == PLACE.to_payload()  # it stands for several
        assert all(await asyncio.gather(*(engine.leased.stop(lease) for lease in leases)))
        assert await _do(engine, Operation.RESUME, replace(ACTIVE, states=parse_states("paused"))) == BulkResult(3, 3)
        assert await anext(hints) == PLACE.to_payload()


async def test_a_dry_run_tells_what_would_be_done_and_does_nothing(engine: Engine) -> None:
    job = await engine.deploy("a", labels=MINE)
    await engine.store.pause((await engine.deploy("b", labels=MINE)).id, actor="operator")
    before = await engine.db.fetch_all("SELECT * FROM jobs ORDER BY id")
    told = await engine.store.change_many(Operation.PAUSE, ACTIVE, actor="bulk", dry_run=True)
    assert (told, told.skipped) == (BulkResult(2, 1), 1)
    assert await engine.db.fetch_all("SELECT * FROM jobs ORDER BY id") == before
    assert await engine.path(job.id) == ["SCHEDULED"]
