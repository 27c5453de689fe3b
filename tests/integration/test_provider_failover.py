"""Several nodes of one network share the load and stand in for each other; a bad one is left out, and comes back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.replay_node import (
    Delay,
    ErrorAnswer,
    Fault,
    HttpAnswer,
    RecordedBlock,
    ReplaceResult,
    ReplayChain,
    RpcCall,
    build_chain,
)
from ampd.sources.evm_rpc import EvmRpcSource
from support.faulty import (
    PATIENT,
    FaultPlan,
    assert_clean,
    batches_of,
    endpoint,
    node_of,
    small_blocks,
    small_chain,
    source_of,
)

CHAIN = small_chain()
FIRST, LAST = CHAIN.first_block, CHAIN.last_block
REFUSED = HttpAnswer(401, "who are you")


class Mood:
    """Answers every call with ``fault`` while there is one; keeps what was asked."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault
        self.calls: list[RpcCall] = []

    def __call__(self, call: RpcCall) -> Fault | None:
        self.calls.append(call)
        return self.fault

    @property
    def blocks(self) -> int:
        return sum(call.method == "eth_getBlockByNumber" and call.params[1] is True for call in self.calls)

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.calls)


async def read_whole(source: EvmRpcSource) -> None:
    assert await source.chain_id() == 1
    assert await source.latest_block(finalized=False) == LAST
    assert_clean(await batches_of(source, FIRST, LAST, most_blocks=2))


async def refusal(source: EvmRpcSource) -> AmpError:
    with pytest.raises(AmpError) as caught:
        await read_whole(source)
    return caught.value


async def test_two_nodes_share_the_load() -> None:
    moods = Mood(), Mood()
    async with (
        node_of(moods[0]) as one,
        node_of(moods[1]) as two,
        source_of([endpoint(one.url), endpoint(two.url)]) as source,
    ):
        await read_whole(source)
    assert moods[0].blocks + moods[1].blocks == len(CHAIN)
    assert min(mood.blocks for mood in moods) >= len(CHAIN) // 4


@pytest.mark.parametrize(
    "fault",
    [
        REFUSED,
        HttpAnswer(500),
        ErrorAnswer(-32000, "no backend is healthy"),
        HttpAnswer(429, "", {"Retry-After": "600"}),
    ],
    ids=["refuses us", "is down", "has no backend", "wants to be left alone"],
)
async def test_a_node_that_gives_nothing_is_stood_in_for(fault: Fault) -> None:
    bad, good = Mood(fault), Mood()
    async with node_of(bad) as one, node_of(good) as two, source_of([endpoint(one.url), endpoint(two.url)]) as source:
        await read_whole(source)
    assert (bad.blocks, good.blocks) == (0, len(CHAIN))


@pytest.mark.parametrize("fault", [REFUSED, HttpAnswer(500), HttpAnswer(429, "", {"Retry-After": "600"})])
async def test_a_node_that_goes_bad_on_the_way_is_stood_in_for(fault: Fault) -> None:
    bad, good = Mood(), Mood()
    async with (
        node_of(bad) as one,
        node_of(good) as two,
        source_of([endpoint(one.url), endpoint(two.url)], patience=replace(PATIENT, bench=60.0)) as source,
    ):
        assert await source.chain_id() == 1
        batches = []
        async for batch in source.read(FIRST, LAST, most_blocks=2):
            batches.append(batch)
            if len(batches) == 2:
                bad.fault = fault
                asked = bad.blocks
    assert_clean(batches)
    assert bad.blocks - asked <= 20  # what was under way, with its tries; then it is left alone


async def test_a_node_comes_back_from_the_bench_after_it_has_told_its_chain_again() -> None:
    bad, good = Mood(REFUSED), Mood()
    async with node_of(bad) as one, node_of(good) as two, source_of([endpoint(one.url), endpoint(two.url)]) as source:
        assert await source.chain_id() == 1
        [node, _] = source._pool.nodes
        assert node.benched_until > 0
        bad.fault, node.benched_until = None, 0.001  # its time is over
        while not bad.blocks:
            assert_clean(await batches_of(source, FIRST, LAST, most_blocks=2))
    assert bad.count("eth_chainId") == 2


def other_chain(chain_id: int = 1, genesis: str | None = None) -> ReplayChain:
    """Return a chain of another id, or one whose block 0 has this hash."""
    if genesis is None:
        return build_chain(small_blocks(), chain_id=chain_id)
    one = small_blocks()[0]
    block = {**one.block, "number": "0x0", "hash": genesis, "transactions": []}
    return build_chain([RecordedBlock(one.chain, block, [])], chain_id=chain_id)


@pytest.mark.parametrize("position", [0, 1])
async def test_a_node_of_another_chain_is_never_asked_for_blocks(position: int) -> None:
    wrong, right = Mood(), Mood()
    async with node_of(wrong, other_chain(5)) as stranger, node_of(right) as node:
        urls = [stranger.url, node.url] if position == 0 else [node.url, stranger.url]
        async with source_of([endpoint(url) for url in urls]) as source:
            await read_whole(source)
    assert wrong.blocks == 0


async def test_the_chain_of_a_network_nobody_knows_is_that_of_most_nodes() -> None:
    moods = Mood(), Mood(), Mood()
    async with AsyncExitStack() as stack:
        chains = (other_chain(5), CHAIN, CHAIN)
        nodes = [
            await stack.enter_async_context(node_of(mood, chain)) for mood, chain in zip(moods, chains, strict=True)
        ]
        async with source_of([endpoint(node.url) for node in nodes], network="of-my-own") as source:
            await read_whole(source)
    assert moods[0].blocks == 0


async def test_a_chain_with_the_right_id_and_another_first_block_is_refused() -> None:
    async with node_of(None, other_chain(1, "0x" + "12" * 32)) as node, source_of([endpoint(node.url)]) as source:
        error = await refusal(source)
    assert (error.code, error.recoverable) == (ErrorCode.NETWORK_MISMATCH, False)
    assert "0x" + "12" * 32 in error.message
    assert "0xd4e56740" in error.message


async def test_when_all_nodes_are_of_another_chain_the_error_says_so() -> None:
    async with (
        node_of(None, other_chain(5)) as one,
        node_of(None, other_chain(6)) as two,
        source_of([endpoint(one.url), endpoint(two.url)]) as source,
    ):
        error = await refusal(source)
    assert (error.code, error.recoverable) == (ErrorCode.NETWORK_MISMATCH, False)
    assert "chain 5" in error.message


async def test_a_fault_that_may_pass_outweighs_one_that_will_not() -> None:
    async with (
        node_of(None, other_chain(5)) as one,
        node_of(Mood(HttpAnswer(500))) as two,
        source_of([endpoint(one.url), endpoint(two.url)]) as source,
    ):
        error = await refusal(source)
    assert (error.code, error.recoverable) == (ErrorCode.NODE_ANSWERED_ERROR, True)


async def test_a_node_that_lags_is_not_asked_for_what_it_lacks() -> None:
    behind, ahead = Mood(), Mood()
    async with node_of(behind) as one, node_of(ahead) as two:
        one.head = FIRST + 9
        async with source_of([endpoint(one.url), endpoint(two.url)]) as source:
            await read_whole(source)
    asked = [int(call.params[0], 16) for call in behind.calls if call.params[1:] == [True]]
    assert asked
    assert max(asked) <= FIRST + 9


async def test_a_block_that_was_announced_and_is_not_there_yet_is_waited_for() -> None:
    """Behind a balancer one node announces what another one does not have yet."""
    seen = Mood()
    async with node_of(seen) as node, source_of([endpoint(node.url)]) as source:
        await source.chain_id()
        assert await source.latest_block(finalized=False) == LAST
        node.head = LAST - 2
        batches = []
        async for batch in source.read(FIRST, LAST, most_blocks=30):
            batches.append(batch)
            if batch.end_block == LAST - 2:
                node.head = LAST
    assert_clean(batches)
    assert LAST - 2 in [batch.end_block for batch in batches]


async def test_a_block_that_never_comes_is_an_error_in_the_end() -> None:
    async with (
        node_of(None) as node,
        source_of([endpoint(node.url)], patience=replace(PATIENT, tip_wait=0.05)) as source,
    ):
        await source.chain_id()
        await source.latest_block(finalized=False)
        node.head = LAST - 1
        with pytest.raises(AmpError, match=f"block {LAST}") as caught:
            await batches_of(source, LAST, LAST)
    assert (caught.value.code, caught.value.recoverable) == (ErrorCode.BLOCK_NOT_AVAILABLE, True)


async def test_a_block_that_is_final_and_missing_is_asked_from_another_node_then_an_error() -> None:
    def lost(call: RpcCall) -> Fault | None:
        return ReplaceResult(None) if call.params == [hex(FIRST), True] else None

    async with (
        node_of(lost) as one,
        node_of(None) as two,
        source_of([endpoint(one.url), endpoint(two.url)]) as source,
        source_of([endpoint(one.url)]) as lonely,
    ):
        await read_whole(source)
        error = await refusal(lonely)
    assert (error.code, error.recoverable) == (ErrorCode.BLOCK_NOT_AVAILABLE, True)


async def test_blocks_that_are_distrusted_are_read_from_another_node() -> None:
    moods = Mood(), Mood()
    async with (
        node_of(moods[0]) as one,
        node_of(moods[1]) as two,
        source_of([endpoint(one.url), endpoint(two.url)]) as source,
    ):
        await source.chain_id()
        for _ in range(4):
            [batch] = await batches_of(source, FIRST, FIRST + 1)
            assert batch.endpoint in (one.url, two.url)
            source.distrust(batch)
            source._pool._turn += 1  # so that it would be the same node's turn again
            [again] = await batches_of(source, FIRST, FIRST + 1)
            assert {batch.endpoint, again.endpoint} == {one.url, two.url}
            source._distrusted.clear()


async def test_blocks_from_two_nodes_name_both() -> None:
    half = ErrorAnswer(-32000, "missing trie node")

    def without_receipts(call: RpcCall) -> Fault | None:
        return half if call.method == "eth_getBlockReceipts" else None

    async with (
        node_of(without_receipts) as one,
        node_of(None) as two,
        source_of([endpoint(one.url), endpoint(two.url)]) as source,
    ):
        await source.chain_id()
        source._pool._turn = 1  # the first node's turn
        [batch] = await batches_of(source, FIRST, FIRST + 1)
    assert batch.endpoint == f"{one.url}, {two.url}"


async def test_a_slow_node_does_not_hold_up_the_question_for_the_newest_block() -> None:
    async with (
        node_of(Mood(Delay(30.0))) as slow,
        node_of(None) as quick,
        source_of([endpoint(slow.url), endpoint(quick.url)]) as source,
    ):
        async with asyncio.timeout(10):
            await read_whole(source)


# --- Receipts ---


def lacking(*methods: str) -> Any:
    calls = Mood()

    def choose(call: RpcCall) -> Fault | None:
        calls(call)
        missing = f"the method {call.method} does not exist/is not available"
        return ErrorAnswer(-32601, missing) if call.method in methods else None

    return choose, calls


@pytest.mark.parametrize("batch_size", [1, 5])
async def test_receipts_come_one_by_one_where_a_node_knows_only_that(batch_size: int) -> None:
    choose, calls = lacking("eth_getBlockReceipts")
    async with node_of(choose) as node, source_of([endpoint(node.url, batch_size=batch_size)]) as source:
        await read_whole(source)
    assert calls.count("eth_getTransactionReceipt") == sum(len(one.receipts) for one in small_blocks())
    # The chunks that were under way find out, those after them know.
    assert calls.count("eth_getBlockReceipts") <= 8


async def test_a_provider_may_want_receipts_one_by_one() -> None:
    calls = Mood()
    async with node_of(calls) as node, source_of([endpoint(node.url, receipts_per_transaction=True)]) as source:
        await read_whole(source)
    assert calls.count("eth_getBlockReceipts") == 0


async def test_a_rate_limit_never_makes_receipts_come_one_by_one() -> None:
    plan = FaultPlan(
        CHAIN, {("eth_getBlockReceipts", number): [HttpAnswer(429)] * 2 for number in range(FIRST, LAST + 1)}
    )
    async with node_of(plan) as node, source_of([endpoint(node.url)]) as source:
        assert_clean(await batches_of(source, FIRST, LAST))
    assert plan.calls["eth_getTransactionReceipt"] == 0


async def test_a_node_that_gives_all_receipts_at_once_is_preferred() -> None:
    choose, calls = lacking("eth_getBlockReceipts")
    async with (
        node_of(choose) as lame,
        node_of(None) as sound,
        source_of([endpoint(lame.url), endpoint(sound.url)]) as source,
    ):
        await read_whole(source)
        before = calls.count("eth_getTransactionReceipt")
        await read_whole(source)
    assert calls.count("eth_getTransactionReceipt") == before


async def test_without_any_way_to_receipts_the_error_names_the_method() -> None:
    choose, _ = lacking("eth_getBlockReceipts", "eth_getTransactionReceipt")
    async with node_of(choose) as node, source_of([endpoint(node.url)]) as source:
        error = await refusal(source)
    assert (error.code, error.recoverable) == (ErrorCode.NODE_METHOD_UNSUPPORTED, False)
    assert "eth_getTransactionReceipt" in error.message


async def test_the_hash_of_a_block_comes_from_whichever_node_knows_it() -> None:
    async with (
        node_of(Mood()) as behind,
        node_of(Mood()) as ahead,
        source_of([endpoint(behind.url), endpoint(ahead.url)]) as source,
    ):
        behind.head = FIRST + 3
        for number in (FIRST, FIRST + 3, LAST):
            expected = CHAIN.identity(number).hash
            assert [await source.block_hash(number) for _ in range(2)] == [bytes.fromhex(expected[2:])] * 2
        assert await source.block_hash(LAST + 1) is None
