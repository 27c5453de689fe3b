"""What a worker counts of the nodes and Firehose servers that it asks, and how it paces itself. An endpoint is named by
its scheme, host and port: account, path and parameters, where providers put their keys, are nowhere. Endpoints that
share these are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar
from weakref import WeakMethod

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ampd.telemetry.metrics import MILLISECONDS, REGISTRY, GaugeFamily, counter, histogram

_OF_ENDPOINT: Final = ("endpoint", "network")

_REQUESTS: Final = counter("evm_rpc_requests_total", "Requests sent; a batch is one.", (*_OF_ENDPOINT, "method"))
_DURATION: Final = histogram(
    "evm_rpc_request_duration",
    "Milliseconds from sending a request to the last byte of its answer.",
    (*_OF_ENDPOINT, "method"),
    buckets=MILLISECONDS,
)
_ERRORS: Final = counter("evm_rpc_errors_total", "What a node did wrong, by its code.", (*_OF_ENDPOINT, "error_code"))
_BATCH: Final = histogram(
    "evm_rpc_batch_size_requests", "Calls in a request.", _OF_ENDPOINT, buckets=(1, 2, 5, 10, 25, 50, 100, 250)
)
_SENT_BYTES: Final = counter("evm_rpc_request_bytes_total", "Bytes of requests that got an answer.", _OF_ENDPOINT)
_BYTES: Final = counter("evm_rpc_response_bytes_total", "Bytes of answers, decompressed.", _OF_ENDPOINT)
_SLOWED: Final = counter("ampd_endpoint_slow_downs_total", "How often a node wanted fewer requests.", _OF_ENDPOINT)
_BENCHED: Final = counter("ampd_endpoint_benches_total", "How often a node was left out for a while.", _OF_ENDPOINT)

_FIREHOSE_STREAMS: Final = counter("firehose_streams_total", "Streams of blocks that were begun.", _OF_ENDPOINT)
_FIREHOSE_AGAIN: Final = counter(
    "firehose_reconnects_total", "Streams that were begun to go on where one had broken.", _OF_ENDPOINT
)
_FIREHOSE_DURATION: Final = histogram(
    "firehose_stream_duration_milliseconds",
    "How long a stream lasted, whatever ended it.",
    _OF_ENDPOINT,
    buckets=(100.0, 1000.0, 5000.0, 15_000.0, 60_000.0, 600_000.0, 3_600_000.0),
)
_FIREHOSE_ERRORS: Final = counter(
    "firehose_stream_errors_total", "What a server did wrong, by its code.", (*_OF_ENDPOINT, "error_code")
)
_FIREHOSE_BLOCKS: Final = counter(
    "firehose_blocks_received_total",
    "Blocks that came, also those that came again.",
    _OF_ENDPOINT,
)
_FIREHOSE_BYTES: Final = counter("firehose_received_bytes_total", "Bytes of them, decompressed.", _OF_ENDPOINT)
_FIREHOSE_UNDOS: Final = counter("firehose_undos_total", "Blocks that a server has taken back.", _OF_ENDPOINT)

_FIREHOSE_OPEN: Final = GaugeFamily("firehose_streams_open", "Streams that are open.", _OF_ENDPOINT)
_FIREHOSE_HEAD: Final = GaugeFamily(
    "firehose_head_block", "The newest block that the server has told of, as of the moment.", _OF_ENDPOINT
)

_LIMIT: Final = GaugeFamily(
    "ampd_endpoint_concurrency_limit", "Requests that may be under way at once; it adapts (AIMD).", _OF_ENDPOINT
)
_IN_FLIGHT: Final = GaugeFamily("ampd_endpoint_requests_in_flight", "Requests under way.", _OF_ENDPOINT)
_BATCH_LIMIT: Final = GaugeFamily("ampd_endpoint_batch_limit", "Calls that one request may hold; adapts.", _OF_ENDPOINT)
_REST: Final = GaugeFamily(
    "ampd_endpoint_rest_seconds", "For how long the endpoint is still left alone, because it said so.", _OF_ENDPOINT
)
_IS_BENCHED: Final = GaugeFamily(
    "ampd_endpoint_benched", "1 while the endpoint is left out because of what it did wrong.", _OF_ENDPOINT
)


class EndpointMeter:
    """The counters of one endpoint; made by :func:`meter_of_endpoint`."""

    def __init__(self, endpoint: str, network: str) -> None:
        self.labels = labels = (endpoint, network)
        self._batch = _BATCH.labels(*labels)
        self._sent_bytes = _SENT_BYTES.labels(*labels)
        self._bytes = _BYTES.labels(*labels)
        self._slowed = _SLOWED.labels(*labels)
        self._benched = _BENCHED.labels(*labels)
        self._of_method: dict[str, tuple[Any, Any]] = {}

    def answered(self, method: str, calls: int, sizes: tuple[int, int], seconds: float) -> None:
        """Count a request that got an answer; ``sizes`` are the bytes of both."""
        self._sent(method, seconds)
        self._batch.observe(calls)
        self._sent_bytes.inc(sizes[0])
        self._bytes.inc(sizes[1])

    def not_answered(self, method: str, seconds: float) -> None:
        """Count a request that got none."""
        self._sent(method, seconds)

    def _sent(self, method: str, seconds: float) -> None:
        found = self._of_method.get(method)
        if found is None:
            labels = (*self.labels, method)
            found = self._of_method[method] = (_REQUESTS.labels(*labels), _DURATION.labels(*labels))
        found[0].inc()
        found[1].observe(seconds * 1000)

    def failed(self, error_code: str) -> None:
        """Count a fault."""
        _ERRORS.labels(*self.labels, error_code).inc()

    def slowed_down(self) -> None:
        """Count a wish for fewer requests."""
        self._slowed.inc()

    def benched(self) -> None:
        """Count a bench."""
        self._benched.inc()


@cache
def meter_of_endpoint(endpoint: str, network: str) -> EndpointMeter:
    """Return the counters of an endpoint (its URL without secrets)."""
    return EndpointMeter(endpoint, network)


class FirehoseMeter:
    """The counters of one Firehose server; made by :func:`meter_of_firehose`."""

    def __init__(self, endpoint: str, network: str) -> None:
        self.labels = labels = (endpoint, network)
        self._streams = _FIREHOSE_STREAMS.labels(*labels)
        self._again = _FIREHOSE_AGAIN.labels(*labels)
        self._duration = _FIREHOSE_DURATION.labels(*labels)
        self._blocks = _FIREHOSE_BLOCKS.labels(*labels)
        self._bytes = _FIREHOSE_BYTES.labels(*labels)
        self._undos = _FIREHOSE_UNDOS.labels(*labels)
        self._slowed = _SLOWED.labels(*labels)

    def stream_began(self, *, again: bool) -> None:
        """Count a stream; ``again``: it goes on where one has broken."""
        self._streams.inc()
        if again:
            self._again.inc()

    def stream_ended(self, seconds: float) -> None:
        """Observe how long a stream lasted."""
        self._duration.observe(seconds * 1000)

    def received(self, size: int) -> None:
        """Count a block of ``size`` bytes."""
        self._blocks.inc()
        self._bytes.inc(size)

    def undone(self) -> None:
        """Count a block that is taken back."""
        self._undos.inc()

    def failed(self, error_code: str) -> None:
        """Count a fault."""
        _FIREHOSE_ERRORS.labels(*self.labels, error_code).inc()

    def slowed_down(self) -> None:
        """Count a wish to be left alone."""
        self._slowed.inc()


@cache
def meter_of_firehose(endpoint: str, network: str) -> FirehoseMeter:
    """Return the counters of a Firehose server (its URL without secrets)."""
    return FirehoseMeter(endpoint, network)


@dataclass(frozen=True)
class EndpointState:
    """How long one user of an endpoint leaves it alone from this moment on."""

    labels: tuple[str, str]
    rest_seconds: float


@dataclass(frozen=True)
class NodeState(EndpointState):
    """How one user of a node paces itself at this moment."""

    concurrency_limit: int
    in_flight: int
    batch_limit: int
    is_benched: bool


@dataclass(frozen=True)
class FirehoseState(EndpointState):
    """What one user of a Firehose server has of it: open streams, and the newest block; None when nobody listens."""

    streams: int
    head: int | None


_Look = Callable[[], Sequence[EndpointState]]


class _Endpoints(Collector):
    """The endpoints in use, looked at when somebody asks, on the thread of the event loop."""

    def __init__(self) -> None:
        self._looks: set[WeakMethod[_Look]] = set()

    def watch(self, look: _Look) -> None:
        self._looks.add(WeakMethod(look, self._looks.discard))

    def collect(self) -> Iterator[Metric]:
        states = [state for look in list(self._looks) if (found := look()) is not None for state in found()]
        yield _REST.of((labels, max(each.rest_seconds for each in users)) for labels, users in _by_endpoint(states))
        nodes = _by_endpoint([state for state in states if isinstance(state, NodeState)])
        yield _LIMIT.of((labels, sum(each.concurrency_limit for each in users)) for labels, users in nodes)
        yield _IN_FLIGHT.of((labels, sum(each.in_flight for each in users)) for labels, users in nodes)
        yield _BATCH_LIMIT.of((labels, min(each.batch_limit for each in users)) for labels, users in nodes)
        yield _IS_BENCHED.of((labels, max(each.is_benched for each in users)) for labels, users in nodes)
        servers = _by_endpoint([state for state in states if isinstance(state, FirehoseState)])
        yield _FIREHOSE_OPEN.of((labels, sum(each.streams for each in users)) for labels, users in servers)
        yield _FIREHOSE_HEAD.of(
            (labels, max(heads))
            for labels, users in servers
            if (heads := [each.head for each in users if each.head is not None])
        )


_State = TypeVar("_State", bound=EndpointState)


def _by_endpoint(states: Iterable[_State]) -> list[tuple[tuple[str, str], list[_State]]]:
    """Return the users of each endpoint."""
    together: dict[tuple[str, str], list[_State]] = {}
    for state in states:
        together.setdefault(state.labels, []).append(state)
    return sorted(together.items())


_ENDPOINTS: Final = _Endpoints()
# Not described: registration would look, outside of any event loop.
REGISTRY.register(_ENDPOINTS)


def watch_endpoints(look: _Look) -> None:
    """Have ``look``, a bound method, asked for the state of its endpoints for as long as its object is there."""
    _ENDPOINTS.watch(look)
