"""What a controller counts of the worker events that it sends to Kafka."""

from __future__ import annotations

from typing import Final

from ampd.telemetry.metrics import SECONDS, counter, gauge, histogram

SENDER: Final = gauge("ampd_worker_events_sender", "1 while this controller is the one that sends to Kafka.")
QUEUED: Final = gauge(
    "ampd_worker_events_queued", "Worker events that the Kafka client of this controller has in hand at the moment."
)
DELIVERED: Final = counter("ampd_worker_events_delivered_total", "Worker events that the broker has taken.")
NOT_DELIVERED: Final = counter(
    "ampd_worker_events_failed_total",
    "Worker events that the broker has not taken at a try, by the Kafka client's name of why not. They are sent again.",
    ("error_code",),
)
DELIVERY: Final = histogram(
    "ampd_worker_events_delivery_seconds",
    "From giving events (one of each table at most) to the Kafka client until the broker had taken all of them.",
    buckets=SECONDS,
)
LOST: Final = counter(
    "ampd_worker_events_lost_total",
    "Worker events that left the log although the broker had not taken them (worker_events.unsent_days).",
)
