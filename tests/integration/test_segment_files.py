"""Files of segments on their way into the store: what is given up is gone, however late it arrives there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.extraction.parts import Target
from ampd.extraction.segment_files import SegmentFiles
from ampd.metadata_db import MetadataDb
from ampd.telemetry.extraction_metrics import meter_of
from support.ranges import Ranges, running_extraction, segment


class LatePuts:
    """A store whose objects arrive when the test lets them."""

    def __init__(self, ranges: Ranges) -> None:
        self._lake = ranges.lake
        self.begun, self.arrive, self.arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def put(self, path: str, data: pa.Buffer) -> Any:
        self.begun.set()
        await self.arrive.wait()
        put = await self._lake.put(path, data)
        self.arrived.set()
        return put


@pytest.fixture
async def ranges(metadata_db: MetadataDb) -> AsyncIterator[Ranges]:
    async with running_extraction(metadata_db) as made:
        await made.plan((0, 9))
        yield made


def files_of(ranges: Ranges, lake: LatePuts, lease_is_valid: Callable[[], bool] = lambda: True) -> SegmentFiles:
    async def disown(files: dict[str, Any]) -> None:
        assert lake.arrived.is_set(), "deleted before it was there"
        await ranges.leftovers.disown(files)

    leftovers = SimpleNamespace(disown=disown)
    parts: Any = SimpleNamespace(executor=ThreadPoolExecutor(1), lake=lake, leftovers=leftovers)
    return SegmentFiles(
        parts, Target(ranges.job_id, "mainnet", ranges.revisions, meter_of("set", "one")), lease_is_valid
    )


async def write_one(ranges: Ranges, files: SegmentFiles) -> tuple[dict[str, Any], asyncio.Task[Any]]:
    begun = files.new_paths(0)
    created_at = await ranges.store.begin_files(await ranges.take(), begun)
    path, revision = next(iter(begun.items()))

    def encode(_description: dict[str, Any]) -> tuple[int, pa.Buffer]:
        return 7, pa.py_buffer(b"rows")

    return begun, asyncio.create_task(files.write(path, revision, segment(0, 9), created_at, encode))


async def test_a_file_that_is_disowned_while_it_is_being_put_is_not_there_afterwards(ranges: Ranges) -> None:
    lake = LatePuts(ranges)
    files = files_of(ranges, lake)
    begun, writing = await write_one(ranges, files)
    async with asyncio.timeout(20):
        await lake.begun.wait()
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        disowning = asyncio.create_task(files.disown(begun))
        lake.arrive.set()
        await disowning
    assert await ranges.objects() == set()
    assert await ranges.run("SELECT FROM uncounted_files") == []


async def test_a_worker_that_may_have_been_replaced_puts_nothing(ranges: Ranges) -> None:
    lake = LatePuts(ranges)
    _, writing = await write_one(ranges, files_of(ranges, lake, lease_is_valid=lambda: False))
    with pytest.raises(AmpError) as refused:
        async with asyncio.timeout(20):
            await writing
    assert refused.value.code is ErrorCode.LEASE_LOST
    assert not lake.begun.is_set()
