"""What every object store must do, whatever serves it."""

from __future__ import annotations

import asyncio

from ampd.errors import AmpError, ErrorCode
from ampd.object_store import ObjectStore


async def assert_one_of_many_puts_wins(store: ObjectStore) -> None:
    """Put several objects under one name at the same moment: one stays, whole; the others are refused."""
    bodies = [bytes([number]) * 100_000 for number in range(8)]
    results = await asyncio.gather(*(store.put("x", body) for body in bodies), return_exceptions=True)
    won = [body for body, result in zip(bodies, results, strict=True) if not isinstance(result, BaseException)]
    assert [await store.get("x")] == won
    lost = [result for result in results if isinstance(result, AmpError)]
    assert [error.code for error in lost] == [ErrorCode.DATA_STORE_CONFLICT] * 7
    assert [info.path for info in await store.list()] == ["x"]
