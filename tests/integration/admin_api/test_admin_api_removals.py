"""What forgets datasets, versions and manifests, and what keeps them."""

from __future__ import annotations

from pathlib import Path

from admin_api_cluster import Cluster, error

from ampd.datasets import generate_manifest
from support.made_lake import MadeLake


async def test_a_dataset_is_forgotten_with_its_versions_and_once_more_is_a_success(cluster: Cluster) -> None:
    manifest_hash = await cluster.register()
    for _ in range(2):
        answer = await cluster.api.delete("/datasets/ethereum/mainnet")
        assert (answer.status_code, answer.content) == (204, b"")
    assert error(await cluster.api.get("/datasets/ethereum/mainnet")) == (404, "DATASET_NOT_FOUND")
    assert (await cluster.api.get(f"/manifests/{manifest_hash}")).status_code == 200
    assert error(await cluster.api.delete("/datasets/Big/x")) == (400, "INVALID_PATH")


async def test_a_dataset_with_an_active_job_is_not_forgotten(cluster: Cluster) -> None:
    await cluster.register()
    job_id = await cluster.deploy()
    answer = await cluster.api.delete("/datasets/ethereum/mainnet")
    assert error(answer) == (409, "ACTIVE_JOB_CONFLICT")
    assert f"ampctl job stop {job_id}" in answer.json()["error_message"]
    assert (await cluster.api.get("/datasets/ethereum/mainnet")).status_code == 200
    await cluster.services.jobs.request_stop(job_id, actor="test")
    assert (await cluster.api.delete("/datasets/ethereum/mainnet")).status_code == 204


async def test_a_version_is_forgotten_unless_it_is_the_latest(cluster: Cluster) -> None:
    for version in ("1.9.0", "1.10.0"):
        await cluster.register(version=version)
    versions = "/datasets/ethereum/mainnet/versions"
    assert error(await cluster.api.delete(f"{versions}/1.10.0")) == (400, "CANNOT_DELETE_LATEST_VERSION")
    for _ in range(2):
        assert (await cluster.api.delete(f"{versions}/1.9.0")).status_code == 204
    found = (await cluster.api.get(versions)).json()
    assert [each["version"] for each in found["versions"]] == ["1.10.0"]
    assert found["special_tags"]["latest"] == "1.10.0"
    for bad in (f"{versions}/latest", f"{versions}/dev", f"{versions}/{'0' * 64}", "/datasets/A/b/versions/1.0.0"):
        assert error(await cluster.api.delete(bad)) == (400, "INVALID_PATH")
    assert (await cluster.api.delete("/datasets/no/such/versions/1.0.0")).status_code == 204


async def test_a_manifest_tells_which_tags_point_at_it(cluster: Cluster) -> None:
    manifest_hash = await cluster.register()
    await cluster.register("test/copy", version=None)
    assert (await cluster.api.get(f"/manifests/{manifest_hash}/datasets")).json() == {
        "hash": manifest_hash,
        "datasets": [
            {"namespace": "ethereum", "name": "mainnet", "version": version} for version in ("1.0.0", "dev", "latest")
        ]
        + [{"namespace": "test", "name": "copy", "version": "dev"}],
    }
    assert error(await cluster.api.get("/manifests/beef/datasets")) == (400, "INVALID_HASH")
    assert error(await cluster.api.get(f"/manifests/{'0' * 64}/datasets")) == (404, "MANIFEST_NOT_FOUND")


async def test_a_manifest_that_a_dataset_needs_stays_and_goes_after_it(cluster: Cluster, tmp_path: Path) -> None:
    manifest_hash = await cluster.register()
    answer = await cluster.api.delete(f"/manifests/{manifest_hash}")
    assert error(answer) == (409, "MANIFEST_LINKED")
    assert "'ethereum/mainnet'" in answer.json()["error_message"]
    await cluster.api.delete("/datasets/ethereum/mainnet")
    for _ in range(2):
        assert (await cluster.api.delete(f"/manifests/{manifest_hash}")).status_code == 204
    assert not (tmp_path / "manifests" / manifest_hash).exists()
    assert error(await cluster.api.get(f"/manifests/{manifest_hash}")) == (404, "MANIFEST_NOT_FOUND")
    assert error(await cluster.api.delete("/manifests/beef")) == (400, "INVALID_HASH")
    assert await cluster.register() == manifest_hash, "registered again, it is there again"
    assert (await cluster.api.get(f"/manifests/{manifest_hash}")).status_code == 200


async def test_prune_deletes_the_manifests_that_neither_a_dataset_nor_a_file_needs(
    cluster: Cluster, tmp_path: Path
) -> None:
    linked = await cluster.register()
    orphan = await cluster.services.datasets.register_manifest(generate_manifest("evm-rpc", "mainnet", 7, False))
    written_by = await cluster.register("test/gone", start_block=9)
    lake = MadeLake(tmp_path / "data", "test/gone")
    lake.write(9, 19)
    assert (await cluster.api.post("/datasets/test/gone/versions/latest/restore")).status_code == 202
    await cluster.api.delete("/datasets/test/gone")
    assert error(await cluster.api.delete(f"/manifests/{written_by}")) == (409, "MANIFEST_LINKED")
    answer = await cluster.api.delete("/manifests")
    assert (answer.status_code, answer.json()) == (200, {"deleted_count": 1})
    left = {each["hash"] for each in (await cluster.api.get("/manifests")).json()["manifests"]}
    assert left == {linked, written_by}
    assert orphan not in left
    assert (await cluster.api.delete("/manifests")).json() == {"deleted_count": 0}
