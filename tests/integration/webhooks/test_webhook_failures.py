"""What becomes of a message that a receiver does not take, and of an endpoint that only fails."""

from __future__ import annotations

import asyncio
from typing import LiteralString

from aiohttp import web

from ampd.metadata_db import Row
from ampd.webhooks import (
    DeliveryStatus,
    LeasedDelivery,
    Outcome,
    claim_deliveries,
    finish_delivery,
)
from ampd.webhooks.schedule import DELAYS, MOST_ATTEMPTS
from support.engine import SECONDS
from support.receivers import Receiver, answer, distinct, receiver
from support.webhook_scene import DAY, OWN_SECRET, Scene, replaced

KEY = OWN_SECRET.encode()
HOUR = 3600.0
LIFE = ["job.scheduled", "job.started", "job.completed"]


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
        replayed = await scene.until_all(webhook, DeliveryStatus.DELIVERED)
        assert replayed[0].attempts == 1  # it has all its tries again
        assert there.received[-1].message_id == there.received[0].message_id
        assert there.received[-1].body == there.received[0].body

        # One that was delivered can be sent again, too.
        before = len(there.received)
        await scene.store.replay(webhook.id, log[2].id)
        await there.count(before + 1)
        assert there.received[-1].message_id == log[2].message_id


async def test_retry_after_holds_the_endpoint_for_that_time_and_a_day_at_most(scene: Scene, there: Receiver) -> None:
    webhook = await scene.webhook(there.url)
    there.answers = [answer(429, Retry_After="3600"), answer(503, Retry_After="99999999")]
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
    async def gone_from_there(request: web.Request) -> web.Response:
        return web.Response(status=410 if request.path == "/hooks" else 204)

    webhook, other = await scene.webhook(there.url), await scene.webhook(there.url + "/other")
    there.always = gone_from_there
    await scene.job("refused")
    await scene.job("waits")
    async with scene.delivering(in_flight=1):
        await scene.until(webhook, lambda log: log[0].status is DeliveryStatus.FAILED)
        found = await scene.store.get(webhook.id)
        assert (found.settings.enabled, found.disabled_reason, found.pending) == (False, "GONE", 1)
        await scene.job("not told of")
        await scene.until(other, lambda log: [each.status for each in log] == [DeliveryStatus.DELIVERED] * 3)
        assert [each.path for each in there.received].count("/hooks") == 1
        there.always = None
        await scene.store.update(webhook.id, lambda settings: replaced(settings, enabled=True))
        log = await scene.until(webhook, lambda log: log[-1].status is DeliveryStatus.DELIVERED)
    assert [each.status for each in log] == [DeliveryStatus.FAILED, DeliveryStatus.DELIVERED]
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
