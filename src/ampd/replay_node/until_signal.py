"""Serving as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager


async def serve_until_signal(server: AbstractAsyncContextManager[object], listening: Callable[[], str]) -> None:
    """Serve until SIGINT or SIGTERM, after one line on stdout: what ``listening`` says when the server answers."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with server:
        sys.stdout.write(f"{listening()}\n")
        sys.stdout.flush()
        await stop.wait()
