"""ampctl in the process of the tests: quick, and its output can be captured."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from typing import Any

import pytest

from ampd.cli import ampctl


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code, as ``ampctl.run`` does.

    Help parses source code for its texts. In CPython before 3.11.8 that fails with a SystemError now and then when a
    collection of garbage comes in between that has a traceback to format, which parses too (gh-106905). Here the
    garbage of thousands of tests lies around; a process of ampctl's own has none.
    """
    gc.disable()
    try:
        return ampctl.run(arguments)
    finally:
        gc.enable()


class Ampctl:
    """Runs commands in this process and gives what they wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, command: str, code: int = 0) -> str:
        """Run ``command``; return stdout, or stderr when an error is wanted."""
        self._capsys.readouterr()
        assert run(command.split()) == code, self._capsys.readouterr()
        written = self._capsys.readouterr()
        assert "Traceback" not in written.err
        return written.err if code else written.out

    def json(self, command: str) -> Any:
        """Return the JSON that ``command`` writes."""
        return json.loads(self(f"{command} --json"))
