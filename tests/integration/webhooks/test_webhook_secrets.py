"""What signs a message, and when: every form of a secret, two of them at a time, and the time of the try."""

from __future__ import annotations

import pytest
from aiohttp import web

from ampd.errors import ErrorCode
from ampd.webhook_signature import key_of, secret_of
from ampd.webhooks import (
    DeliveryStatus,
    WebhookSettings,
)
from ampd.webhooks.schedule import DELAYS
from support.receivers import Receiver, receiver
from support.webhook_scene import OWN_SECRET, Scene, replaced

HOUR = 3600.0
LIFE = ["job.scheduled", "job.started", "job.completed"]


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
