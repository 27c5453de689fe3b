"""Worker events to a real Kafka broker that wants TLS and a login, read by another library with a login of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

import ampd.worker_events.broker
from ampd.config import load_config
from ampd.daemons.controller import _event_settings
from ampd.errors import AmpError, ErrorCode
from ampd.worker_events import Broker, BrokerSettings, EventType, WorkerEvent
from support.kafka import PARTITIONS, TOPIC, Consumer
from support.kafka_broker import PASSWORD, USER, KafkaBroker, kafka_broker, needs_kafka
from support.tls import certificate_in

pytestmark = needs_kafka


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch, _look_often: None) -> None:
    monkeypatch.setattr(ampd.worker_events.broker, "SEND_SECONDS", 20.0)


def settings_for(kafka: KafkaBroker, directory: Path, *, tls: bool, mechanism: str | None) -> BrokerSettings:
    """Return what a controller makes of its configuration; the password comes from its environment."""
    protocol = "_".join([*(["SASL"] if mechanism else []), "SSL" if tls else "PLAINTEXT"])
    lines = ["[worker_events]", "enabled = true", "[worker_events.kafka]", f'brokers = ["{kafka.addresses[protocol]}"]']
    if tls:
        lines += ["tls_enabled = true", f'tls_ca_file = "{kafka.certificate}"']
    if mechanism is not None:
        lines += [f'sasl_mechanism = "{mechanism}"', f'sasl_username = "{USER}"']
    file = directory / "config.toml"
    file.write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as environment:
        if mechanism is not None:
            environment.setenv("AMP_CONFIG_WORKER_EVENTS__KAFKA__SASL_PASSWORD", PASSWORD)
        broker = _event_settings(load_config(file)).broker
    assert broker is not None
    return broker


@asynccontextmanager
async def consumer_with(settings: BrokerSettings) -> Any:
    """Give a consumer of the whole topic that gets in as ``settings`` say."""
    options: dict[str, Any] = {"security_protocol": settings.of_client()["security.protocol"].upper()}
    if settings.tls_enabled:
        options["ssl_context"] = ssl.create_default_context(cafile=settings.tls_ca_file)
    if settings.sasl_mechanism is not None:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password,
        }
    reader = AIOKafkaConsumer(bootstrap_servers=settings.brokers[0], auto_offset_reset="earliest", **options)
    await reader.start()
    try:
        reader.assign([TopicPartition(TOPIC, number) for number in range(PARTITIONS)])
        await reader.seek_to_beginning()
        yield Consumer(reader)
    finally:
        await reader.stop()


def events_of(*tables: str) -> list[WorkerEvent]:
    blocks = ("start_block", "current_block", "end_block", "files_count", "total_size_bytes")
    rest = dict.fromkeys((*blocks, "duration_ms", "error_message", "error_type"), None)
    return [
        WorkerEvent(
            id=number,
            event_id=uuid4(),
            event_type=EventType.STARTED,
            created_at=datetime.now(UTC),
            worker_id="w",
            job_id=1,
            dataset_namespace="a",
            dataset_name="b",
            manifest_hash="0" * 64,
            table_name=table,
            **rest,
        )
        for number, table in enumerate(tables, start=1)
    ]


@pytest.mark.parametrize(
    ("tls", "mechanism"),
    [
        pytest.param(True, None, id="TLS"),
        pytest.param(True, "PLAIN", id="TLS and PLAIN", marks=pytest.mark.long),
        pytest.param(True, "SCRAM-SHA-256", id="TLS and SCRAM-256", marks=pytest.mark.long),
        pytest.param(True, "SCRAM-SHA-512", id="TLS and SCRAM-512"),
        pytest.param(False, "PLAIN", id="PLAIN"),
        pytest.param(False, "SCRAM-SHA-512", id="SCRAM-512", marks=pytest.mark.long),
    ],
)
async def test_events_come_through_every_way_in(
    kafka: KafkaBroker, tmp_path: Path, tls: bool, mechanism: str | None
) -> None:
    settings = settings_for(kafka, tmp_path, tls=tls, mechanism=mechanism)
    events, broker = events_of("blocks", "logs", "blocks"), Broker(settings)
    await broker.send(events, may_send=_always)
    await broker.close()
    async with consumer_with(settings) as reader:
        ids = {str(each.event_id) for each in events}
        await reader.until(lambda records: ids <= {each.event_id for each in records})


@pytest.mark.long
async def test_a_broker_that_is_not_to_be_trusted_or_does_not_trust_us_gets_nothing(
    kafka: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_certificate, _ = certificate_in(tmp_path)
    right = settings_for(kafka, tmp_path, tls=True, mechanism="SCRAM-SHA-512")
    port = right.brokers[0].rpartition(":")[2]
    wrong: dict[str, dict[str, Any]] = {
        "Authentication failed": {"sasl_password": "guessed-17"},
        "certificate verify failed": {"tls_ca_file": str(other_certificate)},
        "verify": {"brokers": (f"localhost:{port}",)},  # the certificate is for another name
    }
    (event,) = events_of("never")

    async def refusal(changes: dict[str, Any]) -> str:
        broker = Broker(replace(right, **changes))
        with pytest.raises(AmpError) as caught:
            await broker.send([event], may_send=_always)
        await broker.close()
        assert caught.value.code is ErrorCode.EVENT_BROKER_FAILED
        assert PASSWORD not in caught.value.message and "guessed-17" not in caught.value.message
        return caught.value.message

    for seconds in (2.0, 4.0, 8.0, 16.0, 32.0):  # until the broker has answered all, however busy this machine is
        monkeypatch.setattr(ampd.worker_events.broker, "SEND_SECONDS", seconds)
        told = await asyncio.gather(*(refusal(changes) for changes in wrong.values()))
        if all(reason in message for reason, message in zip(wrong, told, strict=True)):
            break
    else:
        raise AssertionError(told)
    monkeypatch.setattr(ampd.worker_events.broker, "SEND_SECONDS", 20.0)
    broker = Broker(right)
    await broker.send(events_of("last"), may_send=_always)
    await broker.close()
    async with consumer_with(right) as reader:
        records = await reader.until(lambda records: any(each.payload.table_name == "last" for each in records))
    assert str(event.event_id) not in {each.event_id for each in records}


async def _always() -> bool:
    return True
