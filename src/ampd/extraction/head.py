"""How far a job may follow the chain: to its newest block, so many behind it, or to the final one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ampd.sources.blocks import BlockSource


@dataclass(frozen=True)
class HeadPolicy:
    """What a network's provider says: ``confirmations`` is how many blocks a job stays behind the newest one;
    ``finality`` tells which block is final, the one that the node calls so (``tag``), or the one that has so many
    blocks behind it (0: each block at once).
    """

    confirmations: int = 0
    finality: Literal["tag"] | int = "tag"


class Head:
    """The last block that a job may take. That of ``finalized_only`` jobs never goes back: some nodes do."""

    def __init__(self, source: BlockSource, policy: HeadPolicy, *, finalized_only: bool) -> None:
        self._source = source
        self._policy = policy
        self._finalized_only = finalized_only
        self._final: int | None = None

    async def ask(self) -> int | None:
        """Ask the node; None when there is no such block yet."""
        if not self._finalized_only:
            return await self._behind_newest(self._policy.confirmations)
        if self._policy.finality == "tag":
            final = await self._source.latest_block(finalized=True)
        else:
            final = await self._behind_newest(max(self._policy.finality, self._policy.confirmations))
        if final is not None:
            self._final = max(final, self._final or 0)
        return self._final

    async def _behind_newest(self, blocks: int) -> int | None:
        newest = await self._source.latest_block(finalized=False)
        return None if newest is None or newest < blocks else newest - blocks
