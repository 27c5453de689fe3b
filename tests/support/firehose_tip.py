"""Jobs that follow a chain of a Firehose server which the test bends as it likes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from ampd.chain.tables import FIREHOSE_TABLES
from ampd.metadata_db import MetadataDb
from ampd.replay_node.firehose import ReplayFirehose
from ampd.replay_node.firehose_chain import FirehoseChain, forked_chain
from support.firehose_blocks import small_chain
from support.tip import FIRST_BLOCK, Tip


class FirehoseForks:
    """Chains of one origin. ``base`` is the first; :meth:`fork` parts from any at a block."""

    def __init__(self, length: int) -> None:
        self.base = small_chain(length, first_block=FIRST_BLOCK)
        self.all = [self.base]

    def fork(self, chain: FirehoseChain, *, at: int, length: int) -> FirehoseChain:
        """Return a chain of ``length`` blocks that parts from ``chain`` at block FIRST_BLOCK + ``at``."""
        self.all.append(forked_chain(chain, at=FIRST_BLOCK + at, length=length, late_seconds=len(self.all)))
        return self.all[-1]


class FirehoseTip(Tip):
    """A database, a lake in memory, a Firehose server, and workers."""

    kind = "firehose"
    table_names = tuple(FIREHOSE_TABLES)
    settings: ClassVar = {"chain_id": 1}
    node: Any  # a ReplayFirehose
    forks: Any  # FirehoseForks

    async def cursors(self) -> list[dict[str, Any]]:
        """Return the cursors that are kept."""
        return await self.db.fetch_all(
            "SELECT job_id, end_block, end_hash, cursor FROM source_cursors ORDER BY end_block"
        )

    async def cursors_without_data(self) -> list[dict[str, Any]]:
        """Return the cursors that are ahead of the data: behind a block that is no end of a segment of all tables."""
        return await self.db.fetch_all(
            "SELECT c.end_block, count(f.id) AS segments FROM source_cursors c"
            " LEFT JOIN files f ON f.end_block = c.end_block AND f.end_hash = c.end_hash"
            " GROUP BY c.job_id, c.end_block HAVING count(f.id) <> %(tables)s",
            {"tables": len(self.table_names)},
        )


@asynccontextmanager
async def firehose_tip_of(db: MetadataDb, *, length: int, head: int, **options: Any) -> AsyncIterator[FirehoseTip]:
    """Give a server whose chain has ``length`` blocks, of which the first ``head`` are there."""
    forks = FirehoseForks(length)
    with ThreadPoolExecutor(2) as executor:
        async with ReplayFirehose(forks.base, chain_name="tip", **options) as server:
            server.grow_to(FIRST_BLOCK + head - 1)
            tip = FirehoseTip(db, forks, server, executor)  # type: ignore[arg-type]
            try:
                yield tip
            finally:
                await tip.end()
