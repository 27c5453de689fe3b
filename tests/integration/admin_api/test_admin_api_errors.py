from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from admin_api_cluster import SECRET_URL, Cluster, error, services_over

from ampd.access import NewToken, Role
from ampd.admin_api import create_app
from ampd.admin_api.gate.middleware import MAX_BODY_BYTES
from ampd.jobs import JobStore
from ampd.metadata_db import MetadataDb


@pytest.mark.parametrize("path", ["/assets", "/job", "/jobs/1/nothing", "/jobs/", "/docs"])
async def test_an_unknown_route_is_404_in_the_one_form_of_errors(cluster: Cluster, path: str) -> None:
    assert error(await cluster.api.get(path)) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs", "DELETE, GET, POST"),
        ("OPTIONS", "/tokens", "GET, POST"),
        ("PATCH", "/providers/mainnet", "DELETE, GET"),
        ("GET", "/jobs/cancel", "POST"),
        ("DELETE", "/jobs/stats", "GET"),
        ("PATCH", "/webhooks/by-url", "PUT"),
        ("PUT", "/webhooks/7/deliveries/8", "GET"),
    ],
)
async def test_a_405_names_all_methods_of_the_path_also_where_another_path_has_a_parameter(
    cluster: Cluster, method: str, path: str, allowed: str
) -> None:
    answer = await cluster.api.request(method, path)
    assert error(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


async def test_a_wrong_method_is_405_and_names_the_allowed_ones(cluster: Cluster) -> None:
    answer = await cluster.api.patch("/jobs/1")
    assert error(answer) == (405, "METHOD_NOT_ALLOWED")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/datasets", "INVALID_PAYLOAD_FORMAT"),
        ("/manifests", "INVALID_PAYLOAD_FORMAT"),
        ("/providers", "INVALID_REQUEST_BODY"),
        ("/datasets/a/x/versions/latest/deploy", "INVALID_BODY"),
    ],
)
async def test_a_body_that_is_not_json_is_refused_with_the_place_of_the_fault(
    cluster: Cluster, path: str, code: str
) -> None:
    answer = await cluster.api.post(path, content=b'{"a": }', headers={"content-type": "application/json"})
    assert error(answer) == (400, code)
    assert "character 6" in answer.json()["error_message"]


@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b'{"name": "x", "kind": "k", "rate": NaN}'])
async def test_hostile_json_is_a_400(cluster: Cluster, content: bytes) -> None:
    answer = await cluster.api.post("/providers", content=content, headers={"content-type": "application/json"})
    assert error(answer)[0] == 400


async def test_a_body_of_another_type_is_refused_with_the_header_to_send(cluster: Cluster) -> None:
    answer = await cluster.api.post("/providers", content=b"{}", headers={"content-type": "text/plain"})
    assert error(answer) == (400, "INVALID_REQUEST_BODY")
    assert "Content-Type: application/json" in answer.json()["error_message"]


async def test_the_answer_to_a_bad_body_never_repeats_what_was_sent(cluster: Cluster) -> None:
    answer = await cluster.api.post("/providers", json={"name": [SECRET_URL], "kind": "evm-rpc"})
    assert error(answer)[0] == 400
    assert "hunter2" not in answer.text
    assert "s3cret" not in answer.text


async def _chunks(count: int) -> object:
    for _ in range(count):
        yield b" " * 65536


async def test_a_body_beyond_the_limit_is_413_whether_its_length_is_told_or_not(cluster: Cluster) -> None:
    headers = {"content-type": "application/json"}
    told = await cluster.api.post("/manifests", content=b" " * (MAX_BODY_BYTES + 1), headers=headers)
    assert error(told) == (413, "REQUEST_TOO_LARGE")
    untold = await cluster.api.post("/manifests", content=_chunks(33), headers=headers)  # type: ignore[arg-type]
    assert error(untold) == (413, "REQUEST_TOO_LARGE")
    fits = await cluster.api.post("/manifests", content=b" " * MAX_BODY_BYTES, headers=headers)
    assert error(fits) == (400, "INVALID_PAYLOAD_FORMAT")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9999"])
async def test_a_web_page_of_another_origin_can_change_nothing(cluster: Cluster, origin: str) -> None:
    job_id = await cluster.job_in_state("COMPLETED", "a/x")
    for method, path in (("DELETE", "/jobs"), ("PUT", f"/jobs/{job_id}/stop"), ("POST", f"/jobs/{job_id}/stop")):
        answer = await cluster.api.request(method, path, headers={"origin": origin})
        assert error(answer) == (403, "CROSS_ORIGIN_REFUSED")
    assert (await cluster.api.get(f"/jobs/{job_id}", headers={"origin": origin})).status_code == 200
    assert "access-control-allow-origin" not in (await cluster.api.get("/jobs", headers={"origin": origin})).headers


async def test_a_page_of_our_own_origin_may_stop_a_job(cluster: Cluster) -> None:
    job_id = await cluster.job_in_state("COMPLETED", "a/x")
    headers = {"origin": "http://localhost"}
    assert (await cluster.api.put(f"/jobs/{job_id}/stop", headers=headers)).status_code == 200


async def test_an_unexpected_error_is_a_500_that_tells_only_where_to_look(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(JobStore, "get", broken)
    answer = await cluster.api.get("/jobs/1")
    assert error(answer) == (500, "INTERNAL_ERROR")
    assert "hunter2" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["error_message"]


async def test_a_lost_database_is_a_503_that_says_so_without_secrets(database_url: str, tmp_path: Path) -> None:
    db = MetadataDb(database_url)
    await db.open()
    services = services_over(db, tmp_path)
    await db.close()
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        for method, path in (
            ("GET", "/jobs"),
            ("GET", "/jobs/1"),
            ("GET", "/jobs/1/progress"),
            ("PUT", "/jobs/1/stop"),
            ("DELETE", "/jobs"),
            ("DELETE", "/jobs/1"),
            ("GET", "/workers"),
            ("GET", "/datasets"),
            ("GET", "/manifests"),
        ):
            answer = await api.request(method, path)
            assert error(answer) == (503, "METADATA_DB_UNREACHABLE"), path
        assert (await api.get("/healthz")).status_code == 200
        not_ready = await api.get("/readyz")
        assert error(not_ready) == (503, "METADATA_DB_UNREACHABLE")
        assert "postgresql" not in not_ready.text, "where the database is is told to nobody without a token"


async def test_readyz_answers_with_an_empty_body_and_wants_no_token(cluster: Cluster) -> None:
    await cluster.services.access.create(NewToken(Role.ADMIN), actor="test")
    assert (await cluster.api.get("/jobs")).status_code == 401
    answer = await cluster.api.get("/readyz")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_locked_table_is_a_503_in_time_and_holds_up_nothing_else(database_url: str, tmp_path: Path) -> None:
    async with MetadataDb(database_url, lock_seconds=0.3) as db, MetadataDb(database_url) as other:
        transport = httpx.ASGITransport(create_app(services_over(db, tmp_path)))
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as api,
            other.transaction() as holder,
        ):
            await holder.execute("LOCK TABLE jobs, workers IN ACCESS EXCLUSIVE MODE")
            paths = ("/jobs", "/jobs/1", "/jobs/1/progress", "/jobs/stats?product=a", "/workers")
            answers = await asyncio.gather(*(api.get(path) for path in paths), api.put("/jobs/1/stop"))
            for answer in answers:
                assert error(answer) == (503, "METADATA_DB_UNREACHABLE"), answer.url
                assert "lock timeout" in answer.json()["error_message"]
            assert (await api.get("/datasets")).status_code == 200


async def test_a_request_that_gets_no_connection_is_a_503_in_time(database_url: str, tmp_path: Path) -> None:
    async with MetadataDb(database_url, max_connections=1) as db:
        held = asyncio.create_task(db.execute("SELECT pg_sleep(60)"))
        transport = httpx.ASGITransport(create_app(services_over(db, tmp_path)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
            answer = await api.get("/jobs")
        assert not held.done()
        held.cancel()
        assert error(answer) == (503, "METADATA_DB_UNREACHABLE")
        assert "too busy to answer" in answer.json()["error_message"]


async def test_healthz_answers_with_an_empty_body(cluster: Cluster) -> None:
    answer = await cluster.api.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"")
