"""Hints through PostgreSQL's NOTIFY (design section 4.4). Nothing depends on their arrival.

A NOTIFY makes commits wait for each other, and wakes every listener. So hints are sent after the change has been
committed, from a statement of their own, at most one in 50 ms from a process: several that come together are one.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import structlog

from ampd.errors import AmpError
from ampd.metadata_db import MetadataDb, sql

_log = structlog.get_logger(__name__)

CHANNEL = "job_actions"
INTERVAL_SECONDS = 0.05


@dataclass(frozen=True)
class JobAction:
    """A hint that worker ``node_id`` should look at a job: ``START`` or ``STOP``; or ``PLACE``, for everyone: look at
    what there is to place and to do.
    """

    node_id: str | None
    job_id: int | None
    action: str

    def to_payload(self) -> str:
        """Return the text that is sent."""
        inner = {"job_id": self.job_id, "action": self.action}
        return json.dumps({"node_id": self.node_id, "payload": inner}, separators=(",", ":"))


# What stands for several hints.
PLACE = JobAction(None, None, "PLACE")


class Notifier:
    """Sends the hints of one process."""

    def __init__(self, db: MetadataDb) -> None:
        self._db = db
        self._waiting: set[JobAction] = set()
        self._is_planned = False
        self._not_before = 0.0

    def hint(self, action: JobAction) -> None:
        """Send a hint: at once, or together with others when the last one was sent just now."""
        self._waiting.add(action)
        if not self._is_planned:
            self._is_planned = True
            self._db.run_beside(self._send(), name="notifier")

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._not_before - loop.time())
        self._not_before = loop.time() + INTERVAL_SECONDS
        action = self._waiting.pop() if len(self._waiting) == 1 else PLACE
        self._waiting.clear()
        self._is_planned = False
        try:
            await self._db.execute(sql("jobs", "notify"), {"payload": action.to_payload()})
        except AmpError as error:
            _log.debug("notification.lost", error=error.message)


def parse_action(payload: str) -> JobAction | None:
    """Read a notification; None for text that is not one (the caller logs and forgets it)."""
    try:
        envelope = json.loads(payload)
        node_id, inner = envelope["node_id"], envelope["payload"]
        job_id, action = inner["job_id"], inner["action"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = isinstance(action, str) and isinstance(node_id, str | None)
    return JobAction(node_id, job_id, action.upper()) if texts and isinstance(job_id, int | None) else None
