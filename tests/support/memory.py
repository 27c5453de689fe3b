"""How much memory a process has had at most."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

from support.daemons import Process

MEGABYTE = 1_000_000
MOST = 1_000 * MEGABYTE  # what a worker may have


class Peaks:
    """The most resident memory of each worker process, to be asked for before it is killed; dead ones stay known."""

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}

    def look(self, *workers: Process) -> None:
        """Take down what these have had until now."""
        for worker in workers:
            if worker.popen.poll() is None:
                name = f"{worker.log.stem} ({worker.popen.pid})"
                self.bytes[name] = max(peak_bytes(worker.popen.pid), self.bytes.get(name, 0))

    def assert_modest(self) -> None:
        assert self.bytes, "nobody has looked"
        too_much = {name: peak for name, peak in self.bytes.items() if peak >= MOST}
        assert not too_much, f"more than a gigabyte: {too_much}"

    def __str__(self) -> str:
        return f"{len(self.bytes)} workers had at most {max(self.bytes.values(), default=0) // MEGABYTE} MB"


def peak_bytes(pid: int) -> int:
    """Return the most that was resident of a process; where the system does not keep it, what is now."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return int(psutil.Process(pid).memory_info().rss)
    found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
