"""Webhooks of real controllers: one that is killed in the middle of a delivery, and a receiver as a user writes it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from ampd.client import AsyncAmpd
from ampd.jobs import JobStore
from ampd.metadata_db import MetadataDb
from ampd.webhook_signature import key_of, signature_headers
from support.daemons import Cluster, Process
from support.engine import SECONDS, deployment
from support.receivers import receiver

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "receive_webhooks.py"
SECRET = "webhook-secret-key"
SETTINGS = 'webhooks.allowed_networks = ["127.0.0.0/8"]'


@pytest.fixture
async def cluster(tmp_path: Path, database_url: str) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path, database_url, SETTINGS)
    try:
        await asyncio.to_thread(cluster.start_controller)
        yield cluster
    finally:
        await asyncio.to_thread(cluster.end)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Process]:
    log = tmp_path / "receiver.log"
    process = Process([sys.executable, str(EXAMPLE), "0"], log=log, environment={"WEBHOOK_SECRET": SECRET})
    try:
        yield process
    finally:
        process.end()


async def deploy(db: MetadataDb, key: str) -> int:
    return (await JobStore(db).deploy(deployment(key), actor="test")).id


async def test_a_controller_that_is_killed_between_sending_and_noting_costs_a_duplicate_and_no_loss(
    cluster: Cluster, metadata_db: MetadataDb
) -> None:
    controller = cluster.processes[0]
    never = asyncio.Event()

    async def hang(_request: object) -> None:
        await never.wait()

    async with receiver(SECRET.encode()) as there, AsyncAmpd(cluster.admin_url) as client:
        there.answers = [hang]  # type: ignore[list-item]
        webhook = await client.jobs.set_webhook(url=there.url, secret=SECRET)
        job_id = await deploy(metadata_db, "a")
        await there.count(1)
        os.kill(controller.popen.pid, signal.SIGKILL)
        await asyncio.to_thread(controller.wait)
        await JobStore(metadata_db).request_stop(job_id, actor="test")
        (early,) = (await there.count(1))[:1]

        await asyncio.to_thread(cluster.start_controller)
        await deploy(metadata_db, "b")
        await there.count(2)  # the other job's: the first message is still leased
        assert [each.event for each in there.received if each.job_id == job_id] == ["job.scheduled"]
        async with asyncio.timeout(SECONDS):  # else the lease of the other job's ended here, too
            while (await client.webhooks.get(webhook.id)).pending > 2:
                pass
        over = "UPDATE webhook_deliveries SET leased_until = now(), next_attempt_at = now() WHERE leased_until > now()"
        await metadata_db.execute(over)
        await there.count(4)
        assert there.events(job_id) == ["job.scheduled", "job.scheduled", "job.cancelled"]
        again = next(each for each in there.received[1:] if each.job_id == job_id)
        assert (again.message_id, again.body) == (early.message_id, early.body)
        assert there.refused == []
        async with asyncio.timeout(SECONDS):
            while (await client.webhooks.get(webhook.id)).pending:
                pass
        for process in cluster.processes:
            assert SECRET not in process.text()


async def test_the_example_receiver_takes_what_is_genuine_once(
    cluster: Cluster, metadata_db: MetadataDb, program: Process
) -> None:
    line = await asyncio.to_thread(program.wait_for_text, "listening on ")
    url = line.rpartition(" ")[2]
    async with AsyncAmpd(cluster.admin_url) as client:
        webhook = await client.webhooks.create(url, secret=SECRET)
        job_id = await deploy(metadata_db, "a")
        await asyncio.to_thread(program.wait_for_text, f"job.scheduled: job {job_id} is scheduled")
        async with asyncio.timeout(SECONDS):
            while (await client.webhooks.get(webhook.id)).pending:
                pass
        (delivery,) = (await client.webhooks.deliveries(webhook.id)).deliveries
        await client.webhooks.replay(webhook.id, delivery.id)
        await JobStore(metadata_db).request_stop(job_id, actor="test")
        await asyncio.to_thread(program.wait_for_text, f"job.cancelled: job {job_id} is cancelled")
    body = b'{"event":"job.failed","sequence":99,"job":{"id":"1"}}'
    forged = signature_headers([key_of("another secret of mine")], "msg_2", int(time.time()), body)
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.post(url, content=body, headers=forged)).status_code == 400
    assert program.text().count("job.scheduled") == 1
    assert "job.failed" not in program.text()
