"""The loop that delivers, against real receivers that verify every message with the package of Standard Webhooks."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

import ampd.controller.webhooks
from ampd.webhooks import (
    Delivery,
    DeliveryStatus,
    LeasedDelivery,
    Outcome,
    Sender,
    claim_deliveries,
    finish_delivery,
)
from support.receivers import FAILS, Receiver, distinct, receiver
from support.webhook_scene import LOCAL, OWN_SECRET, Scene

KEY = OWN_SECRET.encode()
HOUR = 3600.0
LIFE = ["job.scheduled", "job.started", "job.completed"]


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


async def test_a_later_event_waits_for_the_earlier_one_of_its_job_and_for_no_other(
    scene: Scene, there: Receiver
) -> None:
    webhook = await scene.webhook(there.url)
    first = await scene.job("first")
    there.answers = [FAILS]
    async with scene.delivering():
        await scene.until_tried(webhook)
        second = await scene.job("second")
        await scene.live(first)
        await scene.live(second)
        await there.count(4)  # the one that failed, and the other job's three
        assert there.events(second) == LIFE
        assert there.events(first) == ["job.scheduled"]
        await scene.pass_time(HOUR)
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


async def test_what_a_controller_says_whose_lease_another_has_taken_over_changes_nothing(scene: Scene) -> None:
    webhook = await scene.webhook("http://127.0.0.1:1/")
    await scene.job()
    (lost,) = (await claim_deliveries(scene.db, limit=9, per_endpoint=9)).deliveries
    await scene.pass_time(61)
    (held,) = (await claim_deliveries(scene.db, limit=9, per_endpoint=9)).deliveries
    assert (held.id, held.message_id, held.body()) == (lost.id, lost.message_id, lost.body())
    assert held.lease_epoch == lost.lease_epoch + 1
    for outcome in (Outcome(DeliveryStatus.FAILED, 1, gone=True), Outcome(DeliveryStatus.DELIVERED, 1)):
        assert await finish_delivery(scene.db, lost, outcome) is None
        assert [(each.status, each.attempts) for each in await scene.log(webhook)] == [(DeliveryStatus.PENDING, 0)]
    assert (await scene.store.get(webhook.id)).settings.enabled
    await finish_delivery(scene.db, held, Outcome(DeliveryStatus.DELIVERED, 1))
    assert [each.status for each in await scene.log(webhook)] == [DeliveryStatus.DELIVERED]


async def test_two_controllers_never_lease_the_same_message(scene: Scene) -> None:
    await scene.webhook("http://127.0.0.1:1/")
    for number in range(10):
        await scene.job(str(number))
    claims = await asyncio.gather(*(claim_deliveries(scene.db, limit=3, per_endpoint=8) for _ in range(8)))
    ids = [each.id for claimed in claims for each in claimed.deliveries]
    while again := (await claim_deliveries(scene.db, limit=3, per_endpoint=8)).deliveries:
        ids += [each.id for each in again]
    assert len(ids) == len(set(ids)) == 8


async def send(delivery: LeasedDelivery) -> None:
    """What a controller does with a lease before it notes the outcome."""
    headers = ampd.controller.webhooks.signature_headers(
        delivery.keys, delivery.message_id, int(delivery.now), delivery.body()
    )
    async with Sender(LOCAL) as sender:
        assert (await sender.send(delivery.url, headers, delivery.body())).taken


async def test_a_process_that_stood_still_does_not_send_what_others_may_be_sending(
    scene: Scene, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await scene.webhook(there.url)
    await scene.job("old")
    long_ago = LongAgo()
    monkeypatch.setattr(ampd.controller.webhooks, "LEASE_SECONDS", long_ago)
    async with scene.delivering():
        await long_ago.looked_at.wait()
        monkeypatch.setattr(ampd.controller.webhooks, "LEASE_SECONDS", 60)
        await scene.job("new")
        await there.count(1)
    assert [each.job_id for each in there.received] == [2]
    assert is_leased((await scene.log(webhook))[-1])


class LongAgo(int):
    """The seconds of a lease: whatever was leased, was leased longer ago. Tells when that was looked at."""

    def __init__(self) -> None:
        self.looked_at = asyncio.Event()

    def __truediv__(self, other: float) -> float:
        self.looked_at.set()
        return -1.0


def is_leased(delivery: Delivery) -> bool:
    return delivery.next_attempt_at is not None and delivery.next_attempt_at > delivery.created_at
