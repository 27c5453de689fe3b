"""Programs on a terminal of their own, and somebody who types and reads."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

SECONDS = 60
# What a terminal is told about colours, cursors and modes.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\r\a]")


class Terminal:
    """Types to a program, and reads what it shows."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._selector = DefaultSelector()
        self._selector.register(terminal, EVENT_READ)

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def read_until(self, pattern: str) -> str:
        """Return what was written until ``pattern`` is in it."""
        written = b""
        while not re.search(pattern, text := CONTROL.sub("", written.decode(errors="replace"))):
            assert self._selector.select(SECONDS), f"waited for {pattern!r}, after: {text}"
            written += os.read(self._terminal, 65536)
        return text


@contextmanager
def on_terminal(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> Iterator[Terminal]:
    """Run a program on a terminal that hangs up at the end of the block."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, env=environment, cwd=directory, start_new_session=True
    ) as process:
        os.close(its)
        try:
            yield Terminal(ours)
        finally:
            process.terminate()
            os.close(ours)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
