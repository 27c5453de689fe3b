"""Blocks from the Firehose servers of a network: received on the event loop, decoded on threads, given in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

from ampd.chain.networks import CHAIN_IDS
from ampd.errors import AmpError, ErrorCode
from ampd.sources.blocks import BlockBatch
from ampd.sources.cooldowns import CooldownStore
from ampd.sources.firehose.decode import decode
from ampd.sources.firehose.endpoint import Endpoint
from ampd.sources.firehose.head import HeadWatcher
from ampd.sources.firehose.servers import Patience, Retries, Servers
from ampd.sources.firehose.stream import Arrived, RangeStream, Undone, chain_changed
from ampd.sources.memory import ByteBudget
from ampd.tasks import cancel_all
from ampd.telemetry.node_metrics import FirehoseState, watch_endpoints

# What is decoded at a time: enough for columns to pay off. ptars has the interpreter to itself meanwhile (some tens of
# milliseconds): more would be felt by everything else in the process.
_BATCH_BYTES: Final = 8 * 1024 * 1024
# Arrow columns, while the bytes are there too.
_BYTES_IN_HAND: Final = 2 * _BATCH_BYTES
_BATCHES_AHEAD: Final = 2


@dataclass(frozen=True)
class _Full:
    """Blocks to be decoded together, and the memory that they may take."""

    arrived: Sequence[Arrived]
    held: AsyncExitStack


class _BadBlocksError(Exception):
    """Blocks that cannot be decoded: ``fault`` says why."""

    def __init__(self, fault: AmpError, arrived: Sequence[Arrived]) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.start_block = arrived[0].block.number
        self.end_block = arrived[-1].block.number
        self.endpoints = sorted({one.endpoint for one in arrived})


class FirehoseSource:
    """The chain behind the servers of ``endpoints``, which share the load and stand in for each other.

    ``network`` is the dataset's name for the chain; ``chain_id`` its id (EIP-155), needed when the name is not a known
    one: typed transactions do not name it here. With ``final_only`` no block comes that can be undone. ``executor``
    runs the decoding; ``memory`` bounds what is in hand, with other sources that have the same; ``cooldowns`` is where
    workers tell each other of servers that want to be left alone.
    """

    def __init__(
        self,
        endpoints: Endpoint | Sequence[Endpoint],
        *,
        network: str,
        executor: Executor,
        chain_id: int | None = None,
        final_only: bool = False,
        patience: Patience | None = None,
        cooldowns: CooldownStore | None = None,
        memory: ByteBudget | None = None,
    ) -> None:
        listed = [endpoints] if isinstance(endpoints, Endpoint) else list(endpoints)
        self._servers = Servers(listed, patience or Patience(), network=network, cooldowns=cooldowns)
        self._head = HeadWatcher(self._servers)
        self._network = network
        self._chain_id = chain_id if chain_id is not None else CHAIN_IDS.get(network)
        self._final_only = final_only
        self._executor = executor
        self._memory = memory or ByteBudget()
        self._is_closed = False
        watch_endpoints(self.states)

    def states(self) -> list[FirehoseState]:
        """Return what is open to each server at this moment, for metrics."""
        return [
            FirehoseState(client.meter.labels, client.rest_seconds, client.streams, self._head.heard_from(client))
            for client in self._servers.clients
            if not self._is_closed
        ]

    async def close(self) -> None:
        """Close the connections."""
        self._is_closed = True
        await self._head.close()
        await self._servers.close()

    async def chain_id(self) -> int:
        """Return the chain id, after a look at what the servers say of their chain.

        :raises AmpError: NETWORK_MISMATCH; INVALID_PROVIDER when nothing tells the chain id; why no server can be used.
        """
        chain_id = self._known_chain_id()
        await self._servers.check_chain(self._network, chain_id)
        return chain_id

    def _known_chain_id(self) -> int:
        if self._chain_id is None:
            raise AmpError(
                ErrorCode.INVALID_PROVIDER,
                f"the chain id of network {self._network!r} is not known, and a Firehose server does not tell it: "
                "add chain_id = … to the provider",
            )
        return self._chain_id

    async def latest_block(self, *, finalized: bool) -> int | None:
        """Return the number of the newest (finalized) block."""
        newest = await self._head.newest()
        return newest.final_block if finalized else newest.number

    async def block_hash(self, number: int) -> bytes | None:
        """Return the hash of the block that the chain has at ``number`` now; None when it is not that long.

        :raises AmpError: when no server answers.
        """
        retries, failed = Retries(self._servers.patience), None
        if number > (await self._head.newest()).number:
            return None
        while True:
            client = await self._servers.choose(number, number, failed=failed)
            try:
                return await client.block_hash(number)
            except AmpError as fault:
                failed = client
                self._servers.failed(client, fault)
                await retries.after(fault)

    def distrust(self, batch: BlockBatch) -> None:
        """Take note that ``batch`` was not what the chain has: other servers are asked for its blocks, if there are."""
        self._servers.distrust(batch.start_block, batch.end_block, batch.endpoint.split(", "))

    async def read(
        self, start_block: int, end_block: int, *, most_blocks: int, cursor: str | None = None
    ) -> AsyncGenerator[BlockBatch, None]:
        """Give the blocks of the range, both ends included, in ascending order; the stream goes on at ``cursor``, when
        it is given. Blocks that are not as they should be are asked for again, of another server if there is one.

        :raises AmpError: PARENT_HASH_MISMATCH when a block is undone that was given already; what the servers did
            wrong, after several tries.
        """
        position, retries = start_block, Retries(self._servers.patience)
        before: BlockBatch | None = None
        while True:
            stream = RangeStream(self._servers, position, end_block, cursor=cursor, final_only=self._final_only)
            try:
                async with aclosing(self._batches(stream, end_block, most_blocks)) as batches:
                    async for batch in batches:
                        if before is not None and batch.start_parent_hash != before.end_hash:
                            raise chain_changed(before.end_block)
                        retries.succeeded()
                        position, cursor, before = batch.end_block + 1, batch.cursor, batch
                        yield batch
                return
            except _BadBlocksError as bad:
                self._servers.sent_wrong(bad.fault, bad.endpoints)
                self._servers.distrust(bad.start_block, bad.end_block, bad.endpoints)
                await retries.after(bad.fault)

    async def _batches(self, stream: RangeStream, end_block: int, most_blocks: int) -> AsyncGenerator[BlockBatch, None]:
        """Give the batches of one stream in their order; while some are decoded the next one is received."""
        collector = _Collector(stream, self._memory, self, end_block, most_blocks)
        decoding: deque[asyncio.Task[BlockBatch]] = deque()
        collecting: asyncio.Task[_Full | None] | None = None
        has_more = True
        try:
            while has_more or decoding:
                if has_more and collecting is None and len(decoding) < _BATCHES_AHEAD:
                    collecting = asyncio.create_task(collector.next())
                await _first_of(collecting, decoding[0] if decoding else None)
                if decoding and decoding[0].done():
                    yield decoding.popleft().result()
                elif collecting is not None and collecting.done():
                    # An error waits its turn: what came before it is given first.
                    if decoding and collecting.exception() is not None:
                        await asyncio.wait({decoding[0]})
                        continue
                    full, collecting = collecting.result(), None
                    if full is None:
                        has_more = False
                    else:
                        decoding.append(asyncio.create_task(self._decode(full)))
        finally:
            await cancel_all([*decoding, *([] if collecting is None else [collecting])])
            await collector.close()

    async def _decode(self, full: _Full) -> BlockBatch:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._decoded, full.arrived)
        except AmpError as error:
            raise _BadBlocksError(error, full.arrived) from None
        finally:
            await full.held.aclose()

    def _decoded(self, arrived: Sequence[Arrived]) -> BlockBatch:
        batch = decode(
            [one.block.number for one in arrived],
            [one.block.payload for one in arrived],
            chain_id=self._known_chain_id(),
            endpoint=", ".join(dict.fromkeys(one.endpoint for one in arrived)),
        )
        if batch.end_hash.hex() != arrived[-1].block.hash:
            raise AmpError(
                ErrorCode.NODE_ANSWER_MALFORMED,
                f"block {batch.end_block}: the server says that its hash is {arrived[-1].block.hash}, the block says "
                f"{batch.end_hash.hex()}",
                recoverable=True,
                context={"block": batch.end_block},
            )
        return replace(batch, cursor=arrived[-1].block.cursor or None)


class _Collector:
    """Receives the blocks of a stream until there are enough to be decoded."""

    def __init__(self, stream: RangeStream, memory: ByteBudget, user: object, end_block: int, most_blocks: int) -> None:
        self._steps = stream.steps()
        self._memory = memory
        self._user = user
        self._end_block = end_block
        self._most_blocks = most_blocks
        self._handed_on = -1
        # What tasks that were cancelled before their first step do not let go themselves.
        self._held: deque[AsyncExitStack] = deque(maxlen=_BATCHES_AHEAD + 1)

    async def next(self) -> _Full | None:
        """Return the next blocks; None at the end.

        :raises AmpError: PARENT_HASH_MISMATCH when a block is undone that was handed on; what the servers did wrong.
        """
        pending: list[Arrived] = []
        async with AsyncExitStack() as held:
            async for step in self._steps:
                if isinstance(step, Undone):
                    if step.number <= self._handed_on:
                        raise chain_changed(step.number)
                    pending = [arrived for arrived in pending if arrived.block.number < step.number]
                    continue
                if not pending:
                    await held.aclose()
                    await held.enter_async_context(self._memory.hold(self._user, lambda: _BYTES_IN_HAND))
                pending.append(step)
                if self._is_full(pending):
                    self._handed_on = step.block.number
                    full = _Full(pending, held.pop_all())
                    self._held.append(full.held)
                    return full
        return None

    def _is_full(self, pending: Sequence[Arrived]) -> bool:
        if len(pending) >= self._most_blocks or pending[-1].block.number == self._end_block:
            return True
        return sum(len(arrived.block.payload) for arrived in pending) >= _BATCH_BYTES

    async def close(self) -> None:
        """End the stream, and let go of the memory of what was not decoded."""
        await self._steps.aclose()
        for held in self._held:
            await held.aclose()


async def _first_of(*tasks: asyncio.Task[Any] | None) -> None:
    await asyncio.wait([task for task in tasks if task is not None], return_when=asyncio.FIRST_COMPLETED)
