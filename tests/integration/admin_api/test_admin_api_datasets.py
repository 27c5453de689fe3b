from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from admin_api_cluster import SECRET_URL, Cluster, error

from ampd.admin_api.deployment import extraction_key
from ampd.datasets import generate_manifest

MANIFEST = generate_manifest("evm-rpc", "mainnet", 0, False)


def registration(**changes: Any) -> dict[str, Any]:
    """Return the body of a registration."""
    return {"namespace": "ethereum", "name": "mainnet", "version": "1.0.0", "manifest": MANIFEST.to_json()} | changes


async def test_a_registered_dataset_is_listed_inspected_and_gives_its_manifest_back(cluster: Cluster) -> None:
    answer = await cluster.api.post("/datasets", json=registration())
    assert answer.status_code == 201
    assert answer.json() == {
        "namespace": "ethereum",
        "name": "mainnet",
        "version": "1.0.0",
        "manifest_hash": MANIFEST.hash(),
        "kind": "evm-rpc",
        "start_block": 0,
        "finalized_blocks_only": False,
        "tables": MANIFEST.table_names,
    }
    summary = {"namespace": "ethereum", "name": "mainnet", "latest_version": "1.0.0", "versions": ["1.0.0"]}
    assert (await cluster.api.get("/datasets")).json() == {"datasets": [summary]}
    assert (await cluster.api.get("/datasets/ethereum/mainnet")).json() == summary
    for revision in ("1.0.0", "latest", "dev", MANIFEST.hash()):
        found = (await cluster.api.get(f"/datasets/ethereum/mainnet/versions/{revision}")).json()
        assert (found["revision"], found["manifest_hash"]) == (revision, MANIFEST.hash())
        assert found["tables"] == MANIFEST.table_names
        manifest = (await cluster.api.get(f"/datasets/ethereum/mainnet/versions/{revision}/manifest")).json()
        assert manifest == MANIFEST.to_json()


async def test_versions_come_in_semantic_order_and_unset_tags_are_absent(cluster: Cluster) -> None:
    await cluster.api.post("/datasets", json=registration(version=None))
    versions = (await cluster.api.get("/datasets/ethereum/mainnet/versions")).json()
    assert versions == {
        "namespace": "ethereum",
        "name": "mainnet",
        "versions": [],
        "special_tags": {"dev": MANIFEST.hash()},
    }
    assert (await cluster.api.get("/datasets/ethereum/mainnet")).json()["versions"] == []
    for version in ("1.9.0", "1.10.0"):
        await cluster.api.post("/datasets", json=registration(version=version))
    versions = (await cluster.api.get("/datasets/ethereum/mainnet/versions")).json()
    assert [item["version"] for item in versions["versions"]] == ["1.10.0", "1.9.0"]
    assert versions["special_tags"] == {"latest": "1.10.0", "dev": MANIFEST.hash()}
    assert set(versions["versions"][0]) == {"version", "manifest_hash", "created_at", "updated_at"}


async def test_a_dataset_can_be_registered_by_the_hash_of_a_known_manifest(cluster: Cluster) -> None:
    assert error(await cluster.api.post("/datasets", json=registration(manifest="0" * 64))) == (
        404,
        "MANIFEST_NOT_FOUND",
    )
    stored = await cluster.api.post("/manifests", json=MANIFEST.to_json())
    assert (stored.status_code, stored.json()) == (201, {"hash": MANIFEST.hash()})
    answer = await cluster.api.post("/datasets", json=registration(manifest=MANIFEST.hash()))
    assert answer.json()["manifest_hash"] == MANIFEST.hash()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (registration(manifest={"kind": "evm-rpc"}), "INVALID_MANIFEST"),
        (registration(manifest=7), "INVALID_PAYLOAD_FORMAT"),
        (registration(manifest="beef"), "INVALID_HASH"),
        (registration(namespace="Big"), "INVALID_REFERENCE"),
        (registration(version="one"), "INVALID_REFERENCE"),
        (registration(tag="1.0.0"), "INVALID_PAYLOAD_FORMAT"),
        ({"namespace": "a"}, "INVALID_PAYLOAD_FORMAT"),
        ([], "INVALID_PAYLOAD_FORMAT"),
    ],
)
async def test_a_bad_registration_is_refused_and_registers_nothing(cluster: Cluster, body: Any, code: str) -> None:
    assert error(await cluster.api.post("/datasets", json=body)) == (400, code)
    assert (await cluster.api.get("/datasets")).json() == {"datasets": []}


@pytest.mark.parametrize("path", ["/datasets/Big/x", "/datasets/a/1x", "/datasets/a/x/versions/newest"])
async def test_a_bad_path_is_refused_with_what_is_wrong(cluster: Cluster, path: str) -> None:
    assert error(await cluster.api.get(path)) == (400, "INVALID_PATH")


@pytest.mark.parametrize(
    "rest", ["", "/versions", "/versions/latest", "/versions/1.0.0/manifest", "/versions/dev/jobs"]
)
async def test_an_unknown_dataset_is_not_found(cluster: Cluster, rest: str) -> None:
    assert error(await cluster.api.get(f"/datasets/a/x{rest}")) == (404, "DATASET_NOT_FOUND")


async def test_without_a_version_latest_is_not_found_and_the_answer_says_which_revisions_exist(
    cluster: Cluster,
) -> None:
    await cluster.register(version=None)
    answer = await cluster.api.post("/datasets/ethereum/mainnet/versions/latest/deploy", json={})
    assert error(answer) == (404, "DATASET_NOT_FOUND")
    assert "dev" in answer.json()["error_message"]


# Deploy


@pytest.mark.parametrize("content", [b"", b"{}", b"null"])
async def test_a_deploy_needs_no_body(cluster: Cluster, content: bytes) -> None:
    await cluster.register()
    headers = {"content-type": "application/json"} if content else {}
    answer = await cluster.api.post(
        "/datasets/ethereum/mainnet/versions/1.0.0/deploy", content=content, headers=headers
    )
    assert answer.status_code == 202
    assert list(answer.json()) == ["job_id"]
    job = (await cluster.api.get(f"/jobs/{answer.json()['job_id']}")).json()
    assert (job["end_block"], job["parallelism"], job["priority"]) == (None, 1, 0)


async def test_the_same_deploy_answers_the_same_job_and_another_one_409(cluster: Cluster) -> None:
    await cluster.register()
    job_id = await cluster.deploy(end_block=100)
    assert await cluster.deploy(revision="1.0.0", end_block="100") == job_id
    answer = await cluster.api.post("/datasets/ethereum/mainnet/versions/latest/deploy", json={"end_block": "latest"})
    assert error(answer) == (409, "ACTIVE_JOB_CONFLICT")
    assert f"ampctl job stop {job_id}" in answer.json()["error_message"]


async def test_a_finished_job_runs_again_under_its_id(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("COMPLETED", "ethereum/mainnet")
    assert await cluster.deploy(end_block="-10") == job_id
    job = (await cluster.api.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["end_block"]) == ("SCHEDULED", "-10")


async def test_a_deploy_without_any_worker_waits_and_says_for_what(cluster: Cluster) -> None:
    await cluster.register()
    job_id = await cluster.deploy(worker_id="gpu-*")
    assert (await cluster.api.get(f"/jobs/{job_id}")).json()["waiting_for"] == "worker"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        ("latest", "latest"),
        ("0", "0"),
        (0, "0"),
        (12, "12"),
        ("0012", "12"),
        ("-100", "-100"),
        (-100, "-100"),
        (2**63 - 1, str(2**63 - 1)),
    ],
)
async def test_every_way_to_write_an_end_block_is_kept_in_one_form(
    cluster: Cluster, given: Any, kept: str | None
) -> None:
    await cluster.register()
    job_id = await cluster.deploy(end_block=given)
    assert (await cluster.api.get(f"/jobs/{job_id}")).json()["end_block"] == kept


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"end_block": "soon"}, "end_block"),
        ({"end_block": ""}, "end_block"),
        ({"end_block": True}, "end_block"),
        ({"end_block": 1.5}, "end_block"),
        ({"end_block": [1]}, "end_block"),
        ({"end_block": 2**63}, "64 bits"),
        ({"end_block": str(2**63)}, "end_block"),
        ({"end_block": "99"}, "start block 100"),
        ({"parallelism": 0}, "parallelism"),
        ({"parallelism": "4"}, "parallelism"),
        ({"parallelism": 70000}, "parallelism"),
        ({"worker_id": "1-worker"}, "must start with a letter"),
        ({"worker_id": "*"}, "empty string"),
        ({"worker_id": "a*b"}, "invalid character"),
        ({"worker_id": ""}, "empty string"),
        ({"verify": "yes"}, "verify"),
        ({"verify": 1}, "want off, sample or full"),
        ({"verify": "FULL"}, "want off, sample or full"),
        ({"priority": 2**31}, "priority"),
        ({"endblock": 5, "endBlock": 5}, "'endBlock', 'endblock'"),
        ([], "dictionary"),
    ],
)
async def test_a_bad_deploy_is_refused_naming_the_key(cluster: Cluster, body: Any, named: str) -> None:
    await cluster.register(start_block=100)
    answer = await cluster.api.post("/datasets/ethereum/mainnet/versions/latest/deploy", json=body)
    assert error(answer) == (400, "INVALID_BODY")
    assert named in answer.json()["error_message"]
    assert (await cluster.api.get("/jobs?status=all")).json()["jobs"] == []


async def test_the_same_manifest_deployed_under_another_name_is_the_same_deploy(cluster: Cluster) -> None:
    manifest_hash = await cluster.register()
    ids = {await cluster.deploy(revision=revision) for revision in ("dev", "latest", "1.0.0", manifest_hash)}
    assert len(ids) == 1


async def test_a_deploy_without_a_provider_of_its_network_says_how_to_add_one(cluster: Cluster) -> None:
    await cluster.api.post("/datasets", json=registration())
    await cluster.services.providers.put("poly", "evm-rpc", {"network": "polygon", "url": SECRET_URL})
    answer = await cluster.api.post("/datasets/ethereum/mainnet/versions/latest/deploy", json={})
    assert error(answer) == (400, "PROVIDER_NOT_FOUND")
    message = answer.json()["error_message"]
    assert "'mainnet'" in message
    assert "poly (evm-rpc, polygon)" in message
    assert "ampctl provider register" in message
    assert "hunter2" not in message
    assert (await cluster.api.get("/jobs?status=all")).json()["jobs"] == []


def test_the_idempotency_key_is_the_sha256_of_the_documented_text() -> None:
    text = f"materialize-raw:ethereum/mainnet@{'a' * 64}"
    assert extraction_key("ethereum", "mainnet", "a" * 64) == sha256(text.encode()).hexdigest()


async def test_the_jobs_of_a_revision_are_listed_once_each_with_their_tables(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("COMPLETED", "ethereum/mainnet")
    await cluster.deploy(end_block=5)
    await cluster.job_in_state("RUNNING", "ethereum/other")
    jobs = (await cluster.api.get("/datasets/ethereum/mainnet/versions/1.0.0/jobs")).json()["jobs"]
    assert [job["id"] for job in jobs] == [job_id]
    assert jobs[0]["tables"] == MANIFEST.table_names
    assert jobs[0]["status"] == "SCHEDULED"


# Manifests


async def test_a_stored_manifest_is_listed_with_its_datasets_and_read_by_its_hash(cluster: Cluster) -> None:
    await cluster.api.post("/manifests", json=MANIFEST.to_json())
    item = {"hash": MANIFEST.hash(), "kind": "evm-rpc", "dataset_count": 0}
    assert (await cluster.api.get("/manifests")).json() == {"manifests": [item]}
    await cluster.api.post("/datasets", json=registration())
    assert (await cluster.api.get("/manifests")).json()["manifests"][0]["dataset_count"] == 1
    for text in (MANIFEST.hash(), MANIFEST.hash().upper()):
        assert (await cluster.api.get(f"/manifests/{text}")).json() == MANIFEST.to_json()


async def test_a_manifest_is_made_as_ampctl_makes_it_and_not_stored(cluster: Cluster) -> None:
    body = {"kind": "firehose", "network": "sepolia", "start_block": 7, "finalized_blocks_only": True}
    made = await cluster.api.post("/manifests/generate", json=body)
    assert (made.status_code, made.json()) == (200, generate_manifest("firehose", "sepolia", 7, True).to_json())
    assert (await cluster.api.get("/manifests")).json() == {"manifests": []}
    wrong = {"kind": "INVALID_MANIFEST", "network": "INVALID_BODY"}
    for name, code in wrong.items():
        answer = await cluster.api.post("/manifests/generate", json=body | {name: " gif"})
        assert error(answer) == (400, code), answer.text
    assert error(await cluster.api.post("/manifests/generate", json={"kind": "evm-rpc"})) == (400, "INVALID_BODY")


async def test_bad_and_unknown_manifests_have_their_codes(cluster: Cluster) -> None:
    assert error(await cluster.api.get("/manifests/beef")) == (400, "INVALID_HASH")
    assert error(await cluster.api.get(f"/manifests/{'0' * 64}")) == (404, "MANIFEST_NOT_FOUND")
    assert error(await cluster.api.post("/manifests", json={"kind": "gif"})) == (400, "INVALID_MANIFEST")
    assert error(await cluster.api.post("/manifests", json="text")) == (400, "INVALID_PAYLOAD_FORMAT")


# Providers


async def test_a_provider_is_stored_replaced_shown_without_secrets_and_removed(cluster: Cluster) -> None:
    body = {"name": "main_rpc", "kind": "evm-rpc", "network": "mainnet", "url": SECRET_URL}
    answer = await cluster.api.post("/providers", json=body)
    assert (answer.status_code, answer.content) == (201, b"")
    shown = {"name": "main_rpc", "kind": "evm-rpc", "network": "mainnet", "url": "https://rpc.example.com/…/…"}
    assert (await cluster.api.get("/providers/main_rpc")).json() == shown
    assert (await cluster.api.get("/providers")).json() == {"providers": [shown]}
    assert (await cluster.api.post("/providers", json=body | {"network": "sepolia"})).status_code == 201
    assert (await cluster.api.get("/providers/main_rpc")).json()["network"] == "sepolia"
    for _ in range(2):
        answer = await cluster.api.delete("/providers/main_rpc")
        assert (answer.status_code, answer.content) == (204, b"")
    assert error(await cluster.api.get("/providers/main_rpc")) == (404, "PROVIDER_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "evm-rpc"}, "INVALID_REQUEST_BODY"),
        ({"name": 5, "kind": "evm-rpc"}, "INVALID_REQUEST_BODY"),
        ([], "INVALID_REQUEST_BODY"),
        ({"name": "a\u0000", "kind": "evm-rpc"}, "INVALID_REQUEST_BODY"),
        ({"name": "../x", "kind": "evm-rpc", "network": "m", "url": "http://x"}, "INVALID_PROVIDER_NAME"),
    ],
)
async def test_a_bad_provider_is_refused_and_not_stored(cluster: Cluster, body: Any, code: str) -> None:
    assert error(await cluster.api.post("/providers", json=body)) == (400, code)
    assert (await cluster.api.get("/providers")).json() == {"providers": []}


async def test_a_bad_provider_name_in_the_path_is_refused(cluster: Cluster) -> None:
    for method in ("GET", "DELETE"):
        assert error(await cluster.api.request(method, "/providers/A.B")) == (400, "INVALID_PROVIDER_NAME")
