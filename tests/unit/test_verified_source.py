"""Blocks of a source are verified before anybody gets them: in order, ahead of who reads, fetched again when wrong."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from ampd.chain.sampling import VerifyMode, sampled_blocks
from ampd.errors import AmpError, ErrorCode
from ampd.replay_node import ReplayChain, ReplayNode, load_recorded_chain
from ampd.replay_node.faults import ChangeResult, Fault, RpcCall
from ampd.sources.blocks import BlockBatch, BlockSource
from ampd.sources.evm_rpc import Endpoint, EvmRpcSource
from ampd.sources.verified import VerifiedSource, verified
from oracle.recorded import decoded, recorded
from oracle.verified import column_values, with_value
from support.nodes import FIRST_BLOCK, LAST_BLOCK, MAINNET

FULL, SAMPLE = VerifyMode.FULL, VerifyMode.SAMPLE
WRONG = bytes(31) + b"\1"
END = FIRST_BLOCK + 11  # two batches of a node that is not known yet


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


async def everything(source: BlockSource, start: int = FIRST_BLOCK, end: int = LAST_BLOCK) -> list[BlockBatch]:
    return [batch async for batch in source.read(start, end, most_blocks=100)]


def blocks_of(batches: list[BlockBatch]) -> list[int]:
    return [number for batch in batches for number in range(batch.start_block, batch.end_block + 1)]


# --- over a real node


@dataclass
class Wrong:
    """Makes the block with a number have another gas limit, in so many answers."""

    number: int
    answers: int
    given: int = 0

    def __call__(self, call: RpcCall) -> Fault | None:
        if call.method != "eth_getBlockByNumber" or call.params != [hex(self.number), True] or not self.answers:
            return None
        self.answers -= 1
        self.given += 1
        return ChangeResult(lambda block: block | {"gasLimit": "0x1"})


@cache
def recorded_chain() -> ReplayChain:
    return load_recorded_chain(MAINNET)


async def read_node(
    mode: VerifyMode, executor: Executor, faults: Callable[[RpcCall], Fault | None] | None = None, **options: Any
) -> list[BlockBatch]:
    async with ReplayNode(recorded_chain(), faults=faults) as node:
        url = node.url.replace("http://", "http://user:hunter2@")
        inner = EvmRpcSource(Endpoint(url=url), network="mainnet", executor=executor)
        source = VerifiedSource(inner, mode, network="mainnet", executor=executor, pause_seconds=0.0, **options)
        try:
            assert await source.chain_id() == 1
            assert await source.latest_block(finalized=False) == LAST_BLOCK
            return await everything(source, end=END)
        finally:
            await source.close()


@pytest.mark.parametrize("mode", [FULL, SAMPLE])
async def test_what_a_right_node_sends_is_given_as_it_is(mode: VerifyMode, executor: Executor) -> None:
    batches = await read_node(mode, executor)
    assert blocks_of(batches) == list(range(FIRST_BLOCK, END + 1))
    whole = decoded([recorded(f"{MAINNET.name}/{number}") for number in blocks_of(batches)], expect_unknown_keys=False)
    for name, table in whole.tables.items():
        assert pa.concat_tables([batch.tables[name] for batch in batches]).equals(table)


@pytest.mark.parametrize("number", [FIRST_BLOCK, FIRST_BLOCK + 5, END])
async def test_a_block_that_was_wrong_once_is_fetched_again(number: int, executor: Executor) -> None:
    faults = Wrong(number, answers=1)
    batches = await read_node(FULL, executor, faults)
    assert faults.given == 1
    assert blocks_of(batches) == list(range(FIRST_BLOCK, END + 1))
    limits = [limit for batch in batches for limit in batch.tables["blocks"].column("gas_limit").to_pylist()]
    assert 1 not in limits


async def test_a_block_that_stays_wrong_is_told_with_all_that_is_known(executor: Executor) -> None:
    faults = Wrong(FIRST_BLOCK + 9, answers=1000)
    with pytest.raises(AmpError) as caught:
        await read_node(FULL, executor, faults)
    error = caught.value
    assert (error.code, error.recoverable) == (ErrorCode.BLOCK_VERIFICATION_FAILED, False)
    assert faults.given == error.context["fetches"] == 4
    block = recorded(f"{MAINNET.name}/{FIRST_BLOCK + 9}").block
    assert error.context["block"] == FIRST_BLOCK + 9
    assert error.context["commitment"] == "header_hash"
    assert error.context["stated"] == block["hash"] != error.context["computed"]
    assert error.context["endpoint"].startswith("http://127.0.0.1:")
    for part in (str(FIRST_BLOCK + 9), "header_hash", block["hash"], error.context["endpoint"], "--verify off"):
        assert part in error.message
    assert "hunter2" not in str(error.to_json())


async def test_a_wrong_row_is_told_by_its_place(executor: Executor) -> None:
    def wrong_value(call: RpcCall) -> Fault | None:
        def change(block: Any) -> Any:
            block["transactions"][3]["value"] = "0x7"
            return block

        wanted = ["eth_getBlockByNumber", [hex(FIRST_BLOCK), True]]
        return ChangeResult(change) if [call.method, call.params] == wanted else None

    with pytest.raises(AmpError) as caught:
        await read_node(SAMPLE, executor, wrong_value)
    stated = recorded(f"{MAINNET.name}/{FIRST_BLOCK}").block["transactions"][3]["hash"]
    context = caught.value.context
    found = (context["block"], context["commitment"], context["row"], context["stated"])
    assert found == (FIRST_BLOCK, "transaction_hash", 3, stated)
    assert context["violations_in_batch"] == 2, "its hash, and the root"


# --- what is sampled


def test_a_sample_has_both_ends_and_one_in_sixteen_of_the_others() -> None:
    for last in range(300):
        sample = sampled_blocks(0, last, random.Random(last))
        assert sample == sorted(set(sample))
        assert (sample[0], sample[-1]) == (0, last)
        assert len(sample) == (last + 1 if last < 4 else 2 + -(-(last - 1) // 16))
    seen = {number for seed in range(200) for number in sampled_blocks(0, 30, random.Random(seed))}
    assert seen == set(range(31)), "no block is safe"


async def test_after_one_wrong_block_a_sample_becomes_all(executor: Executor) -> None:
    """The first block is in every sample; the other wrong one is in none of them."""
    faults = [Wrong(FIRST_BLOCK, answers=1), Wrong(FIRST_BLOCK + 6, answers=1000)]

    def both(call: RpcCall) -> Fault | None:
        return next((fault for fault in (each(call) for each in faults) if fault), None)

    class Unlucky(random.Random):
        def sample(self, population: Any, k: int, **_: Any) -> list[Any]:
            return [number for number in population if number != FIRST_BLOCK + 6][:k]

    assert FIRST_BLOCK in blocks_of(await read_node(SAMPLE, executor, faults[1], chance=Unlucky()))
    with pytest.raises(AmpError) as caught:
        await read_node(SAMPLE, executor, both, chance=Unlucky())
    assert caught.value.context["block"] == FIRST_BLOCK + 6


@pytest.mark.parametrize(
    ("wanted", "mode"),
    [(None, SAMPLE), ("sample", SAMPLE), ("full", FULL), (True, FULL), ("off", None), (False, None)],
)
def test_a_job_says_how_much_is_verified(wanted: Any, mode: VerifyMode | None, executor: Executor) -> None:
    inner = Scripted([])
    source = verified(inner, wanted, "mainnet", executor)
    if mode is None:
        assert source is inner
    else:
        assert isinstance(source, VerifiedSource)
        assert source._mode is mode


# --- order, back-pressure, and what happens at the edges


Step = BlockBatch | Exception | asyncio.Event


@dataclass
class Scripted:
    """A source that gives batches as a test says: each read takes the next script; an event holds it."""

    scripts: list[list[Step]]
    reads: list[tuple[int, int]] = field(default_factory=list)
    given: int = 0
    closed: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    distrusted: list[BlockBatch] = field(default_factory=list)

    async def chain_id(self) -> int:
        return 1

    async def latest_block(self, *, finalized: bool) -> int | None:
        return LAST_BLOCK

    async def block_hash(self, number: int) -> bytes | None:
        return None

    def distrust(self, batch: BlockBatch) -> None:
        self.distrusted.append(batch)

    async def close(self) -> None:
        pass

    async def read(
        self, start_block: int, end_block: int, *, most_blocks: int, cursor: str | None = None
    ) -> AsyncGenerator[BlockBatch, None]:
        self.reads.append((start_block, end_block))
        try:
            for step in self.scripts.pop(0):
                if isinstance(step, asyncio.Event):
                    self.asked.set()
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    self.given += 1
                    yield step
        finally:
            self.closed += 1


def one_by_one() -> list[BlockBatch]:
    """Return the recorded blocks, each as a batch of its own."""
    names = [f"{MAINNET.name}/{number}" for number in range(FIRST_BLOCK, LAST_BLOCK + 1)]
    batches = [decoded([recorded(name)], expect_unknown_keys=False) for name in names[:8]]
    return [replace(batch, endpoint="http://a.example") for batch in batches]


@pytest.fixture(scope="module")
def batches() -> list[BlockBatch]:
    return one_by_one()


def wrong(batch: BlockBatch) -> BlockBatch:
    tables = {**batch.tables, "blocks": with_value(batch.tables["blocks"], "state_root", 0, WRONG)}
    return replace(batch, tables=tables)


def over(source: Scripted, executor: Executor, mode: VerifyMode = FULL) -> VerifiedSource:
    return VerifiedSource(source, mode, network="mainnet", executor=executor, pause_seconds=0.0)


async def test_a_verified_batch_does_not_wait_for_the_next_one(batches: list[BlockBatch], executor: Executor) -> None:
    never = asyncio.Event()
    inner = Scripted([[batches[0], never, batches[1]]])
    reading = over(inner, executor).read(FIRST_BLOCK, LAST_BLOCK, most_blocks=9)
    assert await asyncio.wait_for(anext(reading), 20) is batches[0]
    await reading.aclose()
    assert inner.closed == 1, "the source is let go of, also while it is waited for"


async def test_who_reads_may_be_cancelled_while_it_waits(batches: list[BlockBatch], executor: Executor) -> None:
    inner = Scripted([[asyncio.Event(), *batches]])
    waiting = asyncio.ensure_future(anext(over(inner, executor).read(FIRST_BLOCK, LAST_BLOCK, most_blocks=9)))
    await asyncio.wait_for(inner.asked.wait(), 20)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert inner.closed == 1


class Held(ThreadPoolExecutor):
    """Begins no work before it is let."""

    def __init__(self) -> None:
        super().__init__(2)
        self.go = threading.Event()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        def wait_then_run() -> Any:
            assert self.go.wait(20)
            return fn(*args, **kwargs)

        return super().submit(wait_then_run)


async def test_the_next_batch_is_fetched_while_one_is_verified(batches: list[BlockBatch]) -> None:
    last = asyncio.Event()
    inner = Scripted([[*batches[:1], last, *batches[1:8]]])
    with Held() as executor:
        reading = over(inner, executor).read(FIRST_BLOCK, LAST_BLOCK, most_blocks=9)
        first = asyncio.ensure_future(anext(reading))
        await asyncio.wait_for(inner.asked.wait(), 20)
        assert not first.done(), "nothing is given before it is verified"
        executor.go.set()
        last.set()
        assert await first is batches[0]
        assert [batch async for batch in reading] == batches[1:8], "in their order"


async def test_who_reads_slowly_is_not_flooded(batches: list[BlockBatch], executor: Executor) -> None:
    inner = Scripted([batches])
    reading = over(inner, executor).read(FIRST_BLOCK, LAST_BLOCK, most_blocks=9)
    for taken in range(1, 9):
        assert await anext(reading) is batches[taken - 1]
        for _ in range(50):
            await asyncio.sleep(0)  # whatever could run has run
        assert inner.given <= taken + 2
    await reading.aclose()


async def test_a_wrong_batch_is_read_again_from_its_first_block_and_its_sender_distrusted(
    batches: list[BlockBatch], executor: Executor
) -> None:
    liar = wrong(batches[2])
    inner = Scripted([[*batches[:2], liar, *batches[3:]], batches[2:]])
    source = over(inner, executor)
    assert await everything(source) == batches
    assert inner.reads == [(FIRST_BLOCK, LAST_BLOCK), (FIRST_BLOCK + 2, LAST_BLOCK)]
    assert inner.distrusted == [liar]
    assert inner.closed == 2


async def test_each_wrong_block_has_its_own_tries(batches: list[BlockBatch], executor: Executor) -> None:
    scripts = [[*batches[:at], wrong(batches[at])] for at in range(6)]
    inner = Scripted([script[max(at - 1, 0) :] for at, script in enumerate(scripts)] + [batches[5:]])
    assert await everything(over(inner, executor)) == batches


async def test_what_was_right_is_given_before_an_error_of_the_source(
    batches: list[BlockBatch], executor: Executor
) -> None:
    trouble = AmpError(ErrorCode.NODE_UNREACHABLE, "gone", recoverable=True)
    inner = Scripted([[*batches[:2], trouble]])
    given = []
    with pytest.raises(AmpError) as caught:
        async for batch in over(inner, executor).read(FIRST_BLOCK, LAST_BLOCK, most_blocks=9):
            given.append(batch)  # noqa: PERF401 - a comprehension would lose them with the error
    assert caught.value is trouble
    assert given == batches[:2]


async def test_blocks_that_came_again_from_another_fork_are_told_apart_from_wrong_ones(
    batches: list[BlockBatch], executor: Executor
) -> None:
    foreign = replace(batches[2], start_parent_hash=WRONG)
    inner = Scripted([[*batches[:2], wrong(batches[2])], [foreign]])
    with pytest.raises(AmpError) as caught:
        await everything(over(inner, executor))
    assert (caught.value.code, caught.value.recoverable) == (ErrorCode.PARENT_HASH_MISMATCH, True)


async def test_a_block_that_is_not_in_its_batch_is_missed(batches: list[BlockBatch], executor: Executor) -> None:
    empty = {name: table.slice(0, 0) for name, table in batches[0].tables.items()}
    for mode in (FULL, SAMPLE):
        inner = Scripted([[replace(batches[0], tables=empty)] for _ in range(4)])
        with pytest.raises(AmpError, match="has no row in blocks"):
            await everything(over(inner, executor, mode))


async def test_what_cannot_be_checked_is_told_once_for_each_reason(
    batches: list[BlockBatch], executor: Executor
) -> None:
    with capture_logs() as logs:
        await everything(over(Scripted([batches]), executor))
    told = [entry for entry in logs if entry["event"] == "block.not_checked"]
    assert [(entry["first_block"], entry["commitment"]) for entry in told] == [(FIRST_BLOCK, "withdrawals_root")]
    assert column_values(batches[0].tables["blocks"], "block_num") == [FIRST_BLOCK]
