"""A Kafka broker for tests: librdkafka's mock cluster, which speaks the protocol over TCP; and a consumer of another
library, which knows nothing of how we send.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import confluent_kafka.cimpl
from aiokafka import AIOKafkaConsumer, TopicPartition

from ampd.worker_events import worker_events_pb2 as pb

TOPIC: Final = "amp.worker.events"
PARTITIONS: Final = 16
SECONDS: Final = 30.0
_PRODUCER: Final = 0
_PRODUCE_REQUEST: Final = 0
REQUEST_TIMED_OUT: Final = 7


def _library() -> Any:
    library = ctypes.CDLL(confluent_kafka.cimpl.__file__)
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class MockKafka:
    """A cluster of one broker on a port of this machine. Its topics are lost with it, not when it is away."""

    def __init__(self) -> None:
        self._library = _library()
        reason = ctypes.create_string_buffer(512)
        self._client = ctypes.c_void_p(
            self._library.rd_kafka_new(
                _PRODUCER, ctypes.c_void_p(self._library.rd_kafka_conf_new()), reason, len(reason)
            )
        )
        assert self._client.value, reason.value
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._client, 1))
        self.address = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str = TOPIC, partitions: int = PARTITIONS) -> None:
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def go_away(self) -> None:
        """Cut all connections, and take no new ones."""
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, 1) == 0

    def come_back(self) -> None:
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, 1) == 0

    def answer_late(self, milliseconds: int) -> None:
        """Take what comes, and answer so much later."""
        assert self._library.rd_kafka_mock_broker_set_rtt(self._cluster, 1, milliseconds) == 0

    def fail_next(self, *errors: int) -> None:
        """Answer the next requests to produce with errors of the protocol."""
        numbers = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(_PRODUCE_REQUEST), ctypes.c_size_t(len(errors)), numbers
        )

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


@contextmanager
def mock_kafka(*, partitions: int = PARTITIONS) -> Iterator[MockKafka]:
    """Give a broker with the topic of worker events."""
    broker = MockKafka()
    try:
        broker.create_topic(partitions=partitions)
        yield broker
    finally:
        broker.close()


@dataclass(frozen=True)
class Record:
    """What the consumer got, and the message in it."""

    partition: int
    offset: int
    key: str
    value: bytes
    message: Any = field(compare=False)

    @property
    def event_id(self) -> str:
        return str(self.message.event_id)

    @property
    def type(self) -> str:
        return str(self.message.event_type)

    @property
    def payload(self) -> Any:
        return getattr(self.message, self.message.WhichOneof("payload"))


class Consumer:
    """Reads the whole topic; ``records`` are in the order of their arrival, which of one partition is that of Kafka."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.records: list[Record] = []

    async def until(self, condition: Callable[[list[Record]], bool], seconds: float = SECONDS) -> list[Record]:
        """Read until ``condition`` holds for all that has come, and return that."""
        try:
            async with asyncio.timeout(seconds):
                while not condition(self.records):
                    self._take(await self._consumer.getmany(timeout_ms=200))
        except TimeoutError:
            told = [(each.type, each.key, str(each.payload)) for each in self.records]
            raise AssertionError(f"waited {seconds} s; there is {told}") from None
        return self.records

    def _take(self, batches: dict[TopicPartition, list[Any]]) -> None:
        for batch in batches.values():
            for each in batch:
                message = pb.WorkerEvent.FromString(each.value)
                self.records.append(Record(each.partition, each.offset, each.key.decode(), each.value, message))

    def once(self) -> list[Record]:
        """Return the records without those that came again: the same event has the same bytes each time."""
        first: dict[str, Record] = {}
        for each in self.records:
            assert first.setdefault(each.event_id, each).value == each.value
        return list(first.values())

    def of_table(self, table: str) -> list[Record]:
        """Return each event of a table, in the order in which it came first."""
        return [each for each in self.once() if each.payload.table_name == table]


@asynccontextmanager
async def consumer(address: str, *, partitions: int = PARTITIONS) -> AsyncIterator[Consumer]:
    """Give a consumer of the topic, from its begin."""
    reader = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False)
    await reader.start()
    try:
        reader.assign([TopicPartition(TOPIC, number) for number in range(partitions)])
        await reader.seek_to_beginning()
        yield Consumer(reader)
    finally:
        await reader.stop()
