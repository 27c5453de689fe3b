"""What receivers are told: the events, and the body of a message. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

# The event, and the status of the job in its message.
EVENTS: Final = {
    "job.scheduled": "scheduled",
    "job.started": "running",
    "job.completed": "completed",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
    "job.paused": "paused",
    "job.resumed": "scheduled",
}
TEST_EVENT: Final = "webhook.test"
TEST_JOB: Final[dict[str, Any]] = {"id": 0, "kind": "test", "run_at_ms": 0, "execution_count": 0}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS: Final = EVENTS | {TEST_EVENT: "completed"}


def payload(
    event: str, occurred_at: datetime, job: Mapping[str, Any], *, sequence: int, event_id: int | None
) -> dict[str, Any]:
    """Return the message of an event. ``job`` is what the outbox kept of the job (``webhook_job`` in its migration).

    ``product`` and ``env`` are texts, empty when the job has none; ``error`` is there when the event is a failure, and
    ``reason`` when somebody gave one.
    """
    told: dict[str, Any] = {
        "id": str(job["id"]),
        "status": _STATUS[event],
        "namespace": job["kind"],
        "product": job.get("product") or "",
        "env": job.get("env") or "",
        "scheduled_at": job["run_at_ms"],
        "execution_count": job["execution_count"],
    }
    if event == "job.failed" and job.get("error"):
        told["error"] = job["error"]
    if event in {"job.cancelled", "job.paused"} and job.get("reason"):
        told["reason"] = job["reason"]
    if job.get("dataset_name"):
        told["dataset"] = {"namespace": job.get("dataset_namespace"), "name": job["dataset_name"]}
    return {
        "event": event,
        "timestamp": (occurred_at - _EPOCH) // timedelta(milliseconds=1),
        "sequence": sequence,
        "event_id": event_id,
        "job": told,
    }


def body_of(message: Mapping[str, Any]) -> bytes:
    """Return the bytes of a message: what is sent, and what is signed."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
