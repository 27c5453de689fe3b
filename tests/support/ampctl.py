"""ampctl in the process of the tests: quick, and its output can be captured."""

from __future__ import annotations

import gc
from collections.abc import Sequence

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
