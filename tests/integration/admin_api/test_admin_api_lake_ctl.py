"""Tables, restores and removals as an operator and as a program do them: ampctl, and both clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_api_cluster import Cluster
from structlog.testing import capture_logs

from ampd.chain.tables import TABLES
from ampd.client import Ampd, ApiError, AsyncAmpd
from support.ampctl import Ampctl
from support.made_lake import MadeLake

REFERENCE = "ethereum/mainnet@1.0.0"


@pytest.fixture
def ampctl(capsys: pytest.CaptureFixture[str], admin_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ampctl]:
    monkeypatch.setenv("AMP_ADMIN_URL", admin_url)
    with capture_logs():  # the Admin API runs in this process: its log would stand between the lines
        yield Ampctl(capsys)


async def test_an_operator_restores_a_dataset_and_handles_its_revisions(
    cluster: Cluster, ampctl: Ampctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.register()
    lake = MadeLake(tmp_path / "data")
    for segment in ((0, 9), (10, 19), (30, 39)):
        lake.write(*segment)
    lake.write(5, 9)
    lake.put("logs", "000000099-0.parquet", b"nothing")
    shown = ampctl(f"dataset restore {REFERENCE}")
    ids = {each["metadata"]["table_name"]: each["id"] for each in ampctl.json("table list")["revisions"]}
    lines = [
        f"  • {name} (location_id: {ids[name]}, url: file://{lake.data}/{lake.paths[name]})" for name in sorted(TABLES)
    ]
    notes = [f"→ {name}: 1 files are not needed, and will be deleted after a week" for name in sorted(TABLES)]
    notes.insert(2, "→ logs: 000000099-0.parquet is not usable: it is no whole Parquet file")
    heading = ["✓ Dataset restored successfully", f"→ Restored {len(TABLES)} table(s):"]
    assert shown.splitlines() == [*heading, *lines, *notes]
    assert {each["table_name"] for each in ampctl.json(f"datasets restore {REFERENCE}")["tables"]} == set(TABLES)

    blocks, logs = ids["blocks"], ids["logs"]
    assert ampctl("table ls --active true -l 1") == (
        f"Revisions (1):\n  {max(ids.values())} - ethereum/mainnet withdrawals [active]\n"
    )
    assert ampctl("tables ls -a false") == "No revisions found\n"
    assert json.loads(ampctl(f"table get {blocks}"))["path"] == lake.paths["blocks"], "JSON when a program reads"
    files = ampctl(f"table files {blocks} --limit 1")
    assert "blocks 0-9, 0 rows" in files
    assert files.endswith("Next cursor: 0\n")
    assert ampctl(f"table deactivate {REFERENCE} logs") == (
        f"✓ Revisions deactivated for table logs in dataset {REFERENCE}\n"
    )
    assert ampctl.json(f"table activate {REFERENCE} logs {logs}") == {
        "dataset": REFERENCE,
        "table_name": "logs",
        "location_id": logs,
    }
    assert ampctl(f"table restore {logs}") == f"✓ Revision {logs} restored (3 files)\n"
    assert ampctl(f"table prune {blocks} --before-block 50 --gc-delay 60 -f") == (
        f"✓ Revision {blocks} pruned (1 non-canonical segment files ending before block 50 scheduled for GC, "
        "deletion in 60s)\n"
    )
    assert "is the active one" in ampctl(f"table rm {logs} -f", code=1)
    assert ampctl(f"dataset restore {REFERENCE} --table logs --location-id {logs}") == (
        f"✓ Table 'logs' restored successfully\n→ Activated location_id: {logs}\n"
    )
    assert "--table" in ampctl(f"dataset restore {REFERENCE} --location-id {logs}", code=2)
    ampctl(f"table deactivate {REFERENCE} logs")
    for answer, code in (("n\n", 1), ("", 1), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin.readline", lambda answer=answer: answer)
        said = ampctl(f"table truncate {logs}", code=code)
    assert said == f"✓ Revision {logs} truncated (5 files deleted)\n"
    (lake.data / lake.paths["logs"]).mkdir(exist_ok=True)
    registered = ampctl(f"table register {REFERENCE} logs {lake.paths['logs']}")
    assert registered.startswith(f"✓ Revision registered for table logs in dataset {REFERENCE} (location_id: ")
    new = ampctl.json(f"table register {REFERENCE} logs {lake.paths['logs']}")["location_id"]
    assert ampctl(f"table delete {new} --force") == f"✓ Revision {new} deleted\n"
    assert f"revision {new} not found" in ampctl(f"table get {new}", code=1)


async def test_an_operator_removes_versions_datasets_and_manifests(cluster: Cluster, ampctl: Ampctl) -> None:
    manifest_hash = await cluster.register()
    await cluster.register(version="2.0.0")
    assert ampctl(f"manifest datasets {manifest_hash}").splitlines() == [
        "Datasets:",
        *(f"  ethereum/mainnet@{tag}" for tag in ("1.0.0", "2.0.0", "dev", "latest")),
    ]
    assert ampctl("dataset rm ethereum/mainnet@1.0.0") == "✓ Dataset ethereum/mainnet@1.0.0 removed\n"
    assert "is its latest" in ampctl("dataset rm ethereum/mainnet@2.0.0", code=1)
    assert "is needed" in ampctl(f"manifest rm {manifest_hash}", code=1)
    assert ampctl.json("dataset rm ethereum/mainnet") == {"dataset": "ethereum/mainnet"}
    assert ampctl("manifest prune") == "✓ Pruned 1 orphaned manifest(s)\n"
    assert ampctl.json("manifest prune") == {"deleted_count": 0}
    assert ampctl(f"manifest remove {manifest_hash}") == f"✓ Manifest {manifest_hash} removed\n"


async def test_both_clients_handle_revisions_alike(cluster: Cluster, admin_url: str, tmp_path: Path) -> None:
    manifest_hash = await cluster.register()
    lake = MadeLake(tmp_path / "data")
    for start in range(0, 50, 10):
        lake.write(start, start + 9)
    with Ampd(admin_url) as sync:
        async with AsyncAmpd(admin_url) as client:
            tables = await client.datasets.restore(REFERENCE)
            assert sync.datasets.restore(REFERENCE) == tables
            assert {(each.start_block, each.end_block, each.files_count) for each in tables} == {(0, 49, 5)}
            assert sync.datasets.restore_progress(REFERENCE) == await client.datasets.restore_progress(REFERENCE)
            revision = sync.revisions.get(tables[0].revision_id)
            assert revision == await client.revisions.get(revision.id)
            assert sync.revisions.list(active=True) == await client.revisions.list(active=True)
            files = list(sync.revisions.files(revision.id, page_size=2))
            assert [file.start_block for file in files] == [0, 10, 20, 30, 40]
            assert [file async for file in client.revisions.files(revision.id, page_size=3)] == files
            assert sync.revisions.file(files[0].id) == await client.revisions.file(files[0].id) == files[0]
            assert sync.manifests.datasets(manifest_hash) == await client.manifests.datasets(manifest_hash)
            await client.revisions.deactivate(REFERENCE, "blocks")
            sync.revisions.activate(REFERENCE, "blocks", revision.id)
            await client.revisions.activate(REFERENCE, "blocks", revision.id)
            sync.datasets.restore_table(REFERENCE, "blocks", revision_id=revision.id)
            await client.datasets.restore_table(REFERENCE, "blocks")
            assert sync.revisions.restore(revision.id) == await client.revisions.restore(revision.id) == 5
            pruned = {"files_scheduled": 0, "gc_delay_secs": 5}
            assert sync.revisions.prune(revision.id, delay_seconds=5) == pruned
            assert await client.revisions.prune(revision.id, delay_seconds=5) == pruned
            sync.revisions.deactivate(REFERENCE, "blocks")
            await client.revisions.delete(revision.id)
            again = sync.revisions.register(REFERENCE, "blocks", revision.path)
            assert await client.revisions.register(REFERENCE, "blocks", revision.path) == again
            assert await client.revisions.truncate(again, concurrency=3) == 5
            for delete in (sync.revisions.delete, sync.revisions.truncate):
                with pytest.raises(ApiError, match="not found"):
                    delete(again)
            await client.datasets.delete_version("ethereum/mainnet", "0.1.0")
            sync.datasets.delete_version("ethereum/mainnet", "0.1.0")
            sync.datasets.delete("ethereum/mainnet")
            await client.datasets.delete("ethereum/mainnet")
            with pytest.raises(ApiError, match="is needed"):
                sync.manifests.delete(manifest_hash)
            await client.manifests.delete("0" * 64)
            assert (sync.manifests.prune(), await client.manifests.prune()) == (0, 0)
