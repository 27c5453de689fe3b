"""Ending asyncio tasks, and waiting with an end, in a way that a lost cancellation cannot hang."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

_PAUSE_SECONDS = 0.1


async def cancel_all(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancel ``tasks`` until every one of them has ended.

    Once is not always enough: a library that waits with ``asyncio.wait_for`` loses a cancellation which arrives in the
    same moment as what it waits for (Python before 3.12). Exceptions of the tasks count as seen.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_PAUSE_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def wait_until(event: asyncio.Event, seconds: float) -> bool:
    """Wait for ``event``, at most ``seconds``; tell whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def wait_for_any(events: Iterable[asyncio.Event], seconds: float) -> None:
    """Wait until one of ``events`` is set, at most ``seconds``."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiting in waits:
            waiting.cancel()
