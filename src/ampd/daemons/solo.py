"""Solo: all of ampd on one machine. The embedded PostgreSQL, and the very processes that a cluster runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from ampd.config import Config, load_config
from ampd.daemons.lifecycle import PARENT_PIPE
from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import EmbeddedPostgres

_log = structlog.get_logger(__name__)

NODE_ID = "worker"
_RESTART_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
# A child that lived this long had started well: its next end is a new story.
_STEADY_SECONDS = 30.0
_CONFIG_TEXT = "# Settings of this `ampd solo`. What is not set here has its default: docs/reference/configuration.md\n"


@dataclass(frozen=True)
class _Child:
    name: str
    arguments: tuple[str, ...]


def prepare_amp_dir(amp_dir: Path) -> Config:
    """Make the folders and the config file of ``amp_dir`` that are not there yet, and read the configuration.

    :raises AmpError: DATA_STORE_NOT_WRITABLE when the folder cannot be written, CONFIG_INVALID.
    """
    config_file = amp_dir / "config.toml"
    try:
        amp_dir.mkdir(parents=True, exist_ok=True)
        if not config_file.exists():
            config_file.write_text(_CONFIG_TEXT, encoding="utf-8")
        for folder in ("data", "providers", "manifests"):
            (amp_dir / folder).mkdir(exist_ok=True)
    except OSError as error:
        raise AmpError(
            ErrorCode.DATA_STORE_NOT_WRITABLE,
            f"cannot write in the amp dir {amp_dir}: {error.strerror}. "
            "Make it writable, or choose another with --amp-dir",
        ) from None
    return load_config(config_file)


@contextmanager
def metadata_db_of(config: Config, amp_dir: Path) -> Iterator[str]:
    """Give the URL of the metadata database: the configured one, else that of the embedded server, which runs
    meanwhile.
    """
    if config.metadata_db.url is not None:
        yield config.metadata_db.url
        return
    with EmbeddedPostgres(amp_dir / "metadb") as server:
        yield server.url


async def run_solo(config: Config, amp_dir: Path, database_url: str, stop: asyncio.Event) -> None:
    """Run controller and worker as child processes until ``stop`` is set; one that dies is started again.

    :raises AmpError: when a child cannot start.
    """
    config_file = str(amp_dir / "config.toml")
    children = (
        _Child("controller", ("--config", config_file, "controller")),
        _Child("worker", ("--config", config_file, "worker", "--node-id", NODE_ID)),
    )
    # The children end when this end of the pipe closes: also when this process is killed.
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    environment = {**os.environ, PARENT_PIPE: str(read_end), "AMP_CONFIG_METADATA_DB__URL": database_url}
    try:
        keepers = [asyncio.create_task(_keep(child, environment, read_end, stop)) for child in children]
        await asyncio.wait(keepers, return_when=asyncio.FIRST_EXCEPTION)
        stop.set()
        await asyncio.wait(keepers)
        for keeper in keepers:
            keeper.result()
    finally:
        os.close(write_end)
        os.close(read_end)


async def _keep(child: _Child, environment: dict[str, str], pipe: int, stop: asyncio.Event) -> None:
    """Run ``child``, again and again when it is killed, until ``stop`` is set. An end with an error of its own is
    final.
    """
    failures = 0
    loop = asyncio.get_running_loop()
    stopping = asyncio.ensure_future(stop.wait())
    while not stop.is_set():
        started_at = loop.time()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ampd.cli.ampd",
            *child.arguments,
            env=environment,
            pass_fds=(pipe,),
            # Ctrl+C in a terminal reaches the whole group; the children shall hear it from us.
            start_new_session=True,
        )
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.send_signal(signal.SIGTERM)
        code = await ended
        if stop.is_set():
            return
        if code >= 0:
            raise AmpError(
                ErrorCode.INTERNAL_ERROR, f"the {child.name} ended with exit code {code}; its message is above"
            )
        failures = 0 if loop.time() - started_at > _STEADY_SECONDS else failures + 1
        pause = _RESTART_PAUSES[min(failures, len(_RESTART_PAUSES) - 1)]
        _log.warning("solo.child_killed", child=child.name, signal=-code, restart_in_s=pause)
        await asyncio.wait({stopping}, timeout=pause)
