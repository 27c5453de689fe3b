"""A service that jobs of kind ``http`` call, on a thread of its own: what the seeds call an action."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from support.nodes import http_server, on_thread


class Actions:
    """``url(name)`` is an action: ``done`` answers 200, ``refused`` 400 and is not tried again, ``down`` 503, ``held``
    not until :meth:`release`; ``lucky`` refuses each second call.
    """

    def __init__(self) -> None:
        self.base = ""
        self.calls: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held: list[asyncio.Event] = []

    def url(self, name: str) -> str:
        return f"{self.base}/{name}"

    def release(self) -> None:
        """Answer the calls that are held."""
        held, self._held = self._held, []
        for event in held:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(event.set)

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.strip("/").partition("/")[0]
        event = asyncio.Event()
        if name == "held":
            self._loop = asyncio.get_running_loop()
            self._held.append(event)
        self.calls[request.path] += 1  # who sees it may release the call
        if name == "held":
            await event.wait()
        is_refused = name == "refused" or (name == "lucky" and self.calls[request.path] % 2 == 0)
        return web.json_response({"action": name}, status=400 if is_refused else 503 if name == "down" else 200)


@contextmanager
def actions() -> Iterator[Actions]:
    """Give a service that runs."""
    made = Actions()
    with on_thread(http_server(made.answer)) as made.base:
        yield made
        made.release()
