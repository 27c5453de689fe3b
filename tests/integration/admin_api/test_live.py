"""The stream of what changes: nothing is missed, nothing is told to whom it does not concern, nobody costs anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from admin_api_cluster import services_over
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ampd.admin_api.streams.live as live
from ampd.access import AccessStore, NewToken, Role
from ampd.admin_api import LiveStreams, create_app, serve_admin_api
from ampd.daemons.live import live_streams
from ampd.data_store import TableChanges
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import JobChanges, JobStore
from ampd.metadata_db import MetadataDb
from ampd.webhooks import WebhookChanges, WebhookFilters, WebhookSettings
from support.daemons import free_port
from support.engine import LEASE_SECONDS, Engine, deployment, worker_session
from support.ranges import running_extraction, segment

SECONDS = 20.0


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LOOK_SECONDS", 0.02)


@pytest.fixture
def engine(metadata_db: MetadataDb, database_url: str) -> Iterator[Engine]:
    with worker_session(database_url, "here") as worker:
        yield Engine(metadata_db, worker)


def streams_over(db: MetadataDb, most: int = 100) -> LiveStreams:
    return live_streams(db, lease_seconds=LEASE_SECONDS, version="9.9.9", most=most)


@dataclass(frozen=True)
class Served:
    """An Admin API on a port, as a controller serves it."""

    url: str
    streams: LiveStreams

    async def until_open(self, count: int) -> None:
        """Return when so many viewers are there, or none and no watcher either."""
        async with asyncio.timeout(SECONDS):
            while self.streams._open != count or (count == 0) != (self.streams._watcher is None):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(db: MetadataDb, directory: Path, *, most: int = 100, port: int = 0) -> AsyncIterator[Served]:
    services = replace(services_over(db, directory), live=streams_over(db, most), version="9.9.9")
    stop, url = asyncio.Event(), asyncio.get_running_loop().create_future()

    def started(host: str, bound: int) -> None:
        url.set_result(f"http://{host}:{bound}")

    served = serve_admin_api(
        create_app(services), host="127.0.0.1", port=port, started=started, stop=stop, ending=services.close_streams
    )
    task = asyncio.create_task(served)
    try:
        yield Served(await url, services.live)
    finally:
        stop.set()
        async with asyncio.timeout(3):  # viewers do not hold the end up
            await task


@pytest.fixture
async def there(metadata_db: MetadataDb, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(metadata_db, tmp_path) as served:
        yield served


class Watching:
    """One viewer's stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()
        self.comments = 0

    async def next(self) -> tuple[str, dict[str, Any]] | None:
        """Return name and data of the next event; None at the end of the stream."""
        name, data = "", None
        async with asyncio.timeout(SECONDS):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                elif not line and data is not None:
                    return name, data
        return None

    async def changed(self) -> dict[str, Any]:
        event = await self.next()
        assert event is not None, "the stream has ended"
        assert event[0] == "changed"
        assert set(event[1]) == {"jobs", "workers", "tables", "webhooks"}
        return event[1]

    async def until(self, key: str, value: Any) -> dict[str, Any]:
        """Return the first event that says so; of jobs, that has an id."""
        while True:
            told = await self.changed()
            if value in (told[key] or ()) if key == "jobs" else told[key] is value:
                return told


@asynccontextmanager
async def watching(url: str, token: str | None = None) -> AsyncIterator[Watching]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http, http.stream("GET", "/live") as answer:
        assert answer.status_code == 200
        viewer = Watching(answer)
        hello = await viewer.next()
        assert hello is not None
        assert (hello[0], set(hello[1]), hello[1]["version"]) == ("hello", {"version", "at"}, "9.9.9")
        yield viewer


async def test_a_viewer_is_told_what_other_processes_change(
    there: Served, engine: Engine, database_url: str, metadata_db: MetadataDb
) -> None:
    before = await engine.deploy("before")
    async with watching(there.url) as viewer, MetadataDb(database_url) as other:
        assert viewer.answer.headers["content-type"].startswith("text/event-stream")
        assert viewer.answer.headers["cache-control"] == "no-store"
        job = await JobStore(other).deploy(deployment("k"), actor="t")
        assert (await viewer.changed()) == {"jobs": [job.id], "workers": False, "tables": False, "webhooks": False}
        (lease, _) = await engine.start(job.id, before.id)
        assert (await viewer.until("jobs", job.id))["workers"] is True
        # What a handler says of its progress is no event, and told all the same.
        assert await engine.leased.report_progress(lease, {"blocks": 1})
        await viewer.until("jobs", job.id)
        assert await engine.leased.report_progress(lease, {"blocks": 2})
        await viewer.until("jobs", job.id)
        assert await engine.leased.complete(lease)
        await viewer.until("jobs", job.id)
        with worker_session(database_url, "another"):
            await viewer.until("workers", value=True)
        assert await JobStore(other).delete(job.id, actor="t")
        await viewer.until("jobs", job.id)
    await there.until_open(0)


async def test_a_viewer_is_told_of_tables_and_of_webhooks(there: Served, metadata_db: MetadataDb) -> None:
    services = services_over(metadata_db, Path("/nowhere"))
    async with running_extraction(metadata_db) as ranges, watching(there.url) as viewer:
        await ranges.plan((0, 9))
        await viewer.until("tables", value=True)
        lease = await ranges.take()
        await viewer.until("tables", value=True)
        await ranges.commit(lease, segment(0, 9))
        await viewer.until("tables", value=True)
        hook, _ = await services.webhooks.create(WebhookSettings("https://example.com/a", ("job.failed",)), secret=None)
        assert (await viewer.until("webhooks", value=True))["tables"] is False
        delivery = await services.webhooks.send_test(hook.id)
        await viewer.until("webhooks", value=True)
        # It is sent.
        await ranges.run(
            "UPDATE webhook_deliveries SET status = 'DELIVERED', finished_at = now() WHERE id = %s", delivery.id
        )
        await viewer.until("webhooks", value=True)
        await services.webhooks.delete(hook.id)
        await viewer.until("webhooks", value=True)


async def test_a_limited_viewer_is_told_of_its_namespaces_alone(
    there: Served, engine: Engine, metadata_db: MetadataDb, tmp_path: Path
) -> None:
    access = AccessStore(metadata_db)
    await access.create(NewToken(Role.ADMIN), actor="t")
    _, token = await access.create(NewToken(Role.VIEWER, None, ("mine",)), actor="t")
    webhooks = services_over(metadata_db, tmp_path).webhooks

    async def deploy(namespace: str) -> int:
        given = {"kind": "extraction", "input": {"dataset_namespace": namespace, "dataset_name": "set"}}
        return (await engine.deploy(f"{namespace}-{len(seen)}", **given)).id

    async def hook(namespace: str | None) -> None:
        filters = WebhookFilters(dataset_namespaces=None if namespace is None else (namespace,))
        url = f"https://example.com/{namespace}"
        await webhooks.create(WebhookSettings(url, ("job.failed",), filters), secret=None)

    seen: list[int] = []
    async with watching(there.url, token) as viewer, running_extraction(metadata_db) as ranges:
        await ranges.plan((0, 9))
        await ranges.commit(await ranges.take(), segment(0, 9))
        await deploy("other")
        await hook("other")
        await hook(None)
        await engine.start((await engine.deploy("of no dataset")).id)
        mine = await deploy("mine")
        # The worker "holder" has come; nothing else before its own job is told.
        told = await viewer.changed()
        if told["jobs"] == []:
            assert told == {"jobs": [], "workers": True, "tables": False, "webhooks": False}
            told = await viewer.changed()
        assert (told["jobs"], told["tables"], told["webhooks"]) == ([mine], False, False)
        await hook("mine")
        assert (await viewer.changed()) == {"jobs": [], "workers": False, "tables": False, "webhooks": True}


# --- nothing is missed

_EVENT = """
INSERT INTO job_events (job_id, actor, event_type, execution_number, lease_epoch) VALUES (%s, 't', 'RUNNING', 1, 1)
"""
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3)),
        st.tuples(st.sampled_from(["commit", "undo"]), st.integers(0, 3)),
        st.just(("look", 0)),
    ),
    max_size=30,
)


@pytest.fixture
async def writers(database_url: str) -> AsyncIterator[list[psycopg.AsyncConnection[Any]]]:
    async with AsyncExitStack() as stack:
        connect = psycopg.AsyncConnection.connect
        yield [await stack.enter_async_context(await connect(database_url)) for _ in range(4)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_in_whatever_order_transactions_write_and_commit_each_event_is_told_once(
    metadata_db: MetadataDb, writers: list[psycopg.AsyncConnection[Any]], steps: list[tuple[str, int]]
) -> None:
    changes = JobChanges(metadata_db)
    open_jobs: dict[int, list[int]] = {number: [] for number in range(4)}
    committed: list[int] = []
    told: list[int] = []
    # A transaction that was under way when somebody began to look.
    await writers[0].execute(_EVENT, [1])
    open_jobs[0].append(1)

    async def look() -> None:
        told.extend((await changes.look()).jobs or ())

    await look()
    for job_id, (what, number) in enumerate([*steps, *(("commit", number) for number in range(4))], start=2):
        if what == "look":
            await look()
        elif what == "write":
            await writers[number].execute(_EVENT, [job_id])
            open_jobs[number].append(job_id)
        else:
            await (writers[number].commit() if what == "commit" else writers[number].rollback())
            committed += open_jobs[number] if what == "commit" else []
            open_jobs[number] = []
    for _ in range(4):
        await look()
    assert sorted(told) == sorted(committed)
    assert not (await changes.look()).jobs


async def test_a_viewer_misses_nothing_while_many_write(there: Served, database_url: str) -> None:
    async with watching(there.url) as viewer, AsyncExitStack() as stack:
        dbs = [await stack.enter_async_context(MetadataDb(database_url)) for _ in range(3)]

        async def write(db: MetadataDb, number: int) -> list[int]:
            return [(await JobStore(db).deploy(deployment(f"{number}-{each}"), actor="t")).id for each in range(25)]

        writing = asyncio.gather(*(write(db, number) for number, db in enumerate(dbs)))
        seen: set[int] = set()
        while len(seen) < 75:
            seen |= set((await viewer.changed())["jobs"])
        assert seen == {job_id for ids in await writing for job_id in ids}


class FailsOnce(MetadataDb):
    """A database that does not answer the statement of a room once."""

    fails_at: str | None = None

    async def fetch_one(self, query: Any, parameters: dict[str, Any] | None = None) -> Any:
        if self.fails_at is not None and self.fails_at in query:
            self.fails_at = None
            raise AmpError(ErrorCode.METADATA_DB_UNREACHABLE, "gone for a moment", recoverable=True)
        return await super().fetch_one(query, parameters)


async def test_what_changes_while_the_database_is_away_is_told_afterwards(database_url: str, tmp_path: Path) -> None:
    async with FailsOnce(database_url) as db, serving(db, tmp_path) as there, watching(there.url) as viewer:
        for number, room in enumerate(("ampd.jobs.changes", "ampd.data_store.changes", "ampd.webhooks.changes")):
            db.fails_at = room
            job = await JobStore(db).deploy(deployment(f"k{number}"), actor="t")
            assert (await viewer.changed())["jobs"] == [job.id]
            while db.fails_at is not None:
                await asyncio.sleep(0.01)


async def test_the_first_look_of_each_source_tells_nothing(metadata_db: MetadataDb) -> None:
    async with running_extraction(metadata_db) as ranges:
        await ranges.plan((0, 9))
        await ranges.commit(await ranges.take(), segment(0, 9))
        assert not (await JobChanges(metadata_db).look()).jobs
        assert await TableChanges(metadata_db).look() == frozenset()
        assert list(await WebhookChanges(metadata_db).look()) == []


# --- what viewers cost


async def test_a_slow_viewer_is_told_that_much_has_changed(metadata_db: MetadataDb, database_url: str) -> None:
    streams = streams_over(metadata_db)

    async def still_open() -> bool:
        return True

    answer = await streams.response(None, still_open=still_open)
    pieces = aiter(answer.body_iterator)
    assert b"event: hello" in bytes(await anext(pieces))
    (viewer,) = streams._viewers
    with psycopg.connect(database_url) as connection:
        for job_id in range(live.MOST_JOBS + 1):
            connection.execute(_EVENT, [job_id])
    async with asyncio.timeout(SECONDS):
        await viewer.has_news.wait()
    text = bytes(await anext(pieces)).decode()
    assert json.loads(text.split("data: ")[1])["jobs"] is None
    # What it has been told is forgotten, and what comes next is told as ever.
    with psycopg.connect(database_url) as connection:
        connection.execute(_EVENT, [4711])
    text = bytes(await anext(pieces)).decode()
    assert json.loads(text.split("data: ")[1])["jobs"] == [4711]
    streams.close()
    assert [piece async for piece in pieces] == []


async def test_all_viewers_of_a_controller_share_one_watcher(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchers = 0
    original = live.LiveStreams._watch

    async def counted(self: LiveStreams, sources: Any) -> None:
        nonlocal watchers
        watchers += 1
        await original(self, sources)

    monkeypatch.setattr(live.LiveStreams, "_watch", counted)
    async with MetadataDb(database_url) as db, serving(db, tmp_path) as there:
        async with AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(watching(there.url)) for _ in range(5)]
            job = await JobStore(db).deploy(deployment("k"), actor="t")
            for viewer in viewers:
                assert (await viewer.changed())["jobs"] == [job.id]
        await there.until_open(0)
        assert watchers == 1
        # What happens while nobody watches is not told: who comes looks at everything.
        await JobStore(db).deploy(deployment("meanwhile"), actor="t")
        async with watching(there.url) as viewer:
            job = await JobStore(db).deploy(deployment("l"), actor="t")
            assert (await viewer.changed())["jobs"] == [job.id]
        await there.until_open(0)
    assert watchers == 2


async def test_there_are_as_many_viewers_as_a_controller_lets_in(metadata_db: MetadataDb, tmp_path: Path) -> None:
    async with serving(metadata_db, tmp_path, most=1) as there, httpx.AsyncClient(base_url=there.url) as http:
        async with watching(there.url):
            answer = await http.get("/live")
            assert (answer.status_code, answer.json()["error_code"]) == (503, "TOO_MANY_STREAMS")
            assert int(answer.headers["retry-after"]) > 0
        await there.until_open(0)
        answer = await http.get("/live", params={"follow": "false"})
        assert answer.status_code == 200
        assert answer.text.count("event: ") == 1
        await there.until_open(0)


async def test_a_stream_ends_with_its_controller_and_another_one_takes_over(
    metadata_db: MetadataDb, tmp_path: Path
) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        async with serving(metadata_db, tmp_path, port=port) as there:
            viewer = await stack.enter_async_context(watching(there.url))
        assert await viewer.next() is None
    async with serving(metadata_db, tmp_path, port=port) as there, watching(there.url) as viewer:
        job = await JobStore(metadata_db).deploy(deployment("k"), actor="t")
        assert (await viewer.changed())["jobs"] == [job.id]


async def test_a_stream_ends_when_its_token_does_and_says_until_then_that_it_lives(
    metadata_db: MetadataDb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.05)
    access = AccessStore(metadata_db)
    await access.create(NewToken(Role.ADMIN), actor="t")
    made, token = await access.create(NewToken(Role.VIEWER), actor="t")
    async with serving(metadata_db, tmp_path) as there, watching(there.url, token) as viewer:
        job = await JobStore(metadata_db).deploy(deployment("k"), actor="t")
        assert (await viewer.changed())["jobs"] == [job.id]
        await access.revoke(made.id, actor="t")
        while await viewer.next() is not None:
            pass
        async with httpx.AsyncClient(base_url=there.url) as http:
            answer = await http.get("/live", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


async def test_a_watcher_that_breaks_ends_its_streams(
    there: Served, monkeypatch: pytest.MonkeyPatch, metadata_db: MetadataDb
) -> None:
    async with watching(there.url) as viewer:

        async def breaks(self: JobChanges) -> Any:
            raise ValueError("broken")

        with monkeypatch.context() as patch:
            patch.setattr(JobChanges, "look", breaks)
            assert await viewer.next() is None
    async with watching(there.url) as viewer:
        job = await JobStore(metadata_db).deploy(deployment("k"), actor="t")
        assert (await viewer.changed())["jobs"] == [job.id]
