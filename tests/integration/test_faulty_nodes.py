"""Whatever nodes get wrong, a source gives exactly the rows of a clean read, or says what is wrong."""

from __future__ import annotations

import asyncio
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ampd.replay_node import ChangeResult, DropConnection, Fault
from ampd.replay_node.misdeeds import another_parent
from oracle.slow_rows import difference, rows_of, slow_rows
from support.fault_plans import (
    BATCH_FAULTS,
    BLOCK_FAULTS,
    RECEIPT_FAULTS,
    TIMEOUT,
    Plan,
    batch_faults,
    lags,
    plans,
)
from support.faulty import (
    FaultPlan,
    assert_clean,
    batches_of,
    clean_tables,
    endpoint,
    node_of,
    small_blocks,
    small_chain,
    source_of,
)

CHAIN = small_chain()
FIRST, LAST = CHAIN.first_block, CHAIN.last_block


def test_a_clean_read_gives_the_rows_of_the_slow_path() -> None:
    expected = [slow_rows(one.block, one.receipts) for one in small_blocks()]
    for name, table in clean_tables().items():
        found = difference(name, [row for rows in expected for row in rows[name]], rows_of(table))
        assert found is None, found
    assert clean_tables()["logs"].num_rows > 50


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plan=plans(FIRST, LAST),
    other=st.none() | plans(FIRST, LAST),
    lag=st.none() | lags(),
    batch_size=st.sampled_from([1, 1, 3, 8]),
    batch_names=st.lists(st.sampled_from(sorted(BATCH_FAULTS)), max_size=5),
    transport=st.sampled_from(["http", "http", "ws"]),
)
def test_any_mixture_of_faults_gives_exactly_the_rows_of_a_clean_read(
    plan: Plan,
    other: Plan | None,
    lag: tuple[int, list[bool]] | None,
    batch_size: int,
    batch_names: list[str],
    transport: str,
) -> None:
    async def read() -> None:
        wrong_batches = batch_faults(batch_names)
        settings_ = {"timeout_seconds": TIMEOUT, "batch_size": batch_size}
        async with (
            node_of(FaultPlan(CHAIN, plan, lag=lag), batches=wrong_batches) as one,
            node_of(FaultPlan(CHAIN, other), batches=wrong_batches) as two,
        ):
            urls = [one.ws_url if transport == "ws" else one.url] + ([two.url] if other is not None else [])
            async with source_of([endpoint(url, **settings_) for url in urls]) as source:
                await source.chain_id()
                latest = await source.latest_block(finalized=False)
                assert latest is not None
                assert LAST - (lag[0] if lag else 0) <= latest <= LAST
                assert_clean(await batches_of(source, FIRST, LAST))

    asyncio.run(read())


@pytest.mark.parametrize("name", sorted(BLOCK_FAULTS))
async def test_every_wrong_answer_for_a_block_is_mended(name: str) -> None:
    plan = FaultPlan(CHAIN, {("eth_getBlockByNumber", FIRST + 7): [BLOCK_FAULTS[name]] * 2})
    async with node_of(plan) as node, source_of([endpoint(node.url, timeout_seconds=TIMEOUT)]) as source:
        assert_clean(await batches_of(source, FIRST, LAST))
    assert plan.asked["eth_getBlockByNumber", FIRST + 7] >= 3


@pytest.mark.parametrize("name", sorted(RECEIPT_FAULTS))
async def test_every_wrong_answer_for_receipts_is_mended(name: str) -> None:
    plan = FaultPlan(CHAIN, {("eth_getBlockReceipts", FIRST + 7): [RECEIPT_FAULTS[name]] * 2})
    async with node_of(plan) as node, source_of([endpoint(node.url, timeout_seconds=TIMEOUT)]) as source:
        assert_clean(await batches_of(source, FIRST, LAST))
    assert plan.asked["eth_getBlockReceipts", FIRST + 7] >= 3
    assert plan.calls["eth_getTransactionReceipt"] == 0


async def test_a_balancer_that_leads_calls_to_a_node_that_lags_is_waited_for() -> None:
    plan = FaultPlan(CHAIN, lag=(3, [True] * 20))
    async with node_of(plan) as node, source_of([endpoint(node.url)]) as source:
        assert_clean(await batches_of(source, FIRST, LAST))
    assert plan.lagged > 0


@pytest.mark.parametrize("name", sorted(BATCH_FAULTS))
async def test_every_wrong_batch_is_mended(name: str) -> None:
    turns = cycle([BATCH_FAULTS[name], None])
    plan = FaultPlan(CHAIN)
    async with (
        node_of(plan, batches=lambda _sequence, _answers: next(turns)) as node,
        source_of([endpoint(node.url, batch_size=4)]) as source,
    ):
        assert_clean(await batches_of(source, FIRST, LAST))
    assert plan.calls["eth_getTransactionReceipt"] == 0


async def test_a_block_of_another_fork_at_the_seam_of_two_runs_is_read_again() -> None:
    plan = FaultPlan(CHAIN, {("eth_getBlockByNumber", FIRST + 5): [ChangeResult(another_parent)]})
    async with node_of(plan) as node, source_of([endpoint(node.url)]) as source:
        assert_clean(await batches_of(source, FIRST, LAST, most_blocks=5))
    assert plan.asked["eth_getBlockByNumber", FIRST + 5] == 2


@pytest.mark.parametrize("way", ["ws", "ipc"])
async def test_streams_give_the_same_rows(way: str, tmp_path: Path) -> None:
    plan = FaultPlan(CHAIN)
    async with node_of(plan, ipc=tmp_path / "node.ipc") as node:
        url = node.ws_url if way == "ws" else f"ipc://{tmp_path}/node.ipc"
        async with source_of([endpoint(url)]) as source:
            assert await source.chain_id() == 1
            assert_clean(await batches_of(source, FIRST, LAST))
    assert {plan.asked["eth_getBlockByNumber", number] for number in range(FIRST, LAST + 1)} == {1}


@pytest.mark.parametrize("way", ["ws", "ipc"])
async def test_a_stream_that_breaks_is_opened_again(way: str, tmp_path: Path) -> None:
    faults: dict[tuple[str, int], list[Fault]] = {
        ("eth_getBlockByNumber", FIRST + 3): [DropConnection(), DropConnection(after_bytes=100)],
        ("eth_getBlockReceipts", FIRST + 9): [DropConnection()],
    }
    async with node_of(FaultPlan(CHAIN, faults), ipc=tmp_path / "node.ipc") as node:
        url = node.ws_url if way == "ws" else f"ipc://{tmp_path}/node.ipc"
        async with source_of([endpoint(url)]) as source:
            assert_clean(await batches_of(source, FIRST, LAST))
