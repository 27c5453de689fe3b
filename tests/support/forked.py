"""Daemons that start quickly: forked from a process that has imported ampd, instead of importing it once more each.

Half of the time of the tests of processes was spent on imports. Nothing else differs from ``python -m ampd.cli.ampd``:
each is a process of its own with its own session, environment and signals. The demo, ampctl, and the shell lines of the
documents start real interpreters in their tests.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from ampd.cli.ampd import main
from support.daemons import clean_environment

_PRELOADED = [
    "ampd.cli.ampd",
    "ampd.daemons.controller",
    "ampd.daemons.solo",
    "ampd.daemons.worker",
    "ampd.replay_node",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_PRELOADED)


class ForkedProcess:
    """A process of ``ampd``, with the part of :class:`subprocess.Popen` that tests use."""

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str], errors: Path | None = None
    ) -> None:
        """Start it; its output goes to ``log``, and what it says on stderr to ``errors`` when that is given."""
        told = None if errors is None else str(errors.absolute())
        given = (list(arguments), str(log.absolute()), dict(environment), str(Path.cwd()), told)
        self._process = _context.Process(target=_run, args=given)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Return the exit code, minus the signal's number for one that a signal ended, None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("ampd", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(
    arguments: list[str], log: str, environment: dict[str, str], directory: str, errors: str | None = None
) -> None:
    """Become what ``python -m ampd.cli.ampd`` would be, and run it."""
    os.setsid()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in ((1, log), (2, errors or log)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, encoding="utf-8") for number in (1, 2))
    # As in an interpreter that starts with it; the modules of ampd are there already.
    sys.path[:0] = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    random.seed()
    sys.argv = ["ampd", *arguments]
    main()


def run_daemon(
    *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run ``ampd`` to its end, as :func:`support.daemons.run_ampd` does, where it does not count how it was started."""
    with tempfile.TemporaryDirectory(prefix="ampd-run-") as directory:
        output, errors = Path(directory, "stdout"), Path(directory, "stderr")
        process = ForkedProcess(arguments, output, clean_environment(environment), errors)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        told, failed = (file.read_text(encoding="utf-8") if file.exists() else "" for file in (output, errors))
    return subprocess.CompletedProcess(list(arguments), code, told, failed)


def run_as_program(arguments: list[str], log: str, environment: dict[str, str], directory: str) -> NoReturn:
    """Become ``python -m ampd.cli.ampd`` in a child that was forked by hand, and end with its exit code."""
    try:
        _run(arguments, log, environment, directory)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 0)
    finally:
        os._exit(1)
