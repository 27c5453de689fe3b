"""The stream of worker events: what a reader gets, where it goes on, what it may see, and what it cannot do to us."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from admin_api_cluster import services_over

import ampd.admin_api.streams.event_streams as event_streams
from ampd.access import AccessStore, NewToken, Role
from ampd.admin_api import EventStreams, create_app, serve_admin_api
from ampd.client import Ampd, ApiError, AsyncAmpd, WorkerEvent
from ampd.metadata_db import MetadataDb
from ampd.worker_events import EventFilter, WorkerEventLog, collect_events, expire_events_of_log, set_recorded
from support import ampctl
from support.daemons import free_port

SECONDS = 20.0
PROGRESS = """INSERT INTO worker_event_outbox
    (event_id, event_type, worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name, start_block,
     current_block, files_count, total_size_bytes)
SELECT worker_event_id(now()), 'sync.progress', 'w', %(job_id)s, %(namespace)s, 'set', repeat('0', 64), %(table)s, 0,
       n, 1, 2
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n"""


async def tell(
    db: MetadataDb, first: int, last: int | None = None, *, namespace: str = "a", table: str = "blocks", job_id: int = 1
) -> None:
    """Let there be an event for each of some blocks."""
    parameters = {"first": first, "last": first if last is None else last, "namespace": namespace, "table": table}
    await db.execute(PROGRESS, {**parameters, "job_id": job_id})
    while await collect_events(db, progress_interval_seconds=1):
        pass


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "_LOOK_SECONDS", 0.02)


@pytest.fixture
async def db(metadata_db: MetadataDb) -> MetadataDb:
    await set_recorded(metadata_db, recorded=True)
    return metadata_db


@dataclass(frozen=True)
class Served:
    """An Admin API on a port, as a controller serves it."""

    url: str
    streams: EventStreams

    async def until_open(self, count: int) -> None:
        """Return when so many streams are open: each has its place in the log by then."""
        async with asyncio.timeout(SECONDS):
            while self.streams._open != count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(db: MetadataDb, directory: Path, *, most: int = 100, port: int = 0) -> AsyncIterator[Served]:
    streams = EventStreams(WorkerEventLog(db), most=most)
    app = create_app(replace(services_over(db, directory), event_streams=streams))
    stop, url = asyncio.Event(), asyncio.get_running_loop().create_future()

    def started(host: str, bound: int) -> None:
        url.set_result(f"http://{host}:{bound}")

    task = asyncio.create_task(
        serve_admin_api(app, host="127.0.0.1", port=port, started=started, stop=stop, ending=streams.close)
    )
    try:
        yield Served(await url, streams)
    finally:
        stop.set()
        async with asyncio.timeout(3):  # readers that follow do not hold the end up
            await task


@pytest.fixture
async def there(db: MetadataDb, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(db, tmp_path) as served:
        yield served


async def take(stream: AsyncIterator[WorkerEvent], count: int) -> list[WorkerEvent]:
    found: list[WorkerEvent] = []
    async with asyncio.timeout(SECONDS):
        while len(found) < count:
            found.append(await anext(stream))
    return found


async def all_of(client: AsyncAmpd, **wanted: Any) -> list[WorkerEvent]:
    return [each async for each in client.events.stream(after="start", follow=False, **wanted)]


def blocks(events: list[WorkerEvent]) -> list[int | None]:
    return [each.current_block for each in events]


async def test_a_reader_gets_what_happens_from_now_on_and_goes_on_where_it_was(db: MetadataDb, there: Served) -> None:
    await tell(db, 1)
    async with AsyncAmpd(there.url) as client:
        async with aclosing(client.events.stream()) as stream:
            first = asyncio.create_task(take(stream, 2))
            await there.until_open(1)
            await tell(db, 2, 3)
            seen = await first
        assert blocks(seen) == [2, 3]
        await there.until_open(0)
        await tell(db, 4)
        for after in (seen[-1].id, seen[-1].event_id):
            async with aclosing(client.events.stream(after=after)) as stream:
                assert blocks(await take(stream, 1)) == [4]
        whole = await all_of(client)
    assert blocks(whole) == [1, 2, 3, 4]
    assert (whole[0].dataset, whole[0].table, whole[0].type) == ("a/set", "blocks", "sync.progress")


async def test_the_stream_is_that_of_a_browser(db: MetadataDb, there: Served) -> None:
    await tell(db, 1, 2)
    async with httpx.AsyncClient(base_url=there.url) as http:
        answer = await http.get("/events", params={"follow": "false"}, headers={"Last-Event-ID": "1"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
    opening, told, rest = answer.text.split("\n\n")
    assert (opening.splitlines()[-1], rest) == ("id: 1", "")
    name, number, data = told.split("\n")
    assert (name, number) == ("event: sync.progress", "id: 2")
    body = json.loads(data.removeprefix("data: "))
    assert set(body) == {
        "id", "event_id", "event_type", "event_version", "timestamp", "timestamp_ms", "source", "sync_progress",
    }  # fmt: skip
    assert body["sync_progress"]["progress"] == {
        "start_block": 0,
        "current_block": 2,
        "files_count": 1,
        "total_size_bytes": 2,
    }


async def test_filters_choose_events(db: MetadataDb, there: Served) -> None:
    await tell(db, 1, namespace="a", table="blocks", job_id=1)
    await tell(db, 2, namespace="a", table="logs", job_id=1)
    await tell(db, 3, namespace="b", table="blocks", job_id=2)
    async with AsyncAmpd(there.url) as client:
        assert blocks(await all_of(client, namespace="a")) == [1, 2]
        assert blocks(await all_of(client, dataset="b/set")) == [3]
        assert blocks(await all_of(client, table="blocks")) == [1, 3]
        assert blocks(await all_of(client, job_id=2)) == [3]
        assert blocks(await all_of(client, types=["sync.progress"], namespace="a", table="logs")) == [2]
        assert await all_of(client, types=["sync.failed", "sync.completed"]) == []
        for wanted in ({"dataset": "b"}, {"types": ["progress"]}, {"dataset": "b/set", "namespace": "a"}):
            with pytest.raises(ApiError) as caught:
                await all_of(client, **wanted)
            assert caught.value.code == "INVALID_QUERY_PARAMETERS"


async def test_a_limited_token_sees_the_events_of_its_namespaces_alone(db: MetadataDb, there: Served) -> None:
    await tell(db, 1, namespace="theirs")
    await tell(db, 2, namespace="ours")
    await AccessStore(db).create(NewToken(Role.ADMIN, "first"), actor="test")
    _, secret = await AccessStore(db).create(NewToken(Role.VIEWER, namespaces=("ours",)), actor="test")
    theirs = (await WorkerEventLog(db).read(EventFilter(), after_id=0, last_id=1)).events[0]
    async with AsyncAmpd(there.url, secret) as client:
        assert blocks(await all_of(client)) == [2]
        assert blocks(await all_of(client, namespace="theirs")) == []
        with pytest.raises(ApiError) as caught:
            await take(client.events.stream(after=str(theirs.event_id)), 1)
        assert (caught.value.code, caught.value.status) == ("EVENT_NOT_FOUND", 404)
        async with aclosing(client.events.stream()) as stream:
            live = asyncio.create_task(take(stream, 1))
            await there.until_open(1)
            await tell(db, 3, namespace="theirs")
            await tell(db, 4, namespace="ours")
            assert blocks(await live) == [4]


async def test_a_token_that_is_revoked_ends_its_stream(
    db: MetadataDb, there: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_SECONDS", 0.05)
    await AccessStore(db).create(NewToken(Role.ADMIN, "first"), actor="test")
    token, secret = await AccessStore(db).create(NewToken(Role.VIEWER), actor="test")
    async with AsyncAmpd(there.url, secret) as client:
        reading = asyncio.create_task(take(client.events.stream(), 1))
        await there.until_open(1)
        await AccessStore(db).revoke(token.id, actor="test")
        with pytest.raises(ApiError) as caught:
            await reading
    assert caught.value.code == "UNAUTHORIZED"


async def test_a_session_that_ends_ends_its_stream(
    db: MetadataDb, there: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_SECONDS", 0.05)
    _, secret = await AccessStore(db).create(NewToken(Role.ADMIN), actor="test")
    async with httpx.AsyncClient(base_url=there.url) as browser:
        told = (await browser.post("/session", json={"token": secret})).json()
        async with browser.stream("GET", "/events") as stream, asyncio.timeout(SECONDS):
            assert stream.status_code == 200
            await there.until_open(1)
            await browser.delete("/session", headers={"X-CSRF-Token": told["csrf_token"]})
            # It comes to its end.
            assert "event: " not in "\n".join([line async for line in stream.aiter_lines()])
        assert (await browser.get("/events")).status_code == 401


async def test_the_first_token_ends_the_streams_of_those_who_have_none(
    db: MetadataDb, there: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_SECONDS", 0.05)
    async with AsyncAmpd(there.url) as client:
        reading = asyncio.create_task(take(client.events.stream(), 1))
        await there.until_open(1)
        await AccessStore(db).create(NewToken(Role.ADMIN, "first"), actor="test")
        with pytest.raises(ApiError) as caught:
            await reading
    assert caught.value.code == "UNAUTHORIZED"


async def test_a_silent_stream_says_that_it_lives_and_where_it_is(
    db: MetadataDb, there: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_SECONDS", 0.02)
    await tell(db, 1)
    async with (
        asyncio.timeout(SECONDS),
        httpx.AsyncClient(base_url=there.url) as http,
        http.stream("GET", "/events", params={"namespace": "nothing", "after": "start"}) as answer,
    ):
        lines = answer.aiter_lines()
        while await anext(lines) != ": still here":
            pass
        # The place is behind what was not wanted: it is not looked through again.
        assert await anext(lines) == "id: 1"


async def test_what_is_not_kept_any_more_is_said_to_be_lost_and_not_passed_over(db: MetadataDb, there: Served) -> None:
    await tell(db, 1, 3)
    await db.execute("UPDATE worker_events SET created_at = now() - interval '1 day' WHERE id <= 2")
    await expire_events_of_log(db, kept_seconds=3600, unsent_seconds=3600)
    async with AsyncAmpd(there.url) as client:
        with pytest.raises(ApiError) as caught:
            await take(client.events.stream(after=1), 1)
        assert (caught.value.code, caught.value.status) == ("EVENTS_EXPIRED", 410)
        assert blocks(await take(client.events.stream(after=2), 1)) == [3]
        assert blocks(await all_of(client)) == [3]
        for unknown in (4, "nonsense", "0199f3c0-0000-7000-8000-000000000001"):
            with pytest.raises(ApiError) as caught:
                await take(client.events.stream(after=unknown), 1)
            assert caught.value.code == "EVENT_NOT_FOUND"


async def test_a_reader_whose_place_is_removed_while_it_reads_is_told(
    db: MetadataDb, there: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = WorkerEventLog.read

    async def slow(self: WorkerEventLog, *arguments: Any, **options: Any) -> Any:
        if options["after_id"] == 1:
            await db.execute("UPDATE worker_events SET created_at = now() - interval '1 day' WHERE id <= 2")
            await expire_events_of_log(db, kept_seconds=3600, unsent_seconds=3600)
            await asyncio.sleep(0.05)  # longer than a look at the log holds
        return await original(self, *arguments, **options, limit=1)

    monkeypatch.setattr(WorkerEventLog, "read", slow)
    await tell(db, 1, 3)
    async with AsyncAmpd(there.url) as client:
        stream = client.events.stream(after="start")
        assert blocks(await take(stream, 1)) == [1]
        with pytest.raises(ApiError) as caught:
            await take(stream, 1)
    assert caught.value.code == "EVENTS_EXPIRED"


async def test_where_no_events_are_recorded_the_stream_says_so(db: MetadataDb, there: Served) -> None:
    await set_recorded(db, recorded=False)
    async with AsyncAmpd(there.url) as client:
        with pytest.raises(ApiError) as caught:
            await all_of(client)
    assert (caught.value.code, caught.value.status) == ("EVENTS_DISABLED", 409)
    assert "worker_events.log_hours" in caught.value.message


async def test_more_readers_than_allowed_are_asked_to_come_back_and_a_place_is_free_when_one_goes(
    db: MetadataDb, tmp_path: Path
) -> None:
    async with serving(db, tmp_path, most=1) as there, httpx.AsyncClient(base_url=there.url) as http:
        async with http.stream("GET", "/events"):
            await there.until_open(1)
            answer = await http.get("/events")
            assert (answer.status_code, answer.json()["error_code"]) == (503, "TOO_MANY_STREAMS")
            assert int(answer.headers["retry-after"]) > 0
        await there.until_open(0)
        assert (await http.get("/events", params={"follow": "false"})).status_code == 200


async def test_a_client_outlives_a_restart_and_gets_everything_once(db: MetadataDb, tmp_path: Path) -> None:
    interruptions: list[ApiError] = []
    port = free_port()
    async with AsyncAmpd(f"http://127.0.0.1:{port}") as client:
        async with serving(db, tmp_path, port=port) as there:
            stream = client.events.stream(on_interruption=interruptions.append)
            reading = asyncio.create_task(take(stream, 4))
            await there.until_open(1)
            await tell(db, 1, 2)
        await tell(db, 3)
        async with serving(db, tmp_path, port=port):
            await tell(db, 4)
            assert blocks(await reading) == [1, 2, 3, 4]
            await stream.aclose()
    assert len(interruptions) == 1


async def test_a_reader_that_stands_still_costs_a_page_and_no_connection_to_the_database(
    db: MetadataDb, there: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = 0
    original = WorkerEventLog.read

    async def counted(self: WorkerEventLog, *arguments: Any, **options: Any) -> Any:
        nonlocal pages
        pages += 1
        return await original(self, *arguments, **options)

    monkeypatch.setattr(WorkerEventLog, "read", counted)
    await tell(db, 1, 2000, table="long" * 1250)
    address = urlsplit(there.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as still:
        still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        still.sendall(b"GET /events?after=start HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await there.until_open(1)
        # As many pages as there are for one that reads, and far less for the other beside it.
        async with AsyncAmpd(there.url) as client:
            assert len(await all_of(client)) == 2000
            assert 10 < pages < 18
            await client.jobs.list()


def test_ampctl_prints_events_as_text_and_as_lines_of_json(
    admin_url: str, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def prepare() -> None:
        async with MetadataDb(database_url) as db:
            await set_recorded(db, recorded=True)
            await tell(db, 1200, 1201)

    asyncio.run(prepare())
    tail = ["events", "tail", "--after", "start", "--no-follow", "--admin-url", admin_url]
    assert ampctl.run(tail) == 0
    first, _ = capsys.readouterr().out.splitlines()
    assert first.endswith("PROGRESS   a/set blocks  job 1  blocks 0 to 1200 (1 files, 2 B)")
    assert ampctl.run([*tail, "--json", "--type", "sync.progress"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["sync_progress"]["progress"]["current_block"] for each in told] == [1200, 1201]
    assert ampctl.run([*tail[:2], "--after", "77", "--admin-url", admin_url]) == 1
    assert "there is no event '77'" in capsys.readouterr().err
    with Ampd(admin_url) as client:
        assert blocks(list(client.events.stream(after=1, follow=False))) == [1201]
