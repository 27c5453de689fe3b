"""How much is asked of an endpoint at a time: what adapts (AIMD), what the provider's settings allow, what memory does.

Everything here lives in one event loop. Times are seconds of a clock that only goes forward.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_DECREASE: Final = 0.5


class Aimd:
    """A number from 1 to ``ceiling``, at first that, which is halved by a failure.

    It grows by one for each ``value`` successes: once for each time that so many were under way. With ``by_one`` it
    grows by one for every success, as suits the size of something.
    """

    def __init__(self, ceiling: int, *, by_one: bool = False) -> None:
        self.ceiling = max(1, ceiling)
        self._value = float(self.ceiling)
        self._by_one = by_one

    @property
    def value(self) -> int:
        """The number to use now."""
        return int(self._value)

    def grow(self) -> None:
        """Take note of a success."""
        self._value = min(self.ceiling, self._value + (1 if self._by_one else 1 / self._value))

    def shrink(self, suggested: int | None = None) -> bool:
        """Go down to ``suggested``, or to half when that would not shrink; False when there is nothing to shrink."""
        if self.value <= 1:
            return False
        wanted = suggested if suggested is not None and suggested < self.value else self._value * _DECREASE
        self._value = max(1.0, float(wanted))
        return True


class TokenBucket:
    """Lets through ``per_second`` units a second, at most ``burst`` at once (default: those of one second).

    :meth:`reserve` takes units at once and says how long to wait before they may be used: waiters queue up in order.
    """

    def __init__(self, per_second: float, burst: float | None = None, *, now: float = 0.0) -> None:
        self.per_second = per_second
        self._burst = max(1.0, per_second) if burst is None else burst
        self._level = self._burst
        self._at = now

    def reserve(self, units: float, now: float) -> float:
        """Take ``units`` and return the seconds until they are there."""
        self._level = min(self._burst, self._level + max(0.0, now - self._at) * self.per_second)
        self._at = max(self._at, now)
        self._level -= units
        return max(0.0, -self._level / self.per_second)

    def slow_to(self, per_second: float) -> None:
        """Lower the rate; never raise it."""
        self.per_second = min(self.per_second, per_second)
        self._burst = min(self._burst, max(1.0, self.per_second))


class Slots:
    """As many holders at a time as ``limit`` says at that moment, first come first served."""

    def __init__(self, limit: Aimd) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot."""
        await self._take()
        try:
            yield
        finally:
            self.held -= 1
            self.wake()

    @property
    def load(self) -> float:
        """Holders and waiters, as a share of the limit."""
        return (self.held + len(self._waiting)) / self.limit.value

    async def _take(self) -> None:
        if self.held < self.limit.value and not self._waiting:
            self.held += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the slot was ours already
                self.held -= 1
            elif turn in self._waiting:
                self._waiting.remove(turn)
            self.wake()
            raise

    def wake(self) -> None:
        """Give free slots to those who wait; call it when the limit has grown."""
        while self._waiting and self.held < self.limit.value:
            turn = self._waiting.popleft()
            if not turn.done():
                self.held += 1
                turn.set_result(None)


class ByteGate:
    """Bounds the bytes of the answers under way. What an answer will have is guessed from the largest of late.

    An answer that is larger than all that is allowed passes alone.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._expected = 0.0
        self._under_way = 0.0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        """Wait for room for one answer, and hold it."""
        while self._under_way and self._under_way + self._expected > self._most:
            self._changed.clear()
            await self._changed.wait()
        size = max(1.0, self._expected)
        self._under_way += size
        try:
            yield
        finally:
            self._under_way -= size
            if self._under_way < 1.0:
                self._under_way = 0.0
            self._changed.set()

    def learn(self, size: int) -> None:
        """Take note of an answer's size."""
        self._expected = max(float(size), self._expected * 0.98)
