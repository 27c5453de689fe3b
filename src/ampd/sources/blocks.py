"""What every source of blocks gives: Arrow tables for a run of consecutive blocks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True)
class BlockBatch:
    """Consecutive blocks as tables.

    ``tables`` maps each name of :data:`ampd.chain.tables.TABLES`, and of what else the source has, to its rows, sorted.
    ``start_parent_hash`` is the parent of the first block and ``end_hash`` the hash of the last one (32 bytes each);
    ``end_timestamp`` is in Unix seconds; ``source_bytes`` counts what was decoded. ``endpoint`` is the URL that the
    blocks came from, without secrets; several, with commas, when one stood in for another. ``cursor`` is where the
    source's stream of blocks goes on behind the last one, when it has one.
    """

    start_block: int
    end_block: int
    start_parent_hash: bytes
    end_hash: bytes
    end_timestamp: int
    tables: dict[str, pa.Table]
    source_bytes: int
    endpoint: str = ""
    cursor: str | None = None

    @cached_property
    def row_bytes(self) -> int:
        """How many bytes the tables have in memory."""
        return sum(table.nbytes for table in self.tables.values())


class BlockSource(Protocol):
    """A chain that can be read. Errors are :class:`ampd.errors.AmpError`, recoverable when a later try may succeed."""

    async def chain_id(self) -> int:
        """Return the chain's id (EIP-155); NETWORK_MISMATCH when it is not the network that was asked for."""

    async def latest_block(self, *, finalized: bool) -> int | None:
        """Return the number of the newest (finalized) block, or None when the chain has none."""

    async def block_hash(self, number: int) -> bytes | None:
        """Return the hash (32 bytes) of the block that the chain has at ``number`` now, None when it has none."""

    def read(
        self, start_block: int, end_block: int, *, most_blocks: int, cursor: str | None = None
    ) -> AsyncGenerator[BlockBatch, None]:
        """Give the blocks of the range, both ends included, in ascending order and without gaps.

        A batch holds at most ``most_blocks``. ``cursor`` is that of the batch before ``start_block``, when it is known:
        a source that has cursors resumes there.
        """

    def distrust(self, batch: BlockBatch) -> None:
        """Take note that ``batch`` was not what the chain has: the next read of its blocks prefers another endpoint."""

    async def close(self) -> None:
        """Let go of connections."""
