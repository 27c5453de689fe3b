"""What goes on in a worker beside its jobs, and in the slots that no job needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class SpareSlots:
    """The slots of a worker that its jobs leave free. ``busy`` tells how many its jobs have, ``takes_work`` whether
    the worker takes any; ``closing`` is set when it drains.
    """

    def __init__(
        self,
        total: int,
        *,
        busy: Callable[[], int],
        takes_work: Callable[[], bool],
        lease_is_valid: Callable[[], bool],
    ) -> None:
        self.closing = asyncio.Event()
        self.lease_is_valid = lease_is_valid
        self._total = total
        self._busy = busy
        self._takes_work = takes_work
        self._taken = 0

    @property
    def free(self) -> int:
        """How many can be taken; less than none when jobs have come since: so many are to be given back."""
        wanted = self._total - self._busy() if self._takes_work() and not self.closing.is_set() else 0
        return wanted - self._taken

    def take(self) -> None:
        """Take one."""
        self._taken += 1

    def give_back(self) -> None:
        """Give one back."""
        self._taken -= 1


class Companion(Protocol):
    """Goes on in a worker process beside its jobs, for example with work that other workers share with it."""

    async def run(self, slots: SpareSlots) -> None:
        """Go on until ``slots.closing`` is set, then finish what is in hand. It may be cancelled at any time."""
