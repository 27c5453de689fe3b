"""Every time of a timetable fires once and is run once, whatever becomes of controllers and database meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from ampd.controller import run_timetable
from ampd.errors import AmpError
from ampd.jobs import JobContext, Notifier
from ampd.metadata_db import MetadataDb, migrate
from ampd.tasks import cancel_all
from support.daemons import Cluster, Process
from support.databases import fresh_database
from support.faults import Server, kill_sessions
from support.timetables import assert_exact, ended_executions, have_all_completed, make_up_for, timetables
from support.worker_nodes import until, worker_node

pytestmark = pytest.mark.chaos

CONTROLLERS = 5


class AtOnce:
    """A handler whose work is done as soon as it has begun."""

    async def run(self, context: JobContext) -> bool:
        return True


@asynccontextmanager
async def controllers(url: str) -> AsyncIterator[Callable[[int], None]]:
    """Run the timetable loops of five controllers; what is given kills one of them, wherever it is, for another."""
    tasks: dict[int, asyncio.Task[None]] = {}

    async def controller() -> None:
        async with MetadataDb(url, max_connections=2) as db:
            await run_timetable(db, Notifier(db), stop_seconds=60)

    def kill(number: int) -> None:
        if number in tasks:
            tasks[number].cancel()
            killed.append(tasks[number])
        tasks[number] = asyncio.create_task(controller())

    killed: list[asyncio.Task[None]] = []
    for number in range(CONTROLLERS):
        kill(number)
    try:
        yield kill
    finally:
        await cancel_all([*tasks.values(), *killed])


async def have_ended(db: MetadataDb, count: int) -> bool:
    """Tell whether so many executions have ended: not by a session that is being killed."""
    try:
        return await ended_executions(db) >= count
    except AmpError:
        return False


async def test_five_controllers_that_are_killed_and_lose_their_sessions_fire_each_time_once(database_url: str) -> None:
    jobs, times = 8, 15
    chance = random.Random(7)
    async with timetables(database_url) as engine:
        await make_up_for(engine, jobs=jobs, times=times)
        with psycopg.connect(database_url, autocommit=True) as admin:
            async with controllers(database_url) as kill, worker_node(database_url, "w2", AtOnce(), slots=jobs):
                for count in range(10, jobs * times, 10):

                    async def got_on(count: int = count) -> bool:
                        return await have_ended(engine.db, count)

                    await until(f"{count} executions", got_on)
                    kill(chance.randrange(CONTROLLERS))
                    if count % 30 == 0:
                        kill_sessions(admin, "ampd%")
                await until("all jobs to complete", lambda: have_all_completed(engine.db))
        await assert_exact(engine.db, jobs=jobs, times=times)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.mark.long
async def test_10_000_times_fire_once_while_controllers_are_killed_and_the_database_crashes(
    server: Server, tmp_path: Path
) -> None:
    jobs, times = 100, 100
    chance = random.Random(8)
    with fresh_database(server.postgres, "template0") as url:
        migrate(url)
        clusters = [_cluster(tmp_path / str(number), url) for number in range(CONTROLLERS)]
        processes: list[Process] = []
        try:
            async with timetables(url) as engine:
                await make_up_for(engine, jobs=jobs, times=times)
                # Not before: one that is quick would fire the first time before it is moved.
                processes += [cluster.start_controller() for cluster in clusters]
                async with worker_node(url, "w2", AtOnce(), slots=jobs):
                    for step in range(1, 40):

                        async def got_on(count: int = step * jobs * times // 40) -> bool:
                            return await have_ended(engine.db, count)

                        await until(f"step {step}", got_on, 300)
                        number = chance.randrange(CONTROLLERS)
                        processes[number].signal(signal.SIGKILL)
                        if step % 8 == 0:
                            await asyncio.to_thread(chance.choice((server.stop, server.crash)))
                            await asyncio.to_thread(server.start)
                        processes[number] = _restart(clusters[number])
                    await until("all jobs to complete", lambda: have_all_completed(engine.db), 300)
                await assert_exact(engine.db, jobs=jobs, times=times)
        finally:
            for cluster in clusters:
                cluster.end()
    # One that starts while the database is away says so and ends; those that had started bear it.
    started = [each for cluster in clusters for each in cluster.processes if "controller.started" in each.text()]
    assert len(started) > CONTROLLERS
    assert {each.popen.returncode for each in started} <= {0, -signal.SIGKILL}


def _cluster(directory: Path, url: str) -> Cluster:
    directory.mkdir()
    return Cluster(directory, url)


def _restart(cluster: Cluster) -> Process:
    return cluster._start("controller", "controller")
