"""Jobs that the database counts, and labels that it keeps apart: whatever writes jobs, they say what the jobs say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ampd.jobs import JobFilter, JobState, JobStatistics, fold_job_counts
from ampd.metadata_db import MetadataDb
from support.engine import TRANSIENT, Engine, worker_session

OF_TEAM_3 = {"kind": "extraction", "input": {"dataset_namespace": "team_3"}}
OF_TEAM_4 = {"kind": "verification", "input": {"dataset_namespace": "team_4"}}
# It has a word of datasets in its input, and is of none.
OF_NONE = {"kind": "noop", "input": {"dataset_namespace": "team_3"}}
SCANNED = {"before_id": 2**62}  # so that jobs are counted one by one


@pytest.fixture
async def engine(metadata_db: MetadataDb, database_url: str) -> AsyncIterator[Engine]:
    with worker_session(database_url) as worker:
        yield Engine(metadata_db, worker)


async def _both(engine: Engine, *namespaces: str, **wanted: Any) -> JobStatistics:
    """Return the statistics by the counts, after a look at the jobs themselves."""
    store = engine.store.limited_to(namespaces) if namespaces else engine.store
    counted, scanned = JobFilter(**wanted), JobFilter(**wanted, **SCANNED)
    assert counted.is_counted
    assert not scanned.is_counted
    found = await store.statistics(counted)
    assert found == await store.statistics(scanned)
    return found


async def _agree(engine: Engine) -> JobStatistics:
    for wanted in (
        {"kind": "extraction"},
        {"kind": "nothing"},
        {"states": frozenset({JobState.SCHEDULED, JobState.FAILED})},
        {"dataset_namespace": "team_3"},
        {"dataset_namespace": "team_3", "kind": "noop"},
        {"dataset_namespace": ""},
    ):
        await _both(engine, **wanted)
        await _both(engine, "team_3", "team_4", **wanted)
    return await _both(engine)


async def _jobs_of_all_sorts(engine: Engine) -> None:
    for number in range(4):
        for name, options in {"3": OF_TEAM_3, "4": OF_TEAM_4, "none": OF_NONE}.items():
            await engine.deploy(f"{name}:{number}", **options, retries=5)
    ids = [job.id for job in (await engine.store.list_page(JobFilter(), limit=100))[0]]
    leases = await engine.start(*ids[:6])
    assert all(await asyncio.gather(*(engine.leased.fail(lease, TRANSIENT) for lease in leases[:2])))
    await engine.leased.complete(leases[2])
    await engine.change("UPDATE jobs SET run_at = now() WHERE state = 'SCHEDULED' AND retry_count > 0")
    await engine.end(ids[0], "COMPLETED")
    await engine.end(ids[1], "FAILED")
    await engine.end(ids[7], "STOPPED")
    await engine.store.pause(ids[8], actor="a")
    await engine.change("UPDATE jobs SET run_at = now() + interval '1 hour' WHERE id = %s", ids[9])


async def test_counts_say_what_the_jobs_say(engine: Engine) -> None:
    assert (await _agree(engine)).total == 0
    await _jobs_of_all_sorts(engine)
    found = await _agree(engine)
    assert (found.total, found.scheduled, found.paused, found.cancelled) == (12, 1, 1, 1)
    assert (found.completed_first_try, found.completed_after_retry, found.failed) == (1, 1, 1)
    assert await engine.store.delete_in_states([JobState.COMPLETED, JobState.STOPPED], actor="a") == 3
    assert (await _agree(engine)).total == 9


async def test_counts_are_right_after_they_were_folded(engine: Engine, database_url: str) -> None:
    await _jobs_of_all_sorts(engine)
    before = await _agree(engine)
    await fold_job_counts(engine.db)
    assert {row["backend"] for row in await engine.db.fetch_all("SELECT backend FROM job_counts")} == {0}
    assert await _agree(engine) == before
    async with MetadataDb(database_url) as other:
        await Engine(other, engine.worker).deploy("one more")
    await fold_job_counts(engine.db)
    assert (await _agree(engine)).total == before.total + 1


async def test_who_folds_leaves_out_what_a_transaction_is_counting(engine: Engine, database_url: str) -> None:
    await engine.deploy("one")
    async with MetadataDb(database_url, max_connections=1) as other:
        await other.execute("UPDATE jobs SET total_retries = 1")
        async with other.transaction() as connection:
            await connection.execute("UPDATE jobs SET total_retries = 3")
            await fold_job_counts(engine.db)
            await _agree(engine)
        await _agree(engine)
        assert len(await engine.db.fetch_all("SELECT FROM job_counts WHERE backend <> 0")) == 1


async def test_no_job_is_counted_after_all_of_them_were_taken_out(engine: Engine) -> None:
    await engine.deploy("one", labels={"team": "a"})
    await engine.change("TRUNCATE jobs CASCADE")
    assert (await _agree(engine)).total == 0
    assert await engine.db.fetch_all("SELECT FROM job_labels") == []


async def test_what_is_rolled_back_was_not_counted(engine: Engine) -> None:
    await engine.deploy("one")
    with pytest.raises(ZeroDivisionError):
        async with engine.db.transaction() as connection:
            await connection.execute("UPDATE jobs SET state = 'STOPPED', total_retries = 7")
            raise ZeroDivisionError
    assert (await _agree(engine)).cancelled == 0


async def _with(
    engine: Engine, *namespaces: str, states: frozenset[JobState] | None = None, **labels: str
) -> list[Any]:
    store = engine.store.limited_to(namespaces) if namespaces else engine.store
    jobs, _ = await store.list_page(JobFilter(labels=labels, states=states), limit=100)
    return [job.id for job in jobs]


async def test_jobs_are_found_by_their_labels_as_these_change(engine: Engine) -> None:
    red = await engine.deploy("red", labels={"colour": "red", "team": "a"})
    blue = await engine.deploy("blue", labels={"colour": "blue", "team": "a"}, **OF_TEAM_3)
    assert await _with(engine, team="a") == [blue.id, red.id]
    assert await _with(engine, team="a", colour="red") == [red.id]
    assert await _with(engine, "team_3", team="a") == [blue.id]
    assert await _with(engine, team="a", states=frozenset({JobState.STOPPED})) == []
    await engine.store.request_stop(red.id, actor="a")
    assert await _with(engine, team="a", states=frozenset({JobState.STOPPED})) == [red.id]
    await engine.deploy("red", labels={"colour": "green"})
    assert await _with(engine, team="a") == [blue.id]
    assert await _with(engine, colour="green") == [red.id]
    await engine.store.request_stop(red.id, actor="a")
    assert await engine.store.delete(red.id, actor="a")
    assert await _with(engine, colour="green") == []
    assert [row["value"] for row in await engine.db.fetch_all("SELECT value FROM job_labels ORDER BY 1")] == [
        "a",
        "blue",
    ]


async def test_pages_of_jobs_with_a_label_go_on_behind_each_other(engine: Engine) -> None:
    ids = [(await engine.deploy(str(number), labels={"team": "a"})).id for number in range(5)]
    await engine.deploy("other", labels={"team": "b"})
    for states in (None, frozenset({JobState.SCHEDULED})):
        wanted = {"labels": {"team": "a"}, "states": states}
        first, more = await engine.store.list_page(JobFilter(**wanted), limit=2)
        assert ([job.id for job in first], more) == ([ids[4], ids[3]], True)
        later, more = await engine.store.list_page(JobFilter(**wanted, before_id=ids[3]), limit=2)
        assert ([job.id for job in later], more) == ([ids[2], ids[1]], True)
        last, more = await engine.store.list_page(JobFilter(**wanted), limit=2, offset=4)
        assert ([job.id for job in last], more) == ([ids[0]], False)


async def test_long_labels_that_begin_alike_are_told_apart(engine: Engine) -> None:
    alike = "ä" * 300
    one = await engine.deploy("one", labels={"name": alike + "1"})
    two = await engine.deploy("two", labels={"name": alike + "2"})
    assert await _with(engine, name=alike + "1") == [one.id]
    assert await _with(engine, name=alike + "2", states=frozenset({JobState.SCHEDULED})) == [two.id]


async def test_a_namespace_is_asked_for_only_among_those_that_are_seen(engine: Engine) -> None:
    three = await engine.deploy("3", **OF_TEAM_3)
    await engine.deploy("4", **OF_TEAM_4)
    await engine.deploy("none", **OF_NONE)
    wanted = JobFilter(dataset_namespace="team_3")
    for store, ids in (
        (engine.store, [three.id]),
        (engine.store.limited_to(("team_3", "team_4")), [three.id]),
        (engine.store.limited_to(("team_4",)), []),
    ):
        assert [job.id for job in (await store.list_page(wanted, limit=10))[0]] == ids
