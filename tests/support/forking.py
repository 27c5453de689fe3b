"""A process that has imported whichever ampd is on its path, and forks daemons of it: one import for all of them.

Run as a program by :mod:`support.next_version`. Each line of its input is ``{arguments, log, environment, directory}``;
it answers with the pid. When a daemon has ended, its exit code stands in ``<log>.exit``.
"""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path

import ampd.daemons.controller
import ampd.daemons.worker  # noqa: F401 - so that no daemon has to
from support.forked import run_as_program

LOOK_EVERY_SECONDS = 0.05


def main() -> None:
    logs: dict[int, str] = {}
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([0], [], [], LOOK_EVERY_SECONDS)
        if readable:
            line = sys.stdin.buffer.readline()
            if not line:
                return
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                run_as_program(**request)
            logs[pid] = request["log"]
            print(pid, flush=True)
        for pid in list(logs):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                file = Path(f"{logs.pop(pid)}.exit")
                file.with_suffix(".new").write_text(str(os.waitstatus_to_exitcode(status)))
                file.with_suffix(".new").rename(file)


if __name__ == "__main__":
    main()
