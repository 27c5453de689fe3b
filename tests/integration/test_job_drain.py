"""An operator keeps work away from a worker: what becomes of its jobs, and what does not come to it.

The nodes are real and run in this process; the handler does what the test says. The same with whole daemons and a lake:
tests/e2e/test_drain.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

import ampd.worker.node
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    Claim,
    Job,
    JobState,
    JobStore,
    Worker,
    WorkerStore,
    claim_jobs,
    place_due_jobs,
    rescue_jobs_of_lost_workers,
)
from ampd.jobs.placement import assign_due_jobs
from ampd.metadata_db import MetadataDb
from support.engine import LEASE_SECONDS, RowHolder, deployment, row_holder
from support.worker_nodes import Handler, Node, until, worker_node


class Fleet:
    """Nodes on one database, and the operator's hand."""

    def __init__(self, db: MetadataDb, stack: AsyncExitStack) -> None:
        self.db = db
        self.jobs = JobStore(db, lease_seconds=LEASE_SECONDS)
        self.workers = WorkerStore(db, lease_seconds=LEASE_SECONDS)
        self._stack = stack

    async def join(self, name: str, handler: Handler, **settings: Any) -> Node:
        return await self._stack.enter_async_context(worker_node(self.db.url, name, handler, **settings))

    async def deploy(self, key: str = "k", **changes: Any) -> Job:
        return await self.jobs.deploy(deployment(key, **changes), actor="operator")

    async def drain(self, name: str) -> Worker:
        return await self.workers.set_cordoned(name, cordoned=True)

    async def undrain(self, name: str) -> Worker:
        return await self.workers.set_cordoned(name, cordoned=False)

    async def until_state(self, job_id: int, state: JobState, worker: str | None = None) -> Job:
        async def there() -> Job | None:
            job = await self.jobs.get(job_id)
            return job if job.state is state and worker in (None, job.worker_id) else None

        return await until(f"job {job_id} to be {state} on {worker or 'any worker'}", there)

    async def until_waiting_for(self, job_id: int, reason: str) -> None:
        async def there() -> bool:
            job = await self.jobs.get(job_id)
            return job.state is JobState.SCHEDULED and job.waiting_for == reason

        await until(f"job {job_id} to wait for a {reason}", there)

    async def path(self, job_id: int) -> list[tuple[str, str | None]]:
        """Return the states that a job entered, each with its worker."""
        return [(event.event_type, event.node_id) for event in (await self.jobs.events(job_id))[0]]

    async def attempts(self) -> list[tuple[str, str | None]]:
        query = "SELECT worker_id, outcome FROM job_attempts ORDER BY job_id, lease_epoch"
        return [(row["worker_id"], row["outcome"]) for row in await self.db.fetch_all(query)]


@pytest.fixture
async def fleet(metadata_db: MetadataDb) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        yield Fleet(metadata_db, stack)


@pytest.fixture
async def row(database_url: str) -> AsyncIterator[RowHolder]:
    async with row_holder(database_url) as holder:
        yield holder


HANDED_OVER = [("SCHEDULED", None), ("RUNNING", "w1"), ("SCHEDULED", "w1"), ("RUNNING", "w2")]


async def test_a_running_job_finishes_what_it_holds_and_goes_on_elsewhere(fleet: Fleet) -> None:
    holding, other = Handler(holds=True), Handler()
    await fleet.join("w1", holding)
    job = await fleet.deploy()
    run = await holding.next_run()
    await fleet.join("w2", other)
    drained = await fleet.drain("w1")
    assert (drained.draining, drained.live, drained.running_jobs) == (True, True, 1)
    async with asyncio.timeout(20):
        await run.context.stop.wait()
    assert (await fleet.jobs.get(job.id)).state is JobState.RUNNING, "it was given up with a range in hand"
    holding.lets_go.set()
    second = await other.next_run()
    assert not run.was_cancelled
    assert second.context.lease.lease_epoch == run.context.lease.lease_epoch + 1
    await fleet.until_state(job.id, JobState.RUNNING, "w2")
    assert await fleet.path(job.id) == HANDED_OVER
    assert await fleet.attempts() == [("w1", "HANDED_BACK"), ("w2", None)]
    worker = await fleet.workers.get("w1")
    assert (worker.live, worker.draining, worker.running_jobs) == (True, True, 0)
    second.finish.set()
    done = await fleet.until_state(job.id, JobState.COMPLETED)
    assert (done.retry_count, done.last_error) == (0, None)


async def test_a_job_that_is_done_with_what_it_held_when_the_drain_comes_is_completed(fleet: Fleet) -> None:
    holding = Handler(holds=True)
    await fleet.join("w1", holding)
    job = await fleet.deploy()
    run = await holding.next_run()
    await fleet.drain("w1")
    async with asyncio.timeout(20):
        await run.context.stop.wait()
    run.finish.set()
    holding.lets_go.set()
    await fleet.until_state(job.id, JobState.COMPLETED, "w1")


async def test_a_drained_worker_gets_nothing_although_it_is_free(fleet: Fleet) -> None:
    free, other = Handler(), Handler()
    await fleet.join("w1", free)
    await fleet.drain("w1")
    anywhere, bound = await fleet.deploy("a"), await fleet.deploy("b", worker_selector="w1")
    prefixed = await fleet.deploy("c", worker_selector="w1*")
    for job in (anywhere, bound, prefixed):
        await fleet.until_waiting_for(job.id, "worker")
    assert await place_due_jobs(fleet.db, lease_seconds=LEASE_SECONDS) == []
    await fleet.join("w2", other)
    await fleet.until_state(anywhere.id, JobState.RUNNING, "w2")
    assert {(await fleet.jobs.get(job.id)).waiting_for for job in (bound, prefixed)} == {"worker"}
    await fleet.undrain("w1")
    for job in (bound, prefixed):
        await fleet.until_state(job.id, JobState.RUNNING, "w1")
    assert len(free.runs) == 2


async def test_the_only_worker_hands_its_jobs_back_and_takes_them_again_after_the_drain(fleet: Fleet) -> None:
    handler = Handler()
    await fleet.join("w1", handler)
    jobs = [await fleet.deploy(str(number)) for number in range(4)]
    await handler.next_run(4)
    await fleet.drain("w1")
    for job in jobs:
        await fleet.until_waiting_for(job.id, "worker")
    assert not (await fleet.undrain("w1")).draining
    await handler.next_run(8)
    for job in jobs:
        await fleet.until_state(job.id, JobState.RUNNING, "w1")
        assert [state for state, _ in await fleet.path(job.id)] == ["SCHEDULED", "RUNNING", "SCHEDULED", "RUNNING"]


async def test_draining_twice_and_undraining_twice_is_doing_it_once(fleet: Fleet) -> None:
    handler = Handler()
    await fleet.join("w1", handler)
    assert [(await fleet.drain("w1")).draining for _ in range(2)] == [True, True]
    assert [(await fleet.undrain("w1")).draining for _ in range(2)] == [False, False]
    job = await fleet.deploy()
    await fleet.until_state(job.id, JobState.RUNNING, "w1")


async def test_a_worker_stays_drained_over_its_restarts_until_it_is_undrained(fleet: Fleet) -> None:
    node = await fleet.join("w1", Handler())
    await fleet.drain("w1")
    job = await fleet.deploy()
    for _ in range(2):
        await node.end()
        again = Handler()
        node = await fleet.join("w1", again)
        worker = await fleet.workers.get("w1")
        assert (worker.live, worker.draining) == (True, True)
        assert (await fleet.jobs.get(job.id)).waiting_for == "worker"
    assert again.runs == []
    await fleet.undrain("w1")
    assert (await again.next_run()).job_id == job.id


async def test_a_worker_that_ends_is_not_drained_when_it_comes_back(fleet: Fleet) -> None:
    """SIGTERM drains too, and that drain is over with the process."""
    node = await fleet.join("w1", Handler())
    await node.end()
    handler = Handler()
    await fleet.join("w1", handler)
    assert not (await fleet.workers.get("w1")).draining
    job = await fleet.deploy()
    assert (await handler.next_run()).job_id == job.id


async def test_an_unknown_worker_cannot_be_drained(fleet: Fleet) -> None:
    for change in (fleet.drain, fleet.undrain):
        with pytest.raises(AmpError) as refused:
            await change("nobody")
        assert refused.value.code is ErrorCode.WORKER_NOT_FOUND
    assert await fleet.workers.list_all() == []


async def test_a_dead_worker_can_be_drained_and_gets_nothing_when_it_comes_back(fleet: Fleet) -> None:
    first = Handler()
    node = await fleet.join("w1", first)
    job = await fleet.deploy()
    await first.next_run()
    await fleet.db.execute(
        "UPDATE worker_heartbeats SET heartbeat_at = now() - interval '1 hour', incarnation = gen_random_uuid()"
    )
    with pytest.raises(AmpError, match="has taken the node id"):  # the process sees that it is dead
        async with asyncio.timeout(20):
            await node.task
    drained = await fleet.drain("w1")
    assert (drained.live, drained.draining) == (False, True)
    await rescue_jobs_of_lost_workers(fleet.db, lease_seconds=LEASE_SECONDS, actor="rescue")
    back = Handler()
    await fleet.join("w1", back)
    await fleet.until_waiting_for(job.id, "worker")
    other = Handler()
    await fleet.join("w2", other)
    assert (await other.next_run()).job_id == job.id
    assert back.runs == []


async def test_a_stop_during_a_drain_ends_the_job_for_good(fleet: Fleet) -> None:
    holding, other = Handler(holds=True), Handler()
    await fleet.join("w1", holding)
    job = await fleet.deploy()
    run = await holding.next_run()
    await fleet.join("w2", other)
    await fleet.drain("w1")
    async with asyncio.timeout(20):
        await run.context.stop.wait()
    await fleet.jobs.request_stop(job.id, actor="operator")
    await fleet.until_state(job.id, JobState.STOPPING)
    holding.lets_go.set()
    await fleet.until_state(job.id, JobState.STOPPED)
    states = [state for state, _ in await fleet.path(job.id)]
    assert states == ["SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPING", "STOPPED"]
    assert other.runs == []


async def test_a_drain_during_a_stop_lets_the_stop_end_the_job(fleet: Fleet) -> None:
    holding, other = Handler(holds=True), Handler()
    await fleet.join("w1", holding)
    job = await fleet.deploy()
    await holding.next_run()
    await fleet.join("w2", other)
    await fleet.jobs.request_stop(job.id, actor="operator")
    await fleet.until_state(job.id, JobState.STOPPING)
    await fleet.drain("w1")
    holding.lets_go.set()
    await fleet.until_state(job.id, JobState.STOPPED)
    assert other.runs == []


async def test_a_handler_that_ignores_the_stop_is_cut_off_after_the_drain_timeout(fleet: Fleet) -> None:
    deaf, other = Handler(ignores_stop=True), Handler()
    await fleet.join("w1", deaf, drain_timeout_seconds=0.2)
    job = await fleet.deploy()
    run = await deaf.next_run()
    await fleet.join("w2", other)
    await fleet.drain("w1")
    assert (await other.next_run()).job_id == job.id
    assert run.was_cancelled
    await fleet.until_state(job.id, JobState.RUNNING, "w2")
    assert await fleet.path(job.id) == HANDED_OVER
    assert await fleet.attempts() == [("w1", "HANDED_BACK"), ("w2", None)]
    assert (await fleet.workers.get("w1")).live


async def test_a_worker_that_is_drained_by_an_operator_ends_in_good_order(fleet: Fleet) -> None:
    holding = Handler(holds=True)
    node = await fleet.join("w1", holding)
    job = await fleet.deploy()
    run = await holding.next_run()
    await fleet.drain("w1")
    async with asyncio.timeout(20):
        await run.context.stop.wait()
    ending = asyncio.create_task(node.end())
    holding.lets_go.set()
    await ending
    await fleet.until_waiting_for(job.id, "worker")
    assert await fleet.attempts() == [("w1", "HANDED_BACK")]
    assert not (await fleet.workers.get("w1")).live


# --- a drain that meets a job on its way to the worker


@pytest.fixture
def only_controllers_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes of this test claim nothing for themselves."""

    async def claim_nothing(*_arguments: Any, **_options: Any) -> Claim:
        return Claim([], [])

    monkeypatch.setattr(ampd.worker.node, "claim_jobs", claim_nothing)


@pytest.mark.usefixtures("only_controllers_place")
async def test_a_job_whose_start_is_under_way_is_handed_back_when_the_drain_comes(fleet: Fleet, row: RowHolder) -> None:
    handler = Handler()
    node = await fleet.join("w1", handler)
    job = await fleet.deploy()
    async with row.executions_held():
        assert len(await place_due_jobs(fleet.db, lease_seconds=LEASE_SECONDS)) == 1
        await until("the start to wait", row.waiting)
        await fleet.drain("w1")
        await _until_drained(node)
    await fleet.until_waiting_for(job.id, "worker")
    assert [state for state, _ in await fleet.path(job.id)] == ["SCHEDULED", "RUNNING", "SCHEDULED"]
    assert [run.context.stop.is_set() for run in handler.runs] == [True]


@pytest.mark.usefixtures("only_controllers_place")
async def test_a_job_that_was_placed_and_not_begun_goes_back_without_an_attempt_to_run_it(fleet: Fleet) -> None:
    handler = Handler()
    await fleet.join("w1", handler)
    job = await fleet.deploy()
    async with fleet.db.transaction() as connection:  # both come with one beat
        assert len(await assign_due_jobs(connection, lease_seconds=LEASE_SECONDS)) == 1
        await connection.execute("UPDATE workers SET cordoned = true")
    await fleet.until_waiting_for(job.id, "worker")
    assert [state for state, _ in await fleet.path(job.id)] == ["SCHEDULED"]
    assert await fleet.attempts() == [("w1", "HANDED_BACK")]
    assert handler.runs == []


async def _until_drained(node: Node) -> None:
    async def knows() -> bool:
        return not node.node._takes_work

    await until("the worker to know that it takes no more work", knows)


class LateAnswers:
    """The answer to a claim that has found work comes late: the commit is done, the worker does not know it yet."""

    def __init__(self) -> None:
        self.has_claimed = asyncio.Event()
        self.arrives = asyncio.Event()

    async def claim_jobs(self, *arguments: Any, **options: Any) -> Claim:
        claim = await claim_jobs(*arguments, **options)
        if claim.started:
            self.has_claimed.set()
            await self.arrives.wait()
        return claim


async def test_a_job_that_a_worker_claims_in_the_moment_of_its_drain_is_handed_back_too(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim is committed, then the drain, and the beat that tells of the drain comes before the claim's answer."""
    late = LateAnswers()
    monkeypatch.setattr(ampd.worker.node, "claim_jobs", late.claim_jobs)
    handler = Handler()
    node = await fleet.join("w1", handler)
    job = await fleet.deploy()
    async with asyncio.timeout(20):
        await late.has_claimed.wait()
    await fleet.drain("w1")
    await _until_drained(node)
    late.arrives.set()
    await fleet.until_waiting_for(job.id, "worker")
    assert [state for state, _ in await fleet.path(job.id)] == ["SCHEDULED", "RUNNING", "SCHEDULED"]


async def test_a_job_that_a_worker_claims_in_the_moment_of_its_end_costs_no_worker(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is handed back as the others are: a worker that ended in good order is not one that the job has outlived."""
    late = LateAnswers()
    monkeypatch.setattr(ampd.worker.node, "claim_jobs", late.claim_jobs)
    holding = Handler(holds=True)
    node = await fleet.join("w1", holding)
    late.arrives.set()
    first = await fleet.deploy("first")
    await holding.next_run()
    late.has_claimed.clear()
    late.arrives.clear()
    job = await fleet.deploy("second")
    async with asyncio.timeout(20):
        await late.has_claimed.wait()
    ending = asyncio.create_task(node.end())
    await _until_drained(node)
    late.arrives.set()
    holding.lets_go.set()
    await ending
    await rescue_jobs_of_lost_workers(fleet.db, lease_seconds=LEASE_SECONDS, actor="rescue")
    rows = await fleet.db.fetch_all("SELECT id, state, lost_worker_count FROM jobs ORDER BY id")
    assert rows == [{"id": id, "state": "SCHEDULED", "lost_worker_count": 0} for id in (first.id, job.id)]
