"""What watches ampd from outside: a scraper of metrics, a collector of traces, a node that waits for its watcher."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ampd.replay_node import ReplayChain, ReplayNode
from support.nodes import http_server

# The stricter of the formats: its parser refuses what Prometheus would only guess at.
ACCEPT = "application/openmetrics-text; version=1.0.0"


class Scrape:
    """One page of metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    @classmethod
    def of(cls, url: str, **options: Any) -> Self:
        answer = httpx.get(url, headers={"Accept": ACCEPT, **options.pop("headers", {})}, **options)
        assert answer.status_code == 200, answer.text
        return cls(answer.text)

    def value(self, name: str, **labels: str) -> float:
        """Return the value of one series; 0 for one that is not there, as sums take it."""
        return float(self.samples.get((name, frozenset(labels.items())), 0.0))

    def all(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return every series of a name, by its labels."""
        return {labels: value for (found, labels), value in self.samples.items() if found == name}

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the sum of a name's series for each value of a label."""
        found: dict[str, float] = {}
        for labels, value in self.all(name).items():
            found[dict(labels)[label]] = found.get(dict(labels)[label], 0.0) + value
        return found

    def names(self) -> set[str]:
        """Return the names of samples that the page declares, also of those that have no value yet."""
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
        return {family.name + suffix for family in self.families for suffix in suffixes[family.type]}


class HeldNode(ReplayNode):
    """A node that keeps whoever asks for a block from ``hold_from`` on waiting until :meth:`release`."""

    def __init__(self, chain: ReplayChain, *, hold_from: int) -> None:
        super().__init__(chain)
        self.is_asked = threading.Event()
        self._hold_from = hold_from

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._released = asyncio.Event()
        return await super().__aenter__()

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._released.set)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = json.loads(await request.read())
        is_block = call["method"] == "eth_getBlockByNumber" and call["params"][1]
        if is_block and int(call["params"][0], 16) >= self._hold_from:
            self.is_asked.set()
            await self._released.wait()
        return await super()._handle(request)


@asynccontextmanager
async def url_of(node: ReplayNode) -> AsyncIterator[str]:
    """Run ``node`` and give its URL."""
    async with node:
        yield node.url


@dataclass(frozen=True)
class Span:
    """A span as it came in; ids in hexadecimal, ``parent_id`` empty for the first of a trace here."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: Mapping[str, Any]
    is_error: bool
    status: str


@dataclass
class Collector:
    """An OTLP/HTTP receiver. ``headers`` are those of the requests."""

    spans: list[Span] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    raw: bytes = b""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert request.path == "/v1/traces"
        self.raw += body
        self.headers.append(dict(request.headers))
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {each.key: each.value.string_value for each in group.resource.attributes}["service.name"]
            self.spans += [_span(service, span) for scope in group.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        async with http_server(self.take) as url:
            yield url

    def named(self, name: str, service: str = "ampd-worker") -> list[Span]:
        return [span for span in self.spans if span.name == name and span.service == service]


def _span(service: str, span: Any) -> Span:
    attributes = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
    return Span(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links),
        attributes=attributes,
        is_error=span.status.code == 2,
        status=span.status.message,
    )
