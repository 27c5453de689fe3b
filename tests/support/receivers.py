"""A receiver of webhooks as its owner would write one: it verifies every request with the package of Standard Webhooks,
and answers as a test says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook as Verifier

from support.engine import SECONDS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    """One request that was verified."""

    message_id: str
    message: dict[str, Any]
    body: bytes
    headers: dict[str, str]
    path: str

    @property
    def event(self) -> str:
        return str(self.message["event"])

    @property
    def job_id(self) -> int:
        return int(self.message["job"]["id"])


@dataclass
class Receiver:
    """Listens on a port of 127.0.0.1. ``answers`` are given one after the other, then 204; an answer is a status, or a
    function that answers by itself.
    """

    port: int
    keys: list[str | bytes] = field(default_factory=list)
    answers: list[int | Handler] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    always: int | Handler | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def events(self, job_id: int | None = None) -> list[str]:
        return [each.event for each in self.received if job_id is None or each.job_id == job_id]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when ``condition`` holds, which is looked at after each request."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._news.clear()
                if condition():
                    return
                await self._news.wait()

    async def count(self, number: int) -> list[Received]:
        """Wait for so many requests, and return all that there are."""
        await self.until(lambda: len(self.received) >= number)
        return self.received

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = dict(request.headers)
        verified = [key for key in self.keys if _verifies(key, body, headers)]
        if not verified:
            self.refused.append(headers.get("webhook-id", ""))
            self._news.set()
            return web.Response(status=400)
        self.received.append(Received(headers["webhook-id"], json.loads(body), body, headers, request.path))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self._news.set()
        try:
            answer = self.answers.pop(0) if self.answers else self.always or 204
            return web.Response(status=answer) if isinstance(answer, int) else await answer(request)
        finally:
            self.at_once -= 1
            self._news.set()


def _verifies(key: str | bytes, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Verifier(key).verify(body, headers)
    except Exception:
        return False
    return True


@asynccontextmanager
async def receiver(*keys: str | bytes, port: int = 0, ssl: Any = None) -> AsyncIterator[Receiver]:
    """Give a receiver that listens, and knows ``keys``."""
    found = Receiver(port, list(keys))
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=ssl)
    await site.start()
    found.port = runner.addresses[0][1]
    try:
        yield found
    finally:
        await runner.cleanup()


def distinct(received: Iterable[Received]) -> list[str]:
    return list(dict.fromkeys(each.message_id for each in received))
