"""A container of Azure Blob Storage, as Azurite serves it. In the long run only: Azurite takes a minute to install."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.object_store import ObjectInfo, ObjectStore, StoreCheck, StoreSettings
from ampd.object_store import store as store_module
from support.azure import CONTAINER, KEY, AzureServer, azurite, needs_azurite
from support.object_stores import assert_one_of_many_puts_wins

pytestmark = [pytest.mark.long, needs_azurite]
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[AzureServer]:
    with azurite() as server:
        yield server


@pytest.fixture
def store(server: AzureServer, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A place of its own in the container."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return ObjectStore.open(f"az://{CONTAINER}/test/{uuid4().hex}", StoreSettings(retry_seconds=1.0))


async def test_what_was_put_can_be_read_listed_replaced_and_deleted(store: ObjectStore) -> None:
    put = await store.put("b/two", b"0123456789")
    await store.put("b/one", memoryview(b"1"))
    assert (await store.replace("b/one", b"111")).e_tag
    assert await store.list() == [ObjectInfo("b/one", 3), ObjectInfo("b/two", 10)]
    part = await store.get_from("b/two", 7)
    assert part is not None
    assert (part.data, part.size, part.e_tag) == (b"789", 10, put.e_tag)
    await store.delete("b/one")
    assert (await store.get("b/one"), await store.get("b/two")) == (None, b"0123456789")
    await store.delete("b/one")


async def test_of_many_puts_of_one_name_one_wins_and_stays_whole(store: ObjectStore) -> None:
    await assert_one_of_many_puts_wins(store)


async def test_a_check_finds_that_it_keeps_objects_and_leaves_nothing_behind(store: ObjectStore) -> None:
    assert await store.check() == StoreCheck(keeps_objects=True)
    assert await store.list() == []


async def test_a_large_object_goes_up_in_parts_and_is_seen_when_it_is_whole(
    store: ObjectStore, server: AzureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LARGEST_PIECE", 5 * MEGABYTE)
    monkeypatch.setattr(store_module, "PART_SIZE", 5 * MEGABYTE)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(11 * MEGABYTE))
    assert (await store.put("big", source)).size == 11 * MEGABYTE
    path = f"{store.url.partition(f'{CONTAINER}/')[2]}/big"
    assert server.container().download_blob(path).readall() == source.read_bytes()
    with pytest.raises(AmpError) as caught:
        await store.put("big", b"other" * 2 * MEGABYTE)
    assert caught.value.code == ErrorCode.DATA_STORE_CONFLICT


async def test_a_container_that_is_not_there_and_a_key_that_is_wrong_are_told(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AmpError, match="There is no such bucket") as caught:
        await ObjectStore.open("az://no-such-container/x", StoreSettings(retry_seconds=1.0)).put("x", b"1")
    assert caught.value.code == ErrorCode.DATA_STORE_NOT_FOUND
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=")
    with pytest.raises(AmpError, match=r"403 .* Check the credentials in the environment") as caught:
        await ObjectStore.open(store.url).put("x", b"1")
    assert (caught.value.code, caught.value.recoverable) == (ErrorCode.DATA_STORE_NOT_WRITABLE, False)
    assert KEY not in caught.value.message
    assert "d3Jvbmc" not in caught.value.message
