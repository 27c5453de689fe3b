"""Worker events: what happens to the tables that extraction jobs write, kept in a log, read by many, sent to Kafka."""

from __future__ import annotations

from ampd.worker_events.broker import Broker, BrokerSettings
from ampd.worker_events.figures import EventFigures, read_event_figures
from ampd.worker_events.log import PAGE, START, Page, WorkerEventLog
from ampd.worker_events.models import EVENT_VERSION, EventFilter, EventType, LogState, WorkerEvent
from ampd.worker_events.recording import (
    Expired,
    collect_events,
    expire_events_of_log,
    record_started,
    set_recorded,
)
from ampd.worker_events.sending import LEASE_SECONDS, SendingLease, give_up_sending, lease_sending, note_sent

__all__ = [
    "EVENT_VERSION",
    "LEASE_SECONDS",
    "PAGE",
    "START",
    "Broker",
    "BrokerSettings",
    "EventFigures",
    "EventFilter",
    "EventType",
    "Expired",
    "LogState",
    "Page",
    "SendingLease",
    "WorkerEvent",
    "WorkerEventLog",
    "collect_events",
    "expire_events_of_log",
    "give_up_sending",
    "lease_sending",
    "note_sent",
    "read_event_figures",
    "record_started",
    "set_recorded",
]
