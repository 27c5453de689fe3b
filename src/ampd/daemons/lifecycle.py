"""How a daemon begins and ends: signals, its parent, its database."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from ampd.config import Config
from ampd.daemons.build_info import build_info
from ampd.metadata_db import MetadataDb, migrate_at_start, require_migrated
from ampd.tasks import cancel_all
from ampd.telemetry.traces import begin_traces, end_traces

_log = structlog.get_logger(__name__)

# A child of `ampd solo` holds one end of a pipe under this variable; the other end closes when solo dies, however it
# dies.
PARENT_PIPE = "AMP_PARENT_PIPE"
EXIT_AT_ONCE = 1


def run_until_stopped(daemon: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run ``daemon`` until it ends; it is asked to by the first SIGINT or SIGTERM, the second ends the process at
    once.
    """

    async def main() -> None:
        stop = asyncio.Event()
        signals: list[signal.Signals] = []
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _on_signal, stop, signals, number)
        _watch_parent(loop, stop)
        await daemon(stop)

    asyncio.run(main())


def _on_signal(stop: asyncio.Event, signals: list[signal.Signals], number: signal.Signals) -> None:
    signals.append(number)
    if len(signals) > 1:
        _log.warning("daemon.ends_at_once", signal=number.name)
        os._exit(EXIT_AT_ONCE)
    _log.info("daemon.stopping", signal=number.name)
    stop.set()


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    text = os.environ.get(PARENT_PIPE)
    if text is None:
        return
    descriptor = int(text)

    def on_end() -> None:
        loop.remove_reader(descriptor)
        _log.warning("daemon.parent_died")
        stop.set()

    loop.add_reader(descriptor, on_end)


def leave_out_of_collections() -> None:
    """Take all that is there, when a start is over, out of the sight of the garbage collector.

    It stays until the end anyway. A full collection stops everything, and walked over all of it each time: 80 ms, every
    ten seconds where the Admin API is busy.
    """
    gc.collect()
    gc.freeze()


async def open_metadata_db(config: Config, *, process: str) -> MetadataDb:
    """Open the metadata database, with its tables up to date. ``process`` names this process there.

    :raises AmpError: CONFIG_INVALID without a URL, METADATA_DB_UNREACHABLE, METADATA_DB_UNSUPPORTED,
        METADATA_DB_NOT_MIGRATED, METADATA_DB_IN_USE, METADATA_DB_MIGRATION_FAILED.
    """
    url = config.require_metadata_db_url()
    db = MetadataDb(url, max_connections=config.metadata_db.pool_size, process=process)
    # The session comes first: a migration that takes something away sees this process, or is seen by it.
    await db.open()
    try:
        if config.metadata_db.auto_migrate:
            await _migrate(url, config.worker.lease_secs)
        else:
            await asyncio.to_thread(require_migrated, url)
    except BaseException:
        await db.close()
        raise
    return db


async def _migrate(url: str, lease_seconds: float) -> None:
    done = await asyncio.to_thread(migrate_at_start, url, lease_seconds=lease_seconds)
    if done.applied:
        _log.info("metadata_db.migrated", migrations=done.applied)
    if done.waiting:
        _log.warning(
            "metadata_db.migrations_wait",
            migrations=done.waiting,
            older_processes=[str(each) for each in done.older_processes],
            meaning="the last one to be restarted applies them; or run ampd migrate --phase post when all have been",
        )


@contextmanager
def traced(config: Config, component: str, instance: str) -> Iterator[None]:
    """Send traces of this process where the configuration says, if it does, until the block ends."""
    given = config.opentelemetry
    if given.trace_url is None:
        yield
        return
    version = build_info()["version"]
    begin_traces(given.trace_url, ratio=given.trace_ratio, component=component, instance=instance, version=version)
    _log.info("traces.begun", collector=given.trace_url, ratio=given.trace_ratio)
    try:
        yield
    finally:
        end_traces()


async def first_to_end(*loops: Awaitable[None]) -> None:
    """Run ``loops`` until the first one ends, end the others, and raise what ended it."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all(tasks)
    for task in finished:
        task.result()


def warn_of_ignored_keys(config: Config) -> None:
    """Say which configured keys have no effect."""
    for key in config.ignored_keys:
        _log.warning("config.key_without_effect", key=key)
