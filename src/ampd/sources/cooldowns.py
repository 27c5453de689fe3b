"""The time for which an endpoint wants to be left alone, shared by all workers that use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog

from ampd.errors import AmpError
from ampd.tasks import cancel_all

_log = structlog.get_logger(__name__)

# A cooldown of another worker is heard of within this time, while requests are made; never asked for per request.
_READ_EVERY_SECONDS: Final = 1.0
# Shorter ones are over before anybody else could hear of them.
_SHORTEST_SHARED_SECONDS: Final = 0.2


class CooldownStore(Protocol):
    """Keeps cooldowns where all workers see them; :class:`ampd.datasets.EndpointCooldowns` is the one on PostgreSQL."""

    async def begin(self, key: str, seconds: float, reason: str) -> None:
        """Let ``key`` rest for ``seconds`` from now; a cooldown that ends later stays."""

    async def remaining(self, keys: Sequence[str]) -> Mapping[str, float]:
        """Return the seconds that are left, for those of ``keys`` that rest."""


class SharedCooldowns:
    """Carries the cooldowns of some endpoints to and from a store, in the background.

    ``hear`` is called with the key and the remaining seconds of each. The database being away is no reason to stop
    reading blocks: it is logged, and the endpoints' own cooldowns still hold.
    """

    def __init__(self, store: CooldownStore | None, keys: Sequence[str], hear: Callable[[str, float], None]) -> None:
        self._store = store
        self._keys = list(keys)
        self._hear = hear
        self._tasks: set[asyncio.Task[None]] = set()
        self._read_at = float("-inf")
        self._shared_until: dict[str, float] = {}

    async def close(self) -> None:
        """Wait for nothing, and stop."""
        await cancel_all(self._tasks)

    async def read(self) -> None:
        """Hear of the cooldowns that others began."""
        if self._store is None:
            return
        self._read_at = asyncio.get_running_loop().time()
        try:
            remaining = await self._store.remaining(self._keys)
        except AmpError as error:
            _log.warning("cooldowns.unknown", error_code=str(error.code), error=error.message)
            return
        for key, seconds in remaining.items():
            self._hear(key, seconds)

    def read_soon(self) -> None:
        """Hear of them in the background, unless that was a moment ago."""
        if self._store is not None and asyncio.get_running_loop().time() - self._read_at >= _READ_EVERY_SECONDS:
            self._read_at = asyncio.get_running_loop().time()
            self._in_background(self.read())

    def tell(self, key: str, seconds: float, reason: str) -> None:
        """Tell the others, in the background, of a cooldown that is news to them."""
        ends_at = asyncio.get_running_loop().time() + seconds
        is_news = ends_at > self._shared_until.get(key, 0.0) + _SHORTEST_SHARED_SECONDS
        if self._store is None or seconds < _SHORTEST_SHARED_SECONDS or not is_news:
            return
        self._shared_until[key] = ends_at
        self._in_background(self._begin(self._store, key, seconds, reason))

    async def _begin(self, store: CooldownStore, key: str, seconds: float, reason: str) -> None:
        try:
            await store.begin(key, seconds, reason)
        except AmpError as error:
            _log.warning("cooldown.not_shared", error_code=str(error.code), error=error.message)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
