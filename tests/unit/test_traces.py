"""Traces: nothing while they are off, no secret while they are on, and no end that waits for a collector."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web

from ampd.errors import AmpError, ErrorCode
from ampd.telemetry.traces import LongSpan, begin_traces, end_traces, here, request_span, span, trace_ids
from support.nodes import http_server, on_thread
from support.telemetry import Collector, Span

_IMPORTS = """
import sys
import ampd.cli.ampctl, ampd.cli.ctl.job, ampd.client
assert not [name for name in sys.modules if name.startswith(("prometheus_client", "opentelemetry.sdk"))]
import ampd.daemons.worker, ampd.daemons.controller
assert "prometheus_client" in sys.modules
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
"""


@contextmanager
def tracing(url: str, ratio: float = 1.0) -> Iterator[None]:
    begin_traces(url, ratio=ratio, component="test", instance="one", version="0")
    try:
        yield
    finally:
        end_traces()


@pytest.fixture
def collector() -> Collector:
    return Collector()


def traced(collector: Collector, *, ratio: float = 1.0) -> Iterator[None]:
    with on_thread(collector.served()) as url, tracing(f"{url}/v1/traces", ratio):
        yield


def only(collector: Collector, name: str) -> Span:
    (found,) = [each for each in collector.spans if each.name == name]
    return found


def test_processes_that_trace_nothing_import_nothing_for_it_and_clients_no_metrics_either() -> None:
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True)


def test_while_traces_are_off_a_span_is_an_empty_block() -> None:
    with span("anything", job_id=1) as given, request_span("GET", {}) as request:
        assert given is request is None
    place = LongSpan("range", here(), job_id=1)
    with place.part():
        assert trace_ids() == {}
    place.end(ValueError("nobody hears"))


def test_an_error_is_told_by_its_code_and_without_secrets(collector: Collector) -> None:
    error = AmpError(ErrorCode.NODE_UNREACHABLE, "cannot reach https://me:hunter2@node.example/v3/0123456789abcdef01")
    for _ in traced(collector):
        with pytest.raises(AmpError), span("fetch", url=None, start_block=7):
            raise error
        with pytest.raises(asyncio.CancelledError), span("decode"):
            raise asyncio.CancelledError
    failed, cancelled = only(collector, "fetch"), only(collector, "decode")
    assert failed.is_error
    assert failed.attributes == {"ampd.start_block": 7, "error.type": "NODE_UNREACHABLE"}
    assert "node.example" in failed.status
    assert b"hunter2" not in collector.raw
    assert b"0123456789abcdef01" not in collector.raw
    assert not cancelled.is_error
    assert cancelled.attributes == {"ampd.cancelled": True}


def test_parts_of_a_long_span_belong_to_it_in_whatever_task_they_run(collector: Collector) -> None:
    async def work() -> None:
        async def part(place: LongSpan, number: int) -> None:
            with place.part(), span("part", number=number):
                await asyncio.sleep(0)

        with span("attempt"):
            places = [LongSpan("range", here(), number=number) for number in range(2)]
            await asyncio.gather(*(part(place, number) for number, place in enumerate(places)))
        for place in places:
            place.end()
            place.end()

    for _ in traced(collector):
        asyncio.run(work())
    attempt = only(collector, "attempt")
    ranges = {each.attributes["ampd.number"]: each for each in collector.spans if each.name == "range"}
    parts = [each for each in collector.spans if each.name == "part"]
    assert len(ranges) == len(parts) == 2
    for part in parts:
        mine = ranges[part.attributes["ampd.number"]]
        assert (part.parent_id, part.trace_id) == (mine.span_id, mine.trace_id)
        assert mine.links == (attempt.span_id,)


def test_of_a_ratio_of_none_nothing_is_sent_but_what_a_client_wants_traced(collector: Collector) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    for _ in traced(collector, ratio=0.0):
        with span("unseen"), request_span("GET", {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}):
            pass
        with request_span("POST", {"traceparent": "nonsense"}):
            pass
    assert [(each.name, each.trace_id) for each in collector.spans] == [("GET", trace)]


def test_a_process_that_ends_does_not_wait_for_a_collector_that_does_not_answer() -> None:
    asked, answers = threading.Event(), threading.Event()

    async def answer(request: web.Request) -> web.Response:
        asked.set()
        while not answers.is_set():
            await asyncio.sleep(0.01)
        return web.Response()

    with on_thread(http_server(answer)) as url:
        begin_traces(f"{url}/v1/traces", ratio=1.0, component="test", instance="one", version="0")
        with span("last"):
            pass
        end_traces()
        assert asked.is_set()
        assert not answers.is_set()
        answers.set()
