"""Revisions of tables over HTTP: what each operation does, when it is refused, and what becomes of the files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from admin_api_cluster import Cluster, error

from ampd.chain.tables import TABLES
from ampd.data_store import Dataset, Leftovers, RevisionStore
from ampd.metadata_db import sql
from ampd.object_store import ObjectStore
from support.engine import HeldUpDb, row_holder
from support.made_lake import MadeLake, files_below

REFERENCE = "ethereum/mainnet@1.0.0"
TABLE = {"dataset": REFERENCE, "table_name": "blocks"}


@pytest.fixture
def lake(tmp_path: Path) -> MadeLake:
    return MadeLake(tmp_path / "data")


async def restored(cluster: Cluster, lake: MadeLake, *segments: tuple[int, int]) -> dict[str, int]:
    """Register the dataset, write segments, restore them, and return the ids of the revisions by table."""
    await cluster.register()
    for segment in segments:
        lake.write(*segment)
    answer = await cluster.api.post("/datasets/ethereum/mainnet/versions/1.0.0/restore")
    assert answer.status_code == 202, answer.text
    return {each["table_name"]: each["location_id"] for each in answer.json()["tables"]}


async def deactivate(cluster: Cluster, table: str = "blocks") -> None:
    answer = await cluster.api.post("/revisions/deactivate", json={**TABLE, "table_name": table})
    assert (answer.status_code, answer.content) == (200, b"")


async def get(cluster: Cluster, revision_id: int) -> dict[str, Any]:
    answer = await cluster.api.get(f"/revisions/{revision_id}")
    assert answer.status_code == 200
    return dict(answer.json())


async def test_revisions_are_listed_newest_first_by_pages_and_filters(cluster: Cluster, lake: MadeLake) -> None:
    ids = await restored(cluster, lake, (0, 9), (10, 19))
    await deactivate(cluster)
    everything = (await cluster.api.get("/revisions")).json()
    assert [each["id"] for each in everything] == sorted(ids.values(), reverse=True)
    shown = next(each for each in everything if each["id"] == ids["blocks"])
    assert shown == await get(cluster, ids["blocks"])
    assert {name: shown[name] for name in ("path", "active", "files_count")} == {
        "path": lake.paths["blocks"],
        "active": False,
        "files_count": 2,
    }
    assert "writer" not in shown
    assert shown["metadata"]["table_name"] == "blocks"
    inactive = (await cluster.api.get("/revisions?active=false")).json()
    assert [each["id"] for each in inactive] == [ids["blocks"]]
    assert len((await cluster.api.get("/revisions?active=true")).json()) == len(TABLES) - 1
    first = (await cluster.api.get("/revisions?limit=1")).json()
    rest = (await cluster.api.get(f"/revisions?last_id={first[0]['id']}")).json()
    assert first + rest == everything
    assert (await cluster.api.get("/revisions?limit=0")).json() == []
    assert (await cluster.api.get("/revisions?dataset=ethereum/mainnet&table_name=logs")).json()[0]["id"] == ids["logs"]
    assert (await cluster.api.get("/revisions?dataset=a/b")).json() == []
    for query in ("limit=-1", "limit=x", "limit=10001", "active=maybe", "last_id=0", "dataset=A", "colour=red"):
        assert error(await cluster.api.get(f"/revisions?{query}")) == (400, "INVALID_QUERY_PARAMETERS")


async def test_files_are_listed_by_blocks_and_shown_one_by_one(cluster: Cluster, lake: MadeLake) -> None:
    ids = await restored(cluster, lake, (0, 9), (10, 19), (20, 29))
    path = f"/revisions/{ids['logs']}/files"
    page = (await cluster.api.get(f"{path}?limit=2")).json()
    assert [(each["start_block"], each["end_block"]) for each in page["files"]] == [(0, 9), (10, 19)]
    rest = (await cluster.api.get(f"{path}?after={page['next_cursor']}")).json()
    assert [each["start_block"] for each in rest["files"]] == [20]
    assert "next_cursor" not in rest
    file = (await cluster.api.get(f"/files/{rest['files'][0]['id']}")).json()
    assert file == rest["files"][0]
    assert file["location_id"] == ids["logs"]
    assert file["url"] == f"file://{lake.data}/{lake.paths['logs']}/{file['file_name']}"
    assert file["metadata"]["ranges"][0]["numbers"] == {"start": 20, "end": 29}
    assert file["object_size"] == (lake.data / lake.paths["logs"] / file["file_name"]).stat().st_size
    assert error(await cluster.api.get("/files/0")) == (400, "INVALID_FILE_ID")
    assert error(await cluster.api.get("/files/x")) == (400, "INVALID_FILE_ID")
    assert error(await cluster.api.get("/files/999999")) == (404, "FILE_NOT_FOUND")
    assert error(await cluster.api.get("/revisions/999999/files")) == (404, "REVISION_NOT_FOUND")
    assert error(await cluster.api.get(f"{path}?limit=0")) == (400, "INVALID_QUERY_PARAMETERS")


async def test_a_directory_is_registered_restored_and_activated(cluster: Cluster, lake: MadeLake) -> None:
    await cluster.register()
    lake.write(0, 9)
    body = {**TABLE, "path": lake.paths["blocks"]}
    answer = await cluster.api.post("/revisions", json=body)
    assert answer.status_code == 200
    revision_id = answer.json()["location_id"]
    assert (await cluster.api.post("/revisions", json=body)).json() == {"location_id": revision_id}
    assert (await get(cluster, revision_id))["active"] is False
    found = (await cluster.api.post(f"/revisions/{revision_id}/restore")).json()
    assert found == {"total_files": 1, "left_out": 0, "unusable": {}}
    assert (await cluster.api.post(f"/revisions/{revision_id}/restore")).json()["total_files"] == 1, "once more"
    answer = await cluster.api.post(f"/revisions/{revision_id}/activate", json=TABLE)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await get(cluster, revision_id))["active"] is True


async def test_objects_of_a_registered_revision_are_not_taken_for_nobodys_before_it_is_restored(
    cluster: Cluster, lake: MadeLake
) -> None:
    await cluster.register()
    lake.write(0, 9)
    await cluster.api.post("/revisions", json={**TABLE, "path": lake.paths["blocks"]})
    leftovers = Leftovers(cluster.db, ObjectStore.open(lake.data))
    assert not await leftovers.compare_one_revision(age_seconds=-1.0)
    assert len(files_below(lake.data / lake.paths["blocks"])) == 1


async def test_a_bad_registration_of_a_revision_is_refused(cluster: Cluster) -> None:
    await cluster.register()
    changes: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"dataset": "ethereum/nothing"}, (404, "DATASET_NOT_FOUND")),
        ({"dataset": "Big"}, (400, "INVALID_BODY")),
        ({"table_name": "traces"}, (404, "TABLE_NOT_IN_MANIFEST")),
        ({"path": "../secrets/blocks/x"}, (400, "INVALID_BODY")),
        ({"path": "/etc/passwd"}, (400, "INVALID_BODY")),
        ({"path": "ethereum"}, (400, "INVALID_BODY")),
        ({"path": 7}, (400, "INVALID_BODY")),
        ({"path": f"ethereum/{256 * 'a'}"}, (400, "INVALID_BODY")),  # no file system has that
        ({"path": "/".join(16 * [250 * "a"])}, (400, "INVALID_BODY")),  # no index of PostgreSQL has that
        ({"more": 1}, (400, "INVALID_BODY")),
    ]
    for change, refused in changes:
        answer = await cluster.api.post("/revisions", json={**TABLE, "path": "ethereum/mainnet/blocks/x"} | change)
        assert error(answer) == refused, change
    assert (await cluster.api.get("/revisions")).json() == []


async def test_one_directory_is_one_revision_of_one_table(cluster: Cluster, lake: MadeLake) -> None:
    await restored(cluster, lake, (0, 9))
    for path in (lake.paths["logs"], lake.paths["blocks"] + "/deeper", "ethereum/mainnet"):
        answer = await cluster.api.post("/revisions", json={**TABLE, "path": path})
        assert error(answer) == (409, "REVISION_CONFLICT")


async def test_activation_is_of_a_known_revision_of_this_very_table(cluster: Cluster, lake: MadeLake) -> None:
    ids = await restored(cluster, lake, (0, 9))
    activate = f"/revisions/{ids['logs']}/activate"
    for path, body, refused in (
        (activate, TABLE, (404, "TABLE_NOT_REGISTERED")),
        ("/revisions/999999/activate", TABLE, (404, "REVISION_NOT_FOUND")),
        ("/revisions/x/activate", TABLE, (400, "INVALID_PATH_PARAMETERS")),
        (activate, {**TABLE, "table_name": "traces"}, (404, "TABLE_NOT_IN_MANIFEST")),
        (activate, {**TABLE, "dataset": "a/b"}, (404, "DATASET_NOT_FOUND")),
        (activate, {}, (400, "INVALID_BODY")),
        ("/revisions/deactivate", {**TABLE, "dataset": "a/b"}, (404, "DATASET_NOT_FOUND")),
        ("/revisions/deactivate", {**TABLE, "table_name": "traces"}, (404, "TABLE_NOT_IN_MANIFEST")),
    ):
        assert error(await cluster.api.post(path, json=body)) == refused
    await cluster.register("test/new")
    answer = await cluster.api.post("/revisions/deactivate", json={**TABLE, "dataset": "test/new"})
    assert error(answer) == (404, "TABLE_NOT_FOUND")
    assert (await get(cluster, ids["blocks"]))["active"] is True


async def test_a_revision_that_is_deleted_leaves_its_files_which_can_be_restored(
    cluster: Cluster, lake: MadeLake
) -> None:
    ids = await restored(cluster, lake, (0, 9), (10, 19))
    before = files_below(lake.data)
    path = f"/revisions/{ids['blocks']}"
    assert error(await cluster.api.delete(path)) == (409, "REVISION_IS_ACTIVE")
    await deactivate(cluster)
    answer = await cluster.api.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert error(await cluster.api.delete(path)) == (404, "REVISION_NOT_FOUND")
    assert error(await cluster.api.get(path)) == (404, "REVISION_NOT_FOUND")
    assert files_below(lake.data) == before
    assert (await restored(cluster, lake))["blocks"] != ids["blocks"]


async def test_a_truncated_revision_is_gone_with_every_object_in_its_directory(
    cluster: Cluster, lake: MadeLake
) -> None:
    ids = await restored(cluster, lake, (0, 9), (10, 19))
    lake.put("blocks", "000000000-nobodys.parquet", b"nobody knows it")
    below = lake.put("blocks", "deeper/000000000-others.parquet", b"of somebody else")
    path = f"/revisions/{ids['blocks']}/truncate"
    assert error(await cluster.api.delete(path)) == (409, "REVISION_IS_ACTIVE")
    assert error(await cluster.api.delete(f"{path}?concurrency=0")) == (400, "INVALID_QUERY_PARAMETERS")
    assert len(files_below(lake.data / lake.paths["blocks"])) == 4
    await deactivate(cluster)
    answer = await cluster.api.delete(f"{path}?concurrency=2")
    assert (answer.status_code, answer.json()) == (200, {"files_deleted": 3})
    assert files_below(lake.data / lake.paths["blocks"]) == {below}
    assert len(files_below(lake.data)) == 2 * (len(TABLES) - 1) + 1, "other tables keep theirs"
    assert error(await cluster.api.delete(path)) == (404, "REVISION_NOT_FOUND")


async def test_prune_lets_only_those_files_go_that_do_not_hang_on_the_first_ones(
    cluster: Cluster, lake: MadeLake
) -> None:
    ids = await restored(cluster, lake, (0, 9), (10, 19), (30, 39), (40, 49), (60, 69))
    prune = f"/revisions/{ids['blocks']}/prune"
    kept = files_below(lake.data)
    answer = await cluster.api.delete(f"{prune}?before_block=50")
    assert (answer.status_code, answer.json()) == (200, {"files_scheduled": 2, "gc_delay_secs": 3600})
    leftovers = Leftovers(cluster.db, ObjectStore.open(lake.data))
    await leftovers.collect()
    assert files_below(lake.data) == kept, "it is not time yet"
    assert (await cluster.api.delete(f"{prune}?gc_delay_secs=0")).json() == {"files_scheduled": 1, "gc_delay_secs": 0}
    assert (await cluster.api.delete(prune)).json()["files_scheduled"] == 0
    await leftovers.collect()
    left = files_below(lake.data / lake.paths["blocks"])
    assert sorted(path.name[:9] for path in left) == ["000000000", "000000010", "000000030", "000000040"]
    files = (await cluster.api.get(f"/revisions/{ids['blocks']}/files")).json()["files"]
    assert [each["start_block"] for each in files] == [0, 10]
    assert (await get(cluster, ids["blocks"]))["files_count"] == 2
    for query in ("before_block=-1", "gc_delay_secs=-1", "before_block=x"):
        assert error(await cluster.api.delete(f"{prune}?{query}")) == (400, "INVALID_QUERY_PARAMETERS")


async def test_prune_goes_through_the_middle_of_what_hangs_together(cluster: Cluster, lake: MadeLake) -> None:
    ids = await restored(cluster, lake, (0, 9), (30, 39), (40, 49))
    pruned = await cluster.api.delete(f"/revisions/{ids['blocks']}/prune?before_block=45")
    assert pruned.json()["files_scheduled"] == 1
    assert (await get(cluster, ids["blocks"]))["files_count"] == 2
    assert (await cluster.api.delete(f"/revisions/{ids['logs']}/prune?before_block=9")).json()["files_scheduled"] == 0


@pytest.mark.parametrize("kind", ["extraction", "compaction"])
async def test_nothing_changes_a_revision_that_an_active_job_writes(
    cluster: Cluster, lake: MadeLake, kind: str
) -> None:
    ids = await restored(cluster, lake, (0, 9), (20, 29))
    await deactivate(cluster, "logs")
    if kind == "extraction":
        job_id = await cluster.deploy()
    else:
        made = await cluster.api.post("/jobs", json={"kind": kind, "input": {"dataset": REFERENCE}})
        assert made.status_code == 201, made.text
        job_id = int(made.json()["id"])
    blocks, logs = f"/revisions/{ids['blocks']}", f"/revisions/{ids['logs']}"
    home = "/datasets/ethereum/mainnet/versions/1.0.0"
    before = (await cluster.api.get("/revisions")).json()
    for method, path, body in (
        ("DELETE", logs, None),
        ("DELETE", f"{logs}/truncate", None),
        ("DELETE", f"{blocks}/prune", None),
        ("POST", f"{blocks}/restore", None),
        ("POST", f"{logs}/activate", {**TABLE, "table_name": "logs"}),
        ("POST", "/revisions/deactivate", TABLE),
        ("POST", f"{home}/restore", None),
        ("POST", f"{home}/tables/logs/restore", None),
        ("POST", f"{home}/tables/logs/restore", {"location_id": ids["logs"]}),
    ):
        answer = await cluster.api.request(method, path, json=body)
        assert error(answer) == (409, "WRITER_JOB_NOT_TERMINAL"), path
        assert f"ampctl job stop {job_id}" in answer.json()["error_message"]
    assert (await cluster.api.get("/revisions")).json() == before
    await cluster.services.jobs.request_stop(job_id, actor="test")
    assert (await cluster.api.delete(f"{logs}/truncate")).status_code == 200


class HeldBeforeTheSwitch(HeldUpDb):
    """A database whose deactivations stand still when all has been judged, and nothing is changed yet."""

    async def before(self, query: str) -> None:
        if query == sql("data_store", "set_active_revision"):
            await self._stand_still()


async def test_a_job_that_begins_while_its_table_is_being_deactivated_waits_and_begins_a_new_revision(
    cluster: Cluster, lake: MadeLake, database_url: str
) -> None:
    ids = await restored(cluster, lake, (0, 9))
    metadata = (await get(cluster, ids["blocks"]))["metadata"]
    dataset = Dataset("ethereum", "mainnet", metadata["manifest_hash"], 0)
    async with HeldBeforeTheSwitch(database_url, before="") as held, row_holder(database_url) as watcher:
        revisions = RevisionStore(held, ObjectStore.open(lake.data))
        deactivating = asyncio.create_task(revisions.deactivate(dataset, "blocks"))
        await held.until_held(deactivating)
        lease = await cluster.start(await cluster.deploy())
        opening = asyncio.create_task(cluster.services.tables.open_revisions(lease, dataset, ["blocks"]))
        await watcher.until_waiting(opening)
        assert not opening.done(), "it took the revision that is about to go"
        held.go_on()
        await deactivating
        opened = await opening
    assert opened["blocks"].id != ids["blocks"]
    assert (await get(cluster, ids["blocks"]))["active"] is False


async def test_a_revision_that_does_not_exist_is_not_found(cluster: Cluster) -> None:
    operations = (("GET", ""), ("GET", "/files"), ("POST", "/restore"))
    removals = (("DELETE", ""), ("DELETE", "/truncate"), ("DELETE", "/prune"))
    for method, operation in (*operations, *removals):
        for revision_id, refused in (
            ("99", (404, "REVISION_NOT_FOUND")),
            ("0", (400, "INVALID_PATH_PARAMETERS")),
            ("x", (400, "INVALID_PATH_PARAMETERS")),
            (str(2**63), (400, "INVALID_PATH_PARAMETERS")),
        ):
            path = f"/revisions/{revision_id}{operation}"
            assert error(await cluster.api.request(method, path)) == refused, (method, path)
