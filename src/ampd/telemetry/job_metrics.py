"""What a process counts of jobs: claims, attempts, retries, leases; and requests to the Admin API."""

from __future__ import annotations

import time
from typing import Final

from ampd.telemetry.metrics import counter, gauge, histogram

CLAIM_LATENCY: Final = histogram(
    "ampd_claim_latency_seconds",
    "From the time at which a job could be given to a worker until it was, by the database's clock.",
    ("kind",),
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0),
)
PLACEMENTS: Final = histogram("ampd_placement_seconds", "How long one look for due jobs and free workers took.")
ATTEMPTS: Final = counter(
    "ampd_job_attempts_total",
    "Attempts that have ended here: completed, failed, stopped, handed_back (a worker that drains), lost (another "
    "process has the job).",
    ("kind", "outcome"),
)
ERRORS: Final = counter("ampd_job_errors_total", "Errors that ended an attempt, by their code.", ("kind", "error_code"))
RETRIES: Final = counter("ampd_job_retries_total", "Attempts after which the job waits to be tried again.", ("kind",))
FAILURES: Final = counter("ampd_job_failures_total", "Jobs, or executions, that have FAILED for good.", ("kind",))
RUNNING: Final = gauge("ampd_worker_jobs", "Jobs that this worker has in hand.")
SLOTS: Final = gauge("ampd_worker_slots", "Jobs that this worker takes at once.")
LEASE_AGE: Final = gauge(
    "ampd_worker_lease_age_seconds",
    "Seconds since the last heartbeat of this worker that the database took; above worker.lease_secs it writes nothing "
    "any more. NaN: there was none yet, or the worker has ended.",
)
LOST_BEATS: Final = counter("ampd_worker_lost_beats_total", "Heartbeats that the database did not take.")
RESCUED: Final = counter("ampd_jobs_rescued_total", "Jobs that this process took back from dead workers.")
FORCED_STOPS: Final = counter("ampd_forced_stops_total", "Stops that lasted too long, and that this process forced.")

REQUESTS: Final = counter(
    "ampd_admin_api_requests_total",
    "Requests to the Admin API, by the path of the operation and the HTTP status.",
    ("method", "route", "status"),
)
REQUEST_SECONDS: Final = histogram(
    "ampd_admin_api_request_seconds",
    "How long requests to the Admin API took.",
    ("method", "route"),
    buckets=(0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
)

LEASE_AGE.set(float("nan"))


class LeaseAge:
    """How old the last beat of this process's worker is, for :data:`LEASE_AGE`."""

    def __init__(self) -> None:
        self._sent_at: float | None = None
        LEASE_AGE.set_function(self._seconds)

    def beat(self, sent_at: float) -> None:
        """Take note of a beat that was sent then (monotonic seconds) and taken."""
        self._sent_at = sent_at

    def end(self) -> None:
        """The worker has left."""
        self._sent_at = None

    def _seconds(self) -> float:
        return float("nan") if self._sent_at is None else time.monotonic() - self._sent_at
