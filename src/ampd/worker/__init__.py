"""A worker process: registration, heartbeat, hints, slots, drain."""

from __future__ import annotations

from ampd.worker.heartbeat import HeartbeatSettings
from ampd.worker.node import WorkerNode, WorkerSettings

__all__ = ["HeartbeatSettings", "WorkerNode", "WorkerSettings"]
