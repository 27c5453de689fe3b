"""Events on their way to Kafka, as a consumer of another library sees them: every one, in order, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import structlog

from ampd.admin_api import ClusterFigures
from ampd.controller import EventSettings, run_worker_events
from ampd.controller.worker_events import EventSender
from ampd.daemons.figures import figures_of
from ampd.metadata_db import MetadataDb
from ampd.tasks import cancel_all
from ampd.telemetry.metrics import exposition
from ampd.worker_events import Broker, BrokerSettings, lease_sending, note_sent
from support.daemons import free_port
from support.engine import SECONDS
from support.event_scene import HOUR, TRANSIENT, EventScene
from support.kafka import PARTITIONS, REQUEST_TIMED_OUT, TOPIC, Consumer, MockKafka, Record, consumer, mock_kafka
from support.telemetry import ACCEPT, Scrape

TABLES = ("blocks", "logs")


@pytest.fixture
def kafka() -> Iterator[MockKafka]:
    with mock_kafka() as broker:
        yield broker


@pytest.fixture
async def reader(kafka: MockKafka) -> AsyncIterator[Consumer]:
    async with consumer(kafka.address) as reading:
        yield reading


def broker_at(address: str, **changes: Any) -> Broker:
    return Broker(BrokerSettings(**{"brokers": (address,), "topic": TOPIC, "partitions": PARTITIONS} | changes))


@asynccontextmanager
async def running(db: MetadataDb, kafka: MockKafka, *, interval: float = 0.01) -> AsyncIterator[None]:
    """Run what a controller runs."""
    broker = BrokerSettings((kafka.address,), TOPIC, PARTITIONS)
    task = asyncio.create_task(
        run_worker_events(db, EventSettings(True, interval, kept_seconds=HOUR, unsent_seconds=HOUR, broker=broker))
    )
    try:
        yield
    finally:
        await cancel_all([task])


@asynccontextmanager
async def sending(sender: EventSender) -> AsyncIterator[None]:
    task = asyncio.create_task(sender.run())
    try:
        yield
    finally:
        await cancel_all([task])


async def until_sent(db: MetadataDb) -> None:
    """Return when the broker has taken the whole log."""
    query = """SELECT (SELECT max(id) FROM worker_events) IS NOT DISTINCT FROM (SELECT sent_to FROM worker_event_sender)
                      AND NOT EXISTS (SELECT FROM worker_event_outbox) AS done"""
    async with asyncio.timeout(SECONDS):
        while not ((await db.fetch_one(query)) or {})["done"]:
            await asyncio.sleep(0.02)


async def scraped(db: MetadataDb) -> Scrape:
    """Return the page of a controller."""
    families = await ClusterFigures(figures_of(db, lease_seconds=5.0)).families()
    return Scrape(exposition(ACCEPT, families)[0].decode())


def completed(records: list[Record]) -> bool:
    return _tables_of(records, "sync.completed") == set(TABLES)


def _tables_of(records: list[Record], event_type: str) -> set[str]:
    return {each.payload.table_name for each in records if each.type == event_type}


def check_order(reader: Consumer, last_block: int) -> None:
    """Check that each table begins, goes on and ends in this order, in one partition."""
    for table in TABLES:
        records = reader.of_table(table)
        assert (records[0].type, records[-1].type) == ("sync.started", "sync.completed")
        assert {each.type for each in records[1:-1]} <= {"sync.progress"}
        blocks = [each.payload.progress.current_block for each in records[1:-1]]
        assert blocks == sorted(set(blocks))
        assert records[-1].payload.final_block == last_block
        assert {each.partition for each in records} == {sum(records[0].key.encode()) % PARTITIONS}


async def finish(scene: EventScene, segments: int, first: int = 0) -> int:
    """Extract so many segments and complete the job; return the last block."""
    for number in range(first, segments):
        await scene.extract(10 * number, 10 * number + 9)
    assert await scene.ranges.leased.complete(scene.ranges.lease)
    return 10 * segments - 1


async def test_a_consumer_sees_every_event_of_a_run_once_in_order_and_in_the_partition_of_its_key(
    scene: EventScene, kafka: MockKafka, reader: Consumer
) -> None:
    async with running(scene.db, kafka):
        await scene.begin(end_block=49)
        last = await finish(scene, 5)
        records = await reader.until(completed)
    assert len(records) == len({each.event_id for each in records})
    check_order(reader, last)
    log = {str(each.event_id) for each in await scene.told()}
    assert {each.event_id for each in records} == log


async def test_a_consumer_sees_the_failure_of_an_attempt_between_its_progress_and_the_next_start(
    scene: EventScene, kafka: MockKafka, reader: Consumer
) -> None:
    async with running(scene.db, kafka):
        await scene.begin(end_block=19)
        await scene.extract(0, 9)
        await reader.until(lambda records: _tables_of(records, "sync.progress") == set(TABLES))
        assert await scene.ranges.leased.fail(scene.ranges.lease, TRANSIENT)
        await scene.next_attempt()
        await scene.begin(end_block=19)
        await finish(scene, 2, first=1)
        await reader.until(completed)
        await until_sent(scene.db)
    for table in TABLES:
        records = reader.of_table(table)
        types = [each.type.removeprefix("sync.") for each in records]
        assert [each for each in types if each != "progress"] == ["started", "failed", "started", "completed"]
        assert types[1] == "progress"
        failed = next(each.payload for each in records if each.type == "sync.failed")
        assert (failed.error_type, failed.error_message) == (TRANSIENT.code, TRANSIENT.message)


async def test_events_wait_for_a_broker_that_is_away_and_come_in_order_when_it_is_back(
    scene: EventScene, kafka: MockKafka, reader: Consumer
) -> None:
    before = await scraped(scene.db)
    assert not before.all("ampd_cluster_worker_events_unsent"), "nobody sends"
    async with running(scene.db, kafka):
        await scene.begin(end_block=79)
        await scene.extract(0, 9)
        await reader.until(lambda records: any(each.type == "sync.progress" for each in records))
        kafka.go_away()
        await scene.extract(10, 19)
        await scene.collect()
        await scene.extract(20, 29)
        await scene.collect()
        last = await finish(scene, 8, first=3)  # the job does not wait
        async with asyncio.timeout(SECONDS):
            while not (away := await scraped(scene.db)).all("ampd_worker_events_failed_total"):
                await asyncio.sleep(0.02)
        kafka.come_back()
        await reader.until(completed)
        await until_sent(scene.db)
        end = await scraped(scene.db)
    check_order(reader, last)
    log = await scene.told()
    assert {each.event_id for each in reader.records} == {str(each.event_id) for each in log}
    # What was told to Prometheus is what happened.
    taken = [each.value("ampd_worker_events_delivered_total") for each in (before, away, end)]
    assert 0 < taken[1] - taken[0] < taken[2] - taken[0] == len(log)
    assert away.value("ampd_cluster_worker_events_unsent") > 0
    assert away.value("ampd_cluster_worker_events_unsent_oldest_seconds") > 0
    assert away.value("ampd_worker_events_sender") == end.value("ampd_worker_events_sender") == 1
    assert end.all("ampd_cluster_worker_events_unsent") == {frozenset(): 0}
    assert end.all("ampd_cluster_worker_events_unsent_oldest_seconds") == {frozenset(): 0}
    assert end.all("ampd_cluster_worker_events_outbox") == {frozenset(): 0}
    assert (await scraped(scene.db)).value("ampd_worker_events_sender") == 0


async def test_a_broker_that_is_not_there_at_the_start_is_waited_for(scene: EventScene, kafka: MockKafka) -> None:
    kafka.go_away()
    with structlog.testing.capture_logs() as logs:
        async with running(scene.db, kafka):
            await scene.begin()
            async with asyncio.timeout(SECONDS):
                while not any(each["event"] == "worker_events.not_sent" for each in logs):
                    await asyncio.sleep(0.02)
            kafka.come_back()
            async with consumer(kafka.address) as reader:
                await reader.until(lambda records: len(records) >= 2)
            await until_sent(scene.db)
    told = [each for each in logs if each["event"].startswith("worker_events.")]
    assert [each["event"] for each in told] == ["worker_events.not_sent", "worker_events.broker_is_back"]
    assert told[0]["error_code"] == "EVENT_BROKER_FAILED"
    assert kafka.address in told[0]["error"]


async def test_errors_of_the_broker_lose_nothing_and_repeat_only_the_same_event(
    scene: EventScene, kafka: MockKafka, reader: Consumer
) -> None:
    kafka.fail_next(*[REQUEST_TIMED_OUT] * 3)
    async with running(scene.db, kafka):
        await scene.begin(end_block=19)
        last = await finish(scene, 2)
        await reader.until(completed)
    check_order(reader, last)


async def test_what_was_sent_and_not_noted_is_sent_again_under_the_same_id_and_with_the_same_bytes(
    scene: EventScene, kafka: MockKafka, reader: Consumer
) -> None:
    await scene.begin()
    events = await scene.told()
    for _ in range(2):  # a controller that was killed between the two, and its successor
        broker = broker_at(kafka.address)
        await broker.send(events, may_send=_always)
        await broker.close()
    records = await reader.until(lambda records: len(records) == 2 * len(events))
    assert len({each.value for each in records}) == len({each.event_id for each in records}) == len(events)


async def test_of_one_table_nothing_is_sent_before_the_event_before_it_was_taken(
    scene: EventScene, kafka: MockKafka, reader: Consumer
) -> None:
    await scene.begin(end_block=39)
    for number in range(4):
        await scene.extract(10 * number, 10 * number + 9)
        await scene.collect()
    events = await scene.told()
    asked = 0

    async def twice() -> bool:
        nonlocal asked
        asked += 1
        return asked <= 2

    broker = broker_at(kafka.address)
    with pytest.raises(Exception, match="another controller may be sending"):
        await broker.send(events, may_send=twice)
    # Two rounds: the first event of each of the two tables, then the second of each.
    records = await reader.until(lambda records: len(records) == 4)
    assert sorted(each.type for each in records) == ["sync.progress"] * 2 + ["sync.started"] * 2
    await broker.send(events, may_send=_always)
    await broker.close()
    records = await reader.until(lambda records: len(records) == len(events))
    assert len({each.event_id for each in records}) == len(events), "what was taken is not sent again"


async def test_one_controller_sends_and_another_goes_on_when_its_right_is_over(
    scene: EventScene, kafka: MockKafka, reader: Consumer
) -> None:
    await scene.begin()
    await scene.collect()
    frozen = await lease_sending(scene.db, uuid4())
    assert frozen is not None and frozen.sent_to == 0
    async with sending(EventSender(scene.db, broker_at(kafka.address))):
        # The other one has the right until its time is over, and then not any more.
        assert await lease_sending(scene.db, uuid4()) is None
        await scene.db.execute("UPDATE worker_event_sender SET leased_until = now() - interval '1 second'")
        await reader.until(lambda records: len(records) == 2)
        await until_sent(scene.db)
        assert not await note_sent(scene.db, frozen, 1)
        assert await lease_sending(scene.db, frozen.holder) is None
    # Who ends gives the right up.
    assert await lease_sending(scene.db, frozen.holder) is not None


async def test_a_topic_with_fewer_partitions_is_said_to_be_wrong_and_nothing_is_lost(scene: EventScene) -> None:
    with mock_kafka(partitions=1) as kafka, structlog.testing.capture_logs() as logs:
        await scene.begin()
        await scene.collect()
        async with sending(EventSender(scene.db, broker_at(kafka.address))):
            async with asyncio.timeout(SECONDS):
                while not logs:
                    await asyncio.sleep(0.02)
        (row,) = await scene.ranges.run("SELECT sent_to FROM worker_event_sender")
        assert "partition" in logs[0]["error"].lower()
        assert row["sent_to"] == 0


async def test_the_first_sender_begins_with_all_that_is_kept(
    scene: EventScene, kafka: MockKafka, reader: Consumer
) -> None:
    await scene.begin()
    await scene.collect()
    async with running(scene.db, kafka):
        records = await reader.until(lambda records: len(records) == 2)
    assert {each.type for each in records} == {"sync.started"}


async def test_what_comes_far_behind_the_last_event_that_was_sent_is_found(
    scene: EventScene, kafka: MockKafka, reader: Consumer
) -> None:
    """Those between were removed unsent, after days without a broker."""
    await scene.ranges.run("ALTER TABLE worker_events ALTER COLUMN id RESTART WITH 30001")
    async with running(scene.db, kafka):
        await scene.begin()
        assert {each.type for each in await reader.until(lambda records: len(records) == 2)} == {"sync.started"}
        await until_sent(scene.db)


async def test_a_sender_ends_at_once_also_when_the_broker_does_not_answer(scene: EventScene) -> None:
    await scene.begin()
    await scene.collect()
    dead = f"127.0.0.1:{free_port()}"
    async with asyncio.timeout(5):
        async with sending(EventSender(scene.db, broker_at(dead))):
            async with asyncio.timeout(SECONDS):
                while await scene.ranges.run("SELECT epoch FROM worker_event_sender") == []:
                    await asyncio.sleep(0.02)
    assert (await scene.ranges.run("SELECT leased_until < now() AS over FROM worker_event_sender"))[0]["over"]


@pytest.mark.parametrize(
    ("changes", "protocol"),
    [
        ({}, "plaintext"),
        ({"tls_enabled": True}, "ssl"),
        ({"sasl_mechanism": "SCRAM-SHA-512"}, "sasl_plaintext"),
        ({"sasl_mechanism": "PLAIN", "tls_enabled": True}, "sasl_ssl"),
    ],
)
def test_the_protocol_follows_from_the_settings_and_the_client_takes_them(
    changes: dict[str, Any], protocol: str
) -> None:
    if "sasl_mechanism" in changes:
        changes = {**changes, "sasl_username": "me", "sasl_password": "hunter2"}
    settings = BrokerSettings(("127.0.0.1:1",), TOPIC, PARTITIONS, **changes)
    assert settings.of_client()["security.protocol"] == protocol
    assert "hunter2" not in repr(settings)
    Broker(settings)._connect()


async def _always() -> bool:
    return True
