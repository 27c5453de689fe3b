"""The load of ``admin_api_load.py``: clients of the Admin API with keep-alive connections, in a process of its own.

    python benchmarks/admin_api_client.py < plan.json > answer.json

It has to cost little, for it shares the machine with what it measures: HTTP/1.1 is spoken on asyncio's bare transports;
of an answer the head is read, its length counted, and its first bytes compared. Two ways of asking: ``paced``, where
each client sends one request in each second at a moment that chance chooses, and the latency counts from that moment,
also when the client was still waiting for the answer before; and ``closed``, where each client sends the next request
as soon as the answer is there.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
ANSWER_SECONDS = 30.0


@dataclass
class Seen:
    """What became of the requests. Times in seconds: ``latencies`` by operation; ``late`` is how long after its moment
    a request was sent although its connection was free: what the generator itself adds.
    """

    latencies: dict[str, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    first_failures: list[str] = field(default_factory=list)
    bytes: int = 0

    def fail(self, operation: str, why: str) -> None:
        self.failed += 1
        if len(self.first_failures) < 10:
            self.first_failures.append(f"{operation}: {why}")


class Connection(asyncio.Protocol):
    """One keep-alive connection. One request at a time; its answer is whole when as many bytes are there as its head
    says.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._wanted: int | None = None
        self._body_at = 0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._wanted is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._received, 0, end)
            if length is None:
                self._fail("an answer without a length")
                return
            self._body_at, self._wanted = end + 4, end + 4 + int(length[1])
        if len(self._received) >= self._wanted and self._answer is not None:
            answer, self._answer = self._answer, None
            if not answer.done():
                answer.set_result((int(self._received[9:12]), bytes(self._received[self._body_at : self._wanted])))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc}")

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(why))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        assert self._transport is not None
        self._received.clear()
        self._wanted = None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._answer


class Client:
    """One client: its token, its connection, and what it asks, chosen by weight with a seed of its own."""

    def __init__(self, plan: dict[str, Any], client: dict[str, Any], number: int, seen: Seen) -> None:
        self._plan = plan
        self._seen = seen
        self._chance = random.Random(number)
        self._token = client["token"]
        self._operations = plan["operations"][client["sees"]]
        self._names = list(self._operations)
        self._weights = [self._operations[name]["weight"] for name in self._names]
        self._connection: Connection | None = None

    async def connect(self) -> None:
        """Open the connection: what is measured begins with an open one."""
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_connection(Connection, self._plan["host"], self._plan["port"])

    async def paced(self, start: float, seconds: int) -> None:
        """Ask once in each second, at a moment that chance chooses; who has no answer yet is late, and it counts."""
        for second in range(seconds):
            moment = start + second + self._chance.random()
            wait = moment - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
                self._seen.late.append(time.perf_counter() - moment)
            await self._ask(moment)

    async def closed(self, start: float, seconds: int) -> None:
        """Ask again as soon as there is an answer."""
        while (moment := time.perf_counter()) < start + seconds:
            await self._ask(moment)

    async def _ask(self, moment: float) -> None:
        (name,) = self._chance.choices(self._names, self._weights)
        operation = self._operations[name]
        self._seen.requests += 1
        path = self._chance.choice(operation["paths"])
        head = f"GET {path} HTTP/1.1\r\nHost: {self._plan['host']}\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        try:
            if self._connection is None:
                await self.connect()
            assert self._connection is not None
            status, body = await self._connection.ask(head.encode())
        except (OSError, TimeoutError) as error:
            self._connection = None
            self._seen.fail(name, f"{path}: {error!r}")
            return
        self._seen.latencies.setdefault(name, []).append(time.perf_counter() - moment)
        self._seen.bytes += len(body)
        if status != 200 or not body.startswith(operation["begins"].encode()):
            self._seen.fail(name, f"{path}: {status} {body[:300]!r}")


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Let all clients ask as ``plan`` says, and return what they have seen."""
    seen = Seen()
    clients = [Client(plan, client, number, seen) for number, client in enumerate(plan["clients"])]
    await asyncio.gather(*(client.connect() for client in clients))
    start, cpu = time.perf_counter() + 0.5, time.process_time()
    ways = (client.paced if plan["way"] == "paced" else client.closed for client in clients)
    await asyncio.gather(*(way(start, plan["seconds"]) for way in ways))
    return {
        "latencies": seen.latencies,
        "late": seen.late,
        "requests": seen.requests,
        "failed": seen.failed,
        "first_failures": seen.first_failures,
        "bytes": seen.bytes,
        "seconds": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
    }


if __name__ == "__main__":
    json.dump(asyncio.run(run(json.load(sys.stdin))), sys.stdout)
