"""The connection to the Kafka brokers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ampd.errors import AmpError, ErrorCode, describe_exception
from ampd.telemetry.event_metrics import DELIVERED, DELIVERY, NOT_DELIVERED, QUEUED
from ampd.telemetry.metrics import timed
from ampd.worker_events.encoding import encode_event, partition_of
from ampd.worker_events.models import WorkerEvent

if TYPE_CHECKING:
    from confluent_kafka import Producer

# How long the broker may take for some events, before they count as not taken.
SEND_SECONDS: Final = 8.0
_PAUSES: Final = (0.001, 0.05)
_CLIENT_ID: Final = "ampd"
# As the client names what was taken back from it: nothing is known of it.
_TAKEN_BACK: Final = "_PURGE_INFLIGHT"


@dataclass(frozen=True)
class BrokerSettings:
    """Where the topic is, and how to get in. ``partitions`` is how many the topic has."""

    brokers: tuple[str, ...]
    topic: str
    partitions: int
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    tls_enabled: bool = False
    tls_ca_file: str | None = None

    def of_client(self) -> dict[str, Any]:
        """Return them as librdkafka's."""
        settings: dict[str, Any] = {
            "bootstrap.servers": ",".join(self.brokers),
            "client.id": _CLIENT_ID,
            "security.protocol": self._protocol(),
            "compression.type": "gzip",
            "acks": "all",
            "max.in.flight.requests.per.connection": 1,
            # Then the client gives an event up. What becomes of it, and of those behind it, is decided here.
            "message.timeout.ms": round(SEND_SECONDS * 1000),
            "socket.connection.setup.timeout.ms": 5000,
            "reconnect.backoff.max.ms": 2000,
            "topic.metadata.propagation.max.ms": 2000,
            "log.connection.close": False,
        }
        if self.sasl_mechanism is not None:
            settings |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password,
            }
        if self.tls_ca_file is not None:
            settings["ssl.ca.location"] = self.tls_ca_file
        return settings

    def _protocol(self) -> str:
        if self.sasl_mechanism is None:
            return "ssl" if self.tls_enabled else "plaintext"
        return "sasl_ssl" if self.tls_enabled else "sasl_plaintext"


class Broker:
    """Sends events to a topic. Of one table an event is sent only when the broker has taken the one before it:
    whatever is repeated, what is new comes in order.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._trouble: str | None = None
        # Ids that were taken, of a stretch that was not taken as a whole.
        self._taken: set[int] = set()

    async def send(self, events: Sequence[WorkerEvent], *, may_send: Callable[[], Awaitable[bool]]) -> None:
        """Send ``events``, in order, and return when all were taken. What was taken before a failure is not sent again
        by the same call made once more.

        ``may_send`` is asked before anything leaves.

        :raises AmpError: EVENT_BROKER_FAILED when the broker did not take all, or we may not send any more.
        """
        waiting = [event for event in events if event.id not in self._taken]
        while waiting:
            wave, waiting = _next_of_each_table(waiting)
            if not await may_send():
                raise _failed("another controller may be sending by now", self._settings)
            await self._send_wave(wave)
        self._taken.clear()

    async def _send_wave(self, events: Sequence[WorkerEvent]) -> None:
        wave = _Wave(self._taken)
        QUEUED.set(len(events))
        try:
            producer = self._producer = self._producer or self._connect()
            for event in events:
                producer.produce(
                    self._settings.topic,
                    value=encode_event(event),
                    key=event.key.encode(),
                    partition=partition_of(event.key, self._settings.partitions),
                    timestamp=int(event.created_at.timestamp() * 1000),
                    on_delivery=wave.settle(event.id),
                )
            with timed(DELIVERY):
                await self._until_settled(producer, wave, len(events))
        except AmpError:
            wave.count_failures(len(events), _TAKEN_BACK)
            raise
        except Exception as error:
            wave.count_failures(len(events), _name_of(error))
            # A setting that the client refuses, a full queue: it is told, and tried again.
            raise _failed(describe_exception(error), self._settings) from error
        finally:
            QUEUED.set(0)
            if wave.unsettled(len(events)):
                await self.close()

    async def _until_settled(self, producer: Producer, wave: _Wave, count: int) -> None:
        ends_at = time.monotonic() + SEND_SECONDS + 1.0
        pause, longest = _PAUSES
        while wave.unsettled(count) and not wave.failure:
            if time.monotonic() > ends_at:
                raise _failed(self._trouble or "no answer", self._settings)
            if not producer.poll(0):
                await asyncio.sleep(pause)
                pause = min(longest, 2 * pause)
        if wave.failure:
            raise _failed(self._because_of(wave.failure), self._settings)
        self._trouble = None

    def _because_of(self, failure: str) -> str:
        return f"{failure}; {self._trouble}" if self._trouble else failure

    def _connect(self) -> Producer:
        from confluent_kafka import Producer  # noqa: PLC0415 - only who has a broker needs it

        silent = logging.getLogger(f"{__name__}.client")
        silent.propagate = False
        silent.addHandler(logging.NullHandler())
        settings = self._settings.of_client() | {"error_cb": self._note_trouble}
        return Producer(settings, logger=silent)

    def _note_trouble(self, error: Any) -> None:
        self._trouble = str(error.str())

    async def close(self) -> None:
        """Forget what the client still has: none of it counts as sent."""
        if self._producer is not None:
            self._producer.purge()
            # Its end, with its last reference, waits for its threads.
            producers, self._producer = [self._producer], None
            await asyncio.to_thread(producers.clear)


class _Wave:
    """What becomes of events that were given to the client together."""

    def __init__(self, taken: set[int]) -> None:
        self._taken = taken
        self._settled = 0
        self._refused: Counter[str] = Counter()
        self.failure: str | None = None

    def settle(self, event_id: int) -> Callable[[Any, Any], None]:
        """Return what the client calls when the broker has taken an event, or when it gives it up."""

        def on_delivery(error: Any, _message: Any) -> None:
            self._settled += 1
            if error is None:
                self._taken.add(event_id)
                DELIVERED.inc()
            else:
                self._refused[str(error.name())] += 1
                self.failure = self.failure or str(error.str())

        return on_delivery

    def count_failures(self, count: int, unsettled_because: str) -> None:
        """Count those of ``count`` that were not taken, those of which nothing is known by a reason of their own."""
        self._refused[unsettled_because] += self.unsettled(count)
        for reason, events in self._refused.items():
            if events:
                NOT_DELIVERED.labels(reason).inc(events)

    def unsettled(self, count: int) -> int:
        """Return of how many of ``count`` nothing is known yet."""
        return count - self._settled


def _name_of(error: Exception) -> str:
    """Return the client's name of an error; that of its class when it has none: of a setting that it refuses, say."""
    name = getattr(error.args[0], "name", None) if error.args else None
    return str(name()) if callable(name) else type(error).__name__


def _next_of_each_table(events: Sequence[WorkerEvent]) -> tuple[list[WorkerEvent], list[WorkerEvent]]:
    """Return the first event of each table, and the others."""
    first: dict[str, WorkerEvent] = {}
    rest = [event for event in events if first.setdefault(event.key, event) is not event]
    return list(first.values()), rest


def _failed(what: str, settings: BrokerSettings) -> AmpError:
    return AmpError(
        ErrorCode.EVENT_BROKER_FAILED,
        f"topic '{settings.topic}' at {', '.join(settings.brokers)}: {what}",
        recoverable=True,
    )
