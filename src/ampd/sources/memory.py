"""How much memory answers of nodes may take in one process, whatever reads them."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

# Six runs of blocks of the usual size: enough to keep two cores and a slow node busy.
MOST_BYTES: Final = 96 * 1024 * 1024

Size = Callable[[], int]


@dataclass(eq=False)
class _Waiting:
    user: object
    size: Size
    turn: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ByteBudget:
    """Lets users have ``most_bytes`` in hand altogether, in the order in which they came.

    Each user may have one piece in any case, however large: nobody waits for ever for somebody whose node is slow.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._pieces: Counter[object] = Counter()
        self._waiting: deque[_Waiting] = deque()

    @asynccontextmanager
    async def hold(self, user: object, size: Size) -> AsyncIterator[None]:
        """Wait for the turn of a piece. ``size`` (bytes) is asked when it may come: what is known may change."""
        held = await self._acquire(user, size)
        try:
            yield
        finally:
            self._give_back(user, held)

    async def _acquire(self, user: object, size: Size) -> int:
        waiting = _Waiting(user, size)
        self._waiting.append(waiting)
        self._let_in()
        try:
            return await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():
                self._give_back(user, waiting.turn.result())
            else:
                self._waiting.remove(waiting)
                self._let_in()
            raise

    def _let_in(self) -> None:
        """Let in who may come: in turn while there is room, and who has nothing."""
        has_room = True
        for waiting in list(self._waiting):
            size = waiting.size()
            has_room = has_room and self.held_bytes + size <= self.most_bytes
            if has_room or not self._pieces[waiting.user]:
                self._waiting.remove(waiting)
                self.held_bytes += size
                self._pieces[waiting.user] += 1
                waiting.turn.set_result(size)

    def _give_back(self, user: object, size: int) -> None:
        self.held_bytes -= size
        self._pieces[user] -= 1
        if not self._pieces[user]:
            del self._pieces[user]
        self._let_in()
