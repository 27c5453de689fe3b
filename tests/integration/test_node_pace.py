"""A node is asked no more than it bears: it slows us down, its provider's settings do, and workers tell each other."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from aiohttp import web

from ampd.datasets import EndpointCooldowns
from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import MetadataDb
from ampd.replay_node import ErrorAnswer, Fault, HttpAnswer, RpcCall
from ampd.sources.evm_rpc.client import RpcClient
from ampd.sources.evm_rpc.faults import NodeFault
from ampd.sources.evm_rpc.fetch import fetch
from ampd.sources.evm_rpc.transport import Call, Reply, TransportError
from ampd.telemetry.metrics import exposition
from support.faulty import PATIENT, FaultPlan, assert_clean, batches_of, endpoint, node_of, small_chain, source_of
from support.nodes import http_server
from support.telemetry import ACCEPT, Scrape
from support.virtual_time import run_in_virtual_time

CHAIN = small_chain()
FIRST, LAST = CHAIN.first_block, CHAIN.last_block


class Script:
    """A transport that answers by a function of the request's number and of how many are under way; takes a second."""

    takes_batches = True

    def __init__(self, answer: Any = None) -> None:
        self._answer = answer
        self.sent: list[tuple[float, int]] = []
        self.under_way = 0
        self.most_under_way: list[int] = []

    async def exchange(self, calls: Sequence[Call], *, as_batch: bool) -> Reply:
        number = len(self.sent)
        self.sent.append((asyncio.get_running_loop().time(), len(calls)))
        self.under_way += 1
        self.most_under_way.append(self.under_way)
        try:
            await asyncio.sleep(1)
        finally:
            self.under_way -= 1
        special = self._answer(number, calls) if self._answer is not None else None
        if isinstance(special, Exception):
            raise special
        if special is not None:
            return special
        answers = [{"jsonrpc": "2.0", "id": call.id, "result": hex(call.id)} for call in calls]
        return Reply(json.dumps(answers if as_batch else answers[0]).encode())

    async def close(self) -> None:
        return


CALLS = [Call(number, "eth_getBlockByNumber", [hex(number), True]) for number in range(40)]


def fetched(script: Script, **settings: Any) -> tuple[RpcClient, dict[int, Any]]:
    """Fetch 40 blocks by a script, in virtual time."""
    results: dict[int, Any] = {}

    async def main() -> RpcClient:
        client = RpcClient(endpoint("http://node.example", **{"concurrency": 8, **settings}), transport=script)
        await fetch(client, CALLS, lambda call, body: results.update({call.id: json.loads(body)["result"]}))
        return client

    client = run_in_virtual_time(main())
    assert results == {call.id: hex(call.id) for call in CALLS}
    return client, results


def test_a_rate_limit_halves_the_requests_at_a_time_and_success_raises_them_again() -> None:
    limited = Reply(b"", 429)
    script = Script(lambda number, _calls: limited if number < 8 else None)
    client, _ = fetched(script)
    # Eight were under way when it came: one rate limit, not eight.
    assert max(script.most_under_way[:8]) == 8
    assert max(script.most_under_way[8:13]) == 4
    assert max(script.most_under_way) == client.concurrency.value == 8
    assert len(script.sent) == 48


@pytest.mark.parametrize(
    "answer",
    [
        Reply(b"", 429, {"retry-after": "17"}),
        Reply(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"x","data":{"backoff_seconds":17}}}'),
        Reply(b'{"error":{"code":429,"message":"try again in 17s"}}', 429),
    ],
    ids=["header", "data", "text"],
)
def test_nothing_is_sent_before_the_node_wants_it(answer: Reply) -> None:
    script = Script(lambda number, _calls: answer if number == 0 else None)
    fetched(script)
    # Those that were under way with it are no disobedience.
    assert [at for at, _ in script.sent if 1.0 < at < 18.0] == []


def test_a_node_that_wants_to_be_left_alone_for_long_is_not_waited_for() -> None:
    script = Script(lambda _number, _calls: Reply(b"", 429, {"retry-after": "3600"}))
    with pytest.raises(NodeFault) as caught:
        fetched(script)
    assert (caught.value.code, caught.value.recoverable) == (ErrorCode.NODE_RATE_LIMITED, True)
    assert len(script.sent) <= 8


def test_the_rate_of_requests_is_that_of_the_provider() -> None:
    script = Script()
    fetched(script, requests_per_second=2.0, concurrency=40)
    moments = [at for at, _ in script.sent]
    assert max(sum(start <= at < start + 1 for at in moments) for start in moments) <= 3
    assert moments[-1] == pytest.approx(19.0)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_compute_units_count_for_every_call_also_of_a_batch(batch_size: int) -> None:
    script = Script()
    units = {"eth_getBlockByNumber": 50}
    fetched(script, units_per_second=100.0, compute_units=units, concurrency=40, batch_size=batch_size)
    assert script.sent[-1][0] == pytest.approx(19.0)  # 40 calls of 50 units, the first 100 at once


def test_an_allowance_that_the_node_names_is_kept_to() -> None:
    error = {"code": -32005, "message": "x", "data": {"rate": {"allowed_rps": 2, "backoff_seconds": 1}}}
    limited = Reply(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())
    script = Script(lambda number, _calls: limited if number == 0 else None)
    fetched(script)
    later = [at for at, _ in script.sent[8:]]
    assert max(sum(start <= at < start + 1 for at in later) for start in later) <= 3


def test_a_rate_limited_batch_becomes_smaller_batches_and_never_single_calls() -> None:
    limited = Reply(b"", 429)
    script = Script(lambda number, _calls: limited if number == 0 else None)
    client, _ = fetched(script, batch_size=16, concurrency=1)
    assert [size for _, size in script.sent] == [16, 8, 9, 10, 11, 2]
    assert 8 < client.batch.value < 16


def test_a_batch_that_is_too_large_shrinks_until_it_is_not() -> None:
    error = Reply(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch too large"}}')
    script = Script(lambda _number, calls: error if len(calls) > 3 else None)
    fetched(script, batch_size=20, concurrency=1)
    assert [size for _, size in script.sent][:4] == [20, 10, 5, 2]
    assert len(script.sent) <= 30


def test_only_the_calls_of_a_batch_that_failed_are_made_again() -> None:
    def one_fails(number: int, calls: Sequence[Call]) -> Reply | None:
        if number != 0:
            return None
        error = {"code": -32603, "message": "internal error"}
        answers: list[Any] = [{"jsonrpc": "2.0", "id": call.id, "result": hex(call.id)} for call in calls[1:]]
        return Reply(json.dumps([*answers, {"jsonrpc": "2.0", "id": calls[0].id, "error": error}]).encode())

    script = Script(one_fails)
    fetched(script, batch_size=10, concurrency=1)
    assert sum(size for _, size in script.sent) == 41


def test_of_two_answers_to_one_call_that_differ_none_is_believed() -> None:
    def contradicts_itself(number: int, calls: Sequence[Call]) -> Reply | None:
        answers = [{"jsonrpc": "2.0", "id": call.id, "result": hex(call.id)} for call in calls]
        wrong = {"jsonrpc": "2.0", "id": calls[0].id, "result": "0xbad"}
        return Reply(json.dumps([wrong, *answers]).encode()) if number == 0 else None

    script = Script(contradicts_itself)
    fetched(script, batch_size=10, concurrency=1)
    assert sum(size for _, size in script.sent) == 41


def test_passing_faults_have_their_tries_and_pauses_that_grow() -> None:
    script = Script(lambda _number, _calls: TransportError("gone"))

    async def main() -> None:
        client = RpcClient(endpoint("http://node.example"), transport=script)
        await client.call("eth_chainId", [])

    with pytest.raises(NodeFault, match=r"cannot reach the node at http://node\.example: gone"):
        run_in_virtual_time(main())
    moments = [at for at, _ in script.sent]
    pauses = [later - earlier - 1 for earlier, later in pairwise(moments)]
    assert len(moments) == 5
    assert all(low * 0.79 <= pause <= low * 1.21 for pause, low in zip(pauses, [0.25, 0.5, 1, 2], strict=True))


# --- Between workers ---


async def test_a_cooldown_lasts_by_the_clock_of_the_database_and_the_longer_one_counts(metadata_db: MetadataDb) -> None:
    cooldowns, keys = EndpointCooldowns(metadata_db), ["a" * 64, "b" * 64]
    assert await cooldowns.remaining(keys) == {}
    await cooldowns.begin(keys[0], 30.0, "too many requests")
    await cooldowns.begin(keys[0], 5.0, "again")
    await cooldowns.begin(keys[1], 1e9, "for ever")
    remaining = await cooldowns.remaining(keys)
    assert 5.0 < remaining[keys[0]] <= 30.0
    assert 3600.0 < remaining[keys[1]] <= 86_400.0
    await metadata_db.execute("UPDATE endpoint_cooldowns SET ends_at = now() - interval '2 days'")
    assert await cooldowns.remaining(keys) == {}
    await cooldowns.begin(keys[0], 0.0, "sweeps what is old")
    rows = await metadata_db.fetch_all("SELECT endpoint_key FROM endpoint_cooldowns")
    assert [row["endpoint_key"] for row in rows] == [keys[0]]


class Limit:
    """Refuses everything from a moment on."""

    def __init__(self, fault: Fault) -> None:
        self.fault: Fault | None = fault
        self.calls = 0

    def __call__(self, call: RpcCall) -> Fault | None:
        self.calls += 1
        return self.fault


async def test_the_rate_limit_of_one_worker_keeps_the_others_from_asking(metadata_db: MetadataDb) -> None:
    limit = Limit(HttpAnswer(429, "", {"Retry-After": "600"}))
    cooldowns = EndpointCooldowns(metadata_db)
    async with node_of(limit) as node:
        secret = endpoint(f"{node.url}/v2/s3cr3t?key=s3cr3t")
        async with source_of([secret], cooldowns=cooldowns) as one:
            with pytest.raises(AmpError, match="HTTP 429") as caught:
                await one.chain_id()
            while not await cooldowns.remaining([secret.key]):
                await asyncio.sleep(0)
        limit.calls, limit.fault = 0, None
        async with source_of([secret], cooldowns=cooldowns) as other:
            with pytest.raises(AmpError, match="wants no requests for another") as refused:
                await other.chain_id()
        assert limit.calls == 0
        # Another account of the same provider is another matter.
        async with source_of([endpoint(f"{node.url}/v2/another")], cooldowns=cooldowns) as third:
            assert await third.chain_id() == 1
    assert refused.value.code == caught.value.code == ErrorCode.NODE_RATE_LIMITED
    stored = json.dumps(await metadata_db.fetch_all("SELECT * FROM endpoint_cooldowns"), default=str)
    assert "s3cr3t" not in stored


async def test_a_storm_of_rate_limits_is_told_once() -> None:
    class Counting:
        begun: ClassVar[list[float]] = []

        async def begin(self, key: str, seconds: float, reason: str) -> None:
            self.begun.append(seconds)

        async def remaining(self, keys: Sequence[str]) -> dict[str, float]:
            return {}

    limited = [HttpAnswer(429, "", {"Retry-After": "0.5"})]
    plan = FaultPlan(CHAIN, {("eth_getBlockByNumber", number): limited for number in range(FIRST, FIRST + 4)})
    async with node_of(plan) as node, source_of([endpoint(node.url)], cooldowns=Counting()) as source:
        assert_clean(await batches_of(source, FIRST, LAST))
    assert Counting.begun == [0.5]


async def test_cooldowns_are_read_now_and_then_and_not_for_every_request() -> None:
    class Counting:
        reads = 0

        async def begin(self, key: str, seconds: float, reason: str) -> None:
            raise AssertionError("nothing was limited")

        async def remaining(self, keys: Sequence[str]) -> dict[str, float]:
            self.reads += 1
            return {}

    counting = Counting()
    async with node_of(None) as node, source_of([endpoint(node.url)], cooldowns=counting) as source:
        await source.chain_id()
        for _ in range(3):
            assert_clean(await batches_of(source, FIRST, LAST, most_blocks=1))
    assert 1 <= counting.reads <= 10  # 36 chunks, 72 requests; one a second is enough


async def test_blocks_go_on_while_the_database_is_away() -> None:
    class Away:
        async def begin(self, key: str, seconds: float, reason: str) -> None:
            raise AmpError(ErrorCode.METADATA_DB_UNREACHABLE, "away", recoverable=True)

        async def remaining(self, keys: Sequence[str]) -> dict[str, float]:
            raise AmpError(ErrorCode.METADATA_DB_UNREACHABLE, "away", recoverable=True)

    turns = iter([HttpAnswer(429, "", {"Retry-After": "0.3"})])

    def limited_once(call: RpcCall) -> Fault | None:
        return next(turns, None) if call.params[1:] == [True] else None

    async with node_of(limited_once) as node, source_of([endpoint(node.url)], cooldowns=Away()) as source:
        assert_clean(await batches_of(source, FIRST, LAST))


# --- Over HTTP ---


@pytest.mark.parametrize("breakage", ["", "cut", "none"])
async def test_compressed_answers_are_read_and_broken_ones_are_asked_for_again(breakage: str) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["Accept-Encoding"])
        body = gzip.compress(json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x1"}).encode())
        if len(seen) == 1 and breakage:
            body = body[:20] if breakage == "cut" else b"not compressed"
        return web.Response(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    async with http_server(answer) as url:
        client = RpcClient(endpoint(url), patience=PATIENT)
        try:
            assert await client.call("eth_chainId", []) == "0x1"
        finally:
            await client.close()
    assert seen == ["gzip"] * (2 if breakage else 1)


@pytest.mark.parametrize(
    ("most_bytes", "fewest"), [(20_000, 3), (160_000, 2)], ids=["by its blocks", "by its receipts"]
)
async def test_a_run_of_blocks_that_are_larger_than_expected_ends_early(
    most_bytes: int, fewest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ampd.sources.evm_rpc.chunk._MOST_BYTES", most_bytes)
    async with node_of(None) as node, source_of([endpoint(node.url, concurrency=1)]) as source:
        source._learned.by_bytes = 23
        batches = await batches_of(source, FIRST, LAST, most_blocks=23)
    assert_clean(batches)
    assert len(batches) >= fewest


async def test_what_a_node_finds_too_much_shrinks_the_runs_of_blocks() -> None:
    limit = ErrorAnswer(-32000, "query returned more than 3 results")
    plan = FaultPlan(CHAIN, {("eth_getBlockReceipts", FIRST + 4): [limit]})
    async with node_of(plan) as node, source_of([endpoint(node.url)]) as source:
        source._learned.by_bytes = 23
        batches = await batches_of(source, FIRST, LAST, most_blocks=23)
    assert_clean(batches)
    assert [batch.end_block - batch.start_block + 1 for batch in batches][:3] == [3, 4, 5]


async def test_a_patience_that_is_over_is_told_as_what_was_wrong() -> None:
    always = Limit(HttpAnswer(429))
    patience = replace(PATIENT, slow_tries=2)
    async with node_of(always) as node, source_of([endpoint(node.url)], patience=patience) as source:
        with pytest.raises(AmpError, match="HTTP 429 to eth_chainId: too many requests"):
            await source.chain_id()
    assert always.calls == 2


async def test_the_bytes_of_requests_and_answers_are_counted() -> None:
    sent = received = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal sent, received
        body = await request.read()
        sent += len(body)
        reply = json.dumps({"jsonrpc": "2.0", "id": json.loads(body)["id"], "result": "0x1"}).encode()
        received += len(reply)
        return web.Response(body=gzip.compress(reply), headers={"Content-Encoding": "gzip"})

    async with http_server(answer) as url:
        client = RpcClient(endpoint(url), network="counted")
        for method in ("eth_chainId", "eth_getBlockByNumber"):
            await client.call(method, [])
        await client.close()
    page, _ = exposition(ACCEPT)
    labels = {"endpoint": client.endpoint.shown_url, "network": "counted"}
    told = Scrape(page.decode())
    assert told.value("evm_rpc_request_bytes_total", **labels) == sent > 0
    assert told.value("evm_rpc_response_bytes_total", **labels) == received > 0
