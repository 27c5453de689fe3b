"""Puts into a directory by a process that is killed in the middle: its source is a pipe that we hold back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.object_store import ObjectStore
from ampd.object_store.directory import is_hidden
from support.daemons import wait_for

PART = b"x" * 100_000
WRITER = """
import asyncio, sys
from pathlib import Path
from ampd.object_store import ObjectStore

directory, how, source = sys.argv[1:]
store = ObjectStore.open(directory)
asyncio.run(getattr(store, how)("a/b/object", Path(source)))
"""


@contextmanager
def half_written(lake: Path, how: str, pipe: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that has written one part of an object and waits for the rest; kill it at the end."""
    os.mkfifo(pipe)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(lake), how, str(pipe)])
    try:
        with pipe.open("wb", buffering=0) as source:
            source.write(PART)  # more than a pipe holds: the writer has read most of it
            yield writer
            writer.kill()
            writer.wait()
    finally:
        writer.kill()
        writer.wait()


def files_in(lake: Path) -> list[str]:
    return sorted(path.relative_to(lake).as_posix() for path in lake.rglob("*") if path.is_file())


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are Linux's")
async def test_a_put_that_is_killed_leaves_nothing_at_all(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with half_written(lake, "put", tmp_path / "pipe"):
        assert files_in(lake) == []
    assert files_in(lake) == []
    store = ObjectStore.open(lake)
    assert (await store.list(), await store.get("a/b/object")) == ([], None)
    await store.put("a/b/object", b"whole")
    assert await store.get("a/b/object") == b"whole"


async def test_what_a_killed_replacement_leaves_is_invisible_and_swept_once_its_writer_is_dead(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    store = ObjectStore.open(lake)
    old = await store.put("a/b/object", b"old")
    with half_written(lake, "replace", tmp_path / "pipe"):
        hidden = wait_for("the hidden file", lambda: [file for file in files_in(lake) if is_hidden(file)])
        assert await store.get("a/b/object") == b"old"
        assert [info.path for info in await store.list()] == ["a/b/object"]
        assert await store.sweep() == [], "its writer lives"
    assert files_in(lake) == sorted(["a/b/object", *hidden])
    assert await store.sweep("a/c") == []
    assert await store.sweep("a") == hidden
    assert files_in(lake) == ["a/b/object"]
    assert await store.put("a/b/object", b"old") == old


async def test_leftovers_of_the_first_release_are_swept_when_they_are_old(tmp_path: Path) -> None:
    store = ObjectStore.open(tmp_path)
    await store.put("a/x.parquet", b"whole")
    for name, age in (("old#1", 7200), ("young#1", 60)):
        (tmp_path / "a" / name).write_bytes(b"part")
        os.utime(tmp_path / "a" / name, (time.time() - age,) * 2)
    assert await store.sweep() == ["a/old#1"]
    assert files_in(tmp_path) == ["a/x.parquet", "a/young#1"]
    assert [info.path for info in await store.list()] == ["a/x.parquet"]


async def test_a_sweep_of_a_place_that_is_not_there_finds_nothing(tmp_path: Path) -> None:
    assert await ObjectStore.open(tmp_path / "none").sweep() == []
    assert await ObjectStore.open("memory:///").sweep() == []


async def test_where_files_cannot_be_without_a_name_puts_are_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    store = ObjectStore.open(tmp_path)
    await store.put("a/x", b"1")
    with pytest.raises(AmpError) as caught:
        await store.put("a/x", b"2")
    assert caught.value.code == ErrorCode.DATA_STORE_CONFLICT
    with pytest.raises(AmpError):
        await store.put("a/y", tmp_path)  # a source that cannot be read
    assert files_in(tmp_path) == ["a/x"]
    assert await store.get("a/x") == b"1"


@pytest.mark.parametrize("path", ["", "/x", "a//x", "../x", "a/../x", "x#1", ".ampd-put-" + "0" * 32 + ".tmp"])
async def test_a_path_that_leads_elsewhere_or_hides_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="no path of an object"):
        await ObjectStore.open(tmp_path / "lake").put(path, b"1")
    assert list(tmp_path.iterdir()) == []
