"""What controllers tell of the whole cluster: the same as the Admin API, alike on each, not read for each scrape."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from ampd.admin_api import ClusterFigures
from ampd.daemons.figures import figures_of
from ampd.data_store import figures, read_lake_figures
from ampd.data_store.figures import TableFigures
from ampd.jobs import JobFilter, JobState, read_job_figures
from ampd.metadata_db import MetadataDb
from ampd.telemetry.metrics import exposition
from support.engine import FATAL, LEASE_SECONDS, TRANSIENT, Engine, on_job, worker_session
from support.ranges import TABLES, running_extraction, segment
from support.telemetry import ACCEPT, Scrape
from support.worker_nodes import until

_SILENT: Final = "UPDATE worker_heartbeats SET heartbeat_at = now() - interval '2 minutes' WHERE node_id = 'here'"


@pytest.fixture
def engine(metadata_db: MetadataDb, database_url: str) -> Iterator[Engine]:
    with worker_session(database_url, "here") as worker:
        yield Engine(metadata_db, worker)


async def scrape(told: ClusterFigures) -> Scrape:
    page, _ = exposition(ACCEPT, await told.families())
    return Scrape(page.decode())


async def test_the_queue_is_told_as_the_jobs_themselves_tell_what_they_wait_for(engine: Engine) -> None:
    failing, running, dead, paused = [(await engine.deploy(key)).id for key in "abcd"]
    await engine.start(failing, running, dead, paused)
    first = (await engine.deploy("e")).id
    assert await engine.leased.fail(engine.lease_of(failing), TRANSIENT)
    assert await engine.leased.fail(engine.lease_of(dead), FATAL)
    await engine.store.pause(paused, actor="operator")
    await engine.deploy("f", on_job(first))
    await engine.deploy("g", worker_selector="elsewhere")
    await engine.deploy("h", worker_selector="else*", kind="other")
    later = await engine.deploy("i")
    await engine.change("UPDATE jobs SET run_at = now() + interval '1 day' WHERE id = %s", later.id)
    jobs, _ = await engine.store.list_page(JobFilter(), limit=100)
    told = await read_job_figures(engine.db, lease_seconds=LEASE_SECONDS)
    assert told.states == {state: sum(job.state is state for job in jobs) for state in JobState}
    waiting = Counter((job.kind, job.waiting_for) for job in jobs if job.waiting_for is not None)
    assert {(each.kind, each.waiting_for): each.jobs for each in told.queue} == waiting
    assert {reason for _, reason in waiting} == {"retry", "slot", "dependency", "worker", "run_at"}
    ages = {each.waiting_for: each.seconds for each in told.queue}
    assert all((ages[reason] is not None) == (reason in {"slot", "worker"}) for reason in ages)


async def test_workers_and_the_silence_of_those_with_jobs_are_told(engine: Engine, database_url: str) -> None:
    async def told() -> Any:
        return await read_job_figures(engine.db, lease_seconds=LEASE_SECONDS)

    assert (await told()).lease_age is None, "nobody has a job"
    job = await engine.deploy("a")
    await engine.start(job.id)
    with worker_session(database_url, "drained", slots=7) as other:
        other.set_draining()
        found = await told()
        assert found.workers == {"live": 1, "draining": 1, "dead": 0}
        assert (found.slots, found.slots_taken) == (1000, 1)
        await engine.change(_SILENT)
        found = await told()
    assert found.workers == {"live": 0, "draining": 1, "dead": 1}
    assert found.slots == 0
    assert 120 <= found.lease_age < 150


async def _page_of_one_that_is_down(told: ClusterFigures) -> Scrape | None:
    page = await scrape(told)
    return None if page.value("ampd_cluster_up") else page


class Counted(MetadataDb):
    """A database that counts how often it is asked."""

    asked = 0

    @asynccontextmanager
    async def for_one_statement(self) -> AsyncIterator[Any]:
        self.asked += 1
        async with super().for_one_statement() as connection:
            yield connection


async def test_however_many_scrape_the_database_is_asked_once_while_what_is_known_is_fresh(database_url: str) -> None:
    async with Counted(database_url) as db:
        told = ClusterFigures(figures_of(db, lease_seconds=LEASE_SECONDS), fresh_seconds=3600)
        pages = await asyncio.gather(*(scrape(told) for _ in range(20)))
        assert len({frozenset(page.all("ampd_cluster_jobs").items()) for page in pages}) == 1
        once = db.asked
        assert 0 < once < 6
        await scrape(told)
        assert db.asked == once
        always = ClusterFigures(figures_of(db, lease_seconds=LEASE_SECONDS), fresh_seconds=0)
        await scrape(always)
        assert db.asked == 2 * once


async def test_a_database_that_is_away_is_told_and_nothing_old_is(database_url: str) -> None:
    async with MetadataDb(database_url) as db:
        told = ClusterFigures(figures_of(db, lease_seconds=LEASE_SECONDS), fresh_seconds=0)
        assert (await scrape(told)).value("ampd_cluster_up") == 1
        await db.close()
        # What has taken long to read is told for longer.
        page = await until("a page without the database", lambda: _page_of_one_that_is_down(told))
        assert [name for name in page.names() if name.startswith("ampd_cluster_")] == ["ampd_cluster_up"]


async def test_two_controllers_tell_the_same(metadata_db: MetadataDb, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_extraction(metadata_db) as ranges:
        await ranges.plan((0, 9), (10, 19))
        await ranges.commit(await ranges.take(), segment(0, 9))
        await ranges.take()
        controllers = [ClusterFigures(figures_of(metadata_db, lease_seconds=LEASE_SECONDS)) for _ in range(2)]
        one, other = [await scrape(each) for each in controllers]
        assert one.by("ampd_cluster_table_front_block", "table") == dict.fromkeys(TABLES, 9.0)
        told = {name for name, _ in one.samples if name.startswith("ampd_cluster_")}
        for name in {name for name in told if not name.endswith("_seconds")}:
            assert one.all(name) == other.all(name), name
        assert one.value("ampd_cluster_ranges", state="READING") == 1
        monkeypatch.setattr(figures, "MOST_TABLES", 1)
        few = await read_lake_figures(metadata_db)
        assert (len(few.tables), few.left_out) == (1, 1)


@pytest.mark.parametrize(
    ("front", "end", "latest", "is_wanted", "lag"),
    [
        (19, 99, 49, True, 30),  # the chain has not got to the end yet
        (19, 29, 49, True, 10),
        (19, None, 49, True, 30),
        (None, 29, 49, True, 20),  # nothing is there: the whole range from block 10
        (59, None, 49, True, 0),  # a node that is behind
        (19, None, None, True, None),
        (19, 29, 49, False, None),
    ],
)
def test_the_lag_is_counted_to_the_block_that_can_be_and_is_to_be_reached(
    front: int | None, end: int | None, latest: int | None, is_wanted: bool, lag: int | None
) -> None:
    table = TableFigures("a", "b", "c", "blocks", 10, front, 1, 1, 1, end, latest, None, is_wanted)
    assert table.lag == lag
