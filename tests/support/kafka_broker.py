"""A real Kafka broker with TLS and SASL, which librdkafka's mock cluster has not: Apache Kafka, of Maven's packages."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from support.daemons import Process, free_port, wait_for
from support.kafka import PARTITIONS, TOPIC
from support.tls import certificate_in

JARS: Final = Path(__file__).parents[1] / "kafka" / "target" / "dependency"
USER: Final = "ampd"
PASSWORD: Final = "open-sesame-17"
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_LOGIN: Final = "org.apache.kafka.common.security"
_IS_THERE: Final = shutil.which("java") is not None and JARS.is_dir()
needs_kafka = pytest.mark.skipif(not _IS_THERE, reason="`make kafka` installs the broker, where Maven has its files")


@dataclass(frozen=True)
class KafkaBroker:
    """A broker. ``addresses`` are those of its listeners, by their protocol in the words of Kafka; ``certificate`` is
    what its clients have to trust.
    """

    addresses: dict[str, str]
    certificate: Path

    def create_topic(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.addresses["PLAINTEXT"]})
        (made,) = admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values()
        made.result(30)


@contextmanager
def kafka_broker(directory: Path) -> Iterator[KafkaBroker]:
    """Run a broker with the topic of worker events, which only :data:`USER` may write where it asks who one is."""
    certificate, key = certificate_in(directory)
    pair = directory / "pair.pem"
    pair.write_bytes(key.read_bytes() + certificate.read_bytes())
    ports = {name: free_port() for name in ("CONTROLLER", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")}
    settings = directory / "server.properties"
    settings.write_text("".join(f"{name}={value}\n" for name, value in _settings(directory, pair, ports).items()))
    _format(settings)
    java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*"]
    process = Process([*java, "kafka.Kafka", str(settings)], log=directory / "kafka.log")
    try:
        addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        broker = KafkaBroker(addresses, certificate)
        wait_for("Kafka", lambda: _is_up(addresses["PLAINTEXT"]), timeout=60)
        broker.create_topic()
        yield broker
    finally:
        process.end()


def _settings(directory: Path, pair: Path, ports: dict[str, int]) -> dict[str, str]:
    listeners = {name: f"{name}://127.0.0.1:{port}" for name, port in ports.items()}
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{ports['CONTROLLER']}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT," + ",".join(f"{name}:{name}" for name in [*ports][1:]),
        "listeners": ",".join(listeners.values()),
        "advertised.listeners": ",".join([*listeners.values()][1:]),
        "log.dirs": str(directory / "data"),
        "offsets.topic.replication.factor": "1",
        "auto.create.topics.enable": "false",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(pair),
        "sasl.enabled.mechanisms": ",".join(_MECHANISMS),
    }
    for listener in ("sasl_plaintext", "sasl_ssl"):
        logins = f"listener.name.{listener}"
        settings[f"{logins}.plain.sasl.jaas.config"] = (
            f'{_LOGIN}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        )
        for mechanism in _MECHANISMS[1:]:
            settings[f"{logins}.{mechanism.lower()}.sasl.jaas.config"] = f"{_LOGIN}.scram.ScramLoginModule required;"
    return settings


def _format(settings: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    users = [f"{mechanism}=[name={USER},password={PASSWORD}]" for mechanism in _MECHANISMS[1:]]
    options = [word for user in users for word in ("--add-scram", user)]
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", "kafka.tools.StorageTool", "format"]
    subprocess.run(
        [*command, "-t", cluster, "-c", str(settings), *options], check=True, capture_output=True, timeout=60
    )


def _is_up(address: str) -> bool:
    try:
        return bool(AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=2).brokers)
    except KafkaException:
        return False
