"""The port at which a worker tells its metrics: when it cannot be had, and what it answers."""

from __future__ import annotations

import socket

import httpx
import pytest

from ampd.daemons.metrics_listener import serve_metrics
from ampd.errors import AmpError, ErrorCode
from support.daemons import free_port
from support.telemetry import ACCEPT, Scrape


async def test_a_port_that_another_process_has_is_named_with_what_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(AmpError) as refused:
            async with serve_metrics(address):
                pass
    assert refused.value.code is ErrorCode.ADDRESS_IN_USE
    assert address in refused.value.message
    assert "worker.metrics_addr" in refused.value.message


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(AmpError) as refused:
        async with serve_metrics("192.0.2.1:1620"):
            pass
    assert refused.value.code is ErrorCode.CONFIG_INVALID


async def test_there_are_metrics_in_both_formats_and_nothing_else() -> None:
    port = free_port()
    async with serve_metrics(f"127.0.0.1:{port}"), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        plain = await client.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=")
        strict = await client.get("/metrics", headers={"Accept": ACCEPT})
        assert strict.headers["content-type"].startswith("application/openmetrics-text; version=")
        assert Scrape(strict.text).value("process_start_time_seconds") > 0
        assert (await client.get("/")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405


async def test_without_an_address_nothing_is_served() -> None:
    async with serve_metrics(None):
        pass
