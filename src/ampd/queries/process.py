"""``python -m ampd.queries.process CPU_SECONDS WALL_SECONDS MEMORY_BYTES`` answers one question, and ends.

It reads a question as JSON from standard input and writes lines of JSON: ``{"begins": TABLE}`` before each table, then
``{"columns": {TABLE: […]}}`` or ``{"error": [CODE, MESSAGE]}``. SQL that takes it down, by its stack, by time or by
memory, takes down nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

MAX_ANSWER_CHARACTERS = 2**20
# What pyo3 makes of a panic in Rust; the class cannot be imported.
_PANIC = "PanicException"
_NICENESS = 5  # the controller's loops come first


def main() -> None:
    """Answer the question of standard input, and end at once."""
    cpu_seconds, wall_seconds, memory_bytes = map(int, sys.argv[1:])
    _limit_time(cpu_seconds, wall_seconds)
    from ampd.errors import AmpError  # noqa: PLC0415 - the limits hold for what follows, and for what it imports
    from ampd.queries.inference import infer  # noqa: PLC0415
    from ampd.queries.question import Question  # noqa: PLC0415

    _limit_memory(memory_bytes)
    question = Question.from_json(json.load(sys.stdin.buffer))
    try:
        answer = json.dumps({"columns": infer(question, lambda table: _say({"begins": table}))})
        _check_size(answer)
        _write(answer)
    except AmpError as error:
        _say({"error": [str(error.code), error.message]})
    except BaseException as error:
        if isinstance(error, MemoryError) or type(error).__name__ == _PANIC:
            os.abort()  # what SQL does to a planner, as it ends without Python's help
        raise
    # Not the usual way out: taking a deep plan apart can overflow the stack as well.
    os._exit(0)


def _check_size(answer: str) -> None:
    """Refuse an answer that a controller would choke on: columns that double from table to table fill any memory."""
    from ampd.errors import AmpError, ErrorCode  # noqa: PLC0415

    if len(answer) > MAX_ANSWER_CHARACTERS:
        message = (
            f"the columns of all tables take {len(answer)} characters of JSON, more than {MAX_ANSWER_CHARACTERS}: ask "
            "for fewer tables at once, or select fewer columns"
        )
        raise AmpError(ErrorCode.INVALID_PLAN, message)


def _limit_time(cpu_seconds: int, wall_seconds: int) -> None:
    os.nice(_NICENESS)
    signal.alarm(wall_seconds)  # also when whoever asks is gone
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_memory(more_bytes: int) -> None:
    """Limit what this process may take beyond the addresses that its libraries have taken, which differ by machine."""
    if sys.platform == "linux":  # others do not keep such a limit; time ends there what memory does not
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _say(line: dict[str, Any]) -> None:
    _write(json.dumps(line))


def _write(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - standard output is the way back


if __name__ == "__main__":
    main()
