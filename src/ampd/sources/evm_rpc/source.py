"""Blocks from the JSON-RPC nodes of a network: fetched many at a time, decoded on other threads, given in order."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Final

import structlog

from ampd.errors import AmpError, ErrorCode
from ampd.sources.blocks import BlockBatch
from ampd.sources.cooldowns import CooldownStore
from ampd.sources.evm_rpc.chunk import Chunk, Learned
from ampd.sources.evm_rpc.client import Patience
from ampd.sources.evm_rpc.endpoint import Endpoint
from ampd.sources.evm_rpc.pool import NodePool
from ampd.sources.memory import ByteBudget
from ampd.tasks import cancel_all

_log = structlog.get_logger(__name__)

_CHUNKS_IN_FLIGHT: Final = 4
# Each further node is worth another chunk under way, up to this many: memory bounds them.
_MOST_CHUNKS_IN_FLIGHT: Final = 8
# Who gave which blocks is known for the last chunks: longer than any check of them takes.
_REMEMBERED_CHUNKS: Final = 256


@dataclass
class _InFlight:
    chunk: Chunk
    end_block: int  # what was wanted; the chunk itself may end earlier
    task: asyncio.Task[BlockBatch]


class EvmRpcSource:
    """The chain behind the nodes of ``endpoints``, which share the load and stand in for each other.

    ``executor`` runs the decoding; ``network`` is the dataset's name for the chain; ``cooldowns`` carries the rests of
    rate-limited endpoints between workers; ``memory`` bounds the answers in hand, with those of other sources that have
    the same.
    """

    def __init__(
        self,
        endpoints: Endpoint | Sequence[Endpoint],
        *,
        network: str,
        executor: Executor,
        cooldowns: CooldownStore | None = None,
        patience: Patience | None = None,
        memory: ByteBudget | None = None,
    ) -> None:
        listed = [endpoints] if isinstance(endpoints, Endpoint) else list(endpoints)
        self._pool = NodePool(listed, network=network, patience=patience, cooldowns=cooldowns)
        self._executor = executor
        self._learned = Learned()
        self._memory = memory or ByteBudget()
        self._leaves_withdrawals_out = False
        self._served: OrderedDict[tuple[int, int], set[int]] = OrderedDict()
        self._distrusted: OrderedDict[tuple[int, int], set[int]] = OrderedDict()

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def chain_id(self) -> int:
        """Return the chain id of the nodes. Those of another chain (or of another first block) are left out.

        :raises AmpError: NETWORK_MISMATCH when no node is of the dataset's network; why no node can be used otherwise.
        """
        return await self._pool.start()

    async def latest_block(self, *, finalized: bool) -> int | None:
        """Return the number of the newest (finalized) block; None when the nodes know none yet."""
        await self._know_chain()
        return await self._pool.latest(finalized=finalized)

    def distrust(self, batch: BlockBatch) -> None:
        """Take note that ``batch`` was not what the chain has: the next read of its blocks prefers another node."""
        blocks = (batch.start_block, batch.end_block)
        nodes = set[int]().union(*(nodes for served, nodes in self._served.items() if _overlap(served, blocks)))
        _remember(self._distrusted, blocks, nodes | self._distrusted.get(blocks, set()))
        _log.warning("node.distrusted", endpoint=batch.endpoint, start_block=blocks[0], end_block=blocks[1])

    async def block_hash(self, number: int) -> bytes | None:
        """Return the hash of the block that the chain has at ``number`` now; None when no node has one.

        :raises AmpError: when no node answers.
        """
        await self._know_chain()
        return await self._pool.block_hash(number)

    async def read(
        self, start_block: int, end_block: int, *, most_blocks: int, cursor: str | None = None
    ) -> AsyncGenerator[BlockBatch, None]:
        """Give the blocks of the range, both ends included, in ascending order, at most ``most_blocks`` at a time.
        There are no cursors here.

        :raises AmpError: what the nodes did wrong, after several tries.
        """
        await self._know_chain()
        in_flight: deque[_InFlight] = deque()
        position = start_block
        most_in_flight = min(_MOST_CHUNKS_IN_FLIGHT, _CHUNKS_IN_FLIGHT + len(self._pool.nodes) - 1)
        parent: BlockBatch | None = None
        try:
            while True:
                while position <= end_block and len(in_flight) < most_in_flight:
                    last = min(position + min(self._learned.chunk_blocks, most_blocks) - 1, end_block)
                    in_flight.append(self._begin(position, last))
                    position = last + 1
                if not in_flight:
                    return
                first = in_flight[0]
                batch = await first.task
                in_flight.popleft()
                if parent is not None and batch.start_parent_hash != parent.end_hash:
                    batch = await self._read_linked(batch, parent)
                if batch.end_block < first.end_block:
                    start = batch.end_block + 1
                    last = min(start + self._learned.chunk_blocks - 1, first.end_block)
                    in_flight.appendleft(replace(self._begin(start, last), end_block=first.end_block))
                parent = batch
                yield batch
        finally:
            await cancel_all([each.task for each in in_flight])

    async def _know_chain(self) -> None:
        """No node is asked for anything before it has told which chain it serves."""
        if not any(node.identity for node in self._pool.nodes):
            await self._pool.start()

    def _begin(self, start_block: int, end_block: int) -> _InFlight:
        chunk = self._chunk(start_block, end_block)
        return _InFlight(chunk, end_block, asyncio.create_task(self._read(chunk)))

    def _chunk(self, start_block: int, end_block: int, avoid: set[int] | None = None) -> Chunk:
        blocks = (start_block, end_block)
        distrusted = (nodes for range_, nodes in self._distrusted.items() if _overlap(range_, blocks))
        return Chunk(
            start_block,
            end_block,
            pool=self._pool,
            learned=self._learned,
            executor=self._executor,
            avoid=set[int]().union(avoid or set(), *distrusted),
        )

    async def _read(self, chunk: Chunk) -> BlockBatch:
        async with self._memory.hold(self, lambda: self._bytes_of(chunk)):
            batch = await chunk.read()
        nodes = {self._pool.nodes.index(node) for node in chunk.used}
        _remember(self._served, (batch.start_block, batch.end_block), nodes)
        self._warn_of_missing_withdrawals(chunk, batch)
        return batch

    def _bytes_of(self, chunk: Chunk) -> int:
        """Return what the answers of a chunk will probably take. Before the first one has come nobody knows: then it
        may be much.
        """
        per_block = self._learned.bytes_per_block
        if per_block is None:
            return self._memory.most_bytes // 2
        return int(per_block * (chunk.end_block - chunk.start_block + 1))

    async def _read_linked(self, batch: BlockBatch, parent: BlockBatch) -> BlockBatch:
        """Read a chunk again that does not hang on the one before it: one of the two is of another fork by now."""
        avoid = set(self._served.get((batch.start_block, batch.end_block), set()))
        patience = self._pool.patience
        for attempt in range(1, max(patience.answer_tries, 2 * len(self._pool.nodes))):
            if not self._pool.others_than(avoid, batch.end_block):
                avoid.clear()
                await asyncio.sleep(patience.answer_pause * 2 ** (attempt - 1))
            chunk = self._chunk(batch.start_block, batch.end_block, avoid)
            again = await self._read(chunk)
            if again.start_parent_hash == parent.end_hash:
                return again
            avoid |= {self._pool.nodes.index(node) for node in chunk.used}
        raise AmpError(
            ErrorCode.PARENT_HASH_MISMATCH,
            f"block {batch.start_block}: its parent hash is not the hash of block {parent.end_block}: "
            "the chain reorganised",
            recoverable=True,
        )

    def _warn_of_missing_withdrawals(self, chunk: Chunk, batch: BlockBatch) -> None:
        if chunk.lacks_withdrawals and not self._leaves_withdrawals_out:
            self._leaves_withdrawals_out = True
            _log.warning(
                "node.leaves_withdrawals_out",
                endpoint=batch.endpoint,
                first_block=batch.start_block,
                mend="withdrawals has no rows for such blocks (their `extra` says so): use a node that sends them",
            )


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _remember(known: OrderedDict[tuple[int, int], set[int]], blocks: tuple[int, int], nodes: set[int]) -> None:
    known[blocks] = nodes
    known.move_to_end(blocks)
    while len(known) > _REMEMBERED_CHUNKS:
        known.popitem(last=False)
