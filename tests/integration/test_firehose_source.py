"""The Firehose source against a real server: what it gives, and what it makes of undo steps, faults, other servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.firehose_wire import firehose_pb2 as pb
from ampd.replay_node.firehose import FirehoseCall, ReplayFirehose, StreamFault, calls_of, cursor_of
from ampd.replay_node.firehose_chain import FirehoseChain, forked_chain, recorded_chain
from ampd.sources.blocks import BlockBatch
from ampd.sources.firehose import Endpoint, FirehoseSource
from ampd.sources.firehose.decode import decode
from ampd.sources.firehose.servers import Patience
from support.firehose_blocks import FIRST, LAST, recorded_firehose_blocks, small_chain
from support.firehose_source import END, LENGTH, QUICK, START, assert_whole, batches_of, source_of
from support.proxies import counting_proxy
from support.tls import certificate_in


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def chain() -> FirehoseChain:
    return small_chain(LENGTH)


# --- the good case


async def test_recorded_blocks_come_as_they_decode(executor: ThreadPoolExecutor) -> None:
    recorded = recorded_firehose_blocks()
    wanted = decode(list(range(FIRST, LAST + 1)), [block.payload for block in recorded], chain_id=1)
    async with ReplayFirehose(recorded_chain(recorded)) as server, source_of(server, executor=executor) as source:
        (batch,) = [batch async for batch in source.read(FIRST, LAST, most_blocks=100)]
        assert all(batch.tables[name].equals(table) for name, table in wanted.tables.items())
        assert (batch.endpoint, batch.source_bytes) == (server.url, wanted.source_bytes)


@pytest.mark.parametrize("gzip", [True, False])
async def test_blocks_come_compressed_when_the_server_does_that(executor: ThreadPoolExecutor, gzip: bool) -> None:
    recorded = recorded_firehose_blocks()
    size = sum(len(block.payload) for block in recorded)
    async with ReplayFirehose(recorded_chain(recorded), gzip=gzip) as server, counting_proxy(server.port) as proxy:
        source = FirehoseSource(Endpoint(f"http://127.0.0.1:{proxy.port}"), network="mainnet", executor=executor)
        assert [batch.end_block async for batch in source.read(FIRST, LAST, most_blocks=100)] == [LAST]
        assert (proxy.bytes_down < size / 2) is gzip
        await source.close()


async def test_tls_and_the_token_are_used(
    tmp_path: Path, executor: ThreadPoolExecutor, chain: FirehoseChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certificate_in(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with ReplayFirehose(chain, token="s3cr3t", certificate=certificate, key=key) as server:
        assert server.url.startswith("https://")
        for token, is_right in (("s3cr3t", True), ("wr0ng", False), (None, False)):
            source = FirehoseSource(Endpoint(server.url, token), network="mainnet", executor=executor, patience=QUICK)
            if is_right:
                assert await source.chain_id() == 1
                assert_whole(await batches_of(source), chain)
            else:
                with pytest.raises(AmpError) as caught:
                    await batches_of(source)
                assert (caught.value.code, caught.value.recoverable) == (ErrorCode.NODE_REFUSED_ACCESS, False)
                assert "wr0ng" not in caught.value.message
            await source.close()


async def test_the_newest_and_the_final_block_are_told(executor: ThreadPoolExecutor, chain: FirehoseChain) -> None:
    async with (
        ReplayFirehose(chain, blocks_until_final=7) as server,
        source_of(server, executor=executor) as source,
    ):
        server.grow_to(START + 20)
        assert await source.latest_block(finalized=False) == START + 20
        assert await source.latest_block(finalized=True) == START + 13
        server.grow_to(END)
        await until(lambda: source.latest_block(finalized=False), END)
        shorter = forked_chain(chain, at=START + 15, length=24)
        server.follow(shorter)
        await until(lambda: source.latest_block(finalized=False), START + 23)
        assert len(calls_of(server, "Blocks")) == 1, "one stream tells all of it"


async def until(ask: Any, wanted: int) -> None:
    async with asyncio.timeout(10):
        while await ask() != wanted:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("has_fetch", [True, False], ids=["Fetch", "a server without Fetch"])
async def test_the_hash_of_a_block_is_told(executor: ThreadPoolExecutor, chain: FirehoseChain, has_fetch: bool) -> None:
    async with ReplayFirehose(chain) as server, source_of(server, executor=executor) as source:
        server.has_fetch = has_fetch
        found = [await source.block_hash(number) for number in (START, START + 3, END + 1)]
        expected = [bytes.fromhex(chain.identity(number).hash[2:]) for number in (START, START + 3)]
        assert found == [*expected, None]


async def test_a_server_of_another_chain_is_not_used(executor: ThreadPoolExecutor, chain: FirehoseChain) -> None:
    async with (
        ReplayFirehose(chain, chain_name="polygon") as server,
        source_of(server, executor=executor) as source,
    ):
        with pytest.raises(AmpError) as caught:
            await source.chain_id()
        assert caught.value.code is ErrorCode.NETWORK_MISMATCH
        assert "'polygon'" in caught.value.message


async def test_an_unknown_network_needs_the_chain_id(executor: ThreadPoolExecutor, chain: FirehoseChain) -> None:
    async with ReplayFirehose(chain, chain_name="mine") as server:
        async with source_of(server, executor=executor, network="mine") as source:
            with pytest.raises(AmpError, match="add chain_id"):
                await source.chain_id()
        async with source_of(server, executor=executor, network="mine", chain_id=7) as source:
            assert await source.chain_id() == 7


async def test_only_final_blocks_come_when_only_those_are_wanted(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    async with (
        ReplayFirehose(chain, blocks_until_final=10) as server,
        source_of(server, executor=executor, final_only=True) as source,
    ):
        server.grow_to(START + 20)
        reading = source.read(START, END, most_blocks=1)
        given = [await anext(reading) for _ in range(11)]
        assert given[-1].end_block == server.final_block == START + 10
        waiting = asyncio.ensure_future(anext(reading))
        server.grow_to(START + 21)
        assert (await waiting).end_block == START + 11
        await reading.aclose()


# --- what the chain undoes


async def test_a_block_that_is_undone_before_it_was_given_is_not_given(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    fork = forked_chain(chain, at=START + 17, length=LENGTH)
    async with ReplayFirehose(chain) as server, source_of(server, executor=executor) as source:
        server.grow_to(START + 19)
        reading = source.read(START, END, most_blocks=100)
        first = asyncio.ensure_future(anext(reading))
        await sent(server, START + 19)
        server.follow(fork)
        batch = await first
        assert_whole([batch], fork)
        assert len(calls_of(server, "Blocks")) == 1, "the undo steps were not enough"
        await reading.aclose()


async def sent(server: ReplayFirehose, number: int) -> None:
    """Wait until a block has gone out to somebody."""
    async with asyncio.timeout(10):
        while server.last_sent < number:
            await asyncio.sleep(0.001)


async def test_a_block_that_is_undone_after_it_was_given_ends_the_range(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    fork = forked_chain(chain, at=START + 17, length=LENGTH)
    async with ReplayFirehose(chain) as server, source_of(server, executor=executor) as source:
        server.grow_to(START + 19)
        reading = source.read(START, END, most_blocks=1)
        given = [await anext(reading) for _ in range(20)]
        assert_whole(given, chain, end=START + 19)
        server.follow(fork)
        with pytest.raises(AmpError) as caught:
            await anext(reading)
        assert (caught.value.code, caught.value.recoverable) == (ErrorCode.PARENT_HASH_MISMATCH, True)


async def test_a_cursor_of_a_fork_leads_to_the_blocks_of_the_chain(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    """What was undone before the range is told, and no concern of the range: the lake sees that its parent differs."""
    fork = forked_chain(chain, at=START + 5, length=LENGTH)
    async with ReplayFirehose(chain) as server, source_of(server, executor=executor) as source:
        server.follow(fork)
        cursor = cursor_of(START + 9, chain.identity(START + 9).hash[2:])
        batches = [batch async for batch in source.read(START + 10, END, most_blocks=100, cursor=cursor)]
        assert_whole(batches, fork, start=START + 10)
        assert calls_of(server, "Blocks")[0].cursor == cursor


async def test_a_cursor_that_the_server_does_not_know_is_done_without(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    async with ReplayFirehose(chain) as server, source_of(server, executor=executor) as source:
        assert_whole(await batches_of(source, cursor="of another server"), chain)
        assert [call.cursor for call in calls_of(server, "Blocks")] == ["of another server", ""]


# --- what servers do wrong


def nth(faults: dict[int, StreamFault]) -> Any:
    """Return the faults of the first, second, … stream of a server."""
    seen = -1

    def choose(call: FirehoseCall) -> StreamFault | None:
        nonlocal seen
        seen += call.method == "Blocks"
        return faults.get(seen) if call.method == "Blocks" else None

    return choose


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED", "OK"])
@pytest.mark.parametrize("after", [0, 7])
async def test_a_stream_that_breaks_goes_on_at_its_cursor(
    executor: ThreadPoolExecutor, chain: FirehoseChain, code: str, after: int
) -> None:
    faults = nth({0: StreamFault(after, code), 1: StreamFault(after, code)})
    async with ReplayFirehose(chain, faults=faults) as server, source_of(server, executor=executor) as source:
        assert_whole(await batches_of(source), chain)
        first, second, third = calls_of(server, "Blocks")
        assert (first.cursor, second.start_block, third.start_block) == ("", START + after, START + 2 * after)
        assert bool(second.cursor) is bool(after)


async def test_a_server_that_falls_silent_is_asked_again(executor: ThreadPoolExecutor, chain: FirehoseChain) -> None:
    faults = nth({0: StreamFault(after=7, hangs=True)})
    async with (
        ReplayFirehose(chain, faults=faults) as server,
        source_of(server, executor=executor, timeout=0.2) as source,
    ):
        assert_whole(await batches_of(source), chain)
        assert len(calls_of(server, "Blocks")) == 2


def other_number(response: pb.BlocksResponse) -> pb.BlocksResponse:
    response.metadata.num += 1
    return response


def other_type(response: pb.BlocksResponse) -> pb.BlocksResponse:
    response.block.type_url = "type.googleapis.com/sf.solana.type.v1.Block"
    return response


def no_step(response: pb.BlocksResponse) -> pb.BlocksResponse:
    response.step = pb.STEP_UNSET
    return response


def cut_off(response: pb.BlocksResponse) -> pb.BlocksResponse:
    response.block.value = response.block.value[:-3]
    return response


def other_id(response: pb.BlocksResponse) -> pb.BlocksResponse:
    response.metadata.id = "00" * 32
    return response


def kept_back(response: pb.BlocksResponse) -> pb.BlocksResponse | None:
    return None if response.metadata.num == START + 5 else response


@pytest.mark.parametrize("change", [other_number, other_type, no_step, cut_off, other_id, kept_back])
async def test_a_wrong_message_is_asked_for_again_and_a_good_server_found(
    executor: ThreadPoolExecutor, chain: FirehoseChain, change: Any
) -> None:
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(ReplayFirehose(chain, faults=lambda _: StreamFault(change=change)))
        good = await stack.enter_async_context(ReplayFirehose(chain))
        source = await stack.enter_async_context(source_of(bad, good, executor=executor))
        batches = await batches_of(source)
        assert_whole(batches, chain)
        assert batches[-1].endpoint == good.url


@pytest.mark.parametrize(
    ("change", "code"),
    [(other_type, ErrorCode.NODE_ANSWER_MALFORMED), (cut_off, ErrorCode.NODE_ANSWER_MALFORMED)],
)
async def test_a_server_that_stays_wrong_ends_the_read_with_what_is_wrong(
    executor: ThreadPoolExecutor, chain: FirehoseChain, change: Any, code: ErrorCode
) -> None:
    faults = StreamFault(change=change)
    async with (
        ReplayFirehose(chain, faults=lambda _: faults) as server,
        source_of(server, executor=executor) as source,
    ):
        with pytest.raises(AmpError) as caught:
            await batches_of(source)
        assert (caught.value.code, caught.value.recoverable) == (code, True)
        assert len(calls_of(server, "Blocks")) == QUICK.tries


async def test_a_server_that_is_away_is_waited_for_and_what_was_given_stays(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    patient = Patience(tries=1000, first_seconds=0.001, most_seconds=0.01)
    server = ReplayFirehose(chain)
    async with source_of(server, executor=executor) as probe:
        with pytest.raises(AmpError) as caught:
            await batches_of(probe)
        assert caught.value.code is ErrorCode.NODE_UNREACHABLE
    async with server:
        server.grow_to(START + 11)
        source = FirehoseSource(Endpoint(server.url), network="mainnet", executor=executor, patience=patient)
        reading = source.read(START, END, most_blocks=4)
        given = [await anext(reading) for _ in range(3)]
    rest = asyncio.ensure_future(collected(reading))
    async with ReplayFirehose(chain, port=server.port):
        assert_whole(given + await rest, chain)
    await source.close()


async def collected(reading: AsyncIterator[BlockBatch]) -> list[BlockBatch]:
    return [batch async for batch in reading]


async def test_several_servers_share_the_streams(executor: ThreadPoolExecutor, chain: FirehoseChain) -> None:
    async with (
        ReplayFirehose(chain) as one,
        ReplayFirehose(chain) as other,
        source_of(one, other, executor=executor) as source,
    ):
        readings = [source.read(START, END, most_blocks=1) for _ in range(4)]
        for reading in readings:
            await anext(reading)
        assert [len(calls_of(server, "Blocks")) for server in (one, other)] == [2, 2]
        for reading in readings:
            await reading.aclose()


async def test_distrusted_blocks_are_asked_of_another_server(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    async with (
        ReplayFirehose(chain) as one,
        ReplayFirehose(chain) as other,
        source_of(one, other, executor=executor) as source,
    ):
        (first, *_) = await batches_of(source)
        source.distrust(first)
        (again, *_) = await batches_of(source)
        assert again.endpoint != first.endpoint


async def test_a_range_that_nobody_reads_on_lets_its_stream_go(
    executor: ThreadPoolExecutor, chain: FirehoseChain
) -> None:
    async with ReplayFirehose(chain) as server, source_of(server, executor=executor) as source:
        server.grow_to(START + 5)
        # Again and again: it is left while blocks arrive, wait for their decoding, or are being decoded.
        for most_blocks in (1, 2, 3) * 10:
            reading = source.read(START, END, most_blocks=most_blocks)
            await anext(reading)
            await reading.aclose()
            assert [client.streams for client in source._servers.clients] == [0]
            assert source._memory.held_bytes == 0
