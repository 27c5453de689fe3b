"""Asks a process of its own, so that no SQL can take a controller down or keep it busy."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from subprocess import PIPE, Popen, TimeoutExpired
from typing import Any, Final

import structlog

from ampd.errors import AmpError, ErrorCode
from ampd.queries.question import Question

log = structlog.get_logger(__name__)

Columns = list[dict[str, Any]]
# Nothing else of the environment goes along: it has passwords.
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")
# One thread, and few arenas, each of which would reserve memory.
_SETTINGS: Final = {"TOKIO_WORKER_THREADS": "1", "MALLOC_ARENA_MAX": "2", "RUST_BACKTRACE": "0"}
_OUT_OF_TIME: Final = frozenset({-signal.SIGXCPU, -signal.SIGALRM})
# The process ends itself in time; how long it is waited for when it does not.
_GRACE_SECONDS: Final = 5
_KEPT_CHARACTERS: Final = 2000


@dataclass(frozen=True)
class PlannerLimits:
    """What one question may cost, and how many are answered at a time. ``memory_bytes`` come on top of what the process
    has when it begins, about 150 MB.
    """

    cpu_seconds: int = 10
    wall_seconds: int = 25
    memory_bytes: int = 2**29
    at_once: int = 2


class SchemaPlanner:
    """Tells which columns SQL gives. Each question is answered by a process of its own, which ends with it."""

    def __init__(self, limits: PlannerLimits | None = None) -> None:
        self._limits = limits or PlannerLimits()
        self._turns = asyncio.Semaphore(self._limits.at_once)

    async def columns(self, question: Question) -> dict[str, Columns]:
        """Return the columns of every table of ``question``, ``_block_num`` first.

        :raises AmpError: what is wrong, and with which table; RATE_LIMITED while others ask too much; SCHEMA_INFERENCE
            when the process cannot do its work.
        """
        question.check()
        if not question.tables:
            return {}
        async with self._turn():
            return await self._ask(question)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        seconds = self._limits.wall_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._turns.acquire()
        except TimeoutError:
            message = f"SQL of others has been planned for {seconds} s: ask again later"
            raise AmpError(
                ErrorCode.RATE_LIMITED, message, recoverable=True, retry_after_seconds=float(seconds)
            ) from None
        try:
            yield
        finally:
            self._turns.release()

    async def _ask(self, question: Question) -> dict[str, Columns]:
        # Not asyncio's subprocesses: whoever is cancelled while one of those starts can wait for ever.
        process = self._start()
        body = json.dumps(question.to_json()).encode()
        try:
            out, err = await asyncio.to_thread(_talk, process, body, self._limits.wall_seconds + _GRACE_SECONDS)
        except asyncio.CancelledError:
            process.kill()
            raise
        return self._read(process.returncode, out, err.decode(errors="replace"))

    def _start(self) -> Popen[bytes]:
        limits = self._limits
        return Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "ampd.queries.process",
                *map(str, (limits.cpu_seconds, limits.wall_seconds, limits.memory_bytes)),
            ],
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={**{name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}, **_SETTINGS},
            start_new_session=True,  # Ctrl+C in a terminal is for the controller, which waits for its requests
        )

    def _read(self, code: int, out: bytes, err: str) -> dict[str, Columns]:
        lines = [json.loads(line) for line in out.split(b"\n")[:-1]]
        last: dict[str, Any] = lines[-1] if lines else {}
        if "columns" in last:
            return dict(last["columns"])
        if "error" in last:
            raise AmpError(ErrorCode(last["error"][0]), last["error"][1])
        log.warning("queries.planner_ended", exit_code=code, error=err[-_KEPT_CHARACTERS:])
        where = f"table '{last['begins']}': " if "begins" in last else ""
        if code in _OUT_OF_TIME and where:
            what = (
                f"its SQL was not planned within {self._limits.cpu_seconds} s of CPU time "
                f"({self._limits.wall_seconds} s in all): make it smaller, with fewer joins and fewer uses of one WITH "
                "table in another"
            )
            raise AmpError(ErrorCode.INVALID_PLAN, where + what)
        if code < 0 and where:
            what = (
                "its SQL cannot be planned: it is nested too deep, or too large (the planner ran out of stack or "
                "memory, or has a fault here). Make it shorter, or split it into several tables (self.TABLE)"
            )
            raise AmpError(ErrorCode.INVALID_PLAN, where + what)
        raise AmpError(
            ErrorCode.SCHEMA_INFERENCE,
            f"the process that plans SQL ended with {code} before it had an answer; the log of the controller has more",
        )


def _talk(process: Popen[bytes], body: bytes, seconds: float) -> tuple[bytes, bytes]:
    """Write ``body`` to ``process``, and return what it wrote to stdout and stderr; it has ended then."""
    with process:
        try:
            return process.communicate(body, seconds)
        except TimeoutExpired:
            process.kill()
            return process.communicate()
