"""Datasets restored from nothing but their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from admin_api_cluster import Cluster, error

from ampd.chain.tables import TABLES
from ampd.data_store import Leftovers
from ampd.errors import AmpError, ErrorCode
from ampd.object_store import ObjectStore
from support.made_lake import MadeLake, files_below, segment_of

HOME = "/datasets/ethereum/mainnet/versions/1.0.0"


@pytest.fixture
def lake(tmp_path: Path) -> MadeLake:
    return MadeLake(tmp_path / "data")


async def restore(cluster: Cluster) -> dict[str, dict[str, Any]]:
    answer = await cluster.api.post(f"{HOME}/restore")
    assert answer.status_code == 202, answer.text
    return {each["table_name"]: each for each in answer.json()["tables"]}


async def counting(cluster: Cluster, revision_id: int) -> list[tuple[int, int]]:
    page = (await cluster.api.get(f"/revisions/{revision_id}/files?limit=1000")).json()
    return [(each["start_block"], each["end_block"]) for each in page["files"]]


async def test_what_was_compacted_reorganised_or_never_committed_does_not_count(
    cluster: Cluster, lake: MadeLake
) -> None:
    await cluster.register()
    for block in range(3):
        lake.write(block, block)
    lake.write(0, 2, seconds=9)  # compacted
    lake.write(3, 9, seconds=10)
    lake.write(3, 9, seconds=5)  # an attempt before
    lake.write(10, 12, fork=1, seconds=11)  # a reorg took it back
    lake.write(10, 14, seconds=12)
    lake.write(15, 19, tables=["blocks", "logs"], seconds=13)  # died before the other tables
    tables = await restore(cluster)
    assert set(tables) == set(TABLES)
    for name, table in tables.items():
        assert await counting(cluster, table["location_id"]) == [(0, 2), (3, 9), (10, 14)]
        assert (table["start_block"], table["end_block"], table["files_count"]) == (0, 14, 3)
        assert table["left_out"] == (6 if name in {"blocks", "logs"} else 5)
        assert table["url"] == f"file://{lake.data}/{lake.paths[name]}"
        assert (await cluster.api.get(f"/revisions/{table['location_id']}")).json()["active"] is True


async def test_what_is_left_out_is_deleted_after_a_week_and_nothing_that_counts(
    cluster: Cluster, lake: MadeLake
) -> None:
    await cluster.register()
    kept = {*lake.write(0, 9), *lake.write(10, 19)}
    left_out = {*lake.write(5, 9, seconds=1)}
    await restore(cluster)
    leftovers = Leftovers(cluster.db, ObjectStore.open(lake.data))
    await leftovers.collect()
    assert files_below(lake.data) == kept | left_out
    await cluster.db.execute("UPDATE uncounted_files SET collect_at = collect_at - interval '7 days'", {})
    await leftovers.collect()
    assert files_below(lake.data) == kept
    assert await leftovers.compare_one_revision(age_seconds=-1.0)
    assert files_below(lake.data) == kept


async def test_a_restore_done_again_changes_nothing_and_brings_back_nothing_that_will_be_deleted(
    cluster: Cluster, lake: MadeLake
) -> None:
    await cluster.register()
    lake.write(0, 9)
    lake.write(20, 29)
    first = await restore(cluster)
    assert (await cluster.api.delete(f"/revisions/{first['blocks']['location_id']}/prune")).json()["files_scheduled"]
    second = await restore(cluster)
    assert {name: each["location_id"] for name, each in second.items()} == {
        name: each["location_id"] for name, each in first.items()
    }
    assert await counting(cluster, second["blocks"]["location_id"]) == [(0, 9)]
    assert second["blocks"]["files_count"] == 1
    assert await counting(cluster, second["logs"]["location_id"]) == [(0, 9), (20, 29)], "what counts stays"


async def test_an_interrupted_restore_goes_on_where_it_was(cluster: Cluster, lake: MadeLake) -> None:
    await cluster.register()
    for start in range(0, 30, 10):
        lake.write(start, start + 9)
    body = {"dataset": "ethereum/mainnet@1.0.0", "table_name": "blocks", "path": lake.paths["blocks"]}
    revision_id = (await cluster.api.post("/revisions", json=body)).json()["location_id"]
    await cluster.api.post(f"/revisions/{revision_id}/restore")
    await cluster.db.execute("DELETE FROM files WHERE start_block = 10", {})
    tables = await restore(cluster)
    assert tables["blocks"]["location_id"] == revision_id
    assert await counting(cluster, revision_id) == [(0, 9), (10, 19), (20, 29)]


async def test_the_newest_directory_with_files_of_this_dataset_is_taken(cluster: Cluster, lake: MadeLake) -> None:
    await cluster.register()
    older = lake
    older.write(0, 9)
    newer = MadeLake(lake.data)
    newer.write(0, 4)
    foreign = MadeLake(lake.data)
    foreign.write(0, 99, network="sepolia")
    broken = MadeLake(lake.data)
    broken.put("blocks", "000000000-0.parquet", b"PAR1")
    tables = await restore(cluster)
    assert {name: each["url"] for name, each in tables.items()} == {
        name: f"file://{lake.data}/{path}" for name, path in newer.paths.items()
    }


async def test_a_directory_of_another_manifest_of_the_dataset_is_left_alone(cluster: Cluster, lake: MadeLake) -> None:
    await cluster.register(start_block=5)
    lake.write(5, 9)
    earlier = MadeLake(lake.data)
    earlier.write(0, 9)
    tables = await restore(cluster)
    assert tables["blocks"]["url"].endswith(lake.paths["blocks"])
    await cluster.register(version="2.0.0", start_block=0)
    answer = await cluster.api.post("/datasets/ethereum/mainnet/versions/2.0.0/restore")
    assert {each["url"].rpartition("data/")[2] for each in answer.json()["tables"]} == set(earlier.paths.values())


async def test_objects_that_are_no_segments_are_named_and_stay(cluster: Cluster, lake: MadeLake) -> None:
    await cluster.register()
    lake.write(0, 9)
    (whole,) = lake.write(10, 19, tables=["logs"])
    content = whole.read_bytes()
    whole.unlink()
    strange = {
        "000000010-1.parquet": (content[:-100], "no whole Parquet file"),
        "000000010-2.parquet": (b"", "no whole Parquet file"),
        "000000010-3.parquet": (b"x" * 4 + (2**31).to_bytes(4, "little") + b"PAR1", "cut off"),
        "000000010-4.parquet": (b"x" * 90 + (50).to_bytes(4, "little") + b"PAR1", "footer cannot be read"),
        "000000010-5.parquet": (content, "of table 'logs'"),
    }
    for name, (body, _) in strange.items():
        lake.put("blocks", name, body)
    table = (await restore(cluster))["blocks"]
    assert table["files_count"] == 1
    assert set(table["unusable"]) == set(strange)
    for name, (_, why) in strange.items():
        assert why in table["unusable"][name]
    leftovers = Leftovers(cluster.db, ObjectStore.open(lake.data))
    for _ in TABLES:
        await leftovers.compare_one_revision(age_seconds=-1.0)
    assert len(files_below(lake.data / lake.paths["blocks"])) == 1 + len(strange)


async def test_files_of_the_reference_system_are_restored_with_the_time_of_their_last_block(
    cluster: Cluster, lake: MadeLake
) -> None:
    await cluster.register()
    for name in TABLES:
        for start in (0, 10):
            lake.write_as_reference(name, segment_of(start, start + 9))
    tables = await restore(cluster)
    page = (await cluster.api.get(f"/revisions/{tables['logs']['location_id']}/files")).json()
    assert [each["metadata"]["ranges"][0]["timestamp"] for each in page["files"]] == [1_700_000_009, 1_700_000_019]
    assert [each["row_count"] for each in page["files"]] == [1, 1]


async def test_a_restore_tells_how_far_it_is_and_how_it_ended(
    cluster: Cluster, lake: MadeLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.register()
    assert error(await cluster.api.get(f"{HOME}/restore")) == (404, "RESTORE_NOT_FOUND")
    lake.write(0, 9)
    lake.write(10, 19)
    await restore(cluster)
    progress = (await cluster.api.get(f"{HOME}/restore")).json()
    files = 2 * len(TABLES)
    assert {key: progress[key] for key in progress if not key.endswith("_at")} == {
        "state": "COMPLETED",
        "phase": "ACTIVATING",
        "files_found": files,
        "files_read": files,
        "files_registered": files,
        "error": None,
    }

    async def away(_store: ObjectStore, _prefix: str = "") -> Any:
        raise AmpError(ErrorCode.DATA_STORE_UNREACHABLE, "the bucket is away", recoverable=True)

    monkeypatch.setattr(ObjectStore, "list", away)
    assert error(await cluster.api.post(f"{HOME}/restore")) == (500, "DATA_STORE_UNREACHABLE")
    failed = (await cluster.api.get(f"{HOME}/restore")).json()
    assert (failed["state"], failed["phase"]) == ("FAILED", "LISTING")
    assert failed["error"]["error_code"] == "DATA_STORE_UNREACHABLE"
    await cluster.db.execute(
        "UPDATE lake_restores SET state = 'RUNNING', error = NULL, updated_at = now() - interval '2 minutes'", {}
    )
    assert (await cluster.api.get(f"{HOME}/restore")).json()["state"] == "INTERRUPTED"


async def test_one_table_is_restored_from_its_newest_directory_or_gets_a_revision(
    cluster: Cluster, lake: MadeLake
) -> None:
    await cluster.register()
    lake.write(0, 9)
    older = (await restore(cluster))["logs"]["location_id"]
    newer = MadeLake(lake.data, tables=["logs"])
    newer.write(0, 19)
    path = f"{HOME}/tables/logs/restore"
    answer = await cluster.api.post(path)
    assert (answer.status_code, answer.content) == (200, b"")
    active = (await cluster.api.get("/revisions?active=true&table_name=logs")).json()
    assert [each["path"] for each in active] == [newer.paths["logs"]]
    assert (await cluster.api.post(path, json={"location_id": older})).status_code == 200
    assert (await cluster.api.get(f"/revisions/{older}")).json()["active"] is True
    for body, refused in (
        ({"location_id": 0}, (400, "INVALID_BODY")),
        ({"id": older}, (400, "INVALID_BODY")),
        ({"location_id": 999999}, (404, "REVISION_NOT_FOUND")),
    ):
        assert error(await cluster.api.post(path, json=body)) == refused
    assert error(await cluster.api.post(f"{HOME}/tables/traces/restore")) == (404, "TABLE_NOT_IN_MANIFEST")
    other = "/datasets/a/b/versions/1.0.0/tables/logs/restore"
    assert error(await cluster.api.post(other)) == (404, "DATASET_NOT_FOUND")


async def test_a_dataset_without_files_of_a_table_is_not_restored_and_stays_as_it_was(
    cluster: Cluster, lake: MadeLake
) -> None:
    await cluster.register()
    lake.write(0, 9, tables=[name for name in TABLES if name != "logs"])
    answer = await cluster.api.post(f"{HOME}/restore")
    assert error(answer) == (404, "TABLE_NOT_FOUND")
    assert "'logs'" in answer.json()["error_message"]
    assert (await cluster.api.get("/revisions?active=true")).json() == []
    assert error(await cluster.api.post("/datasets/a/b/versions/1.0.0/restore")) == (404, "DATASET_NOT_FOUND")
    assert error(await cluster.api.post("/datasets/a/b/versions/new/restore")) == (400, "INVALID_PATH")
