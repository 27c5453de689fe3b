"""More for the dashboard to show: a chain that grows, one that takes long, jobs by the clock, and one that fails."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from types import FrameType

from rich.console import Console

from ampd.client import Ampd
from ampd.datasets import generate_manifest
from ampd.demo import processes, show

_TIP, _LONG = "demo/tip", "demo/long"
_BLOCK_SECONDS = 3.0
# Two answers a second at most for each request in flight: minutes of work for a lake of some hundred megabytes.
_LATENCY_SECONDS = 1.0
_LONG_BLOCKS = 2000
_TIP_BLOCKS = 10_000
_MINUTE_MILLISECONDS = 60_000


def leave_open(console: Console, admin_url: str, blocks: Path, first_block: int) -> None:
    """Start more jobs on nodes of their own, print where the dashboard is, and wait for Ctrl+C or SIGTERM.

    :raises AmpError: when a node does not start.
    :raises ampd.client.ApiError: when the controller refuses a job.
    """
    with ExitStack() as running, _until_signal() as ended:
        tip = running.enter_context(
            processes.replay_node(blocks, "--length", f"{_TIP_BLOCKS}", "--block-seconds", f"{_BLOCK_SECONDS}")
        )
        slow = running.enter_context(
            processes.replay_node(blocks, "--length", f"{_LONG_BLOCKS}", "--latency", f"{_LATENCY_SECONDS}")
        )
        with Ampd(admin_url) as client:
            _start_jobs(client, tip, slow, first_block)
        show.dashboard(console, admin_url)
        ended.wait()


def _start_jobs(client: Ampd, tip_url: str, slow_url: str, first_block: int) -> None:
    _extract(client, _TIP, tip_url, first_block)
    _extract(client, _LONG, slow_url, first_block, end_block="latest", parallelism=2)
    ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
    call = {"url": tip_url, "method": "POST", "body": ask}
    labels = {"env": "demo", "purpose": "ask the node how far it is"}
    client.jobs.create("http", call, labels=labels, schedule={"every": _MINUTE_MILLISECONDS})
    # A node takes nothing but POST: this is what a failure looks like.
    client.jobs.create("http", {"url": tip_url}, labels={"env": "demo", "purpose": "fail, to be looked at"}, retries=0)


def _extract(client: Ampd, name: str, url: str, first_block: int, **options: object) -> None:
    network = name.replace("/", "_")
    client.providers.register(network, "evm-rpc", {"network": network, "url": url})
    manifest = generate_manifest("evm-rpc", network, first_block, False)
    client.datasets.register(name, manifest.to_json(), "1.0.0")
    client.datasets.deploy(f"{name}@1.0.0", **options)  # type: ignore[arg-type] # a few of its options


@contextmanager
def _until_signal() -> Iterator[Event]:
    """Give an event that SIGINT and SIGTERM set, in place of what they do otherwise."""
    ended = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
