"""The replay node as a process of its own, whose chain may grow while it is served, as chains do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ampd.replay_node.chain import build_chain
from ampd.replay_node.recorded import read_recorded_blocks
from ampd.replay_node.server import ReplayNode
from ampd.replay_node.until_signal import serve_until_signal
from ampd.tasks import cancel_all


def run_replay_node(
    *,
    blocks: Path,
    host: str,
    port: int,
    length: int | None,
    chain_id: int | None,
    gzip: bool,
    latency_seconds: float = 0.0,
    block_seconds: float | None = None,
) -> None:
    """Serve a directory of recorded blocks until SIGINT or SIGTERM: the body of ``ampd replay-node``.

    Prints one line with the URL on stdout when it answers. Options as of :func:`build_chain` and :class:`ReplayNode`;
    with ``block_seconds`` the chain has only the recorded blocks at first, and one more every so many seconds.
    Raises :class:`AmpError` (``RECORDED_BLOCKS_INVALID``, ``ADDRESS_IN_USE``).
    """
    recorded = read_recorded_blocks(blocks)
    chain = build_chain(recorded, length=length, chain_id=chain_id)
    node = ReplayNode(chain, host=host, port=port, gzip=gzip, latency_seconds=latency_seconds)

    def listening() -> str:
        blocks = f"blocks {chain.first_block} to {chain.last_block}"
        return f"replay node listening on {node.url} (chain id {chain.chain_id}, {blocks})"

    if block_seconds is None:
        asyncio.run(serve_until_signal(node, listening))
    else:
        first_head = min(chain.first_block + len(recorded) - 1, chain.last_block)
        served = growing(node, first_head=first_head, block_seconds=block_seconds)
        asyncio.run(serve_until_signal(served, listening))


@asynccontextmanager
async def growing(node: ReplayNode, *, first_head: int, block_seconds: float) -> AsyncIterator[ReplayNode]:
    """Serve ``node``, whose newest block is ``first_head`` at first, and one more every ``block_seconds``, to the end
    of its chain.
    """
    node.head = first_head
    async with node:
        growth = asyncio.create_task(_grow(node, block_seconds))
        try:
            yield node
        finally:
            await cancel_all([growth])


async def _grow(node: ReplayNode, block_seconds: float) -> None:
    while node.head < node.chain.last_block:
        await asyncio.sleep(block_seconds)
        node.head += 1
