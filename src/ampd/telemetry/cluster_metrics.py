"""What a controller tells of the whole cluster, read from the metadata database. Each controller tells the same: take
the maximum over controllers, never the sum.
"""

from __future__ import annotations

from typing import Final

from ampd.telemetry.metrics import GaugeFamily

_OF_DATASET: Final = ("dataset_namespace", "dataset_name", "manifest")
_OF_TABLE: Final = (*_OF_DATASET, "table")

UP: Final = GaugeFamily(
    "ampd_cluster_up", "1 when the figures below could be read from the metadata database; else they are absent."
)
READ_SECONDS: Final = GaugeFamily("ampd_cluster_read_seconds", "How long their last reading took.")
JOBS: Final = GaugeFamily("ampd_cluster_jobs", "Jobs by their state.", ("state",))
QUEUE: Final = GaugeFamily(
    "ampd_cluster_queue_depth",
    "SCHEDULED jobs, by what they wait for: worker, handler, slot, start, run_at, retry or dependency, as the field "
    "waiting_for of a job tells.",
    ("kind", "waiting_for"),
)
QUEUE_AGE: Final = GaugeFamily(
    "ampd_cluster_queue_oldest_seconds", "How long the one that has waited longest for a worker has.", ("kind",)
)
WORKERS: Final = GaugeFamily(
    "ampd_cluster_workers", "Workers that are live, draining (or kept from work by an operator) or dead.", ("status",)
)
SLOTS: Final = GaugeFamily("ampd_cluster_worker_slots", "Slots of live workers that take work.")
SLOTS_TAKEN: Final = GaugeFamily("ampd_cluster_worker_slots_taken", "How many of these jobs have.")
LEASE_AGE: Final = GaugeFamily(
    "ampd_cluster_lease_age_seconds",
    "Seconds since the last heartbeat of the worker that is silent for longest, among those that have jobs. Above "
    "worker.lease_secs its jobs are taken back.",
)
RANGES: Final = GaugeFamily("ampd_cluster_ranges", "Ranges of blocks that are planned, by their state.", ("state",))
RANGE_AGE: Final = GaugeFamily("ampd_cluster_range_age_seconds", "For how long the oldest lease of a range is held.")
RESTING: Final = GaugeFamily("ampd_cluster_endpoints_resting", "Endpoints that want no requests at the moment.")
EVENT_OUTBOX: Final = GaugeFamily(
    "ampd_cluster_worker_events_outbox", "Worker events that were recorded and are not in the log yet."
)
EVENTS_UNSENT: Final = GaugeFamily(
    "ampd_cluster_worker_events_unsent",
    "Worker events in the log that the Kafka broker has not taken yet. Absent when nothing is sent to Kafka.",
)
EVENTS_UNSENT_AGE: Final = GaugeFamily(
    "ampd_cluster_worker_events_unsent_oldest_seconds",
    "How old the first of these is, 0 when there is none. Absent when nothing is sent to Kafka.",
)
FRONT: Final = GaugeFamily(
    "ampd_cluster_table_front_block",
    "Last block of the contiguous blocks from the dataset's start, as current_block of a job's progress.",
    _OF_TABLE,
)
FRONT_TIME: Final = GaugeFamily(
    "ampd_cluster_table_front_timestamp_seconds", "Time of that block, in Unix seconds, as the chain says.", _OF_TABLE
)
LAG: Final = GaugeFamily(
    "ampd_cluster_table_lag_blocks",
    "Blocks from there to the one that the job is to reach: its end block, or the head of the chain when that is lower "
    "or there is no end block. Absent while its job is stopped, paused, or waits for its next time.",
    _OF_TABLE,
)
ROWS: Final = GaugeFamily("ampd_cluster_table_rows", "Rows of these blocks.", _OF_TABLE)
FILES: Final = GaugeFamily("ampd_cluster_table_files", "Files of these blocks.", _OF_TABLE)
BYTES: Final = GaugeFamily("ampd_cluster_table_bytes", "Bytes of these files.", _OF_TABLE)
HEAD: Final = GaugeFamily(
    "ampd_cluster_dataset_head_block",
    "The newest block that the dataset's job may take, when it last asked a node.",
    _OF_DATASET,
)
LEFT_OUT: Final = GaugeFamily(
    "ampd_cluster_tables_left_out",
    "Tables that are not told of, because there are too many; those that are written come first.",
)
