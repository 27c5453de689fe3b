"""Trying again what failed in passing, for a bounded time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import structlog

from ampd.object_store.failures import Failure

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


async def try_for(
    seconds: float,
    work: Callable[[], Awaitable[_T]],
    explained: Callable[[Exception], Failure | None],
) -> _T:
    """Do ``work``; do it again after failures that pass, until ``seconds`` are over.

    :param explained: what a failure means; None when it is not one of a store.
    :raises AmpError: what the last failure means.
    """
    ends_at = time.monotonic() + seconds
    for pause in _pauses():
        try:
            return await work()
        except Exception as error:
            failure = explained(error)
            if failure is None:
                raise
            if not failure.passing or time.monotonic() + pause >= ends_at:
                raise failure.error from None
            _log.info("object_store.tries_again", error=failure.error.message, pause_ms=round(pause * 1000))
        await asyncio.sleep(pause)
    raise AssertionError("the pauses have no end")


def _pauses() -> Iterator[float]:
    """Give growing pauses; chance spreads the writers that one failure has hit at once."""
    longest = _FIRST_PAUSE_SECONDS
    while True:
        yield longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret hangs on it
        longest = min(2 * longest, _LONGEST_PAUSE_SECONDS)
