"""Object stores on real directories: read-only ones, full ones, and ones that are not there yet."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.object_store import ObjectInfo, ObjectStore, StoreCheck
from support.object_stores import assert_one_of_many_puts_wins

MEGABYTE = 1024 * 1024
NOBODY = 65534
SECRET = "s3cr3t"


async def failure(call: Awaitable[object]) -> AmpError:
    with pytest.raises(AmpError) as caught:
        await call
    assert SECRET not in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


@pytest.fixture(params=["path", "text", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    places: dict[str, str | Path] = {
        "path": tmp_path / "new/deep dir",
        "text": str(tmp_path / "new"),
        "file": (tmp_path / "new/ä b").as_uri(),
        "memory": "memory:///",
    }
    return ObjectStore.open(places[request.param])


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


async def test_what_is_not_there_is_no_error(store: ObjectStore) -> None:
    assert await store.get("a/b") is None
    assert await store.list() == []
    await store.delete("a/b")


async def test_a_file_can_be_put_as_it_is(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(6 * MEGABYTE))
    assert (await store.put("copy", source)).size == 6 * MEGABYTE
    assert await store.get("copy") == source.read_bytes()
    source.write_bytes(b"2")
    await store.replace("copy", source)
    assert await store.get("copy") == b"2"


async def test_a_put_leaves_the_object_that_is_there(store: ObjectStore, tmp_path: Path) -> None:
    await store.put("a/x", b"first")
    error = await failure(store.put("a/x", b"other"))
    assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_CONFLICT, True)
    assert "'a/x'" in error.message
    assert await store.get("a/x") == b"first"


async def test_a_put_of_what_is_there_already_is_fine(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"same")
    first = await store.put("x", b"same")
    assert await store.put("x", b"same") == first
    assert await store.put("x", source) == first


async def test_of_many_puts_of_one_name_one_wins_and_stays_whole(store: ObjectStore) -> None:
    await assert_one_of_many_puts_wins(store)


async def test_a_directory_comes_into_being_with_the_first_write(tmp_path: Path) -> None:
    store = ObjectStore.open(tmp_path / "a/b")
    await store.list()
    await store.delete("x")
    assert not (tmp_path / "a").exists()
    await store.put("c/d", b"x")
    assert (tmp_path / "a/b/c/d").read_bytes() == b"x"


async def test_a_directory_that_vanished_is_made_again(tmp_path: Path) -> None:
    store = ObjectStore.open(tmp_path / "a")
    await store.put("x", b"1")
    shutil.rmtree(tmp_path / "a")
    assert (await store.get("x"), await store.list()) == (None, [])
    await store.put("x", b"2")
    assert await store.get("x") == b"2"


async def test_urls_name_the_place_and_its_objects(tmp_path: Path) -> None:
    store = ObjectStore.open(tmp_path / "a b")
    assert store.url == f"{tmp_path.as_uri()}/a%20b"
    assert store.url_of("c/d") == f"{store.url}/c/d"
    assert ObjectStore.open(store.url).directory == tmp_path / "a b"
    assert ObjectStore.open("s3://bucket/prefix/").url_of("x") == "s3://bucket/prefix/x"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "needs a path or a URL"),
        ("ftp://host/x", "file://, s3://, gs://, az://, memory://"),
        ("https://host/x", "unknown scheme 'https'"),
        (f"s3://AKIA:{SECRET}@bucket/x", "do not belong into the URL"),
        (f"s3://bucket/x?secret_access_key={SECRET}", "do not belong into the URL"),
        ("s3://", "cannot be opened"),
        ("file://host/x", "file:///absolute/path"),
        ("file://", "file:///absolute/path"),
    ],
)
def test_a_place_that_cannot_be_opened_is_refused_without_its_secrets(url: str, said: str) -> None:
    with pytest.raises(AmpError) as caught:
        ObjectStore.open(url)
    assert caught.value.code == ErrorCode.CONFIG_INVALID
    assert said in caught.value.message
    assert SECRET not in caught.value.message


async def test_a_check_finds_that_objects_are_kept_and_leaves_nothing_behind(store: ObjectStore) -> None:
    assert await store.check() == StoreCheck(keeps_objects=True)
    assert await store.list() == []
    assert store.directory is None or list(store.directory.iterdir()) == []


async def test_a_reader_never_sees_a_part_of_a_replaced_object(tmp_path: Path) -> None:
    store = ObjectStore.open(tmp_path)
    versions = {bytes([digit]) * (8 * MEGABYTE + digit) for digit in (1, 2)}
    await store.replace("x", next(iter(versions)))
    done = asyncio.Event()

    async def write() -> None:
        for _ in range(5):
            for version in versions:
                await store.replace("x", version)
        done.set()

    writer = asyncio.create_task(write())
    seen = set()
    while not done.is_set():
        content = await store.get("x")
        assert content in versions
        seen.add(content)
    await writer
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


async def test_a_file_in_the_place_of_the_directory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for directory in ("file", "file/below"):
        store = ObjectStore.open(tmp_path / directory)
        error = await failure(store.check())
        assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_NOT_WRITABLE, False)
        assert str(tmp_path / directory) in error.message
        assert "A file stands where a directory is needed" in error.message
    assert (tmp_path / "file").read_text() == "x"


@contextmanager
def without_rights() -> Iterator[None]:
    """Run as nobody when the tests run as root, for whom directory modes mean nothing."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter (pytest's own is closed to others)."""
    directory = Path(tempfile.mkdtemp(prefix="ampd-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


async def test_a_directory_without_the_right_to_write_is_reported(open_directory: Path) -> None:
    store = ObjectStore.open(open_directory)
    await store.put("old", b"x")
    open_directory.chmod(0o555)
    try:
        with without_rights():
            uid = os.geteuid()
            errors = [await failure(call) for call in (store.check(), store.delete("old"))]
            errors.append(await failure(ObjectStore.open(open_directory / "new").put("x", b"")))
            assert await store.get("old") == b"x"
    finally:
        open_directory.chmod(0o755)
    for error in errors:
        assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_NOT_WRITABLE, False)
        assert f"'{open_directory}" in error.message
        assert f"Permission denied. Give the user of ampd (uid {uid}) the right to it" in error.message


async def test_an_object_without_the_right_to_read_is_reported(open_directory: Path) -> None:
    store = ObjectStore.open(open_directory)
    await store.put("closed", b"x")
    (open_directory / "closed").chmod(stat.S_IWUSR)
    with without_rights():
        error = await failure(store.get("closed"))
    assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_NOT_READABLE, True)
    assert "cannot read 'closed'" in error.message
    assert "Permission denied" in error.message


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte of its own."""
    volume = tmp_path / "volume"
    volume.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(volume)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield volume
    subprocess.run(["umount", str(volume)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount command")
async def test_a_full_disk_is_reported_with_its_free_space_and_leaves_no_part(small_volume: Path) -> None:
    store = ObjectStore.open(small_volume / "lake")
    await store.put("kept", b"x" * 1000)
    error = await failure(store.put("big", b"x" * (3 * MEGABYTE)))
    assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_FULL, True)
    assert str(small_volume / "lake") in error.message
    assert "No space left on device" in error.message
    assert f"({shutil.disk_usage(small_volume).free:,} bytes are free there)" in error.message
    assert [path.name for path in (small_volume / "lake").iterdir()] == ["kept"]
    await store.put("small", b"x" * 1000)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount command")
async def test_a_read_only_file_system_is_reported(small_volume: Path) -> None:
    store = ObjectStore.open(small_volume)
    await store.put("old", b"x")
    subprocess.run(["mount", "-o", "remount,ro", str(small_volume)], check=True)
    for call in (store.check(), store.delete("old"), ObjectStore.open(small_volume / "new").put("x", b"")):
        error = await failure(call)
        assert (error.code, error.recoverable) == (ErrorCode.DATA_STORE_NOT_WRITABLE, False)
        assert str(small_volume) in error.message
        assert "mount it writable or configure another directory" in error.message
    assert await store.get("old") == b"x"


MEMORY_OF_A_LARGE_PUT = """
import asyncio, resource, sys
from pathlib import Path
from ampd.object_store import ObjectStore

def peak_kilobytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

directory, how = sys.argv[1:]
body = b"x" * (100 << 20) if how == "bytes" else Path(directory, "source")
before = peak_kilobytes()
asyncio.run(ObjectStore.open(directory).put("big", body))
print((peak_kilobytes() - before) >> 10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
@pytest.mark.parametrize("how", ["bytes", "file"])
def test_a_large_put_needs_a_bounded_amount_of_memory(tmp_path: Path, how: str) -> None:
    with (tmp_path / "source").open("wb") as source:
        source.truncate(100 * MEGABYTE)
    command = [sys.executable, "-c", MEMORY_OF_A_LARGE_PUT, str(tmp_path), how]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (tmp_path / "big").stat().st_size == 100 * MEGABYTE
    assert grown < 90, "megabytes on top of the body"
