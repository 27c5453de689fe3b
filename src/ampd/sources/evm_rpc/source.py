"""Blocks from an Ethereum JSON-RPC endpoint: fetched many at a time, decoded on other threads, given in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import pyarrow.compute as pc
import structlog

from ampd.chain.networks import CHAIN_IDS
from ampd.errors import AmpError, ErrorCode
from ampd.sources.blocks import BlockBatch
from ampd.sources.evm_rpc.client import INVALID_PARAMS, Endpoint, NodeError, RpcClient
from ampd.sources.evm_rpc.columns import lacks_withdrawals
from ampd.sources.evm_rpc.decode import DecodedBlocks, decode_blocks, decode_receipts
from ampd.tasks import cancel_all

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")

_FIRST_CHUNK_BLOCKS: Final = 8
_MOST_CHUNK_BLOCKS: Final = 256
# The aim for the JSON of one chunk. It bounds memory (with the chunks in flight) and is large enough for columns to pay
# off.
_CHUNK_BYTES: Final = 16 * 1024 * 1024
_CHUNKS_IN_FLIGHT: Final = 4
# An answer that is not the chain's is asked for again this often; a node may have been in the middle of a reorg.
_CHUNK_TRIES: Final = 4
_CHUNK_PAUSE_SECONDS: Final = 0.5
_ASK_AGAIN: Final = frozenset(
    {
        ErrorCode.BLOCK_NOT_AVAILABLE,
        ErrorCode.RECEIPTS_NOT_AVAILABLE,
        ErrorCode.BLOCK_NUMBER_MISMATCH,
        ErrorCode.PARENT_HASH_MISMATCH,
        ErrorCode.RECEIPT_COUNT_MISMATCH,
        ErrorCode.RECEIPT_BLOCK_MISMATCH,
        ErrorCode.RECEIPT_ORDER_MISMATCH,
        ErrorCode.TRANSACTION_ORDER_MISMATCH,
        ErrorCode.LOG_INDEX_MISMATCH,
        ErrorCode.LOG_REMOVED,
        ErrorCode.NODE_ANSWER_MALFORMED,
    }
)


@dataclass
class _Learned:
    """What the answers so far have taught about this endpoint."""

    chunk_blocks: int = _FIRST_CHUNK_BLOCKS
    has_unknown_keys: bool = False
    receipts_by_number: bool = False
    leaves_withdrawals_out: bool = False


class EvmRpcSource:
    """The chain behind one endpoint. ``executor`` runs the decoding; ``network`` is the dataset's name for the
    chain.
    """

    def __init__(self, endpoint: Endpoint, *, network: str, executor: Executor) -> None:
        self._client = RpcClient(endpoint)
        self._network = network
        self._executor = executor
        self._learned = _Learned()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def distrust(self, batch: BlockBatch) -> None:
        """Say so in the log: there is no other endpoint to ask."""
        _log.warning("node.distrusted", endpoint=batch.endpoint, start_block=batch.start_block)

    async def chain_id(self) -> int:
        """Return the endpoint's chain id.

        :raises AmpError: NETWORK_MISMATCH when the dataset's network is a well-known one with another id.
        """
        answer = await self._client.call("eth_chainId", [])
        try:
            chain_id = int(answer, 16)
        except (TypeError, ValueError):
            raise AmpError(
                ErrorCode.NODE_ANSWER_MALFORMED,
                f"{self._client.endpoint.shown_url} answered eth_chainId with {answer!r}",
                recoverable=True,
            ) from None
        expected = CHAIN_IDS.get(self._network)
        if expected is not None and chain_id != expected:
            raise AmpError(
                ErrorCode.NETWORK_MISMATCH,
                f"the node at {self._client.endpoint.shown_url} says it is chain {chain_id}, but network "
                f"{self._network!r} is chain {expected}: give the provider the URL of the right chain",
            )
        return chain_id

    async def latest_block(self, *, finalized: bool) -> int | None:
        """Return the number of the newest (finalized) block; None when the node knows none yet."""
        tag = "finalized" if finalized else "latest"
        header = await self._client.call("eth_getBlockByNumber", [tag, False])
        return None if header is None else int(header["number"], 16)

    async def block_hash(self, number: int) -> bytes | None:
        """Return the hash of the block that the node has at ``number`` now; None when it has none."""
        header = await self._client.call("eth_getBlockByNumber", [hex(number), False])
        return None if header is None else bytes.fromhex(header["hash"].removeprefix("0x"))

    async def read(self, start_block: int, end_block: int, *, most_blocks: int) -> AsyncGenerator[BlockBatch, None]:
        """Give the blocks of the range, both ends included, in ascending order, at most ``most_blocks`` at a time.

        :raises AmpError: what the node did wrong, after several tries.
        """
        chunks = self._chunks(start_block, end_block, most_blocks)
        in_flight: deque[asyncio.Task[BlockBatch]] = deque()
        parent: BlockBatch | None = None
        try:
            while True:
                while len(in_flight) < _CHUNKS_IN_FLIGHT and (chunk := next(chunks, None)):
                    in_flight.append(asyncio.create_task(self._read_chunk(*chunk)))
                if not in_flight:
                    return
                batch = await in_flight.popleft()
                if parent is not None and batch.start_parent_hash != parent.end_hash:
                    batch = await self._read_linked_chunk(batch, parent)
                parent = batch
                yield batch
        finally:
            await cancel_all(in_flight)

    def _chunks(self, start_block: int, end_block: int, most_blocks: int) -> Iterator[tuple[int, int]]:
        """Cut the range; each next chunk has the size learned by then."""
        position = start_block
        while position <= end_block:
            last = min(position + min(self._learned.chunk_blocks, most_blocks) - 1, end_block)
            yield position, last
            position = last + 1

    async def _read_linked_chunk(self, batch: BlockBatch, parent: BlockBatch) -> BlockBatch:
        """Read a chunk again that does not hang on the one before it: one of the two is of another fork by now."""
        for attempt in range(1, _CHUNK_TRIES):
            await asyncio.sleep(_CHUNK_PAUSE_SECONDS * 2 ** (attempt - 1))
            batch = await self._read_chunk(batch.start_block, batch.end_block)
            if batch.start_parent_hash == parent.end_hash:
                return batch
        raise AmpError(
            ErrorCode.PARENT_HASH_MISMATCH,
            f"block {batch.start_block}: its parent hash is not the hash of block {parent.end_block}: "
            "the chain reorganised",
            recoverable=True,
        )

    async def _read_chunk(self, start_block: int, end_block: int) -> BlockBatch:
        for attempt in range(1, _CHUNK_TRIES + 1):
            try:
                return await self._fetch_chunk(start_block, end_block)
            except AmpError as error:
                if error.code not in _ASK_AGAIN or attempt == _CHUNK_TRIES:
                    raise
                _log.info("node.ask_again", code=error.code, error=error.message, attempt=attempt)
            await asyncio.sleep(_CHUNK_PAUSE_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    async def _fetch_chunk(self, start_block: int, end_block: int) -> BlockBatch:
        numbers = range(start_block, end_block + 1)
        bodies = await _all(
            self._client.call_raw("eth_getBlockByNumber", [hex(n), True], request_id=n) for n in numbers
        )
        unknown_keys = self._learned.has_unknown_keys
        blocks = await self._decode(lambda: decode_blocks(numbers, bodies, expect_unknown_keys=unknown_keys))
        receipts = await _all(self._receipts(blocks, position) for position in blocks.blocks_with_transactions())
        batch = await self._decode(lambda: decode_receipts(blocks, receipts, expect_unknown_keys=unknown_keys))
        self._learn(batch, blocks)
        return replace(batch, endpoint=self._client.endpoint.shown_url)

    async def _receipts(self, blocks: DecodedBlocks, position: int) -> bytes:
        """Ask for receipts by the hash of their block, so that they cannot be of another fork; by number where a node
        knows only that.

        Either way every receipt's block hash is compared when it is decoded.
        """
        number = blocks.numbers[position]
        if not self._learned.receipts_by_number:
            try:
                return await self._client.call_raw("eth_getBlockReceipts", [blocks.hashes[position]], request_id=number)
            except NodeError as error:
                if error.rpc_code != INVALID_PARAMS:
                    raise
                self._learned.receipts_by_number = True
        return await self._client.call_raw("eth_getBlockReceipts", [hex(number)], request_id=number)

    async def _decode(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _learn(self, batch: BlockBatch, blocks: DecodedBlocks) -> None:
        self._learned.has_unknown_keys |= blocks.has_unknown_keys
        if not self._learned.leaves_withdrawals_out and pc.any(lacks_withdrawals(blocks.headers)).as_py():
            self._learned.leaves_withdrawals_out = True
            _log.warning(
                "node.leaves_withdrawals_out",
                endpoint=self._client.endpoint.shown_url,
                first_block=batch.start_block,
                mend="withdrawals has no rows for such blocks (their `extra` says so): use a node that sends them",
            )
        bytes_per_block = batch.source_bytes / len(blocks.numbers)
        self._learned.chunk_blocks = max(1, min(_MOST_CHUNK_BLOCKS, int(_CHUNK_BYTES / bytes_per_block)))


async def _all(calls: Iterable[Coroutine[None, None, bytes]]) -> list[bytes]:
    """Await all calls; the first failure cancels the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        await cancel_all(tasks)
        raise
