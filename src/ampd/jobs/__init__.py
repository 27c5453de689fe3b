"""The job engine: durable jobs, leases, placement. It knows nothing of blockchains."""

from __future__ import annotations

from ampd.jobs.bulk import BulkResult
from ampd.jobs.dependencies import release_all_dependents
from ampd.jobs.handlers import JobContext, JobHandler
from ampd.jobs.history import Attempt, Execution, JobHistory, JobStatistics
from ampd.jobs.job_filter import JobFilter
from ampd.jobs.leases import LeasedJobs, StartedJob, hold_lease, note_success
from ampd.jobs.models import Dependency, DependencyStatus, Deployment, Job, JobEvent, Lease, Worker
from ampd.jobs.notification import JobAction, Notifier
from ampd.jobs.operations import Operation
from ampd.jobs.placement import Claim, claim_jobs, force_overdue_stops, place_due_jobs, rescue_jobs_of_lost_workers
from ampd.jobs.retention import RetentionPolicy, expire_events, expire_jobs
from ampd.jobs.retry import RetryPolicy
from ampd.jobs.states import (
    ACTIVE_STATES,
    HELD_STATES,
    TERMINAL_STATES,
    JobState,
    StopIntent,
    Transition,
    lifecycle,
    parse_states,
)
from ampd.jobs.store import JobStore
from ampd.jobs.workers import Beat, WantedJob, WorkerIdentity, WorkerSession, WorkerStore, validate_node_id

__all__ = [
    "ACTIVE_STATES",
    "HELD_STATES",
    "TERMINAL_STATES",
    "Attempt",
    "Beat",
    "BulkResult",
    "Claim",
    "Dependency",
    "DependencyStatus",
    "Deployment",
    "Execution",
    "Job",
    "JobAction",
    "JobContext",
    "JobEvent",
    "JobFilter",
    "JobHandler",
    "JobHistory",
    "JobState",
    "JobStatistics",
    "JobStore",
    "Lease",
    "LeasedJobs",
    "Notifier",
    "Operation",
    "RetentionPolicy",
    "RetryPolicy",
    "StartedJob",
    "StopIntent",
    "Transition",
    "WantedJob",
    "Worker",
    "WorkerIdentity",
    "WorkerSession",
    "WorkerStore",
    "claim_jobs",
    "expire_events",
    "expire_jobs",
    "force_overdue_stops",
    "hold_lease",
    "lifecycle",
    "note_success",
    "parse_states",
    "place_due_jobs",
    "release_all_dependents",
    "rescue_jobs_of_lost_workers",
    "validate_node_id",
]
