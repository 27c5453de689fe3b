"""The blocks of a range as they come: across broken connections and servers, with what the chain undoes meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from ampd.errors import AmpError, ErrorCode
from ampd.firehose_wire import firehose_pb2 as pb
from ampd.sources.firehose.client import FirehoseClient, Received, Step
from ampd.sources.firehose.faults import FirehoseFault
from ampd.sources.firehose.servers import Retries, Servers

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Arrived:
    """The next block of the range, and the server that it came from (without secrets)."""

    block: Received
    endpoint: str


@dataclass(frozen=True)
class Undone:
    """From this block on everything that has arrived is not of the chain any more; its successors come again."""

    number: int


class RangeStream:
    """The blocks ``start_block`` to ``end_block``. ``cursor`` is the place before the first one, when that is known."""

    def __init__(
        self, servers: Servers, start_block: int, end_block: int, *, cursor: str | None, final_only: bool
    ) -> None:
        self._servers = servers
        self._start = start_block
        self._end = end_block
        self._next = start_block
        self._cursor = cursor or ""
        self._final_only = final_only
        self._retries = Retries(servers.patience)

    async def steps(self) -> AsyncGenerator[Arrived | Undone, None]:
        """Give the blocks in their order, to the last one. A broken stream is begun again where it broke.

        :raises AmpError: what a server did wrong, after several tries.
        """
        failed: FirehoseClient | None = None
        while self._next <= self._end:
            client = await self._servers.choose(self._next, self._end, failed=failed)
            try:
                async with aclosing(self._from(client, again=failed is not None)) as steps:
                    async for step in steps:
                        yield step
                        self._retries.succeeded()
                        self._servers.succeeded(client)
            except FirehoseFault as fault:
                failed = client
                self._servers.failed(client, fault)
                if fault.refuses_cursor and self._cursor:
                    _log.warning("firehose.cursor_refused", endpoint=client.endpoint.shown_url, block=self._next)
                    self._cursor = ""
                    continue
                await self._retries.after(fault)

    async def _from(self, client: FirehoseClient, *, again: bool) -> AsyncGenerator[Arrived | Undone, None]:
        """Give what one connection gives.

        :raises FirehoseFault: when it ends too soon.
        """
        request = pb.BlocksRequest(
            start_block_num=self._next,
            stop_block_num=self._end,
            cursor=self._cursor,
            final_blocks_only=self._final_only,
        )
        async with aclosing(client.blocks(request, again=again)) as received:
            async for block in received:
                for step in self._taken(block, client.endpoint.shown_url):
                    yield step
                if self._next > self._end:
                    return
        raise FirehoseFault(
            ErrorCode.NODE_ANSWERED_ERROR,
            f"the Firehose server at {client.endpoint.shown_url} ended its stream before block {self._next}, "
            f"blocks to {self._end} were asked for",
            recoverable=True,
        )

    def _taken(self, block: Received, endpoint: str) -> list[Arrived | Undone]:
        """Return what a message means for the range. What is before it is of no concern here: the lake compares its
        last block with the parent of the first one.
        """
        if block.step is Step.UNDO:
            self._cursor = block.cursor
            if not self._start <= block.number < self._next:
                return []
            self._next = block.number
            return [Undone(block.number)]
        if block.number > self._next:
            self._cursor = ""
            raise FirehoseFault(
                ErrorCode.BLOCK_NUMBER_MISMATCH,
                f"the Firehose server at {endpoint} sent block {block.number} where block {self._next} should be",
                recoverable=True,
            )
        steps: list[Arrived | Undone] = []
        if self._start <= block.number < self._next:  # it is told again: what came before was another one
            steps.append(Undone(block.number))
        self._cursor = block.cursor
        if block.number >= self._start:
            steps.append(Arrived(block, endpoint))
            self._next = block.number + 1
        return steps


def chain_changed(number: int) -> AmpError:
    """Return the error of a block that was passed on already, and is not of the chain any more."""
    return AmpError(
        ErrorCode.PARENT_HASH_MISMATCH,
        f"block {number}: the server has undone it: the chain reorganised",
        recoverable=True,
    )
