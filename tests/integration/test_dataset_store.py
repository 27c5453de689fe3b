"""Registered datasets in a real PostgreSQL, their manifests in a real directory."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ampd.datasets import DatasetStore, EvmRpcManifest, Reference, generate_manifest
from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import MetadataDb
from ampd.object_store import ObjectStore

PATIENCE_SECONDS = 20.0


@pytest.fixture
def manifests_dir(tmp_path: Path) -> Path:
    return tmp_path / "manifests"


@pytest.fixture
def store(metadata_db: MetadataDb, manifests_dir: Path) -> DatasetStore:
    return DatasetStore(metadata_db, ObjectStore.open(manifests_dir))


def manifest_from(start_block: int) -> EvmRpcManifest:
    return generate_manifest("evm-rpc", "mainnet", start_block)


async def resolved(store: DatasetStore, text: str) -> str:
    return (await store.resolve(Reference.parse(text))).manifest_hash


async def refused(store: DatasetStore, text: str) -> str:
    with pytest.raises(AmpError) as caught:
        await store.resolve(Reference.parse(text))
    assert caught.value.code == ErrorCode.DATASET_NOT_FOUND
    return caught.value.message


async def test_a_manifest_is_stored_under_its_hash_and_registering_twice_changes_nothing(
    store: DatasetStore, manifests_dir: Path
) -> None:
    manifest = manifest_from(1)
    assert await store.register_manifest(manifest) == await store.register_manifest(manifest) == manifest.hash()
    assert [path.name for path in manifests_dir.iterdir()] == [manifest.hash()]
    assert (manifests_dir / manifest.hash()).read_bytes() == manifest.canonical_json()
    assert await store.manifest(manifest.hash().upper()) == manifest
    [summary] = await store.list_manifests()
    assert (summary.hash, summary.kind, summary.dataset_count) == (manifest.hash(), "evm-rpc", 0)


async def test_a_registration_tells_what_it_registered(store: DatasetStore) -> None:
    manifest = generate_manifest("evm-rpc", "mainnet", 7, True)
    done = await store.register("eth", "mainnet", "1.0.0", manifest)
    assert (done.namespace, done.name, done.version, done.kind) == ("eth", "mainnet", "1.0.0", "evm-rpc")
    assert (done.manifest_hash, done.start_block, done.finalized_blocks_only) == (manifest.hash(), 7, True)
    assert done.tables == ["blocks", "logs", "transactions", "withdrawals"]
    assert [m.dataset_count for m in await store.list_manifests()] == [1]


async def test_a_registered_manifest_can_be_linked_by_its_hash(store: DatasetStore) -> None:
    manifest_hash = await store.register_manifest(manifest_from(1))
    done = await store.register("eth", "mainnet", None, manifest_hash.upper())
    assert (done.manifest_hash, done.version) == (manifest_hash, None)
    assert await resolved(store, "eth/mainnet@dev") == manifest_hash
    with pytest.raises(AmpError) as caught:
        await store.register("eth", "mainnet", None, "0" * 64)
    assert caught.value.code == ErrorCode.MANIFEST_NOT_FOUND


async def test_dev_moves_with_every_registration_and_latest_only_upwards(store: DatasetStore) -> None:
    one, two, three, four = (manifest_from(block) for block in (1, 2, 3, 4))
    await store.register("eth", "mainnet", None, one)
    assert await resolved(store, "eth/mainnet@dev") == one.hash()
    assert "its revisions are dev" in await refused(store, "eth/mainnet@latest")
    await store.register("eth", "mainnet", "1.9.0", two)
    assert await resolved(store, "eth/mainnet@latest") == two.hash()
    await store.register("eth", "mainnet", "1.10.0", three)
    assert await resolved(store, "eth/mainnet@latest") == three.hash()
    await store.register("eth", "mainnet", "1.10.0-rc.1", four)
    assert await resolved(store, "eth/mainnet@latest") == three.hash()
    assert await resolved(store, "eth/mainnet@dev") == four.hash()
    await store.register("eth", "mainnet", "1.10.0+rebuilt", four)  # not higher: build metadata does not count
    assert await resolved(store, "eth/mainnet@latest") == three.hash()


async def test_a_version_can_be_pointed_at_another_manifest_and_latest_stays_that_version(store: DatasetStore) -> None:
    one, two, three = (manifest_from(block) for block in (1, 2, 3))
    await store.register("eth", "mainnet", "1.0.0", one)
    await store.register("eth", "mainnet", "2.0.0", two)
    await store.register("eth", "mainnet", "1.0.0", three)
    assert await resolved(store, "eth/mainnet@1.0.0") == three.hash()
    assert await resolved(store, "eth/mainnet@latest") == two.hash()
    await store.register("eth", "mainnet", "2.0.0", three)
    assert await resolved(store, "eth/mainnet@latest") == three.hash()


async def test_registering_the_same_again_changes_no_tag(store: DatasetStore) -> None:
    await store.register("eth", "mainnet", "1.0.0", manifest_from(1))
    before = await store.versions("eth", "mainnet")
    await store.register("eth", "mainnet", "1.0.0", manifest_from(1))
    assert await store.versions("eth", "mainnet") == before


async def test_concurrent_registrations_of_a_new_dataset_never_lose_the_highest_version(store: DatasetStore) -> None:
    for attempt in range(4):
        name = f"chain_{attempt}"
        manifests = {f"1.{minor}.0": manifest_from(minor) for minor in (3, 11, 2, 10, 9, 1)}
        await asyncio.gather(*(store.register("eth", name, version, m) for version, m in manifests.items()))
        assert await resolved(store, f"eth/{name}@latest") == manifests["1.11.0"].hash()


async def test_who_decides_on_latest_waits_for_who_decided_before(store: DatasetStore, metadata_db: MetadataDb) -> None:
    await store.register("eth", "mainnet", "1.0.0", manifest_from(1))
    lock = "SELECT 1 FROM datasets WHERE namespace = 'eth' AND name = 'mainnet' FOR UPDATE"
    async with metadata_db.transaction() as blocker:
        await blocker.execute(lock)
        waiting = [
            asyncio.create_task(store.register("eth", "mainnet", version, manifest_from(number)))
            for number, version in ((3, "3.0.0"), (2, "2.0.0"))
        ]
        await both_wait_for_the_row(metadata_db)
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert await resolved(store, "eth/mainnet@latest") == manifest_from(3).hash()


async def both_wait_for_the_row(db: MetadataDb) -> None:
    query = (
        "SELECT count(*) AS waiting FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (row := await db.fetch_one(query)) is None or row["waiting"] < 2:
            await asyncio.sleep(0.01)


async def test_an_unknown_dataset_is_reported_with_those_that_are_known(store: DatasetStore) -> None:
    assert "dataset 'eth/mainnet' not found; none is registered" in await refused(store, "eth/mainnet@latest")
    await store.register("eth", "sepolia", "1.0.0", manifest_from(1))
    message = await refused(store, "eth/mainnet@latest")
    assert "there are eth/sepolia" in message
    assert "ampctl dataset register eth/mainnet" in message


async def test_an_unknown_revision_is_reported_with_those_that_are_known(store: DatasetStore) -> None:
    for version in ("1.9.0", "1.10.0"):
        await store.register("eth", "mainnet", version, manifest_from(1))
    assert "its revisions are 1.10.0, 1.9.0, latest, dev" in await refused(store, "eth/mainnet@2.0.0")


async def test_a_hash_counts_only_for_a_dataset_that_it_is_linked_to(store: DatasetStore) -> None:
    mine, other = manifest_from(1), manifest_from(2)
    await store.register("eth", "mainnet", "1.0.0", mine)
    await store.register("eth", "other", "1.0.0", other)
    found = await store.resolve(Reference.parse(f"eth/mainnet@{mine.hash().upper()}"))
    assert (found.manifest_hash, found.revision) == (mine.hash(), mine.hash())
    assert "no manifest with this hash is linked to it" in await refused(store, f"eth/mainnet@{other.hash()}")
    # Once linked it stays linked, also when no tag points at it any more.
    await store.register("eth", "mainnet", "1.0.0", other)
    assert await resolved(store, f"eth/mainnet@{mine.hash()}") == mine.hash()


async def test_a_resolved_revision_knows_the_highest_version_of_its_manifest(store: DatasetStore) -> None:
    one, two = manifest_from(1), manifest_from(2)
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.1"):
        await store.register("eth", "mainnet", version, one)
    await store.register("eth", "mainnet", None, two)
    for revision in ("latest", "1.9.0", one.hash()):
        found = await store.resolve(Reference("eth", "mainnet", revision))
        assert (found.version, found.revision) == ("1.10.0", revision)
    assert (await store.resolve(Reference.parse("eth/mainnet@dev"))).version is None


async def test_lists_are_ordered_by_name_and_versions_by_precedence(store: DatasetStore) -> None:
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.1", "1.10.0-rc.2"):
        await store.register("eth", "mainnet", version, manifest_from(1))
    await store.register("base", "mainnet", None, manifest_from(2))
    base, eth = await store.list_all()
    assert (base.namespace, base.latest_version, base.versions) == ("base", None, [])
    assert (eth.namespace, eth.latest_version) == ("eth", "1.10.0")
    assert eth.versions == ["1.10.0", "1.10.0-rc.2", "1.10.0-rc.1", "1.9.0"]


async def test_versions_tell_when_they_were_made_and_last_moved(store: DatasetStore) -> None:
    one, two = manifest_from(1), manifest_from(2)
    await store.register("eth", "mainnet", "1.0.0", one)
    await store.register("eth", "mainnet", "0.9.0", one)
    await store.register("eth", "mainnet", "1.0.0", two)
    found = await store.versions("eth", "mainnet")
    assert [(tag.version, tag.manifest_hash) for tag in found.versions] == [
        ("1.0.0", two.hash()),
        ("0.9.0", one.hash()),
    ]
    moved, unmoved = found.versions
    assert moved.updated_at > moved.created_at
    assert unmoved.updated_at == unmoved.created_at
    assert (found.latest_version, found.latest_hash, found.dev_hash) == ("1.0.0", two.hash(), two.hash())
    with pytest.raises(AmpError) as caught:
        await store.versions("eth", "mainnnet")
    assert caught.value.code == ErrorCode.DATASET_NOT_FOUND


@pytest.mark.parametrize(("name", "version"), [("Mainnet", "1.0.0"), ("mainnet", "1.0"), ("mainnet", "latest")])
async def test_wrong_names_and_versions_register_nothing(
    store: DatasetStore, manifests_dir: Path, name: str, version: str
) -> None:
    with pytest.raises(AmpError) as caught:
        await store.register("eth", name, version, manifest_from(1))
    assert caught.value.code == ErrorCode.INVALID_REFERENCE
    assert await store.list_all() == []
    assert not manifests_dir.exists()


async def test_a_manifest_that_is_lost_or_altered_is_reported(store: DatasetStore, manifests_dir: Path) -> None:
    with pytest.raises(AmpError, match="is not registered") as caught:
        await store.manifest("0" * 64)
    assert caught.value.code == ErrorCode.MANIFEST_NOT_FOUND
    manifest_hash = await store.register_manifest(manifest_from(1))
    content = json.loads((manifests_dir / manifest_hash).read_text())
    (manifests_dir / manifest_hash).write_text(json.dumps({**content, "start_block": 2}))
    with pytest.raises(AmpError, match="is not the manifest that was registered") as caught:
        await store.manifest(manifest_hash)
    assert caught.value.code == ErrorCode.INVALID_MANIFEST
    (manifests_dir / manifest_hash).unlink()
    with pytest.raises(AmpError, match=str(manifests_dir)) as caught:
        await store.manifest(manifest_hash)
    assert caught.value.code == ErrorCode.MANIFEST_NOT_FOUND
    await store.register_manifest(manifest_from(1))
    assert (await store.manifest(manifest_hash)).start_block == 1
