"""Hints through PostgreSQL's NOTIFY (design section 4.4). Nothing depends on their arrival."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ampd.metadata_db import Connection, sql

CHANNEL = "job_actions"
# A hint to everyone who places jobs: it names no worker.
PLACEMENT_HINT = json.dumps({"node_id": None, "payload": {"job_id": None, "action": "PLACE"}}, separators=(",", ":"))


@dataclass(frozen=True)
class JobAction:
    """A hint that worker ``node_id`` should look at a job: ``START`` or ``STOP``; or ``PLACE`` (for everyone): there is
    a job to place.
    """

    node_id: str | None
    job_id: int | None
    action: str


async def notify_worker(connection: Connection, node_id: str, job_id: int, action: str) -> None:
    """Tell a worker, when the transaction commits, to look at a job."""
    payload = json.dumps({"node_id": node_id, "payload": {"job_id": job_id, "action": action}}, separators=(",", ":"))
    await connection.execute(sql("jobs", "notify"), {"payload": payload})


async def wake_placement(connection: Connection) -> None:
    """Tell everyone who places jobs, when the transaction commits, that there is one."""
    await connection.execute(sql("jobs", "notify"), {"payload": PLACEMENT_HINT})


def parse_action(payload: str) -> JobAction | None:
    """Read a notification; None for text that is not one (the caller logs and forgets it)."""
    try:
        envelope = json.loads(payload)
        inner = envelope["payload"]
        return JobAction(node_id=envelope["node_id"], job_id=inner["job_id"], action=str(inner["action"]).upper())
    except (ValueError, KeyError, TypeError):
        return None
