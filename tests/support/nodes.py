"""JSON-RPC nodes for tests: the replay node as a process, and any server on a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from ampd.replay_node import FaultChooser, ReplayChain, ReplayNode
from ampd.tasks import cancel_all
from support.daemons import Process, ampd

BLOCKS = Path(__file__).parents[1] / "data" / "blocks"
MAINNET = BLOCKS / "ethereum-17686110-17686132"
FIRST_BLOCK, LAST_BLOCK = 17686110, 17686132


@contextmanager
def replay_process(log: Path, *options: str, blocks: Path = MAINNET) -> Iterator[str]:
    """Run ``ampd replay-node`` on recorded blocks and give its URL."""
    process = ampd("replay-node", "--blocks", str(blocks), "--port", "0", *options, log=log)
    try:
        yield _url_in(process)
    finally:
        process.end()


def _url_in(process: Process) -> str:
    line = process.wait_for_text("http://")
    return next(word for word in line.split() if word.startswith("http://"))


@contextmanager
def on_thread(server: AbstractAsyncContextManager[str]) -> Iterator[str]:
    """Run an asynchronous server on a thread of its own and give its URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait_for_result(work: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(_awaited(work), loop).result(30)

    try:
        yield wait_for_result(server.__aenter__())
        wait_for_result(server.__aexit__(None, None, None))
    finally:
        # Answers that nobody waits for any more: left behind, they would end in some other test.
        wait_for_result(_cancel_others())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_others() -> None:
    await cancel_all(asyncio.all_tasks() - {asyncio.current_task()})


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


@asynccontextmanager
async def replay_node(chain: ReplayChain, faults: FaultChooser | None = None) -> Any:
    """Serve ``chain`` in this process, with ``faults``."""
    async with ReplayNode(chain, faults=faults) as node:
        yield node.url


@asynccontextmanager
async def http_server(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """Serve every request with ``answer``."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
