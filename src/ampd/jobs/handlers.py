"""What runs jobs: a handler per kind. The engine knows handlers only by this protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ampd.jobs.models import Lease


@dataclass(frozen=True)
class JobContext:
    """What a handler gets with a job.

    ``stop`` is set when the handler should finish what it holds and return (an operator's stop, or a draining worker).
    ``lease_is_valid`` tells whether this process may still write; every write to the database is fenced besides.

    """

    lease: Lease
    input: dict[str, Any]
    stop: asyncio.Event
    lease_is_valid: Callable[[], bool]


@dataclass(frozen=True)
class Completed:
    """The work is complete, and this is what it gave: a JSON value, which the job and its execution keep."""

    result: Any


class JobHandler(Protocol):
    """Runs jobs of one kind.

    ``run`` returns True, or :class:`Completed`, when the work is complete, False when it ended early because
    ``context.stop`` was set. It raises :class:`ampd.errors.AmpError` for failures; ``recoverable`` decides whether the
    job is tried again.
    """

    async def run(self, context: JobContext) -> bool | Completed:
        """Run a job to its end, or to ``context.stop``."""
