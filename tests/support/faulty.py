"""Nodes that do wrong according to a plan, and sources that read from them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from ampd.chain.tables import TABLES
from ampd.replay_node import (
    BatchFaultChooser,
    Fault,
    RecordedBlock,
    ReplayChain,
    ReplayNode,
    RpcCall,
    build_chain,
    read_recorded_blocks,
)
from ampd.replay_node.misdeeds import of_lagging_node
from ampd.sources.blocks import BlockBatch
from ampd.sources.evm_rpc import Endpoint, EvmRpcSource, Patience
from oracle.recorded import Recorded, decoded

MAINNET = Path(__file__).parents[1] / "data" / "blocks" / "ethereum-17686110-17686132"
NETWORK = "mainnet"

# Pauses are too short to wait for, and no fault of a plan is met so often that patience ends.
PATIENT = Patience(
    tries=6,
    slow_tries=12,
    first_pause=0.001,
    longest_pause=0.01,
    longest_wait=5.0,
    tip_wait=10.0,
    answer_tries=8,
    answer_pause=0.001,
    bench=0.01,
)


@cache
def small_blocks(transactions: int = 4) -> tuple[RecordedBlock, ...]:
    """Return recorded blocks with their first transactions only: enough for every check that needs no hashing."""
    return tuple(
        RecordedBlock(
            one.chain,
            {**one.block, "transactions": one.block["transactions"][:transactions]},
            one.receipts[:transactions],
        )
        for one in read_recorded_blocks(MAINNET)[:12]
    )


@cache
def small_chain() -> ReplayChain:
    """Return a chain of 12 blocks of some kilobytes each."""
    return build_chain(small_blocks())


class FaultPlan:
    """Does ``faults`` by method and block, one per call, in order; true answers after them. Counts calls by method.

    ``lag``: by how many blocks a node behind a balancer lags, and which of the first calls meet that one.
    """

    def __init__(
        self,
        chain: ReplayChain,
        faults: Mapping[tuple[str, int], Sequence[Fault]] | None = None,
        *,
        lag: tuple[int, Sequence[bool]] | None = None,
    ) -> None:
        self._chain = chain
        self._behind, self._meets_lagging = (0, []) if lag is None else (lag[0], list(lag[1]))
        self.lagged = 0
        self._left = {key: list(some) for key, some in (faults or {}).items()}
        self.calls: dict[str, int] = defaultdict(int)
        self.asked: Counter[tuple[str, int]] = Counter()

    def __call__(self, call: RpcCall) -> Fault | None:
        self.calls[call.method] += 1
        key = (call.method, self._number(call))
        self.asked[key] += 1
        if self._meets_lagging and self._meets_lagging.pop(0):
            behind = of_lagging_node(call, self._chain, self._behind)
            self.lagged += behind is not None
            if behind is not None:
                return behind
        left = self._left.get(key)
        return left.pop(0) if left else None

    def _number(self, call: RpcCall) -> int:
        match call.method, call.params:
            case "eth_getBlockByNumber", [str(number), True]:
                return int(number, 16)
            case "eth_getBlockReceipts", [str(name)]:
                number = self._chain.number_of_hash(name) if len(name) == 66 else int(name, 16)
                return -1 if number is None else number
            case "eth_getTransactionReceipt", [str(name)]:
                found = self._chain.receipt(name)
                return -1 if found is None else found[0]
        return -1


@asynccontextmanager
async def node_of(
    plan: Any, chain: ReplayChain | None = None, *, batches: BatchFaultChooser | None = None, ipc: Path | None = None
) -> AsyncIterator[ReplayNode]:
    """Serve ``chain`` with the faults of ``plan``."""
    async with ReplayNode(chain or small_chain(), faults=plan, batch_faults=batches, ipc_path=ipc) as node:
        yield node


def endpoint(url: str, **settings: Any) -> Endpoint:
    return Endpoint(url, **{"timeout_seconds": 5.0, "concurrency": 4, **settings})


@asynccontextmanager
async def source_of(
    endpoints: Sequence[Endpoint], *, network: str = NETWORK, patience: Patience = PATIENT, **options: Any
) -> AsyncIterator[EvmRpcSource]:
    with ThreadPoolExecutor(2) as executor:
        source = EvmRpcSource(endpoints, network=network, executor=executor, patience=patience, **options)
        try:
            yield source
        finally:
            await source.close()


async def batches_of(source: EvmRpcSource, first: int, last: int, *, most_blocks: int = 5) -> list[BlockBatch]:
    """Read a range and check that its batches follow each other."""
    batches = [batch async for batch in source.read(first, last, most_blocks=most_blocks)]
    position = first
    for batch in batches:
        assert batch.start_block == position
        assert batch.end_block - batch.start_block < most_blocks
        position = batch.end_block + 1
    assert position == last + 1
    return batches


def tables_of(batches: Sequence[BlockBatch]) -> dict[str, pa.Table]:
    return {name: pa.concat_tables([batch.tables[name] for batch in batches]).combine_chunks() for name in TABLES}


@cache
def clean_tables() -> dict[str, pa.Table]:
    """Return the rows of the small chain, straight from what is recorded."""
    tables = decoded([Recorded(one.block, one.receipts) for one in small_blocks()], expect_unknown_keys=False).tables
    return {name: table.combine_chunks() for name, table in tables.items()}


def assert_clean(batches: Sequence[BlockBatch]) -> None:
    """Fail unless the rows are exactly those of a clean read of the whole small chain."""
    for name, table in tables_of(batches).items():
        assert table.equals(clean_tables()[name]), name
