"""A source whose blocks are verified before anybody gets them (design section 7.3)."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from contextlib import aclosing
from typing import Any, Final

import structlog

from ampd.chain.commitments import Verification
from ampd.chain.sampling import DEFAULT_MODE, VerifyMode, sampled_blocks
from ampd.chain.verification import verify_blocks
from ampd.errors import AmpError, ErrorCode
from ampd.sources.blocks import BlockBatch, BlockSource
from ampd.tasks import cancel_all
from ampd.telemetry.stages import stage

_log = structlog.get_logger(__name__)

# Batches that are being verified at a time. More would only hold memory: verification needs the interpreter.
_AHEAD: Final = 2
# How often blocks are fetched before they count as wrong. A node may need a moment for the receipts of a new block.
_FETCHES: Final = 4
_PAUSE_SECONDS: Final = 0.5


def verified(source: BlockSource, wanted: Any, network: str, executor: Executor) -> BlockSource:
    """Return ``source`` with the verification that a job's input asks for (its key ``verify``; None is the default).

    ``network`` is the dataset's name for its chain; ``executor`` runs the verification.
    """
    mode = DEFAULT_MODE if wanted is None else VerifyMode.parse(wanted)
    return source if mode is VerifyMode.OFF else VerifiedSource(source, mode, network=network, executor=executor)


class _Broken(Exception):  # noqa: N818 - an outcome, never seen outside
    def __init__(self, batch: BlockBatch, outcome: Verification) -> None:
        super().__init__()
        self.batch = batch
        self.outcome = outcome


class VerifiedSource:
    """The blocks of ``source``, verified: all of them, or a sample of every batch.

    A batch with a wrong block is fetched again, elsewhere if ``source`` knows another endpoint. From the first wrong
    block on everything is verified: a node that was wrong once is not taken at its word.
    """

    def __init__(
        self,
        source: BlockSource,
        mode: VerifyMode,
        *,
        network: str,
        executor: Executor,
        pause_seconds: float = _PAUSE_SECONDS,
        chance: random.Random | None = None,
    ) -> None:
        self._source = source
        self._mode = mode
        self._network = network
        self._executor = executor
        self._pause_seconds = pause_seconds
        # Not to be foreseen by a node that would rather not be caught.
        self._chance = chance or random.SystemRandom()
        self._told: set[tuple[str, str]] = set()

    async def chain_id(self) -> int:
        """Return the chain's id."""
        return await self._source.chain_id()

    async def latest_block(self, *, finalized: bool) -> int | None:
        """Return the number of the newest (finalized) block."""
        return await self._source.latest_block(finalized=finalized)

    async def block_hash(self, number: int) -> bytes | None:
        """Return the hash of the block that the chain has at ``number`` now."""
        return await self._source.block_hash(number)

    def distrust(self, batch: BlockBatch) -> None:
        """Pass the word on."""
        self._source.distrust(batch)

    async def close(self) -> None:
        """Close the source."""
        await self._source.close()

    async def read(
        self, start_block: int, end_block: int, *, most_blocks: int, cursor: str | None = None
    ) -> AsyncGenerator[BlockBatch, None]:
        """Give verified blocks, as soon as they are; see :class:`ampd.sources.blocks.BlockSource`.

        :raises AmpError: BLOCK_VERIFICATION_FAILED, fatal, when a block stays wrong; what the source raises.
        """
        position, fetches, before = start_block, 0, None
        while True:
            try:
                async with aclosing(self._verified(position, end_block, most_blocks, cursor)) as batches:
                    async for batch in batches:
                        if before is not None:
                            _check_link(before, batch)
                        position, fetches, before, cursor = batch.end_block + 1, 0, batch, batch.cursor
                        yield batch
                return
            except _Broken as broken:
                fetches += 1
                self._blame(broken, fetches)
            await asyncio.sleep(self._pause_seconds * 2 ** (fetches - 1))

    async def _verified(
        self, start: int, end: int, most_blocks: int, cursor: str | None
    ) -> AsyncGenerator[BlockBatch, None]:
        """Give the batches of one read in their order; while some are verified the next one is fetched."""
        checking: deque[tuple[BlockBatch, asyncio.Task[Verification]]] = deque()
        fetching: asyncio.Task[BlockBatch | None] | None = None
        has_more = True
        async with aclosing(self._source.read(start, end, most_blocks=most_blocks, cursor=cursor)) as batches:
            try:
                while has_more or checking:
                    if has_more and fetching is None and len(checking) < _AHEAD:
                        fetching = asyncio.ensure_future(anext(batches, None))
                    await _first_of(fetching, checking[0][1] if checking else None)
                    if checking and checking[0][1].done():
                        yield self._settled(*checking.popleft())
                    elif fetching is not None and fetching.done():
                        # A source's error waits its turn: what came before it is given first.
                        if checking and fetching.exception() is not None:
                            await asyncio.wait({checking[0][1]})
                            continue
                        batch, fetching = fetching.result(), None
                        if batch is None:
                            has_more = False
                        else:
                            checking.append((batch, asyncio.create_task(self._verify(batch))))
            finally:
                await cancel_all([task for _, task in checking] + ([] if fetching is None else [fetching]))

    async def _verify(self, batch: BlockBatch) -> Verification:
        with stage("verify", start_block=batch.start_block, end_block=batch.end_block):
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._outcome_of, batch)

    def _outcome_of(self, batch: BlockBatch) -> Verification:
        if self._mode is VerifyMode.FULL:
            expected = range(batch.start_block, batch.end_block + 1)
            return verify_blocks(batch.tables, network=self._network, expected=expected)
        sample = sampled_blocks(batch.start_block, batch.end_block, self._chance)
        return verify_blocks(batch.tables, network=self._network, sample=sample)

    def _settled(self, batch: BlockBatch, checked: asyncio.Task[Verification]) -> BlockBatch:
        outcome = checked.result()
        if outcome.violations:
            raise _Broken(batch, outcome)
        for one in outcome.not_checked:
            if (one.commitment, one.reason) not in self._told:
                self._told.add((one.commitment, one.reason))
                _log.warning(
                    "block.not_checked", first_block=one.block_num, commitment=one.commitment, reason=one.reason
                )
        return batch

    def _blame(self, broken: _Broken, fetches: int) -> None:
        """Make the source try elsewhere.

        :raises AmpError: BLOCK_VERIFICATION_FAILED, when that was done often enough.
        """
        first, endpoint = broken.outcome.violations[0], broken.batch.endpoint
        where = f"block {first.block_num} from {endpoint or 'the node'}"
        what = f"{first.commitment}: {first.detail}"
        if fetches >= _FETCHES:
            raise AmpError(
                ErrorCode.BLOCK_VERIFICATION_FAILED,
                f"{where} does not verify after {fetches} fetches. {what}. The node sends wrong data, or the chain has "
                "rules that ampd does not know: use another node, or deploy with --verify off",
                context={
                    **first.to_json(),
                    "endpoint": endpoint,
                    "fetches": fetches,
                    "violations_in_batch": len(broken.outcome.violations),
                },
            )
        _log.warning("block.broken", endpoint=endpoint, fetches=fetches, **first.to_json())
        self._mode = VerifyMode.FULL
        self._source.distrust(broken.batch)


async def _first_of(*tasks: asyncio.Task[Any] | None) -> None:
    await asyncio.wait([task for task in tasks if task is not None], return_when=asyncio.FIRST_COMPLETED)


def _check_link(before: BlockBatch, batch: BlockBatch) -> None:
    """A read that began anew may be of another fork, or another node's."""
    if batch.start_parent_hash != before.end_hash:
        raise AmpError(
            ErrorCode.PARENT_HASH_MISMATCH,
            f"block {batch.start_block}: its parent hash is not the hash of block {before.end_block}: "
            "the chain reorganised",
            recoverable=True,
        )
