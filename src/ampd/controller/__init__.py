"""The loops that keep the cluster true. Any number of controllers may run; each loop is safe beside its twins."""

from __future__ import annotations

from ampd.controller.minutes import run_minutes
from ampd.controller.placement import run_placement
from ampd.controller.rescue import run_rescue
from ampd.controller.retention import run_retention
from ampd.controller.timetable import run_timetable
from ampd.controller.webhooks import run_webhooks
from ampd.controller.worker_events import EventSettings, run_worker_events

__all__ = [
    "EventSettings",
    "run_minutes",
    "run_placement",
    "run_rescue",
    "run_retention",
    "run_timetable",
    "run_webhooks",
    "run_worker_events",
]
