"""Tokens: made, used, expired, revoked; and what requests with them may not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from access_matrix import bearer
from admin_api_cluster import Cluster, error, services_over

from ampd.access import NewToken, Role
from ampd.admin_api import Gate, create_app
from ampd.admin_api.gate.pace import RequestPace
from ampd.cli.ampd import run as ampd
from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import MetadataDb
from ampd.telemetry.logs import redact_text


async def admin(cluster: Cluster, **options: Any) -> dict[str, str]:
    _, secret = await cluster.services.access.create(NewToken(Role.ADMIN, **options), actor="test")
    return bearer(secret)


@asynccontextmanager
async def another_controller(cluster: Cluster, directory: Path, gate: Gate) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of another process's Admin API over the same database."""
    async with MetadataDb(cluster.db.url, max_connections=2) as db:
        transport = httpx.ASGITransport(create_app(services_over(db, directory), gate))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
            yield api


async def change(cluster: Cluster, statement: Any) -> None:
    async with cluster.db.transaction() as connection:
        await connection.execute(statement)


async def test_without_any_token_everybody_on_this_machine_may_do_everything_until_the_first_is_made(
    cluster: Cluster,
) -> None:
    assert (await cluster.api.get("/jobs")).status_code == 200
    assert (await cluster.api.get("/jobs", headers=bearer("left over from elsewhere"))).status_code == 200
    first = {"role": "admin", "name": "boss"}
    made = await cluster.api.post("/tokens", json=first)
    assert made.status_code == 201
    refused = await cluster.api.get("/jobs")
    assert error(refused) == (401, "UNAUTHORIZED")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert "AMP_AUTH_TOKEN" in refused.json()["error_message"]
    assert (await cluster.api.get("/jobs", headers=bearer(made.json()["token"]))).status_code == 200
    assert (await cluster.api.get("/healthz")).status_code == 200


@pytest.mark.parametrize("body", [{"role": "operator"}, {"role": "admin", "namespaces": ["mine"]}])
async def test_the_first_token_must_be_able_to_make_others(cluster: Cluster, body: dict[str, Any]) -> None:
    assert error(await cluster.api.post("/tokens", json=body)) == (400, "INVALID_BODY")
    assert (await cluster.api.get("/jobs")).status_code == 200


async def test_where_others_reach_the_api_a_token_is_needed_though_there_is_none(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with another_controller(cluster, tmp_path, Gate(requires_token=True)) as api:
        assert error(await api.get("/jobs")) == (401, "UNAUTHORIZED")


async def test_a_token_is_shown_once_and_stored_nowhere(cluster: Cluster) -> None:
    made = await cluster.api.post("/tokens", json={"role": "admin"})
    token = made.json()["token"]
    listed = await cluster.api.get("/tokens", headers=bearer(token))
    assert token not in listed.text
    assert listed.json()["tokens"][0]["prefix"] == token[:16]
    rows = await cluster.db.fetch_all("SELECT t::text AS row FROM tokens t")
    assert token[17:] not in str(rows)
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    refused = await cluster.api.get("/jobs", headers=bearer(wrong))
    assert refused.status_code == 401
    assert wrong[17:] not in refused.text
    assert redact_text(f"sent {token} there") == f"sent {token[:16]}_*** there"


async def test_a_revoked_token_opens_nothing_at_once_on_all_controllers(cluster: Cluster, tmp_path: Path) -> None:
    boss = await admin(cluster)
    made = (await cluster.api.post("/tokens", json={"role": "viewer", "name": "ci"}, headers=boss)).json()
    async with another_controller(cluster, tmp_path, Gate()) as api:
        assert (await api.get("/jobs", headers=bearer(made["token"]))).status_code == 200
        assert (await cluster.api.delete(f"/tokens/{made['id']}", headers=boss)).status_code == 204
        refused = await api.get("/jobs", headers=bearer(made["token"]))
    assert error(refused) == (401, "UNAUTHORIZED")
    assert "revoked" in refused.json()["error_message"]
    assert (await cluster.api.delete(f"/tokens/{made['id']}", headers=boss)).status_code == 204
    again = await cluster.api.post("/tokens", json={"role": "viewer", "name": "ci"}, headers=boss)
    assert again.status_code == 201
    assert error(await cluster.api.post("/tokens", json={"role": "viewer", "name": "ci"}, headers=boss)) == (
        409,
        "TOKEN_CONFLICT",
    )


async def test_a_token_expires_by_the_clock_of_the_database(cluster: Cluster) -> None:
    boss = await admin(cluster)
    body = {"role": "viewer", "name": "short", "expires_in_secs": 3600}
    token = bearer((await cluster.api.post("/tokens", json=body, headers=boss)).json()["token"])
    assert (await cluster.api.get("/jobs", headers=token)).status_code == 200
    await change(cluster, "UPDATE tokens SET expires_at = now() WHERE name = 'short'")
    refused = await cluster.api.get("/jobs", headers=token)
    assert error(refused) == (401, "UNAUTHORIZED")
    assert "expired" in refused.json()["error_message"]
    states = [each["status"] for each in (await cluster.api.get("/tokens", headers=boss)).json()["tokens"]]
    assert states == ["ACTIVE", "EXPIRED"]


async def test_the_last_use_is_written_once_a_minute(cluster: Cluster) -> None:
    boss = await admin(cluster)
    version = "SELECT xmin::text AS version, last_used_at FROM tokens"
    assert (await cluster.db.fetch_all(version))[0]["last_used_at"] is None
    await cluster.api.get("/jobs", headers=boss)
    (first,) = await cluster.db.fetch_all(version)
    assert first["last_used_at"] is not None
    await cluster.api.get("/jobs", headers=boss)
    assert await cluster.db.fetch_all(version) == [first]
    await change(cluster, "UPDATE tokens SET last_used_at = now() - interval '61 seconds'")
    await cluster.api.get("/jobs", headers=boss)
    (later,) = await cluster.db.fetch_all(version)
    assert later["last_used_at"] > first["last_used_at"]


async def test_the_history_of_a_job_names_the_token(cluster: Cluster) -> None:
    boss = await admin(cluster, name="night-shift")
    await cluster.register()
    deployed = await cluster.api.post("/datasets/ethereum/mainnet/versions/latest/deploy", json={}, headers=boss)
    job_id = deployed.json()["job_id"]
    await cluster.api.post(f"/jobs/{job_id}/cancel", headers=boss)
    events = (await cluster.api.get(f"/jobs/{job_id}/events", headers=boss)).json()["events"]
    assert {event["actor"] for event in events} == {"admin-api:night-shift"}


@pytest.mark.parametrize(
    "body",
    [
        {"role": "root"},
        {"role": "admin", "name": "worker:w1"},
        {"role": "admin", "namespaces": []},
        {"role": "admin", "namespaces": ["A/B"]},
        {"role": "admin", "expires_in_secs": 0},
        {"role": "admin", "expires_in_secs": 1e300},
        {"role": "admin", "hash": "00"},
    ],
)
async def test_a_token_that_cannot_be_is_refused(cluster: Cluster, body: dict[str, Any]) -> None:
    assert error(await cluster.api.post("/tokens", json=body)) == (400, "INVALID_BODY")


async def test_a_token_that_asks_too_often_is_told_when_to_go_on(cluster: Cluster, tmp_path: Path) -> None:
    boss, other = await admin(cluster), await admin(cluster)
    async with another_controller(cluster, tmp_path, Gate(requests_per_minute=6)) as api:
        assert (await api.get("/jobs", headers=boss)).status_code == 200
        refused = await api.get("/jobs", headers=boss)
        assert error(refused) == (429, "RATE_LIMITED")
        assert 1 <= int(refused.headers["Retry-After"]) <= 10
        assert (await api.get("/jobs", headers=other)).status_code == 200


def test_the_pace_of_a_token_is_what_its_bucket_holds_and_what_flows_in() -> None:
    now = [0.0]
    pace = RequestPace(60, lambda: now[0])
    for _ in range(10):
        pace.take(1)
    with pytest.raises(AmpError) as refused:
        pace.take(1)
    assert (refused.value.code, refused.value.retry_after_seconds) == (ErrorCode.RATE_LIMITED, 1.0)
    now[0] = 1.0
    pace.take(1)
    pace.take(2)


async def test_web_pages_of_other_origins_are_let_in_only_when_they_are_named(cluster: Cluster, tmp_path: Path) -> None:
    boss = await admin(cluster)
    ours, foreign = {"Origin": "https://ops.example.com"}, {"Origin": "https://evil.example.com"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert "access-control-allow-origin" not in (await cluster.api.get("/jobs", headers=boss | ours)).headers
    async with another_controller(cluster, tmp_path, Gate(cors_origins=("https://ops.example.com",))) as api:
        allowed = await api.options("/jobs/cancel", headers=ours | asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://ops.example.com"
        assert (await api.post("/jobs/cancel", json={"all": True}, headers=boss | ours)).status_code == 200
        refused = await api.get("/jobs", headers=ours)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://ops.example.com"
        assert (await api.options("/jobs/cancel", headers=foreign | asked)).status_code == 400
        assert "access-control-allow-origin" not in (await api.get("/jobs", headers=boss | foreign)).headers
        answer = await api.post("/jobs/cancel", json={"all": True}, headers=boss | foreign)
        assert error(answer) == (403, "CROSS_ORIGIN_REFUSED")


async def test_the_first_token_can_be_made_beside_the_api(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMP_CONFIG_METADATA_DB__URL", cluster.db.url)
    config = tmp_path / "config.toml"
    config.write_text("")
    command = ["--config", str(config), "token", "create", "--role", "admin", "--name", "first", "--expires", "30d"]
    assert await asyncio.to_thread(ampd, command) == 0
    token = capsys.readouterr().out.strip()
    assert (await cluster.api.get("/jobs", headers=bearer(token))).status_code == 200
    (made,) = (await cluster.api.get("/tokens", headers=bearer(token))).json()["tokens"]
    assert made["created_by"].startswith("ampd:")
    assert made["expires_at"] is not None
    assert await asyncio.to_thread(ampd, command) == 1
    assert "first" in capsys.readouterr().err
