"""Which processes a test has left behind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from support.daemons import wait_for


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it started, directly or not."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(processes: Iterable[psutil.Process], timeout: float = 30.0) -> None:
    watched = list(processes)
    wait_for(f"the end of {watched}", lambda: not any(is_alive(process) for process in watched), timeout)


def processes_of(directory: Path) -> list[psutil.Process]:
    """Return the living processes that name ``directory`` in their arguments or their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(directory) in word for word in words) and is_alive(process):
            found.append(process)
    return found
