"""A version of ampd that does not exist yet: a copy of the package with another version, migrations and SQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import ampd
from support.daemons import POLL_SECONDS

VERSION = "0.2.0"
PACKAGE = Path(ampd.__file__).parent
MIGRATIONS = Path("metadata_db", "migrations")


class ForkedByHand:
    """A daemon of the copy, with the part of :class:`subprocess.Popen` that tests use."""

    def __init__(self, pid: int, exit_file: Path) -> None:
        self.pid = pid
        self._exit_file = exit_file

    @property
    def returncode(self) -> int | None:
        return int(self._exit_file.read_text()) if self._exit_file.exists() else None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.returncode) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("ampd", timeout or 0)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class NextVersion:
    """The copy. Call :meth:`ready` when it is as it shall be, and :meth:`end` at last."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.package = directory / "ampd"
        self._forking: subprocess.Popen[str] | None = None
        # With its compiled modules, which stay valid: only what is changed is compiled again.
        shutil.copytree(PACKAGE, self.package)
        about = directory / f"ampd-{VERSION}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ampd\nVersion: {VERSION}\n", encoding="utf-8")

    def add_migrations(self, files: Mapping[str, str]) -> None:
        """Add migrations by their ids. The first depends on all that there are, each other one on the one before."""
        depends = sorted(path.stem for path in (PACKAGE / MIGRATIONS).glob("*.sql"))
        for id_, text in files.items():
            head = f"-- depends: {' '.join(depends)}\n"
            (self.package / MIGRATIONS / f"{id_}.sql").write_text(head + text, encoding="utf-8")
            depends = [id_]

    def replace(self, file: str, old: str, new: str) -> None:
        """Change the text of a file of the package."""
        path = self.package / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def ready(self) -> None:
        """Import the copy, once for all its daemons."""
        tests = Path(__file__).parents[1]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AMP_")}
        self._forking = subprocess.Popen(
            [sys.executable, "-m", "support.forking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | {"PYTHONPATH": f"{self.directory}{os.pathsep}{tests}"},
        )
        assert self._read() == "ready"

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> ForkedByHand:
        """Start ``ampd`` of the copy."""
        assert self._forking is not None
        assert self._forking.stdin is not None
        exit_file = Path(f"{log}.exit")
        exit_file.unlink(missing_ok=True)
        request = {"arguments": list(arguments), "log": str(log), "environment": dict(environment)}
        self._forking.stdin.write(json.dumps(request | {"directory": str(Path.cwd())}) + "\n")
        self._forking.stdin.flush()
        return ForkedByHand(int(self._read()), exit_file)

    def end(self) -> None:
        """End what forks its daemons."""
        if self._forking is not None:
            self._forking.communicate(timeout=30)

    def _read(self) -> str:
        assert self._forking is not None
        assert self._forking.stdout is not None
        return self._forking.stdout.readline().strip()
