"""A Firehose source before replay servers, and a look at what it gives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from ampd.replay_node.firehose import ReplayFirehose, cursor_of
from ampd.replay_node.firehose_chain import FirehoseChain
from ampd.sources.blocks import BlockBatch
from ampd.sources.firehose import Endpoint, FirehoseSource
from ampd.sources.firehose.servers import Patience

START = 1_000_000
LENGTH = 30
END = START + LENGTH - 1
QUICK = Patience(tries=4, first_seconds=0.001, most_seconds=0.002)


@asynccontextmanager
async def source_of(
    *servers: ReplayFirehose,
    executor: ThreadPoolExecutor,
    timeout: float = 10.0,
    token: str | None = None,
    **options: Any,
) -> AsyncIterator[FirehoseSource]:
    endpoints = [Endpoint(server.url, token, timeout_seconds=timeout) for server in servers]
    source = FirehoseSource(endpoints, executor=executor, **{"network": "mainnet", "patience": QUICK} | options)
    try:
        yield source
    finally:
        await source.close()


async def batches_of(source: FirehoseSource, *, most: int = 4, **options: Any) -> list[BlockBatch]:
    return [batch async for batch in source.read(START, END, most_blocks=most, **options)]


def assert_whole(batches: list[BlockBatch], chain: FirehoseChain, start: int = START, end: int = END) -> None:
    """Check that the batches are the blocks of ``chain``, each once, and that each cursor is that of its last block."""
    following = start
    for batch in batches:
        assert batch.start_block == following
        following = batch.end_block + 1
        hashes = [value.hex() for value in batch.tables["blocks"].column("hash").to_pylist()]
        numbers = range(batch.start_block, batch.end_block + 1)
        assert hashes == [chain.identity(number).hash[2:] for number in numbers]
        assert batch.cursor == cursor_of(batch.end_block, hashes[-1])
        assert len(batch.tables["transactions"]) == 2 * len(numbers)
    assert following == end + 1
