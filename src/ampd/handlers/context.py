"""What a handler is given beside its input."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from ampd.handlers.json_values import json_value
from ampd.tasks import cancel_all, wait_until

MOST_PROGRESS_BYTES: Final = 16 * 1024
MOST_CHECKPOINT_BYTES: Final = 64 * 1024
_REPORT_SECONDS: Final = 1.0


class JobStoppedError(Exception):
    """Raised by :meth:`HandlerContext.check_cancelled`. Let it through: the job ends where it is."""


class HandlerContext:
    """What a handler knows of its job, and what it tells of it.

    ``job_id`` and ``kind``; ``execution_number`` counts the runs of the job from 1 (a timetable makes many),
    ``attempt`` the tries of this run, also those that were lost with their worker. ``labels`` are the job's.
    ``idempotency_key`` is the same for all attempts of one execution, and for no other: give it to whom you call.
    ``log`` writes into the worker's log, with these numbers. ``stop`` is set when the handler should end.

    Work that has been done may be done again: a worker can die behind any line. A checkpoint says where to go on.
    """

    def __init__(
        self,
        *,
        job_id: int,
        kind: str,
        execution_number: int,
        attempt: int,
        labels: Mapping[str, str],
        checkpoint: Any,
        stop: asyncio.Event,
        write_progress: Callable[[dict[str, Any]], Awaitable[None]],
        write_checkpoint: Callable[[Any], Awaitable[None]],
    ) -> None:
        self.job_id = job_id
        self.kind = kind
        self.execution_number = execution_number
        self.attempt = attempt
        self.labels = dict(labels)
        self.idempotency_key = f"{job_id}-{execution_number}"
        self.stop = stop
        self.log: structlog.stdlib.BoundLogger = structlog.get_logger("ampd.handlers").bind(
            job_id=job_id, kind=kind, execution_number=execution_number, attempt=attempt
        )
        self._checkpoint = checkpoint
        self._write_checkpoint = write_checkpoint
        self._reports = _Reports(write_progress)

    @property
    def cancelled(self) -> bool:
        """Whether the handler should end: an operator stops or pauses the job, or its worker is about to leave."""
        return self.stop.is_set()

    def check_cancelled(self) -> None:
        """End the handler here, if it should end. What the job is then, STOPPED or SCHEDULED for another worker,
        depends on who wanted it.

        :raises JobStoppedError: when :attr:`cancelled`.
        """
        if self.stop.is_set():
            raise JobStoppedError

    async def sleep(self, seconds: float) -> None:
        """Wait for so long.

        :raises JobStoppedError: as soon as the handler should end.
        """
        await wait_until(self.stop, seconds)
        self.check_cancelled()

    async def progress(self, **said: Any) -> None:
        """Tell how far the work is, in words of your own, such as ``done=3, total=10``: JSON values, at most 16 KiB.

        The last word counts. It is written at once, or within a second when there was one just before, so that a loop
        may tell of every step.

        :raises AmpError: JOB_DATA_INVALID; LEASE_LOST when the job belongs to another worker now.
        """
        await self._reports.say(json_value(said, what="the progress", most_bytes=MOST_PROGRESS_BYTES))

    def load_checkpoint(self) -> Any:
        """Return what was saved last in this execution, by this attempt or one before it; None: nothing."""
        return self._checkpoint

    async def save_checkpoint(self, value: Any) -> None:
        """Keep ``value``, a JSON value of at most 64 KiB, for the attempts that may follow this one. It is stored when
        this returns.

        :raises AmpError: JOB_DATA_INVALID; LEASE_LOST when the job belongs to another worker now: nothing was stored.
        """
        kept = json_value(value, what="the checkpoint", most_bytes=MOST_CHECKPOINT_BYTES)
        await self._write_checkpoint(kept)
        self._checkpoint = kept

    async def close(self) -> None:
        """Write what was said and not written yet. The worker calls it at the end."""
        await self._reports.close()


class _Reports:
    """Writes what was said last, at most once a second."""

    def __init__(self, write: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._write = write
        self._said: dict[str, Any] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def say(self, words: dict[str, Any]) -> None:
        if self._writing is not None and self._writing.done():
            self._writing.result()  # what went wrong with an earlier word is told here
            self._writing = None
        self._said = words
        if self._writing is None:
            await self._write_said()
            self._writing = asyncio.create_task(self._write_later())

    async def _write_said(self) -> None:
        said, self._said = self._said, None
        if said is not None:
            await self._write(said)

    async def _write_later(self) -> None:
        await wait_until(self._closing, _REPORT_SECONDS)
        while self._said is not None:
            await self._write_said()
            await wait_until(self._closing, _REPORT_SECONDS)

    async def close(self) -> None:
        self._closing.set()
        if self._writing is None:
            return
        try:
            await self._writing
        finally:
            await cancel_all([self._writing])
