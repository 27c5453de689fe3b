"""Jobs that wait for other jobs: when they go on, when they say that they never will, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    Dependency,
    DependencyStatus,
    JobFilter,
    JobState,
    release_all_dependents,
    rescue_jobs_of_lost_workers,
)
from ampd.metadata_db import MetadataDb
from support.engine import LEASE_SECONDS, TRANSIENT, Engine, on_job, on_key, worker_session


@pytest.fixture
def engine(metadata_db: MetadataDb, database_url: str) -> Iterator[Engine]:
    with worker_session(database_url) as worker:
        yield Engine(metadata_db, worker)


async def _refusal(engine: Engine, key: str, *depends_on: Dependency, **changes: object) -> AmpError:
    with pytest.raises(AmpError) as refused:
        await engine.deploy(key, *depends_on, **changes)
    return refused.value


# --- waiting, and going on


async def test_a_job_waits_for_the_job_with_an_id_and_goes_on_when_that_one_has_completed(engine: Engine) -> None:
    first = await engine.deploy("a")
    second = await engine.deploy("b", on_job(first.id))
    assert (second.state, second.waiting_for) == (JobState.SCHEDULED, "dependency")
    assert second.depends_on == [DependencyStatus(str(first.id), first.id, "SCHEDULED")]
    assert await engine.place() == {first.id}
    await engine.complete(first.id)
    released = await engine.store.get(second.id)
    assert released.waiting_for == "slot"
    assert released.depends_on == [DependencyStatus(str(first.id), first.id, "COMPLETED")]
    await engine.complete(second.id)
    assert await engine.path(second.id) == ["SCHEDULED", "RUNNING", "COMPLETED"]


async def test_a_job_that_waits_for_a_key_waits_also_while_there_is_no_job_of_that_key(engine: Engine) -> None:
    waiting = await engine.deploy("b", on_key("a"))
    assert waiting.waiting_for == "dependency"
    assert waiting.depends_on == [DependencyStatus("set/a", None, None)]
    assert await engine.place() == set()
    first = await engine.deploy("a")
    assert (await engine.store.get(waiting.id)).depends_on == [DependencyStatus("set/a", first.id, "SCHEDULED")]
    await engine.complete(first.id)
    assert await engine.place() == {waiting.id}


@pytest.mark.parametrize("by_key", [True, False])
async def test_what_has_completed_before_is_not_waited_for(engine: Engine, by_key: bool) -> None:
    first = await engine.deploy("a")
    await engine.complete(first.id)
    second = await engine.deploy("b", on_key("a") if by_key else on_job(first.id))
    assert second.waiting_for == "slot"
    assert await engine.place() == {second.id}


async def test_a_chain_goes_on_link_by_link(engine: Engine) -> None:
    a = await engine.deploy("a")
    b = await engine.deploy("b", on_job(a.id))
    c = await engine.deploy("c", on_key("b"))
    for job in (a, b, c):
        assert await engine.place() == {job.id}
        await engine.complete(job.id)


async def test_the_bottom_of_a_diamond_goes_on_when_both_sides_have_completed(engine: Engine) -> None:
    top = await engine.deploy("top")
    left, right = await engine.deploy("left", on_job(top.id)), await engine.deploy("right", on_key("top"))
    bottom = await engine.deploy("bottom", on_job(left.id), on_job(right.id))
    assert await engine.place() == {top.id}
    await engine.complete(top.id)
    assert await engine.place() == {left.id, right.id}
    await engine.complete(right.id)
    assert await engine.place() == set()
    assert await engine.waiting_for(bottom.id) == "dependency"
    await engine.complete(left.id)
    assert await engine.place() == {bottom.id}


async def test_both_sides_of_a_diamond_completed_in_one_batch_release_its_bottom(engine: Engine) -> None:
    left, right = await engine.deploy("left"), await engine.deploy("right")
    bottom = await engine.deploy("bottom", on_job(left.id), on_key("right"))
    await engine.complete(left.id, right.id)
    assert await engine.place() == {bottom.id}


async def test_a_job_named_by_its_id_and_by_its_key_is_waited_for_once(engine: Engine) -> None:
    first = await engine.deploy("a")
    second = await engine.deploy("b", on_job(first.id), on_key("a"))
    assert [each.reference for each in second.depends_on] == [str(first.id), "set/a"]
    await engine.complete(first.id)
    assert await engine.place() == {second.id}


async def test_a_waiting_job_is_not_held_up_by_its_priority_nor_does_it_hold_up_others(engine: Engine) -> None:
    low = await engine.deploy("low", priority=-5)
    high = await engine.deploy("high", on_job(low.id), priority=100)
    other = await engine.deploy("other")
    assert await engine.place() == {low.id, other.id}
    await engine.complete(low.id)
    assert await engine.place() == {high.id}


async def test_a_thousand_jobs_that_wait_for_one_are_released_by_its_completion(engine: Engine) -> None:
    first = await engine.deploy("first")
    other = await engine.deploy("other")
    dependents = {(await engine.deploy(f"d{number}", on_job(first.id))).id for number in range(1000)}
    both = await engine.deploy("both", on_job(first.id), on_job(other.id))
    (lease, _) = await engine.start(first.id, other.id)
    assert await engine.leased.complete(lease)
    rows = await engine.db.fetch_all("SELECT id, dependencies_met FROM jobs WHERE state = 'SCHEDULED'")
    assert {row["id"] for row in rows if row["dependencies_met"]} == dependents
    assert {row["id"] for row in rows if not row["dependencies_met"]} == {both.id}
    # The worker has 1,000 slots and `other` has one of them.
    assert len(await engine.place() & dependents) == 999


# --- a dependency that will not complete


@pytest.mark.parametrize("end", ["FAILED", "STOPPED"])
@pytest.mark.parametrize("by_key", [True, False])
async def test_a_dependency_that_ended_without_completing_is_named_and_waited_for_all_the_same(
    engine: Engine, by_key: bool, end: str
) -> None:
    first = await engine.deploy("a")
    second = await engine.deploy("b", on_key("a") if by_key else on_job(first.id))
    await engine.end(first.id, end)
    stuck = await engine.store.get(second.id)
    assert (stuck.state, stuck.waiting_for) == (JobState.SCHEDULED, "failed_dependency")
    assert [(each.job_id, each.status) for each in stuck.depends_on] == [(first.id, end)]
    assert await engine.place() == set()
    await engine.deploy("a")
    assert await engine.waiting_for(second.id) == "dependency"
    await engine.complete(first.id)
    assert await engine.waiting_for(second.id) == "slot"
    assert await engine.place() == {second.id}


@pytest.mark.parametrize("end", ["FAILED", "STOPPED"])
async def test_one_dependency_that_completes_does_not_make_up_for_another_that_did_not(
    engine: Engine, end: str
) -> None:
    left, right = await engine.deploy("left"), await engine.deploy("right")
    bottom = await engine.deploy("bottom", on_job(left.id), on_key("right"))
    await engine.end(left.id, end)
    await engine.complete(right.id)
    assert await release_all_dependents(engine.db) == []
    assert await engine.waiting_for(bottom.id) == "failed_dependency"
    await engine.deploy("left")
    await engine.complete(left.id)
    assert await engine.place() == {bottom.id}


async def test_a_dependency_on_the_id_of_a_removed_job_is_failed_and_a_new_deploy_mends_it(engine: Engine) -> None:
    first = await engine.deploy("a")
    second = await engine.deploy("b", on_job(first.id))
    await engine.end(first.id, "STOPPED")
    assert await engine.store.delete(first.id, actor="operator")
    stuck = await engine.store.get(second.id)
    assert stuck.waiting_for == "failed_dependency"
    assert stuck.depends_on == [DependencyStatus(str(first.id), first.id, None)]
    await engine.end(second.id, "STOPPED")
    again = await engine.deploy("b")
    assert (again.depends_on, again.waiting_for) == ([], "slot")


async def test_a_dependency_on_the_key_of_a_removed_job_waits_for_the_next_job_of_that_key(engine: Engine) -> None:
    first = await engine.deploy("a")
    second = await engine.deploy("b", on_key("a"))
    await engine.end(first.id, "FAILED")
    assert await engine.waiting_for(second.id) == "failed_dependency"
    assert await engine.store.delete_in_states({JobState.FAILED}, actor="operator") == 1
    assert (await engine.store.get(second.id)).depends_on == [DependencyStatus("set/a", None, None)]
    assert await engine.waiting_for(second.id) == "dependency"
    successor = await engine.deploy("a")
    assert successor.id != first.id
    await engine.complete(successor.id)
    assert await engine.place() == {second.id}


async def test_a_job_that_waits_for_a_dependency_can_be_stopped_and_stays_stopped(engine: Engine) -> None:
    first = await engine.deploy("a")
    second = await engine.deploy("b", on_job(first.id))
    assert (await engine.store.request_stop(second.id, actor="operator")).state is JobState.STOPPED
    await engine.complete(first.id)
    assert (await engine.store.get(second.id)).state is JobState.STOPPED
    assert await engine.place() == set()


# --- released is released, for one execution


async def test_a_release_is_for_the_whole_execution_whatever_becomes_of_the_dependency(engine: Engine) -> None:
    """The dependency runs again while the dependent waits for a retry, and after a worker was lost."""
    first = await engine.deploy("a")
    second = await engine.deploy("b", on_job(first.id))
    await engine.complete(first.id)
    (lease,) = await engine.start(second.id)
    await engine.deploy("a")
    assert await engine.leased.fail(lease, TRANSIENT)
    waiting = await engine.store.get(second.id)
    assert (waiting.waiting_for, [each.status for each in waiting.depends_on]) == ("retry", ["SCHEDULED"])
    await engine.change("UPDATE jobs SET run_at = now() WHERE id = %s", second.id)
    await engine.start(second.id)
    engine.worker.retire()
    await engine.end(first.id, "STOPPED")
    lost = await rescue_jobs_of_lost_workers(engine.db, lease_seconds=LEASE_SECONDS, actor="rescue")
    assert lost == [second.id]
    assert await engine.waiting_for(second.id) == "worker"


async def test_each_deploy_looks_at_the_dependencies_anew(engine: Engine) -> None:
    first = await engine.deploy("a")
    second = await engine.deploy("b", on_job(first.id))
    await engine.complete(first.id)
    await engine.complete(second.id)
    await engine.deploy("a")
    again = await engine.deploy("b", on_job(first.id))
    assert (again.execution_number, again.waiting_for) == (2, "dependency")
    await engine.complete(first.id)
    assert await engine.place() == {second.id}


async def test_a_new_execution_waits_for_what_its_deploy_names_and_for_nothing_else(engine: Engine) -> None:
    a, b = await engine.deploy("a"), await engine.deploy("b")
    c = await engine.deploy("c", on_job(a.id))
    await engine.end(c.id, "STOPPED")
    again = await engine.deploy("c", on_key("b"))
    assert [each.reference for each in again.depends_on] == ["set/b"]
    await engine.complete(a.id)
    assert await engine.waiting_for(c.id) == "dependency"
    await engine.complete(b.id)
    assert await engine.place() == {c.id}


async def test_the_same_reference_may_stand_for_another_job_in_the_next_execution(engine: Engine) -> None:
    """What `ethereum/mainnet@latest` stands for moves with each version."""
    old, new = await engine.deploy("old"), await engine.deploy("new")
    c = await engine.deploy("c", Dependency("set/x@latest", key="old"))
    await engine.end(c.id, "STOPPED")
    again = await engine.deploy("c", Dependency("set/x@latest", key="new"))
    assert again.depends_on == [DependencyStatus("set/x@latest", new.id, "SCHEDULED")]
    await engine.complete(old.id)
    assert await engine.waiting_for(c.id) == "dependency"
    await engine.complete(new.id)
    assert await engine.place() == {c.id}


async def test_the_same_dependencies_in_any_order_are_the_same_deploy_and_others_are_a_conflict(
    engine: Engine,
) -> None:
    a = await engine.deploy("a")
    b = await engine.deploy("b", on_job(a.id), on_key("x"))
    assert (await engine.deploy("b", on_key("x"), on_job(a.id))).id == b.id
    for others in ((), (on_job(a.id),), (on_key("x"),), (on_job(a.id), on_key("x"), on_key("y"))):
        refused = await _refusal(engine, "b", *others)
        assert refused.code is ErrorCode.ACTIVE_JOB_CONFLICT
        assert f"ampctl job stop {b.id}" in refused.message
    assert [each.reference for each in (await engine.store.get(b.id)).depends_on] == [str(a.id), "set/x"]
    assert await engine.path(b.id) == ["SCHEDULED"]
    independent = await engine.deploy("c")
    assert (await _refusal(engine, "c", on_job(a.id))).code is ErrorCode.ACTIVE_JOB_CONFLICT
    assert (await engine.store.get(independent.id)).depends_on == []


# --- what is refused


@pytest.mark.parametrize("exists", [False, True])
async def test_an_unknown_id_is_refused_and_nothing_is_written(engine: Engine, exists: bool) -> None:
    known = await engine.deploy("a")
    if exists:
        await engine.end((await engine.deploy("b")).id, "STOPPED")
    before = await engine.db.fetch_all("SELECT * FROM jobs ORDER BY id")
    refused = await _refusal(engine, "b", on_job(known.id), on_job(4711), on_job(4712))
    assert refused.code is ErrorCode.DEPENDENCY_NOT_FOUND
    assert "4711, 4712" in refused.message
    assert "ampctl job list" in refused.message
    assert await engine.db.fetch_all("SELECT * FROM jobs ORDER BY id") == before
    assert await engine.db.fetch_all("SELECT * FROM job_dependencies") == []


async def test_a_job_that_would_wait_for_itself_is_refused_and_nothing_is_written(engine: Engine) -> None:
    refused = await _refusal(engine, "a", on_key("a"))
    assert refused.code is ErrorCode.DEPENDENCY_CYCLE
    assert "set/a" in refused.message
    for table in ("jobs", "job_dependencies", "job_executions", "job_events"):
        assert await engine.db.fetch_one(f"SELECT count(*) AS n FROM {table}") == {"n": 0}


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_a_circle_of_ended_jobs_is_refused_when_its_last_link_is_deployed(engine: Engine, length: int) -> None:
    """Each waits for the one before it, and the first is deployed again to wait for the last: by its id and its key."""
    jobs = [await engine.deploy("j0")]
    for number in range(1, length):
        jobs.append(await engine.deploy(f"j{number}", on_job(jobs[-1].id)))
    await engine.end(jobs[0].id, "STOPPED")
    before = await engine.db.fetch_all("SELECT * FROM jobs ORDER BY id")
    for last in (on_job(jobs[-1].id), on_key(f"j{length - 1}")):
        assert (await _refusal(engine, "j0", last)).code is ErrorCode.DEPENDENCY_CYCLE
    assert await engine.db.fetch_all("SELECT * FROM jobs ORDER BY id") == before
    assert await engine.path(jobs[0].id) == ["SCHEDULED", "STOPPED"]
    rows = await engine.db.fetch_all("SELECT job_id FROM job_dependencies ORDER BY 1")
    assert [row["job_id"] for row in rows] == [job.id for job in jobs[1:]]


@pytest.mark.parametrize("length", [2, 3])
async def test_a_circle_of_keys_is_refused_when_the_last_of_its_jobs_comes(engine: Engine, length: int) -> None:
    """Each waits for the next one, which is not there yet; the last would wait for the first."""
    for number in range(length - 1):
        assert (await engine.deploy(f"j{number}", on_key(f"j{number + 1}"))).waiting_for == "dependency"
    refused = await _refusal(engine, f"j{length - 1}", on_key("j0"))
    assert refused.code is ErrorCode.DEPENDENCY_CYCLE
    jobs, _ = await engine.store.list_page(JobFilter(), limit=10)
    assert len(jobs) == length - 1
    last = await engine.deploy(f"j{length - 1}")
    await engine.complete(last.id)
    assert await engine.place() == {jobs[0].id}


async def test_a_circle_elsewhere_in_the_past_does_not_hang_the_look_for_circles(engine: Engine) -> None:
    """Two jobs that came to wait for each other in some way: a third one may wait for them, and is no circle."""
    a = await engine.deploy("a", on_key("b"))
    b = await engine.deploy("b")
    await engine.change("INSERT INTO job_dependencies VALUES (%s, %s, %s, NULL)", b.id, str(a.id), a.id)
    third = await engine.deploy("c", on_job(a.id))
    assert third.waiting_for == "dependency"


# --- the net


async def test_the_net_releases_all_that_wait_for_nothing_any_more_and_nobody_else(engine: Engine) -> None:
    first, other = await engine.deploy("a"), await engine.deploy("other")
    met = [await engine.deploy(f"m{number}", on_job(first.id)) for number in range(3)]
    unmet = await engine.deploy("u", on_job(first.id), on_job(other.id))
    stopped = await engine.deploy("s", on_job(first.id))
    await engine.end(stopped.id, "STOPPED")
    await engine.change("UPDATE jobs SET state = 'COMPLETED' WHERE id = %s", first.id)  # unseen by the engine
    assert await engine.place() == {other.id}
    assert await release_all_dependents(engine.db) == [job.id for job in met]
    assert await release_all_dependents(engine.db) == []
    assert await engine.place() == {job.id for job in met}
    assert await engine.waiting_for(unmet.id) == "dependency"
    assert (await engine.store.get(stopped.id)).state is JobState.STOPPED


@pytest.fixture
async def crowd(engine: Engine) -> AsyncIterator[Engine]:
    """2,500 jobs that wait, every third of them for something that has completed."""
    done, open_ = await engine.deploy("done"), await engine.deploy("open")
    await engine.change("UPDATE jobs SET state = 'COMPLETED' WHERE id = %s", done.id)
    await engine.change("""
        WITH job AS (
            INSERT INTO jobs (kind, idempotency_key, state, input, dependencies_met)
            SELECT 'noop', 'n' || n, 'SCHEDULED', '{}', false FROM generate_series(1, 2500) AS n
            RETURNING id, idempotency_key
        )
        INSERT INTO job_dependencies (job_id, reference, depends_on_key)
        SELECT id, 'x', CASE WHEN substr(idempotency_key, 2)::int %% 3 = 0 THEN 'done' ELSE 'open' END FROM job
    """)
    assert (await engine.store.get(open_.id)).state is JobState.SCHEDULED
    yield engine


async def test_the_net_goes_through_all_who_wait_in_portions(crowd: Engine) -> None:
    released = await release_all_dependents(crowd.db)
    assert len(set(released)) == len(released) == 833
    rows = await crowd.db.fetch_all(
        "SELECT DISTINCT idempotency_key AS key FROM jobs WHERE id = ANY (%(ids)s)", {"ids": released}
    )
    assert all(int(row["key"][1:]) % 3 == 0 for row in rows)
