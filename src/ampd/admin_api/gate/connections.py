"""One connection to the Admin API, which nobody can hold for longer than they use it.

uvicorn waits for ever for the head of a request, and for a client that does not read its answer. Each such client keeps
a file open, and a process has few of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger(__name__)

DEFAULT_HEAD_SECONDS: Final = 10.0
DEFAULT_MAX_CONNECTIONS: Final = 500


@dataclass(frozen=True)
class ConnectionLimits:
    """``max_connections`` at a time; what comes above is closed at once. ``head_seconds`` is how long the head of a
    request may take to arrive, ``answer_seconds`` for how long a client may read nothing of its answer.
    """

    max_connections: int = DEFAULT_MAX_CONNECTIONS
    head_seconds: float = DEFAULT_HEAD_SECONDS
    answer_seconds: float = 30.0


def protocol_with(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """Return the protocol for uvicorn that keeps ``limits``."""

    class LimitedProtocol(_Connection):
        _limits = limits

    return LimitedProtocol


class _Connection(H11Protocol):
    _limits = ConnectionLimits()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or close it when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            log.warning("admin_api.too_many_connections", most=self._limits.max_connections)
            transport.abort()
            return
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._head_timer = _cancelled(self._head_timer)
        self._answer_timer = _cancelled(self._answer_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on with the request; its head has no more time for every byte that comes."""
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch_head()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: it has to go on some time."""
        super().pause_writing()
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(self._limits.answer_seconds, self._give_up, "answer")

    def resume_writing(self) -> None:
        """It went on."""
        self._answer_timer = _cancelled(self._answer_timer)
        super().resume_writing()

    def _watch_head(self) -> None:
        if self.transport.is_closing() or (self.cycle is not None and not self.cycle.response_complete):
            self._head_timer = _cancelled(self._head_timer)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self._give_up, "head")

    def _give_up(self, on: str) -> None:
        log.info("admin_api.slow_client", on=on, client=self.client and self.client[0])
        self.transport.abort()


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """End a timer; return what takes its place."""
    if timer is not None:
        timer.cancel()
    return None
