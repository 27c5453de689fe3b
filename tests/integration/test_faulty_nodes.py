"""Whatever nodes get wrong, a source gives exactly the rows of a clean read, or says what is wrong."""

from __future__ import annotations

import asyncio
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ampd.replay_node import (
    ChangeBatch,
    ChangeResult,
    Delay,
    DropConnection,
    ErrorAnswer,
    Fault,
    HttpAnswer,
    ReplaceResult,
)
from ampd.replay_node.misdeeds import WRONG_BATCHES, WRONG_BLOCKS, WRONG_RECEIPTS, another_parent
from oracle.slow_rows import difference, rows_of, slow_rows
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
TIMEOUT = 0.3

PASSING: dict[str, Fault] = {
    "429 with seconds": HttpAnswer(429, "slow down", {"Retry-After": "0.01"}),
    "429 with a date": HttpAnswer(
        429,
        "",
        {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"},
    ),
    "429 without a header": HttpAnswer(429),
    "429 with a JSON body": HttpAnswer(429, '{"error":{"code":-32007,"message":"50/second"}}', {}, "application/json"),
    "429 inside 200": ErrorAnswer(429, "Your app has exceeded its compute units per second capacity"),
    "-32005 with a hint": ErrorAnswer(-32005, "daily", {"rate": {"allowed_rps": 500, "backoff_seconds": 0.01}}),
    "-32029": ErrorAnswer(-32029, "Too Many Requests"),
    "500": HttpAnswer(500, "oops"),
    "502 with HTML": HttpAnswer(502, "<html>Bad Gateway</html>"),
    "503 with Retry-After": HttpAnswer(503, "", {"Retry-After": "0.01"}),
    "200 with HTML": HttpAnswer(200, "<html>Welcome</html>"),
    "200 with much HTML": HttpAnswer(200, "<html>" + "Welcome " * 1000),
    "200 with nothing": HttpAnswer(200, "", {}, "application/json"),
    "200 with a broken object": HttpAnswer(200, '{"jsonrpc":"2.0","id":1,"resu', {}, "application/json"),
    "hangs up": DropConnection(),
    "cut body": DropConnection(after_bytes=500),
    "too slow": Delay(2 * TIMEOUT),
    "internal error": ErrorAnswer(-32603, "internal error"),
    "header not found": ErrorAnswer(-32000, "header not found"),
    "missing trie node": ErrorAnswer(-32000, "missing trie node 0xdead (path )"),
    "nobody knows": ErrorAnswer(-32000, "something odd"),
    "too large": ErrorAnswer(-32000, "response size should not greater than 10485760 bytes"),
    "execution timeout": ErrorAnswer(-32000, "query timeout exceeded"),
    "null": ReplaceResult(None),
}
BLOCK_FAULTS = PASSING | {name: ChangeResult(change) for name, change in WRONG_BLOCKS.items()}
RECEIPT_FAULTS = PASSING | {name: ChangeResult(change) for name, change in WRONG_RECEIPTS.items()}
BATCH_FAULTS = {name: ChangeBatch(change) for name, change in WRONG_BATCHES.items()}


def of_first_block(name: str) -> Fault:
    """What hangs on another fork shows only beside the block before it: the first block has none here."""
    return PASSING["null"] if name == "another parent" else BLOCK_FAULTS[name]


@st.composite
def plans(draw: st.DrawFn) -> dict[tuple[str, int], list[Fault]]:
    """Give up to two faults to some calls."""
    faults: dict[tuple[str, int], list[Fault]] = {}
    numbers = st.integers(FIRST, LAST)
    for number in draw(st.lists(numbers, max_size=6, unique=True)):
        names = draw(st.lists(st.sampled_from(sorted(BLOCK_FAULTS)), min_size=1, max_size=2))
        faults["eth_getBlockByNumber", number] = [
            of_first_block(name) if number == FIRST else BLOCK_FAULTS[name] for name in names
        ]
    for number in draw(st.lists(numbers, max_size=6, unique=True)):
        names = draw(st.lists(st.sampled_from(sorted(RECEIPT_FAULTS)), min_size=1, max_size=2))
        faults["eth_getBlockReceipts", number] = [RECEIPT_FAULTS[name] for name in names]
    return faults


def batch_faults(names: list[str]) -> Any:
    """Do each fault to one batch, and leave every second batch alone, so that some get through."""
    left = [name for name in names for name in (name, "")]

    def choose(sequence: int, answers: list[Any]) -> ChangeBatch | None:
        name = left.pop(0) if left else ""
        return BATCH_FAULTS[name] if name and answers else None

    return choose


def test_a_clean_read_gives_the_rows_of_the_slow_path() -> None:
    expected = [slow_rows(one.block, one.receipts) for one in small_blocks()]
    for name, table in clean_tables().items():
        found = difference(name, [row for rows in expected for row in rows[name]], rows_of(table))
        assert found is None, found
    assert clean_tables()["logs"].num_rows > 50


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plan=plans(),
    other=st.none() | plans(),
    batch_size=st.sampled_from([1, 1, 3, 8]),
    batch_names=st.lists(st.sampled_from(sorted(BATCH_FAULTS)), max_size=5),
    transport=st.sampled_from(["http", "http", "ws"]),
)
def test_any_mixture_of_faults_gives_exactly_the_rows_of_a_clean_read(
    plan: dict[tuple[str, int], list[Fault]],
    other: dict[tuple[str, int], list[Fault]] | None,
    batch_size: int,
    batch_names: list[str],
    transport: str,
) -> None:
    async def read() -> None:
        wrong_batches = batch_faults(batch_names)
        settings_ = {"timeout_seconds": TIMEOUT, "batch_size": batch_size}
        async with (
            node_of(FaultPlan(CHAIN, plan), batches=wrong_batches) as one,
            node_of(FaultPlan(CHAIN, other), batches=wrong_batches) as two,
        ):
            urls = [one.ws_url if transport == "ws" else one.url] + ([two.url] if other is not None else [])
            async with source_of([endpoint(url, **settings_) for url in urls]) as source:
                await source.chain_id()
                assert await source.latest_block(finalized=False) == LAST
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
