"""One run of consecutive blocks, from as many nodes and tries as it takes. What was good in a try is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

import pyarrow.compute as pc
import structlog

from ampd.errors import AmpError, ErrorCode
from ampd.sources.blocks import BlockBatch
from ampd.sources.evm_rpc.classify import Reaction, reaction_to
from ampd.sources.evm_rpc.columns import lacks_withdrawals
from ampd.sources.evm_rpc.decode import DecodedBlocks, decode_blocks, decode_receipts
from ampd.sources.evm_rpc.faults import NodeFault
from ampd.sources.evm_rpc.fetch import fetch
from ampd.sources.evm_rpc.limits import Aimd
from ampd.sources.evm_rpc.pool import Node, NodePool
from ampd.sources.evm_rpc.receipts import fetch_receipts
from ampd.sources.evm_rpc.transport import Call
from ampd.telemetry.stages import stage

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")

# The aim for the JSON of one chunk. It bounds memory (with the chunks in flight) and is large enough for columns to pay
# off.
CHUNK_BYTES: Final = 16 * 1024 * 1024
# Blocks may be much larger than those before them: a chunk that has so many bytes ends there.
_MOST_BYTES: Final = CHUNK_BYTES
FIRST_CHUNK_BLOCKS: Final = 8
MOST_CHUNK_BLOCKS: Final = 256
_LONGEST_TIP_PAUSE_SECONDS: Final = 2.0
_NOT_AVAILABLE: Final = frozenset({ErrorCode.BLOCK_NOT_AVAILABLE, ErrorCode.RECEIPTS_NOT_AVAILABLE})


@dataclass
class Learned:
    """What the answers so far have taught about the chain: how large its blocks are, and what nodes write into them."""

    by_bytes: int = FIRST_CHUNK_BLOCKS
    allowed: Aimd = field(default_factory=lambda: Aimd(MOST_CHUNK_BLOCKS, by_one=True))
    has_unknown_keys: bool = False
    bytes_per_block: float | None = None

    @property
    def chunk_blocks(self) -> int:
        """How many blocks to ask for as the next chunk."""
        return min(self.by_bytes, self.allowed.value)

    def learn(self, batch: BlockBatch, blocks: DecodedBlocks) -> None:
        """Take note of a chunk that was read."""
        self.has_unknown_keys |= blocks.has_unknown_keys
        self.bytes_per_block = batch.source_bytes / len(blocks.numbers)
        self.by_bytes = max(1, min(MOST_CHUNK_BLOCKS, int(CHUNK_BYTES / self.bytes_per_block)))
        self.allowed.grow()


class Chunk:
    """Reads the blocks from ``start_block`` to ``end_block``, or the first of them: see :meth:`read`."""

    def __init__(
        self,
        start_block: int,
        end_block: int,
        *,
        pool: NodePool,
        learned: Learned,
        executor: Executor,
        avoid: Collection[int] = (),
    ) -> None:
        self.start_block = start_block
        self.end_block = end_block
        self.used: list[Node] = []
        self.lacks_withdrawals = False
        self._headers: DecodedBlocks | None = None
        self._pool = pool
        self._learned = learned
        self._executor = executor
        self._blocks: dict[int, bytes] = {}
        self._receipts: dict[int, bytes] = {}
        self._avoid = set(avoid)  # answered wrongly
        self._struck: set[int] = set()  # as above, and never forgotten
        self._failed: set[int] = set()  # did not answer
        self._tries: Counter[int | None] = Counter()
        self._rounds = 0
        self._waits = 0
        self._waiting_since: float | None = None

    async def read(self) -> BlockBatch:
        """Return the blocks. There may be fewer than wanted, at least one: the rest is to be read as another chunk.

        :raises AmpError: what the nodes did wrong, after several tries.
        """
        while True:
            node = self._pool.choose(self.end_block, self._avoid | self._failed)
            try:
                batch, blocks = await self._attempt(node)
            except AmpError as fault:
                await self._after(fault, node)
                continue
            self._learned.learn(batch, blocks)
            self.lacks_withdrawals = bool(pc.any(lacks_withdrawals(blocks.headers)).as_py())
            self._forget(None)
            for each in self.used:
                if self._pool.nodes.index(each) not in self._struck:
                    self._pool.served(each, self.end_block)
            urls = dict.fromkeys(each.shown_url for each in self.used)
            return replace(batch, endpoint=", ".join(urls))

    # One try

    async def _attempt(self, node: Node) -> tuple[BlockBatch, DecodedBlocks]:
        await self._fetch_blocks(node)
        numbers = range(self.start_block, self.end_block + 1)
        if self._headers is None:
            bodies = [self._blocks[number] for number in numbers]
            unknown_keys = self._learned.has_unknown_keys
            self._headers = await self._decode(lambda: decode_blocks(numbers, bodies, expect_unknown_keys=unknown_keys))
        blocks = self._headers
        positions = blocks.blocks_with_transactions()
        missing = [position for position in positions if numbers[position] not in self._receipts]
        if missing:
            keep = partial(self._keep, node, self._receipts)
            first = numbers[positions[0]]
            with self._fetching(node, "receipts"):
                await fetch_receipts(node, blocks, missing, keep, go_on=lambda: self._goes_on(self._receipts, first))
        absent = next((numbers[position] for position in positions if numbers[position] not in self._receipts), None)
        if absent is not None:
            self._cut(absent - 1)
            return await self._attempt(node)  # nothing is asked for any more
        receipts = [self._receipts[numbers[position]] for position in positions]
        unknown_keys = self._learned.has_unknown_keys
        return await self._decode(lambda: decode_receipts(blocks, receipts, expect_unknown_keys=unknown_keys)), blocks

    async def _fetch_blocks(self, node: Node) -> None:
        missing = [n for n in range(self.start_block, self.end_block + 1) if n not in self._blocks]
        if not missing:
            return
        calls = [Call(number, "eth_getBlockByNumber", [hex(number), True]) for number in missing]
        with self._fetching(node, "blocks"):
            await fetch(
                node.client,
                calls,
                lambda call, body: self._keep(node, self._blocks, call.id, body),
                go_on=lambda: self._goes_on(self._blocks, self.start_block),
            )
        absent = next((n for n in missing if n not in self._blocks), None)
        if absent is not None:
            self._cut(absent - 1)

    def _fetching(self, node: Node, what: str) -> AbstractContextManager[None]:
        return stage(
            "fetch", what=what, start_block=self.start_block, end_block=self.end_block, endpoint=node.shown_url
        )

    def _goes_on(self, bodies: dict[int, bytes], first: int) -> bool:
        """Tell whether more is to be asked for: there is room, or the ``first`` answer is not there yet."""
        return first not in bodies or sum(map(len, bodies.values())) < _MOST_BYTES

    def _keep(self, node: Node, bodies: dict[int, bytes], number: int, body: bytes) -> None:
        if node not in self.used:
            self.used.append(node)
        bodies[number] = body

    def _cut(self, end_block: int) -> None:
        """End earlier: what comes later is left to another chunk."""
        self.end_block = end_block
        self._headers = None
        for bodies in (self._blocks, self._receipts):
            for number in [n for n in bodies if n > end_block]:
                del bodies[number]

    def _forget(self, number: int | None) -> None:
        """Drop what was answered about a block, or about all."""
        self._headers = None
        for bodies in (self._blocks, self._receipts):
            if number is None:
                bodies.clear()
            else:
                bodies.pop(number, None)

    async def _decode(self, work: Callable[[], _Result]) -> _Result:
        with stage("decode", start_block=self.start_block, end_block=self.end_block):
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    # After a fault

    async def _after(self, fault: AmpError, node: Node) -> None:
        """Prepare the next try.

        :raises AmpError: ``fault``, or one of another node, when there have been enough.
        """
        reaction = fault.verdict.reaction if isinstance(fault, NodeFault) else reaction_to(fault.code)
        if reaction is None:
            raise fault
        if reaction is Reaction.SHRINK and self._shrink(fault):
            return
        if reaction in (Reaction.ROTATE, Reaction.SHRINK):
            await self._after_wrong_answer(fault, node)
        else:
            await self._after_failure(fault, node)

    def _shrink(self, fault: AmpError) -> bool:
        count = self.end_block - self.start_block + 1
        if count <= 1:
            return False
        suggested = fault.verdict.suggested if isinstance(fault, NodeFault) else None
        fewer = suggested if suggested is not None and suggested < count else count // 2
        if self._learned.allowed.value > fewer:
            self._learned.allowed.shrink(fewer)
        _log.info("node.shrink", blocks=fewer, error=fault.message)
        self._cut(self.start_block + fewer - 1)
        return True

    async def _after_failure(self, fault: AmpError, node: Node) -> None:
        """Leave the node: it does not answer, although it was waited for."""
        nodes = self._pool.nodes
        self._pool.report(node, fault)
        self._failed.add(nodes.index(node))
        _log.info("node.rotate", endpoint=node.shown_url, code=str(fault.code), error=fault.message)
        if self._pool.others_than(self._failed, self.end_block):
            return
        self._rounds += 1
        faults = [fault, *(each.fault for each in nodes if each.fault is not None)]
        if len(nodes) == 1 or self._rounds >= self._pool.patience.rounds or not any(f.recoverable for f in faults):
            raise next((each for each in faults if each.recoverable), fault)
        self._failed.clear()
        await asyncio.sleep(self._pool.patience.pause(self._rounds))

    async def _after_wrong_answer(self, fault: AmpError, node: Node) -> None:
        """Ask again for what was wrong, another node if there is one."""
        number = fault.call_id if isinstance(fault, NodeFault) else fault.context.get("block")
        if fault.code in _NOT_AVAILABLE and number is not None and not await self._pool.is_final(number):
            await self._wait_for_tip(fault, node, number)
            return
        self._tries[number] += 1
        if self._tries[number] >= max(self._pool.patience.answer_tries, 2 * len(self._pool.nodes)):
            self._pool.report(node, fault)
            raise fault
        if not isinstance(fault, NodeFault):
            self._forget(None if fault.code is ErrorCode.PARENT_HASH_MISMATCH else number)
        self._avoid.add(self._pool.nodes.index(node))
        self._struck.add(self._pool.nodes.index(node))
        self._pool.strike(node, fault)
        _log.info("node.ask_again", endpoint=node.shown_url, code=str(fault.code), error=fault.message)
        if self._pool.others_than(self._avoid | self._failed, self.end_block):
            return
        self._avoid.clear()
        await asyncio.sleep(self._pool.patience.answer_pause * 2 ** (self._tries[number] - 1))

    async def _wait_for_tip(self, fault: AmpError, node: Node, number: int) -> None:
        """A block that was announced is not there yet: take those before it, else wait for it; never skip it."""
        now = asyncio.get_running_loop().time()
        self._pool.lacks(node, number)
        self._forget(number)
        if number > self.start_block:
            self._cut(number - 1)
            return
        if self._pool.others_than((), self.end_block):
            return
        self._waiting_since = self._waiting_since or now
        if now - self._waiting_since >= self._pool.patience.tip_wait:
            raise fault
        self._waits += 1
        _log.info("node.not_there_yet", endpoint=node.shown_url, block=number)
        await asyncio.sleep(min(self._pool.patience.pause(self._waits), _LONGEST_TIP_PAUSE_SECONDS))
