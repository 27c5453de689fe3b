"""An event loop whose clock stands still while there is something to do, and jumps to the next timer when there is not.

What is planned for later then happens at once, in its order and at its very time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class _NobodyWaits(selectors.DefaultSelector):
    """A selector that moves the loop's clock where another would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            assert timeout is not None, "the loop has nothing to do and no timer: it would wait for ever"
            self.now += max(timeout, 0.0)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._moments = _NobodyWaits()
        super().__init__(self._moments)

    def time(self) -> float:
        return self._moments.now


def run_in_virtual_time(main: Coroutine[Any, Any, Answer]) -> Answer:
    """Run ``main`` to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
