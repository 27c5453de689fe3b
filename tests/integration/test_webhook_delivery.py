"""The loop that delivers, against real receivers that verify every message with the package of Standard Webhooks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import Any, LiteralString

import pytest
from aiohttp import web

import ampd.controller.webhooks
from ampd.errors import ErrorCode
from ampd.metadata_db import EmbeddedPostgres, MetadataDb, Row
from ampd.webhook_signature import key_of, secret_of
from ampd.webhooks import (
    DeliveryStatus,
    LeasedDelivery,
    Outcome,
    Sender,
    WebhookSettings,
    claim_deliveries,
    finish_delivery,
)
from ampd.webhooks.schedule import DELAYS, MOST_ATTEMPTS
from support.databases import empty, fresh_database
from support.engine import SECONDS, Engine, worker_session
from support.receivers import Receiver, distinct, receiver
from support.webhook_scene import DAY, LOCAL, OWN_SECRET, Scene

KEY = OWN_SECRET.encode()
HOUR = 3600.0
LIFE = ["job.scheduled", "job.started", "job.completed"]


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ampd.controller.webhooks, "_INTERVAL_SECONDS", 0.02)


@pytest.fixture(scope="module")
def shared_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
def database_url(shared_url: str) -> str:
    empty(shared_url)
    return shared_url


@pytest.fixture
def scene(metadata_db: MetadataDb, database_url: str) -> Iterator[Scene]:
    with worker_session(database_url) as worker:
        yield Scene(metadata_db, Engine(metadata_db, worker))


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver(KEY) as listening:
        yield listening


async def test_a_receiver_with_the_package_verifies_the_life_of_a_job_in_order(scene: Scene, there: Receiver) -> None:
    webhook = await scene.webhook(there.url)
    async with scene.delivering():
        job_id = await scene.job(labels={"product": "my-app", "env": "prd"})
        await scene.live(job_id)
        received = await there.count(3)
        log = await scene.until_all(webhook, DeliveryStatus.DELIVERED)
    assert there.events(job_id) == LIFE
    assert there.refused == []
    assert [each.message_id for each in received] == [each.message_id for each in log]
    assert [each.message for each in received] == [each.payload for each in log]
    assert {(each.response_status, each.attempts, each.error) for each in log} == {(204, 1, None)}
    assert received[0].headers["Content-Type"] == "application/json"
    sequences = [each.message["sequence"] for each in received]
    assert sequences == sorted(set(sequences))


def replaced(settings: WebhookSettings, url: str | None = None, **changes: Any) -> WebhookSettings:
    return dataclasses.replace(settings, **changes, **({} if url is None else {"url": url}))


async def test_each_form_of_a_secret_verifies_with_what_its_owner_was_shown(scene: Scene) -> None:
    made_up, shown = await scene.store.create(WebhookSettings("http://127.0.0.1:1/a", tuple(LIFE)), secret=None)
    own, own_shown = await scene.store.create(WebhookSettings("http://127.0.0.1:1/b", tuple(LIFE)), secret=OWN_SECRET)
    for webhook, keys in ((made_up, [shown]), (own, [own_shown, OWN_SECRET.encode()])):
        for key in keys:
            async with receiver(key) as there:
                await scene.store.update(webhook.id, lambda settings, url=there.url: replaced(settings, url))
                await scene.store.send_test(webhook.id)
                async with scene.delivering():
                    await there.count(1)
                assert there.refused == []


async def test_a_later_event_waits_for_the_earlier_one_of_its_job_and_for_no_other(
    scene: Scene, there: Receiver
) -> None:
    webhook = await scene.webhook(there.url)
    first = await scene.job("first")
    there.answers = [500]
    async with scene.delivering():
        await scene.until_tried(webhook)
        second = await scene.job("second")
        await scene.live(first)
        await scene.live(second)
        await there.count(4)  # the one that failed, and the other job's three
        assert there.events(second) == LIFE
        assert there.events(first) == ["job.scheduled"]
        await scene.pass_time(DELAYS[0] * 1.2)
        await there.count(7)
        await scene.until_all(webhook, DeliveryStatus.DELIVERED)
    assert there.events(first) == ["job.scheduled", *LIFE]
    assert len(distinct(there.received)) == 6


async def test_an_endpoint_that_hangs_holds_up_neither_another_endpoint_nor_more_than_its_share(
    scene: Scene, there: Receiver
) -> None:
    go_on = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await go_on.wait()
        return web.Response(status=204)

    async with receiver(KEY) as slow:
        slow.always = hang
        hanging, healthy = await scene.webhook(slow.url), await scene.webhook(there.url)
        jobs = [await scene.job(str(number)) for number in range(12)]
        async with scene.delivering(in_flight=3, loops=3):
            await there.count(12)
            await slow.until(lambda: slow.at_once == 3)
            await scene.until_all(healthy, DeliveryStatus.DELIVERED)
            assert slow.at_once == 3
            go_on.set()
            await scene.until_all(hanging, DeliveryStatus.DELIVERED)
        assert slow.most_at_once == 3
        assert {each.job_id for each in slow.received} == set(jobs)
        assert len(distinct(slow.received)) == len(slow.received) == 12


async def test_several_controllers_send_every_message_once_and_of_each_job_in_order(
    scene: Scene, there: Receiver
) -> None:
    webhook = await scene.webhook(there.url)
    async with scene.delivering(in_flight=4, loops=4):
        jobs = [await scene.job(str(number)) for number in range(15)]
        await scene.engine.complete(*jobs)
        await there.count(45)
        await scene.until_all(webhook, DeliveryStatus.DELIVERED)
    assert len(there.received) == len(distinct(there.received)) == 45
    assert [there.events(job_id) for job_id in jobs] == [LIFE] * 15
    assert there.most_at_once <= 4


# --- crashes and leases


async def test_a_crash_between_sending_and_noting_gives_a_duplicate_with_the_same_id_and_never_a_loss(
    scene: Scene, there: Receiver
) -> None:
    webhook = await scene.webhook(there.url)
    job_id = await scene.job()
    (lost,) = (await claim_deliveries(scene.db, limit=9, per_endpoint=9)).deliveries
    await send(lost)  # and the controller dies
    await scene.live(job_id)
    async with scene.delivering():
        await scene.pass_time(59)
        assert len(there.received) == 1
        await scene.pass_time(2)  # the lease is over
        await there.count(4)
        await scene.until_all(webhook, DeliveryStatus.DELIVERED)
    assert there.events() == ["job.scheduled", *LIFE]
    assert there.received[0].message_id == there.received[1].message_id == lost.message_id
    assert there.received[0].body == there.received[1].body
    # What the dead one would still say changes nothing.
    assert await finish_delivery(scene.db, lost, Outcome(DeliveryStatus.FAILED, 1, gone=True)) is None
    assert (await scene.store.get(webhook.id)).settings.enabled
    assert (await scene.log(webhook))[0].status is DeliveryStatus.DELIVERED


async def test_two_controllers_never_lease_the_same_message(scene: Scene) -> None:
    await scene.webhook("http://127.0.0.1:1/")
    for number in range(10):
        await scene.job(str(number))
    claims = await asyncio.gather(*(claim_deliveries(scene.db, limit=3, per_endpoint=8) for _ in range(8)))
    ids = [each.id for claimed in claims for each in claimed.deliveries]
    while again := (await claim_deliveries(scene.db, limit=3, per_endpoint=8)).deliveries:
        ids += [each.id for each in again]
    assert len(ids) == len(set(ids)) == 8


# --- failures


async def test_a_receiver_that_is_down_for_a_day_gets_everything_when_it_is_back(scene: Scene) -> None:
    async with receiver(KEY) as port_of:
        url, port = port_of.url, port_of.port
    webhook = await scene.webhook(url)
    job_id = await scene.job()
    async with scene.delivering():
        await scene.live(job_id)
        attempts = 1
        await scene.until_tried(webhook)
        while sum(DELAYS[:attempts]) < DAY:
            await scene.pass_time(DELAYS[attempts - 1] * 1.2)
            attempts += 1
            await scene.until_tried(webhook, attempts)
        assert attempts == 7
        log = await scene.log(webhook)
        assert [each.attempts for each in log] == [attempts, 0, 0]
        assert log[0].error is not None
        assert log[0].error["error_code"] == "WEBHOOK_UNREACHABLE"
        assert (await scene.store.get(webhook.id)).failing_since is not None
        async with receiver(KEY, port=port) as back:
            await scene.pass_time(DELAYS[attempts - 1] * 1.2)
            await back.count(3)
            await scene.until_all(webhook, DeliveryStatus.DELIVERED)
            assert back.events(job_id) == LIFE
    assert (await scene.store.get(webhook.id)).failing_since is None


async def test_a_message_is_given_up_after_ten_tries_then_the_next_one_goes_and_a_replay_sends_it_under_its_id(
    scene: Scene, there: Receiver
) -> None:
    webhook = await scene.webhook(there.url)
    job_id = await scene.job()
    there.answers = [500] * MOST_ATTEMPTS
    async with scene.delivering():
        await scene.live(job_id)
        for attempt in range(1, MOST_ATTEMPTS):
            await scene.until_tried(webhook, attempt)
            await scene.pass_time(DELAYS[attempt - 1] * 1.2)
        log = await scene.until(webhook, lambda log: log[-1].status is DeliveryStatus.DELIVERED)
        assert [each.status.value for each in log] == ["FAILED", "DELIVERED", "DELIVERED"]
        assert (log[0].attempts, log[0].next_attempt_at) == (MOST_ATTEMPTS, None)
        assert there.events() == ["job.scheduled"] * MOST_ATTEMPTS + LIFE[1:]
        assert len(distinct(there.received)) == 3

        since = log[0].occurred_at
        assert await scene.store.replay_failed(webhook.id, since=since.replace(year=since.year + 1)) == 0
        assert await scene.store.replay_failed(webhook.id, since=since) == 1
        await scene.until_all(webhook, DeliveryStatus.DELIVERED)
        assert there.received[-1].message_id == there.received[0].message_id
        assert there.received[-1].body == there.received[0].body

        # One that was delivered can be sent again, too.
        before = len(there.received)
        await scene.store.replay(webhook.id, log[2].id)
        await there.count(before + 1)
        assert there.received[-1].message_id == log[2].message_id


async def test_retry_after_holds_the_endpoint_for_that_time_and_a_day_at_most(scene: Scene, there: Receiver) -> None:
    def slow_down(value: str, status: int = 429) -> object:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Retry-After": value})

        return answer

    webhook = await scene.webhook(there.url)
    there.answers = [slow_down("3600"), slow_down("99999999", 503)]  # type: ignore[list-item]
    first = await scene.job("first")
    async with scene.delivering(in_flight=1):
        await scene.until_tried(webhook)
        second = await scene.job("second")
        await scene.pass_time(0.9 * HOUR)
        await scene.job("third")
        assert there.events() == ["job.scheduled"]
        await scene.pass_time(0.2 * HOUR)
        await there.count(2)
        await scene.until(webhook, lambda log: sum(each.attempts for each in log) == 2)
        await scene.pass_time(0.99 * DAY)
        assert len(there.received) == 2
        await scene.pass_time(0.02 * DAY)
        await scene.until_all(webhook, DeliveryStatus.DELIVERED)
    assert {each.job_id for each in there.received} >= {first, second}


async def test_410_disables_at_once_and_what_waits_is_sent_when_somebody_enables(scene: Scene, there: Receiver) -> None:
    webhook = await scene.webhook(there.url)
    there.answers = [410]
    job_id = await scene.job()
    async with scene.delivering():
        await scene.until(webhook, lambda log: log[0].status is DeliveryStatus.FAILED)
        found = await scene.store.get(webhook.id)
        assert (found.settings.enabled, found.disabled_reason) == (False, "GONE")
        await scene.live(job_id)  # not told of: it is disabled
        await scene.store.update(webhook.id, lambda settings: replaced(settings, enabled=True))
        await scene.job("other")
        await scene.until(webhook, lambda log: len(log) == 2 and log[1].status is DeliveryStatus.DELIVERED)
    found = await scene.store.get(webhook.id)
    assert (found.disabled_reason, found.disabled_at, found.failing_since) == (None, None, None)


async def test_five_days_of_nothing_but_failures_disable_and_the_reason_is_shown(scene: Scene, there: Receiver) -> None:
    webhook = await scene.webhook(there.url)
    there.always = 500
    await scene.job("0")
    async with scene.delivering():
        await scene.until_tried(webhook)
        for day in range(1, 5):
            await scene.pass_time(0.99 * DAY)
            await scene.job(str(day))
            await scene.until(webhook, lambda log, day=day: log[day].attempts > 0)
            assert (await scene.store.get(webhook.id)).settings.enabled
        await scene.pass_time(1.05 * DAY)
        async with asyncio.timeout(SECONDS):
            while (found := await scene.store.get(webhook.id)).settings.enabled:
                await asyncio.sleep(0.01)
    assert (found.settings.enabled, found.disabled_reason) == (False, "FAILING")
    assert found.disabled_at is not None
    assert found.pending > 0
    there.always = None
    await scene.store.update(webhook.id, lambda settings: replaced(settings, enabled=True))
    await scene.pass_time(2 * DAY)
    async with scene.delivering():
        await scene.until(webhook, lambda log: all(each.status is not DeliveryStatus.PENDING for each in log))


async def test_single_failures_that_lie_far_apart_or_a_success_between_them_disable_nothing(
    scene: Scene, there: Receiver
) -> None:
    webhook = await scene.webhook(there.url)

    async def fail() -> None:
        (lease,) = (await claim_deliveries(scene.db, limit=1, per_endpoint=9)).deliveries
        await finish_delivery(scene.db, lease, Outcome(DeliveryStatus.FAILED, 1, error={}))

    for number in range(4):
        await scene.job(f"apart {number}")
        await fail()
        await scene.pass_time(3 * DAY)
    for number in range(7):
        await scene.job(f"between {number}")
        await fail()
        await scene.pass_time(DAY)
        if number == 3:
            (lease,) = await one_more(scene)
            await finish_delivery(scene.db, lease, Outcome(DeliveryStatus.DELIVERED, 1))
    assert (await scene.store.get(webhook.id)).settings.enabled


async def one_more(scene: Scene) -> list[LeasedDelivery]:
    await scene.job("one more")
    return (await claim_deliveries(scene.db, limit=9, per_endpoint=9)).deliveries


# --- secrets


async def test_while_a_secret_is_rotated_both_sign_and_then_the_new_one_alone(scene: Scene, there: Receiver) -> None:
    webhook = await scene.webhook(there.url)
    _, new = await scene.store.rotate(webhook.id, secret=None, overlap_seconds=HOUR)
    async with receiver(new) as moved, scene.delivering():
        for listening in (there, moved):
            await scene.store.update(webhook.id, lambda settings, url=listening.url: replaced(settings, url))
            await scene.store.send_test(webhook.id)
            (message,) = await listening.count(1)
            assert message.headers["webhook-signature"].count("v1,") == 2
        assert (await scene.store.get(webhook.id)).rotation_ends_at is not None
        await scene.pass_time(1.1 * HOUR)
        assert (await scene.store.get(webhook.id)).rotation_ends_at is None
        await scene.store.send_test(webhook.id)
        await moved.count(2)
        assert moved.received[1].headers["webhook-signature"].count("v1,") == 1
        # At once, and never more than two.
        _, third = await scene.store.rotate(webhook.id, secret=OWN_SECRET + "3", overlap_seconds=HOUR)
        await scene.store.rotate(webhook.id, secret=OWN_SECRET + "4", overlap_seconds=HOUR)
        moved.keys = [third]
        await scene.store.send_test(webhook.id)
        await moved.count(3)
        assert moved.received[2].headers["webhook-signature"].count("v1,") == 2
        await scene.store.rotate(webhook.id, secret=OWN_SECRET + "5", overlap_seconds=0)
        await scene.store.send_test(webhook.id)
        await moved.until(lambda: bool(moved.refused))


async def test_the_secret_of_a_receiver_that_repeats_it_stays_out_of_the_log(scene: Scene, there: Receiver) -> None:
    forms = f"{OWN_SECRET} {secret_of(key_of(OWN_SECRET))}"

    async def repeat(_request: web.Request) -> web.Response:
        return web.Response(status=500, text=forms)

    webhook = await scene.webhook(there.url)
    there.answers = [repeat]
    await scene.job()
    async with scene.delivering():
        (delivery,) = await scene.until_tried(webhook)
    assert delivery.response_head == "*** ***"


async def test_the_timestamp_is_that_of_the_try_and_of_the_databases_clock(
    scene: Scene, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await scene.webhook(there.url)
    there.answers = [500]
    await scene.job()
    await scene.pass_time(6 * 60)  # the event is older than a receiver takes; the message is not
    async with scene.delivering():
        await scene.until_tried(webhook)
        await scene.pass_time(DELAYS[0] * 1.2)
        await scene.until_all(webhook, DeliveryStatus.DELIVERED)
    assert there.refused == []
    row = await scene.db.fetch_one("SELECT extract(epoch FROM now())::float8 AS now")
    assert row is not None
    stamps = [int(each.headers["webhook-timestamp"]) for each in there.received]
    assert all(0 <= row["now"] - stamp < 60 for stamp in stamps)


async def test_a_test_message_waits_for_nothing_and_a_disabled_endpoint_gets_none(
    scene: Scene, there: Receiver
) -> None:
    webhook = await scene.webhook(there.url, events=["job.failed"])
    delivery = await scene.store.send_test(webhook.id)
    assert (delivery.event, delivery.job_id, delivery.status) == ("webhook.test", None, DeliveryStatus.PENDING)
    async with scene.delivering():
        (message,) = await there.count(1)
    assert message.message["job"] == {
        **{"id": "0", "status": "completed", "namespace": "test", "product": "", "env": ""},
        **{"scheduled_at": 0, "execution_count": 0},
    }
    await scene.store.update(webhook.id, lambda settings: replaced(settings, enabled=False))
    for refused in (
        scene.store.send_test(webhook.id),
        scene.store.replay(webhook.id, delivery.id),
        scene.store.replay_failed(webhook.id, since=delivery.created_at),
    ):
        with pytest.raises(Exception, match="disabled") as error:
            await refused
        assert getattr(error.value, "code", None) is ErrorCode.WEBHOOK_DISABLED


async def send(delivery: LeasedDelivery) -> None:
    """What a controller does with a lease before it notes the outcome."""
    headers = ampd.controller.webhooks.signature_headers(
        delivery.keys, delivery.message_id, int(delivery.now), delivery.body()
    )
    async with Sender(LOCAL) as sender:
        assert (await sender.send(delivery.url, headers, delivery.body())).taken


async def test_a_message_that_cannot_be_made_counts_its_tries_and_holds_nothing_else_up(
    scene: Scene, there: Receiver
) -> None:
    webhook = await scene.webhook(there.url)
    await scene.job("broken")
    await scene.engine.change("UPDATE webhook_deliveries SET job = job - 'run_at_ms'")
    healthy = await scene.job("healthy")
    async with scene.delivering():
        await there.count(1)
        row = await until_row(
            scene, "SELECT status, attempts, error FROM webhook_deliveries WHERE attempts > 0 AND id = 1"
        )
    assert there.events(healthy) == ["job.scheduled"]
    assert (row["status"], row["attempts"], row["error"]["error_code"]) == ("PENDING", 1, "INTERNAL_ERROR")
    assert webhook.id == 1


async def until_row(scene: Scene, query: LiteralString) -> Row:
    async with asyncio.timeout(SECONDS):
        while (row := await scene.db.fetch_one(query)) is None:
            await asyncio.sleep(0.01)
    return row
