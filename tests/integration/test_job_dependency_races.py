"""Dependencies when two things happen at once. Each moment is staged: see tests/support/engine.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    Dependency,
    Job,
    JobFilter,
    JobState,
    JobStore,
    Lease,
    LeasedJobs,
    release_all_dependents,
)
from ampd.metadata_db import MetadataDb
from support.engine import (
    SECONDS,
    Engine,
    HeldUpDb,
    RowHolder,
    deployment,
    on_job,
    on_key,
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


@asynccontextmanager
async def _held_up(url: str, *, before: str | None = None) -> AsyncIterator[HeldUpDb]:
    async with HeldUpDb(url, before=before) as db:
        try:
            yield db
        finally:
            db.go_on()


async def _deploy(db: MetadataDb, key: str, *depends_on: Dependency) -> Job | ErrorCode:
    try:
        return await JobStore(db).deploy(deployment(key, depends_on=depends_on), actor="operator")
    except AmpError as error:
        return error.code


async def _complete(db: MetadataDb, lease: Lease) -> bool:
    return await LeasedJobs(db).complete(lease)


@pytest.mark.parametrize("first", [0, 1])
async def test_of_two_dependencies_that_complete_at_once_the_later_one_releases(
    engine: Engine, database_url: str, row: RowHolder, first: int
) -> None:
    """Neither sees the other's end as committed when it looks whom it releases."""
    sides = [await engine.deploy("left"), await engine.deploy("right")]
    bottom = await engine.deploy("bottom", *(on_job(side.id) for side in sides))
    leases = await engine.start(*(side.id for side in sides))
    async with _held_up(database_url) as db, asyncio.TaskGroup() as group:
        earlier = group.create_task(_complete(db, leases[first]))
        await db.until_held(earlier)
        later = group.create_task(_complete(engine.db, leases[1 - first]))
        await row.until_waiting(later)
        assert await engine.waiting_for(bottom.id) == "dependency"
        db.go_on()
    assert await earlier
    assert await later
    assert await engine.place() == {bottom.id}


async def test_completions_that_both_wait_for_their_dependent_release_it_once(
    engine: Engine, database_url: str, row: RowHolder
) -> None:
    sides = [await engine.deploy(f"s{number}") for number in range(4)]
    bottom = await engine.deploy("bottom", *(on_job(side.id) for side in sides))
    leases = await engine.start(*(side.id for side in sides))
    async with asyncio.TaskGroup() as group, row.held(bottom.id):
        completions = [group.create_task(_complete(engine.db, lease)) for lease in leases]
        await row.until_waiting(*completions)
    assert all(completion.result() for completion in completions)
    assert await engine.place() == {bottom.id}


@pytest.mark.parametrize("again", [False, True])
async def test_a_deploy_that_comes_while_its_dependency_completes_sees_that_it_has(
    engine: Engine, database_url: str, row: RowHolder, again: bool
) -> None:
    first = await engine.deploy("a")
    if again:
        await engine.complete((await engine.deploy("b")).id)
    (lease,) = await engine.start(first.id)
    async with _held_up(database_url) as db, asyncio.TaskGroup() as group:
        completing = group.create_task(_complete(db, lease))
        await db.until_held(completing)
        deploying = group.create_task(engine.deploy("b", on_job(first.id)))
        await row.until_waiting(deploying)
        db.go_on()
    assert completing.result()
    assert deploying.result().waiting_for == "slot"
    assert await engine.place() == {deploying.result().id}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("by_key", [False, True])
async def test_a_dependency_that_completes_while_a_deploy_names_it_releases_the_new_job(
    engine: Engine, database_url: str, row: RowHolder, again: bool, by_key: bool
) -> None:
    first = await engine.deploy("a")
    if again:
        await engine.complete((await engine.deploy("b")).id)
    (lease,) = await engine.start(first.id)
    async with _held_up(database_url) as db, asyncio.TaskGroup() as group:
        deploying = group.create_task(_deploy(db, "b", on_key("a") if by_key else on_job(first.id)))
        await db.until_held(deploying)
        completing = group.create_task(_complete(engine.db, lease))
        await row.until_waiting(completing)
        db.go_on()
    assert completing.result()
    dependent = deploying.result()
    assert isinstance(dependent, Job)
    assert await engine.place() == {dependent.id}


async def test_a_dependency_that_comes_while_a_deploy_names_it_releases_the_new_job_when_it_completes(
    engine: Engine, database_url: str, row: RowHolder
) -> None:
    """The job of the key is not there when the deploy looks, and would not see the dependent when it completes."""
    async with _held_up(database_url) as db, asyncio.TaskGroup() as group:
        deploying = group.create_task(_deploy(db, "b", on_key("a")))
        await db.until_held(deploying)
        (lease,) = await engine.start((await engine.deploy("a")).id)
        completing = group.create_task(_complete(engine.db, lease))
        await row.until_waiting(completing)
        db.go_on()
    assert completing.result()
    dependent = deploying.result()
    assert isinstance(dependent, Job)
    assert await engine.place() == {dependent.id}
    assert await release_all_dependents(engine.db) == []


@pytest.mark.parametrize("end", ["COMPLETED", "STOPPED"])
async def test_a_job_that_is_removed_while_a_deploy_names_it_is_met_or_failed_but_never_waited_for_in_silence(
    engine: Engine, database_url: str, row: RowHolder, end: str
) -> None:
    first = await engine.deploy("a")
    await engine.end(first.id, end)
    async with _held_up(database_url) as db, asyncio.TaskGroup() as group:
        deploying = group.create_task(_deploy(db, "b", on_job(first.id)))
        await db.until_held(deploying)
        removing = group.create_task(engine.store.delete(first.id, actor="operator"))
        await row.until_waiting(removing)
        db.go_on()
    assert removing.result()
    dependent = deploying.result()
    assert isinstance(dependent, Job)
    assert await engine.waiting_for(dependent.id) == ("slot" if end == "COMPLETED" else "failed_dependency")


async def test_a_deploy_that_waits_for_the_removal_of_its_dependency_is_refused(
    engine: Engine, database_url: str, row: RowHolder
) -> None:
    first = await engine.deploy("a")
    await engine.end(first.id, "COMPLETED")
    async with _held_up(database_url) as db, asyncio.TaskGroup() as group:
        removing = group.create_task(JobStore(db).delete(first.id, actor="operator"))
        await db.until_held(removing)
        deploying = group.create_task(_deploy(engine.db, "b", on_job(first.id)))
        await row.until_waiting(deploying)
        db.go_on()
    assert deploying.result() is ErrorCode.DEPENDENCY_NOT_FOUND


async def test_a_stop_that_meets_a_release_wins_or_loses_but_the_job_ends_stopped(
    engine: Engine, database_url: str, row: RowHolder
) -> None:
    first = await engine.deploy("a")
    second = await engine.deploy("b", on_job(first.id))
    (lease,) = await engine.start(first.id)
    async with _held_up(database_url) as db, asyncio.TaskGroup() as group:
        stopping = group.create_task(JobStore(db).request_stop(second.id, actor="operator"))
        await db.until_held(stopping)
        completing = group.create_task(_complete(engine.db, lease))
        await row.until_waiting(completing)
        db.go_on()
    assert completing.result()
    assert (await engine.store.get(second.id)).state is JobState.STOPPED
    assert await engine.place() == set()


# --- circles that two deploys would close together


async def _until_held_or_waiting(db: HeldUpDb, row: RowHolder, task: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not (db.is_held() or task.done() or await row.waiting()):
            await asyncio.sleep(0)


async def _two_at_once(
    url: str, row: RowHolder, *deploys: tuple[str, Dependency], before: str | None = None
) -> list[Job | ErrorCode]:
    """Deploy twice: both have got as far as they can before either goes on."""
    tasks: list[asyncio.Task[Job | ErrorCode]] = []
    async with AsyncExitStack() as stack:
        dbs = [await stack.enter_async_context(_held_up(url, before=before)) for _ in deploys]
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for db, (key, dependency) in zip(dbs, deploys, strict=True):
            tasks.append(group.create_task(_deploy(db, key, dependency)))
            await _until_held_or_waiting(db, row, tasks[-1])
        for db in dbs:
            db.go_on()
    return [task.result() for task in tasks]


async def test_two_new_jobs_that_would_wait_for_each_other_are_not_both_taken(
    engine: Engine, database_url: str, row: RowHolder
) -> None:
    """Each is new, and names the other by its key: neither is there when the other looks for circles."""
    answers = await _two_at_once(database_url, row, ("a", on_key("b")), ("b", on_key("a")))
    jobs, _ = await engine.store.list_page(JobFilter(), limit=10)
    waiting = {job.id: job.waiting_for for job in jobs}
    assert ErrorCode.DEPENDENCY_CYCLE in answers, f"both wait for each other for ever: {waiting}"
    assert sum(isinstance(answer, Job) for answer in answers) == 1


@pytest.mark.parametrize("before", [None, "lock_job_by_key"])
async def test_two_ended_jobs_that_would_wait_for_each_other_are_not_both_taken(
    engine: Engine, database_url: str, row: RowHolder, before: str | None
) -> None:
    """Held before the end of both, and where each has its dependency's row and comes to its own."""
    a, b = await engine.deploy("a"), await engine.deploy("b")
    for job in (a, b):
        await engine.end(job.id, "STOPPED")
    answers = await _two_at_once(database_url, row, ("a", on_job(b.id)), ("b", on_job(a.id)), before=before)
    assert sorted(map(type, answers), key=str) == sorted((Job, ErrorCode), key=str)
    assert ErrorCode.DEPENDENCY_CYCLE in answers


async def test_a_deploy_and_a_completion_that_want_the_same_two_jobs_both_succeed(
    engine: Engine, database_url: str, row: RowHolder
) -> None:
    """`y` completes and releases `x`, which is older; a deploy names both of them. Each has what the other wants."""
    x, y = await engine.deploy("x"), await engine.deploy("y")
    await engine.end(x.id, "STOPPED")
    await engine.deploy("x", on_job(y.id))
    (lease,) = await engine.start(y.id)
    async with _held_up(database_url, before="lock_dependents") as db, asyncio.TaskGroup() as group:
        completing = group.create_task(_complete(db, lease))
        await db.until_held(completing)
        deploying = group.create_task(_deploy(engine.db, "z", on_job(x.id), on_job(y.id)))
        await row.until_waiting(deploying)
        db.go_on()
    assert completing.result()
    assert isinstance(deploying.result(), Job), deploying.result()
    assert await engine.place() == {x.id}
