"""A worker process: registration, heartbeat, hints, slots, drain."""

from __future__ import annotations

from ampd.worker.heartbeat import HeartbeatSettings
from ampd.worker.node import WorkerNode, WorkerSettings
from ampd.worker.spare_slots import Companion, SpareSlots

__all__ = ["Companion", "HeartbeatSettings", "SpareSlots", "WorkerNode", "WorkerSettings"]
