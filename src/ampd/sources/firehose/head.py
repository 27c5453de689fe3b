"""The newest block: heard from a stream that stays open while somebody asks."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from ampd.errors import AmpError, ErrorCode
from ampd.firehose_wire import firehose_pb2 as pb
from ampd.sources.firehose.client import FirehoseClient, Received, Step
from ampd.sources.firehose.faults import FirehoseFault
from ampd.sources.firehose.servers import Retries, Servers
from ampd.tasks import cancel_all

# A stream that nobody has asked for so long is closed: every block of it costs traffic.
_IDLE_SECONDS: Final = 60.0
# The first block may be the one before the newest, which follows at once.
_SETTLE_SECONDS: Final = 0.25


@dataclass(frozen=True)
class Newest:
    """The newest block, and the last one that cannot be undone."""

    number: int
    final_block: int


class HeadWatcher:
    """Knows the newest block of the servers' chain."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._newest: Newest | None = None
        self._teller: FirehoseClient | None = None
        self._changed = asyncio.Event()
        self._asked_at = 0.0
        self._watching: asyncio.Task[None] | None = None

    async def newest(self) -> Newest:
        """Return the newest block.

        :raises AmpError: what is wrong with the servers, after several tries; BLOCK_NOT_AVAILABLE when they have no
            block.
        """
        self._asked_at = time.monotonic()
        if self._watching is None or self._watching.done():
            # Nothing is known of the time in which nobody watched.
            self._newest = None
            self._watching = asyncio.create_task(self._watch())
            # What it raises is told to who asks next; when nobody does, it was logged.
            self._watching.add_done_callback(lambda task: None if task.cancelled() else task.exception())
        if self._newest is None:
            await self._first(self._watching)
        if self._newest is None:
            raise AmpError(ErrorCode.BLOCK_NOT_AVAILABLE, "the Firehose servers have no blocks yet", recoverable=True)
        return self._newest

    async def close(self) -> None:
        """Close the stream."""
        watching, self._watching = self._watching, None
        if watching is not None:
            await cancel_all([watching])

    async def _first(self, watching: asyncio.Task[None]) -> None:
        """Wait for the first block, and for one that follows it at once."""
        longest = min(client.endpoint.timeout_seconds for client in self._servers.clients)
        for seconds in (longest, _SETTLE_SECONDS):
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({changed, watching}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if watching.done():
                watching.result()
            if self._newest is None:
                return

    async def _watch(self) -> None:
        """Follow the newest block until nobody asks any more, or until there were enough failures."""
        retries, failed = Retries(self._servers.patience), None
        while True:
            client = await self._servers.choose(2**63, 2**63, failed=failed)
            try:
                await self._follow(client, retries, again=failed is not None)
                return
            except FirehoseFault as fault:
                failed = client
                self._servers.failed(client, fault)
                await retries.after(fault)

    def heard_from(self, client: FirehoseClient) -> int | None:
        """Return the newest block, when it is this server that tells it."""
        return self._newest.number if self._newest is not None and self._teller is client else None

    async def _follow(self, client: FirehoseClient, retries: Retries, *, again: bool) -> None:
        async with aclosing(client.blocks(pb.BlocksRequest(start_block_num=-1), again=again)) as blocks:
            async for block in blocks:
                retries.succeeded()
                self._servers.succeeded(client)
                self._newest, self._teller = _after(block), client
                self._changed.set()
                if time.monotonic() - self._asked_at > _IDLE_SECONDS:
                    return
        raise FirehoseFault(
            ErrorCode.NODE_ANSWERED_ERROR,
            f"the Firehose server at {client.endpoint.shown_url} ended a stream that should not end",
            recoverable=True,
        )


def _after(block: Received) -> Newest:
    number = block.number - 1 if block.step is Step.UNDO else block.number
    return Newest(number, block.final_block)
