"""Buckets of real servers: moto's, and SeaweedFS."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from ampd.config import Config, load_config
from ampd.daemons.stores import check_lake
from ampd.errors import AmpError, ErrorCode
from ampd.object_store import ObjectInfo, ObjectStore, StoreCheck, StoreSettings
from ampd.object_store import store as store_module
from support.object_stores import assert_one_of_many_puts_wins
from support.s3 import BUCKET, MEGABYTE, SECRET, Line, S3Server, moto, open_bucket, seaweedfs, use_credentials


@pytest.fixture(scope="module")
def moto_server() -> Iterator[S3Server]:
    with moto() as server:
        yield server


@pytest.fixture(scope="module")
def seaweedfs_server() -> Iterator[S3Server]:
    with seaweedfs() as server:
        yield server


@pytest.fixture(params=["moto", "seaweedfs"])
def server(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    use_credentials(monkeypatch)


@pytest.fixture
def store(server: S3Server) -> ObjectStore:
    """A place of its own in the bucket."""
    return open_bucket(server.url, f"test/{uuid4().hex}")


async def failure(store: ObjectStore, *, changes: bool = True) -> AmpError:
    with pytest.raises(AmpError) as caught:
        await (store.put("x", b"1") if changes else store.get("x"))
    assert SECRET not in caught.value.message
    assert "\n" not in caught.value.message
    assert "s3://" in caught.value.message
    return caught.value


async def test_what_was_put_can_be_read_listed_replaced_and_deleted(store: ObjectStore) -> None:
    put = await store.put("b/two", b"22")
    assert put.size == 2
    assert put.e_tag
    await store.put("b/one", memoryview(b"1"))
    await store.put("c", bytearray())
    assert (await store.replace("b/one", b"111")).e_tag
    assert await store.list() == [ObjectInfo("b/one", 3), ObjectInfo("b/two", 2), ObjectInfo("c", 0)]
    assert await store.list("b") == [ObjectInfo("b/one", 3), ObjectInfo("b/two", 2)]
    assert await store.list("b/on") == []
    assert (await store.get("b/one"), await store.get("c")) == (b"111", b"")
    await store.delete("b/one")
    assert await store.get("b/one") is None


async def test_the_end_of_an_object_is_read_alone_with_what_the_store_says_of_the_whole(store: ObjectStore) -> None:
    put = await store.put("a/b", b"0123456789")
    part = await store.get_from("a/b", 7)
    assert part is not None
    assert (part.data, part.size, part.e_tag) == (b"789", 10, put.e_tag)
    assert await store.get_from("a/none", 0) is None


async def test_what_is_not_there_is_no_error(store: ObjectStore) -> None:
    assert await store.get("a/b") is None
    assert await store.list() == []
    await store.delete("a/b")


async def test_a_put_leaves_the_object_that_is_there_and_forgives_its_own(store: ObjectStore) -> None:
    first = await store.put("x", b"first")
    with pytest.raises(AmpError) as caught:
        await store.put("x", b"other")
    assert (caught.value.code, caught.value.recoverable) == (ErrorCode.DATA_STORE_CONFLICT, True)
    assert await store.put("x", b"first") == first
    assert await store.get("x") == b"first"


async def test_of_many_puts_of_one_name_one_wins_and_stays_whole(store: ObjectStore) -> None:
    await assert_one_of_many_puts_wins(store)


async def test_a_list_goes_on_after_its_first_thousand(seaweedfs_server: S3Server) -> None:
    store = open_bucket(seaweedfs_server.url, f"test/{uuid4().hex}")
    names = [f"many/{number:04}" for number in range(1050)]
    for batch in range(0, len(names), 50):
        await asyncio.gather(*(store.put(name, b"1") for name in names[batch : batch + 50]))
    assert [info.path for info in await store.list("many")] == names


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 5 MiB, the least that S3 takes, from there on: large objects need not be large."""
    monkeypatch.setattr(store_module, "LARGEST_PIECE", 5 * MEGABYTE)
    monkeypatch.setattr(store_module, "PART_SIZE", 5 * MEGABYTE)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("megabytes", [5, 11])  # in one piece, and in parts
async def test_a_large_object_comes_back_as_it_was(
    store: ObjectStore, server: S3Server, tmp_path: Path, megabytes: int
) -> None:
    body = os.urandom(megabytes * MEGABYTE)
    assert (await store.put("big", body)).size == len(body)
    assert await store.get("big") == body
    with pytest.raises(AmpError) as caught:
        await store.put("big", body[:-1] + bytes([body[-1] ^ 1]))
    assert caught.value.code == ErrorCode.DATA_STORE_CONFLICT
    source = tmp_path / "source"
    source.write_bytes(body)
    await store.put("copy", source)
    assert server.client().head_object(Bucket=BUCKET, Key=f"{store.url.partition(f'{BUCKET}/')[2]}/copy")[
        "ContentLength"
    ] == len(body)
    assert server.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


async def test_a_check_finds_that_a_real_store_keeps_objects_and_leaves_nothing_behind(store: ObjectStore) -> None:
    assert await store.check() == StoreCheck(keeps_objects=True)
    assert await store.list() == []


async def test_a_bucket_that_is_not_there_is_named(moto_server: S3Server) -> None:
    # (SeaweedFS makes it.)
    store = ObjectStore.open("s3://no-such-bucket/x", StoreSettings(endpoint=moto_server.url, allow_http=True))
    for error in (await failure(store), await failure(store, changes=False)):
        assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_NOT_FOUND, False)
        assert "There is no such bucket: create it" in error.message
    for call in (store.list("a"), store.delete("a")):
        with pytest.raises(AmpError) as caught:
            await call
        assert caught.value.code == ErrorCode.DATA_STORE_NOT_FOUND


async def test_wrong_credentials_are_a_refusal(seaweedfs_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use_credentials(monkeypatch, secret="wrong")
    store = open_bucket(seaweedfs_server.url, "x")
    error = await failure(store)
    assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_NOT_WRITABLE, False)
    assert "403 SignatureDoesNotMatch. Check the credentials in the environment" in error.message
    assert "wrong" not in error.message
    assert (await failure(store, changes=False)).code == ErrorCode.DATA_STORE_NOT_READABLE


async def test_a_store_that_is_away_is_named_with_the_reason() -> None:
    with socket.socket() as unanswered:  # bound, but nobody listens
        unanswered.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unanswered.getsockname()[1]}"
        error = await failure(open_bucket(url, "x", retry_seconds=0.1))
    assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_UNREACHABLE, True)
    assert f"{url} cannot be reached (Connection refused)" in error.message


async def test_credentials_and_endpoint_can_come_from_a_profile(
    seaweedfs_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = {name: os.environ[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")}
    use_credentials(monkeypatch)
    for name in keys:
        monkeypatch.delenv(name.upper())
    lines = "".join(f"{name} = {value}\n" for name, value in keys.items())
    (tmp_path / "credentials").write_text(f"[default]\n[lake]\n{lines}", encoding="utf-8")
    (tmp_path / "config").write_text(
        f"[profile lake]\nregion = us-east-1\nendpoint_url = {seaweedfs_server.url}\n", encoding="utf-8"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    store = ObjectStore.open(f"s3://{BUCKET}/profile", StoreSettings(allow_http=True, profile="lake"))
    await store.replace("x", b"1")
    monkeypatch.setenv("AWS_PROFILE", "lake")
    assert await ObjectStore.open(f"s3://{BUCKET}/profile", StoreSettings(allow_http=True)).get("x") == b"1"


async def test_the_environment_alone_is_enough(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server.url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert await ObjectStore.open(f"s3://{BUCKET}/environment").check() == StoreCheck(keeps_objects=True)


def is_put(request: web.Request) -> bool:
    return request.method == "PUT"


def is_reading(request: web.Request) -> bool:
    return request.method == "GET" and "probe" in request.path


def lake_config(url: str, directory: Path, more: str = "") -> Config:
    """The configuration of a worker whose lake is behind ``url``."""
    file = directory / "config.toml"
    bucket = f'endpoint = "{url}"\nregion = "us-east-1"\nallow_http = true{more}'
    file.write_text(f'data_dir = "s3://{BUCKET}/check"\n[object_store]\n{bucket}\n', encoding="utf-8")
    return load_config(file)


class TestADisturbedLine:
    @pytest.fixture
    async def line(self, moto_server: S3Server) -> AsyncIterator[Line]:
        async with Line(moto_server.url).serving() as line:
            yield line

    @pytest.fixture
    def store(self, line: Line) -> ObjectStore:
        return open_bucket(line.url, f"test/{uuid4().hex}", timeout_seconds=1.0, retry_seconds=10.0)

    @pytest.mark.parametrize(
        ("kind", "given"),
        [
            ("status", {"status": 500, "times": 5}),
            ("status", {"status": 503, "code": "SlowDown", "times": 2}),
            ("status", {"status": 409, "code": "ConditionalRequestConflict", "hits": is_put}),
            ("before", {"times": 2}),
            ("after", {}),
            ("stall", {}),
            ("stall_after", {}),
        ],
    )
    async def test_a_put_that_meets_a_passing_fault_is_made_again_and_whole(
        self, store: ObjectStore, line: Line, kind: str, given: dict[str, object]
    ) -> None:
        body = os.urandom(MEGABYTE)
        line.disturb(kind, **given)
        assert (await store.put("x", body)).size == len(body)
        assert await store.get("x") == body
        assert line.faults[0].times == 0
        assert [info.path for info in await store.list()] == ["x"]

    @pytest.mark.parametrize("kind", ["before", "middle", "stall"])
    async def test_a_read_that_is_cut_off_is_made_again(self, store: ObjectStore, line: Line, kind: str) -> None:
        body = os.urandom(MEGABYTE)
        await store.put("x", body)
        line.disturb(kind)
        assert await store.get("x") == body
        line.disturb(kind)
        assert [info.path for info in await store.list()] == ["x"]
        assert [fault.times for fault in line.faults] == [0, 0]

    @pytest.mark.parametrize(
        ("kind", "given", "code", "said"),
        [
            ("status", {"status": 500}, ErrorCode.DATA_STORE_ERROR, "500 InternalError. Look into the store's own log"),
            ("status", {"status": 503, "code": "SlowDown"}, ErrorCode.DATA_STORE_SLOW, "asks to slow down"),
            ("status", {"status": 507}, ErrorCode.DATA_STORE_FULL, "no room left"),
            ("status", {"status": 403, "code": "QuotaExceeded"}, ErrorCode.DATA_STORE_FULL, "no room left"),
            ("before", {}, ErrorCode.DATA_STORE_UNREACHABLE, "can be reached from this machine"),
            ("stall", {}, ErrorCode.DATA_STORE_SLOW, "gave no whole answer within 0.5 s"),
        ],
    )
    async def test_a_fault_that_stays_ends_in_a_recoverable_error_that_tells_it(
        self, line: Line, kind: str, given: dict[str, object], code: ErrorCode, said: str
    ) -> None:
        store = open_bucket(line.url, f"test/{uuid4().hex}", timeout_seconds=0.5, retry_seconds=0.6)
        line.disturb(kind, times=1000, **given)
        error = await failure(store)
        assert (error.code, error.recoverable) == (code, True)
        assert said in error.message
        line.faults.clear()
        assert await store.list() == []

    async def test_a_refusal_is_not_tried_again(self, store: ObjectStore, line: Line) -> None:
        line.disturb("status", status=403, code="AccessDenied", times=1000)
        error = await failure(store)
        assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_NOT_WRITABLE, False)
        assert len(line.requests) == 1

    @pytest.mark.usefixtures("small_parts")
    async def test_a_part_that_fails_in_passing_is_sent_again(self, store: ObjectStore, line: Line) -> None:
        body = os.urandom(11 * MEGABYTE)
        line.disturb("status", status=500, times=2, hits=lambda request: "partNumber=2" in request.path_qs)
        await store.put("big", body)
        assert await store.get("big") == body

    @pytest.mark.usefixtures("small_parts")
    async def test_the_parts_of_an_upload_that_fails_are_given_up(
        self, store: ObjectStore, line: Line, moto_server: S3Server
    ) -> None:
        line.disturb("status", status=400, times=1000, hits=lambda request: "partNumber=2" in request.path_qs)
        with pytest.raises(AmpError) as caught:
            await store.put("big", bytes(11 * MEGABYTE))
        assert caught.value.recoverable
        assert moto_server.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
        assert (await store.get("big"), await store.list()) == (None, [])

    async def test_a_store_that_ignores_put_if_absent_is_noticed(self, store: ObjectStore, line: Line) -> None:
        line.dropped_headers.add("if-none-match")
        assert await store.check() == StoreCheck(keeps_objects=False)
        assert await store.list() == []

    async def test_a_worker_warns_of_a_store_that_ignores_put_if_absent(self, line: Line, tmp_path: Path) -> None:
        line.dropped_headers.add("if-none-match")
        with capture_logs() as logs:
            await check_lake(lake_config(line.url, tmp_path))
        assert [entry["event"] for entry in logs] == ["lake.overwrites"]

    async def test_a_worker_begins_while_its_lake_is_away_and_says_so(self, line: Line, tmp_path: Path) -> None:
        line.disturb("status", status=403, code="AccessDenied", times=1000)
        with capture_logs() as logs:
            await check_lake(lake_config(line.url, tmp_path))
        assert [(entry["event"], entry["error_code"]) for entry in logs] == [
            ("lake.not_ready", "DATA_STORE_NOT_WRITABLE")
        ]

    async def test_a_worker_does_not_begin_on_a_lake_that_forgets(self, line: Line, tmp_path: Path) -> None:
        line.disturb("status", status=404, code="NoSuchKey", times=1000, hits=is_reading)
        with pytest.raises(AmpError) as caught:
            await check_lake(lake_config(line.url, tmp_path, "\nretry_secs = 0.2"))
        assert caught.value.code == ErrorCode.DATA_STORE_UNSAFE

    async def test_a_cache_that_shows_old_answers_is_unsafe(self, line: Line) -> None:
        store = open_bucket(line.url, f"test/{uuid4().hex}", retry_seconds=0.2)
        line.disturb("status", status=404, code="NoSuchKey", times=1000, hits=is_reading)
        with pytest.raises(AmpError) as caught:
            await store.check()
        assert (caught.value.code, caught.value.recoverable) == (ErrorCode.DATA_STORE_UNSAFE, False)
        assert "reading it" in caught.value.message


async def test_a_server_that_dies_while_puts_go_on_has_each_of_them_whole_or_refused(
    seaweedfs_server: S3Server,
) -> None:
    store = open_bucket(seaweedfs_server.url, f"test/{uuid4().hex}", timeout_seconds=5.0, retry_seconds=20.0)
    bodies = {f"{number:02}": os.urandom(100_000) for number in range(40)}
    first_done = asyncio.Event()

    async def put(name: str, patience: ObjectStore) -> AmpError | None:
        try:
            await patience.put(name, bodies[name])
        except AmpError as error:
            return error
        finally:
            first_done.set()
        return None

    hasty = open_bucket(
        seaweedfs_server.url, store.url.partition(f"{BUCKET}/")[2], timeout_seconds=1.0, retry_seconds=0.1
    )
    puts = [asyncio.create_task(put(name, store if number % 2 else hasty)) for number, name in enumerate(bodies)]
    await first_done.wait()
    await asyncio.to_thread(seaweedfs_server.kill)
    late = asyncio.create_task(put("00", hasty))  # while it is away
    await asyncio.to_thread(seaweedfs_server.start)
    results = dict(zip(bodies, await asyncio.gather(*puts), strict=True))
    await late

    for name, error in results.items():
        found = await store.get(name)
        if error is None:
            assert found == bodies[name], f"{name} was accepted"
        else:
            assert error.recoverable, error.message
            assert found in (None, bodies[name]), f"{name} is not whole"
    assert all(error is None for number, error in enumerate(results.values()) if number % 2), "the patient ones waited"
