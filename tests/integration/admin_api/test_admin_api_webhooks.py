"""Webhooks over HTTP, through both clients, and by ampctl; and nothing that is said holds a secret."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from admin_api_cluster import Cluster, error

import ampd.controller.webhooks
from ampd.client import Ampd, ApiError, AsyncAmpd
from ampd.controller.webhooks import Deliverer
from ampd.tasks import cancel_all
from ampd.webhook_signature import key_of, secret_of
from ampd.webhooks import AddressRules, Sender
from support.ampctl import run
from support.receivers import FAILS, Receiver, receiver

OWN = "webhook-secret-key"
SHOWN = secret_of(key_of(OWN))
URL = "https://api.example.com/webhooks/jobs"
SEED: dict[str, Any] = {"url": URL, "events": ["job.completed", "job.failed"], "secret": OWN}


async def create(cluster: Cluster, **changes: Any) -> dict[str, Any]:
    answer = await cluster.api.post("/webhooks", json=SEED | changes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
async def there(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    """A receiver, and the loop that delivers to it."""
    monkeypatch.setattr(ampd.controller.webhooks, "_INTERVAL_SECONDS", 0.02)
    async with receiver(OWN.encode()) as listening, Sender(AddressRules.of(["127.0.0.0/8"])) as sender:
        task = asyncio.create_task(Deliverer(cluster.db, sender, in_flight=8).run())
        try:
            yield listening
        finally:
            await cancel_all([task])


async def test_the_secret_is_in_the_answer_that_set_it_and_in_no_other(cluster: Cluster) -> None:
    created = await create(cluster)
    assert created["secret"] == SHOWN
    path = f"/webhooks/{created['id']}"
    rotated = (await cluster.api.post(f"{path}/rotate", json={"secret": OWN + "2"})).json()
    assert key_of(rotated["secret"]) == (OWN + "2").encode()
    assert rotated["rotation_ends_at_ms"] > rotated["created_at_ms"]
    made_up = (await cluster.api.post(f"{path}/rotate")).json()["secret"]
    assert len(key_of(made_up)) == 32
    patched = await cluster.api.patch(path, json={"description": "x"})
    for answer in (patched, await cluster.api.get(path), await cluster.api.get("/webhooks")):
        assert answer.status_code == 200
        assert "secret" not in answer.text.replace("webhook-secret", "")
        assert OWN not in answer.text


async def test_settings_are_shown_and_changed_one_by_one(cluster: Cluster) -> None:
    filters = {"kinds": ["extraction", "extraction"], "envs": ["prd"]}
    created = await create(cluster, filters=filters, description="on-call")
    assert created["filters"] == {
        "kinds": ["extraction"],
        "products": None,
        "envs": ["prd"],
        "dataset_namespaces": None,
    }
    assert (created["enabled"], created["pending"], created["disabled_at_ms"]) == (True, 0, None)
    assert created["created_at_ms"] // 1000 == datetime.fromisoformat(created["created_at"]).timestamp()
    path = f"/webhooks/{created['id']}"
    off = (await cluster.api.patch(path, json={"enabled": False})).json()
    assert (off["enabled"], off["disabled_reason"], off["description"]) == (False, "OPERATOR", "on-call")
    assert off["disabled_at"] is not None
    on = (await cluster.api.patch(path, json={"enabled": True, "filters": {}, "events": ["job.paused"]})).json()
    assert (on["enabled"], on["disabled_reason"], on["events"]) == (True, None, ["job.paused"])
    assert set(on["filters"].values()) == {None}
    assert (await cluster.api.delete(path)).status_code == 204
    assert (await cluster.api.delete(path)).status_code == 204
    assert error(await cluster.api.get(path)) == (404, "WEBHOOK_NOT_FOUND")
    assert (await cluster.api.post("/webhooks", json={"url": URL})).json()["events"] == [
        *("job.scheduled", "job.started", "job.completed", "job.failed", "job.cancelled", "job.paused", "job.resumed")
    ]


async def test_the_seeds_set_webhook_is_idempotent_by_its_url(cluster: Cluster) -> None:
    first = await cluster.api.put("/webhooks/by-url", json=SEED)
    assert (first.status_code, first.json()["secret"]) == (201, SHOWN)
    again = await cluster.api.put("/webhooks/by-url", json=SEED)
    assert again.status_code == 200
    assert "secret" not in again.json()
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["rotation_ends_at"] is None
    assert again.json()["updated_at_ms"] == first.json()["updated_at_ms"]
    # What is not said has its default; another secret replaces the old one, which signs for a day more.
    await cluster.api.patch(f"/webhooks/{first.json()['id']}", json={"enabled": False, "description": "x"})
    other = (await cluster.api.put("/webhooks/by-url", json={"url": URL, "secret": OWN + "2"})).json()
    assert key_of(other["secret"]) == (OWN + "2").encode()
    assert (other["enabled"], other["description"], len(other["events"])) == (True, "", 7)
    assert other["rotation_ends_at"] is not None
    without = await cluster.api.put("/webhooks/by-url", json={"url": "HTTPS://API.example.com:443/webhooks/jobs"})
    assert (without.status_code, without.json()["id"]) == (200, first.json()["id"])
    several = await asyncio.gather(
        *(cluster.api.put("/webhooks/by-url", json=SEED | {"url": URL + "/new"}) for _ in range(6))
    )
    assert sorted(answer.status_code for answer in several) == [200] * 5 + [201]
    assert len((await cluster.api.get("/webhooks")).json()["webhooks"]) == 2


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"url": "http://api.example.com:80@10.0.0.1/"}, "INVALID_WEBHOOK", "no user name"),
        ({"url": "https://10.0.0.1/"}, "INVALID_WEBHOOK", "private"),
        ({"url": "http://8.8.8.8/"}, "INVALID_WEBHOOK", "want https"),
        ({"secret": "too-short-XYZ"}, "INVALID_WEBHOOK", "16 to 256"),
        ({"secret": "whsec_XYZ not base64"}, "INVALID_WEBHOOK", "base64"),
        ({"secret": "XYZ" * 200}, "INVALID_BODY", "secret"),
        ({"secret": 5}, "INVALID_BODY", "secret"),
        ({"events": []}, "INVALID_BODY", "events"),
        ({"events": ["job.exploded"]}, "INVALID_BODY", "job.cancelled"),
        ({"filters": {"kinds": []}}, "INVALID_BODY", "kinds"),
        ({"filters": {"kind": ["x"]}}, "INVALID_BODY", "dataset_namespaces"),
        ({"evnets": []}, "INVALID_BODY", "evnets"),
        ({"description": "\ud800"}, "INVALID_BODY", "surrogate"),
    ],
)
async def test_what_cannot_be_is_refused_with_a_reason_and_without_the_secret(
    cluster: Cluster, body: dict[str, Any], code: str, said: str
) -> None:
    content = json.dumps(SEED | body)
    for method, path in (("POST", "/webhooks"), ("PUT", "/webhooks/by-url")):
        answer = await cluster.api.request(method, path, content=content, headers={"Content-Type": "application/json"})
        assert error(answer) == (400, code)
        assert said in answer.json()["error_message"]
        assert "XYZ" not in answer.text
        assert OWN not in answer.text
    assert (await cluster.api.get("/webhooks")).json() == {"webhooks": []}


async def test_errors_have_the_codes_of_the_reference(cluster: Cluster) -> None:
    created = await create(cluster)
    other = await create(cluster, url=URL + "/other")
    path = f"/webhooks/{created['id']}"
    assert error(await cluster.api.post("/webhooks", json=SEED)) == (409, "WEBHOOK_CONFLICT")
    assert error(await cluster.api.patch(f"/webhooks/{other['id']}", json={"url": URL})) == (409, "WEBHOOK_CONFLICT")
    for method, missing in (
        *(("GET", "/webhooks/99"), ("PATCH", "/webhooks/99"), ("POST", "/webhooks/99/rotate")),
        *(("POST", "/webhooks/99/test"), ("GET", "/webhooks/99/deliveries"), ("GET", "/webhooks/99/deliveries/1")),
        ("POST", "/webhooks/99/deliveries/1/replay"),
    ):
        answer = await cluster.api.request(method, missing, json={} if method != "GET" else None)
        assert error(answer) == (404, "WEBHOOK_NOT_FOUND"), missing
    assert error(await cluster.api.get(f"{path}/deliveries/1")) == (404, "DELIVERY_NOT_FOUND")
    assert error(await cluster.api.post(f"{path}/deliveries/1/replay")) == (404, "DELIVERY_NOT_FOUND")
    assert error(await cluster.api.get("/webhooks/first")) == (400, "INVALID_WEBHOOK_ID")
    assert error(await cluster.api.get(f"{path}/deliveries?limit=0")) == (400, "LIMIT_INVALID")
    assert error(await cluster.api.get(f"{path}/deliveries?limit=1001")) == (400, "LIMIT_TOO_LARGE")
    assert error(await cluster.api.get(f"{path}/deliveries?status=lost")) == (400, "INVALID_QUERY_PARAMETERS")
    for since in ({}, {"since": 5}, {"since": "2026-03-04T10:00:00"}):
        assert error(await cluster.api.post(f"{path}/replay", json=since)) == (400, "INVALID_BODY")
    assert error(await cluster.api.post(f"{path}/rotate", json={"overlap_secs": -1})) == (400, "INVALID_BODY")
    await cluster.api.patch(path, json={"enabled": False})
    for action in ("test", "deliveries/1/replay"):
        assert error(await cluster.api.post(f"{path}/{action}")) == (409, "WEBHOOK_DISABLED")


async def test_the_log_has_what_was_said_and_pages_go_on(cluster: Cluster, there: Receiver) -> None:
    created = await create(cluster, url=there.url, events=["job.scheduled", "job.started"])
    there.answers = [FAILS]
    path = f"/webhooks/{created['id']}"
    job_id = await cluster.job_in_state("RUNNING", "ethereum/mainnet")
    await there.count(1)

    async def tried() -> dict[str, Any]:
        async with asyncio.timeout(20):
            while (page := (await cluster.api.get(f"{path}/deliveries?limit=1&after=9999")).json())["deliveries"]:
                first = (await cluster.api.get(f"{path}/deliveries")).json()["deliveries"][-1]
                if first["attempts"]:
                    assert page["next_cursor"] == page["deliveries"][0]["id"]
                    return dict(first)
        raise AssertionError

    failed = await tried()
    assert (failed["status"], failed["attempts"], failed["response_status"]) == ("PENDING", 1, 500)
    assert failed["error"] == {"error_code": "WEBHOOK_REFUSED", "error_message": "the receiver answered 500"}
    assert failed["next_attempt_at_ms"] > failed["last_attempt_at_ms"]
    assert failed["payload"]["job"]["id"] == str(job_id)
    assert failed["payload"]["job"]["dataset"] == {"namespace": "ethereum", "name": "mainnet"}
    pages = [(await cluster.api.get(f"{path}/deliveries?limit=1")).json()]
    while "next_cursor" in pages[-1]:
        pages.append((await cluster.api.get(f"{path}/deliveries?limit=1&after={pages[-1]['next_cursor']}")).json())
    assert [page["deliveries"][0]["event"] for page in pages] == ["job.started", "job.scheduled"]
    replayed = await cluster.api.post(f"{path}/deliveries/{failed['id']}/replay")
    assert (replayed.status_code, replayed.json()["message_id"]) == (202, failed["message_id"])
    await there.count(3)
    assert there.received[1].message_id == failed["message_id"]
    test = await cluster.api.post(f"{path}/test")
    assert (test.status_code, test.json()["event"], test.json()["job_id"]) == (202, "webhook.test", None)
    await there.count(4)
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert (await cluster.api.post(f"{path}/replay", json={"since": since})).json() == {"replayed": 0}


# --- clients


async def test_both_clients_do_all_that_the_api_can(cluster: Cluster, admin_url: str, there: Receiver) -> None:
    with Ampd(admin_url) as sync:
        async with AsyncAmpd(admin_url) as client:
            first = sync.jobs.set_webhook(url=there.url, events=["job.completed", "job.failed"], secret=OWN)
            assert first.secret == SHOWN
            assert SHOWN not in repr(first)
            again = await client.jobs.set_webhook(url=there.url, events=["job.completed", "job.failed"], secret=OWN)
            assert (again.id, again.secret) == (first.id, None)
            other = await client.webhooks.create(
                there.url + "/other", filters={"kinds": ["http"], "envs": None}, description="x", enabled=False
            )
            third = sync.webhooks.create(there.url + "/third", secret=OWN)
            assert other.filters["kinds"] == ["http"]
            assert sync.webhooks.list() == await client.webhooks.list()
            assert sync.webhooks.get(other.id) == await client.webhooks.get(other.id)
            assert sync.webhooks.update(other.id, events=["job.paused"]).events == ("job.paused",)
            assert (await client.webhooks.update(other.id, enabled=True)).enabled
            assert sync.webhooks.set(there.url, secret=OWN).events == (await client.webhooks.set(there.url)).events
            assert key_of(sync.webhooks.rotate(third.id, secret=OWN, overlap_secs=5).secret or "") == OWN.encode()
            assert (await client.webhooks.rotate(other.id)).rotation_ends_at is not None
            tests = [sync.webhooks.test(first.id), await client.webhooks.test(first.id)]
            await there.count(2)
            await delivered(client, first.id)
            page = sync.webhooks.deliveries(first.id, limit=1)
            assert page == await client.webhooks.deliveries(first.id, limit=1)
            assert page.next_cursor == tests[1].id
            ids = [each.id for each in tests[::-1]]
            assert [each.id for each in sync.webhooks.iterate_deliveries(first.id, page_size=1)] == ids
            assert [each.id async for each in client.webhooks.iterate_deliveries(first.id, page_size=1)] == ids
            assert sync.webhooks.get_delivery(first.id, ids[0]).message_id == tests[1].message_id
            assert (await client.webhooks.get_delivery(first.id, ids[0])).payload["event"] == "webhook.test"
            sync.webhooks.replay(first.id, ids[0])
            await delivered(client, first.id)
            await client.webhooks.replay(first.id, ids[1])
            await delivered(client, first.id)
            assert len(there.received) == 4
            assert sync.webhooks.replay_failed(first.id, datetime.now(UTC)) == 0
            assert await client.webhooks.replay_failed(first.id, 1_772_618_400_000) == 0
            with pytest.raises(ApiError, match="time zone"):
                sync.webhooks.replay_failed(first.id, datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is wrong with it
            sync.webhooks.delete(other.id)
            await client.webhooks.delete(other.id)
            with pytest.raises(ApiError) as gone:
                sync.webhooks.get(other.id)
            assert gone.value.code == "WEBHOOK_NOT_FOUND"


async def delivered(client: AsyncAmpd, webhook_id: int) -> None:
    """Return when nothing is on its way any more: only then can it be sent again."""
    async with asyncio.timeout(20):
        while (await client.webhooks.deliveries(webhook_id, status="pending")).deliveries:
            pass


async def test_an_operator_goes_from_a_secret_to_a_replay(
    cluster: Cluster, admin_url: str, there: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ampctl(command: str, code: int = 0) -> str:
        capsys.readouterr()
        assert await asyncio.to_thread(run, [*command.split(), "--admin-url", admin_url]) == code
        written = capsys.readouterr()
        return written.err if code else written.out

    secret = tmp_path / "secret"
    secret.write_text(OWN + "\n")
    assert await ampctl("webhook list") == "No webhooks found\n"
    created = await ampctl(
        f"webhook create {there.url} --event job.failed --event job.completed --env prd --secret-file {secret}"
    )
    assert created == (
        f"✓ Webhook 1 created\n→ Secret: {SHOWN}\n→ It is not shown again: keep it where the receiver finds it\n"
    )
    assert await ampctl("webhooks ls") == (
        f"Webhooks:\n  1 - {there.url} (enabled)\n    Events: job.failed, job.completed\n"
    )
    assert json.loads(await ampctl("webhook get 1"))["filters"]["envs"] == ["prd"]
    assert "is on its way\n→ ampctl webhook deliveries 1 --delivery-id 1" in await ampctl("webhook test 1")
    await there.count(1)

    async def delivered() -> str:
        async with asyncio.timeout(20):
            while "DELIVERED" not in (text := await ampctl("webhook deliveries 1")):
                await asyncio.sleep(0.01)
        return text

    assert re.fullmatch(r"Deliveries:\n  \[1\] \S+Z - webhook\.test: DELIVERED\n", await delivered())
    assert '"event": "webhook.test"' in await ampctl("webhook deliveries 1 --delivery-id 1")
    assert await ampctl("webhook replay 1 1") == "✓ Delivery 1 is sent again\n"
    await there.count(2)
    assert await ampctl("webhook replay 1 --failed-since 2026-03-04T10:00:00Z") == "✓ Sent again: 0\n"
    assert "name either" in await ampctl("webhook replay 1", code=2)
    rotated = await ampctl("webhook rotate 1 --overlap-secs 60")
    assert re.search(r"→ Secret: whsec_\S+\n", rotated)
    assert "→ The old secret signs, too, until " in rotated
    assert await ampctl("webhook disable 1") == "✓ Webhook 1 disabled\n"
    assert "disabled: OPERATOR" in await ampctl("webhook list")
    assert "is disabled (OPERATOR)" in await ampctl("webhook test 1", code=1)
    assert await ampctl("webhook enable 1") == "✓ Webhook 1 enabled\n→ Waiting: 0\n"
    assert await ampctl("webhook rm 1") == "✓ Webhook 1 removed\n"
    assert "not found" in await ampctl("webhook inspect 1", code=1)


# --- secrets


async def test_no_answer_no_log_and_no_table_that_is_shown_holds_a_secret(
    cluster: Cluster, there: Receiver, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    created = await create(cluster, url=there.url, events=["job.scheduled"])
    path = f"/webhooks/{created['id']}"
    there.answers = [500, 410]
    await cluster.job_in_state("SCHEDULED", "a/x")
    written = ""
    while "webhook.failed" not in written:
        written += "".join(capfd.readouterr())
        await asyncio.sleep(0.01)
    said = [
        await cluster.api.post("/webhooks", json=SEED | {"url": there.url}),
        await cluster.api.put("/webhooks/by-url", json=SEED | {"url": there.url, "events": ["no"]}),
        await cluster.api.post(f"{path}/rotate", json={"secret": OWN, "overlap_secs": "x"}),
        await cluster.api.post("/webhooks/99/rotate", json={"secret": OWN}),
        await cluster.api.post("/webhooks", content=f'{{"secret": "{OWN}", '.encode()),
        await cluster.api.put("/webhooks/by-url", json=SEED | {"url": there.url, "events": ["job.scheduled"]}),
        *[await cluster.api.get(each) for each in (path, "/webhooks", f"{path}/deliveries", "/openapi.json")],
    ]
    texts = [answer.text for answer in said[:-1]]
    with psycopg.connect(database_url) as connection:
        for table in ("webhooks", "webhook_deliveries", "job_events", "jobs"):
            texts += [str(row) for row in connection.execute(f"SELECT to_jsonb(t) FROM {table} t").fetchall()]
    texts += [written, *capfd.readouterr()]
    key = SHOWN.removeprefix("whsec_")
    for text in texts:
        assert OWN not in text
        assert key not in text
        assert OWN.encode().hex() not in text
