"""The job engine: durable jobs, leases, placement. It knows nothing of blockchains."""

from __future__ import annotations

from ampd.jobs.attempts import Attempt, AttemptStore
from ampd.jobs.bulk import BulkResult
from ampd.jobs.changes import ChangedJobs, JobChanges
from ampd.jobs.creation import JobCreator
from ampd.jobs.dependencies import release_all_dependents
from ampd.jobs.figures import JobFigures, read_job_figures
from ampd.jobs.handlers import Completed, JobContext, JobHandler
from ampd.jobs.history import Execution, ExecutionAttempt, JobHistory, JobStatistics
from ampd.jobs.job_filter import JobFilter
from ampd.jobs.leases import LeasedJobs, StartedJob, hold_lease, note_success
from ampd.jobs.minutes import JobTrend, count_job_minute
from ampd.jobs.models import Dependency, DependencyStatus, Deployment, Job, JobEvent, Lease, NewJob, Worker
from ampd.jobs.notification import JobAction, Notifier
from ampd.jobs.operations import Operation
from ampd.jobs.overview import Failure, JobOverview, StatesOfJobs
from ampd.jobs.placement import Claim, claim_jobs, force_overdue_stops, place_due_jobs, rescue_jobs_of_lost_workers
from ampd.jobs.recurrence import CatchUp, Overlap, Schedule
from ampd.jobs.retention import RetentionPolicy, expire_events, expire_firings, expire_jobs, fold_job_counts
from ampd.jobs.retry import RetryPolicy
from ampd.jobs.schedule_request import parse_schedule, to_request
from ampd.jobs.states import (
    ACTIVE_STATES,
    HELD_STATES,
    TERMINAL_STATES,
    JobState,
    StopIntent,
    Transition,
    lifecycle,
    means_due_ones,
    parse_states,
)
from ampd.jobs.store import JobStore
from ampd.jobs.time_zones import load_zone, zone_data_version
from ampd.jobs.timetable import Fired, fire_due_jobs, seconds_to_next_firing
from ampd.jobs.timetable_store import TimetableStore
from ampd.jobs.workers import Beat, WantedJob, WorkerIdentity, WorkerSession, WorkerStore, validate_node_id

__all__ = [
    "ACTIVE_STATES",
    "HELD_STATES",
    "TERMINAL_STATES",
    "Attempt",
    "AttemptStore",
    "Beat",
    "BulkResult",
    "CatchUp",
    "ChangedJobs",
    "Claim",
    "Completed",
    "Dependency",
    "DependencyStatus",
    "Deployment",
    "Execution",
    "ExecutionAttempt",
    "Failure",
    "Fired",
    "Job",
    "JobAction",
    "JobChanges",
    "JobContext",
    "JobCreator",
    "JobEvent",
    "JobFigures",
    "JobFilter",
    "JobHandler",
    "JobHistory",
    "JobOverview",
    "JobState",
    "JobStatistics",
    "JobStore",
    "JobTrend",
    "Lease",
    "LeasedJobs",
    "NewJob",
    "Notifier",
    "Operation",
    "Overlap",
    "RetentionPolicy",
    "RetryPolicy",
    "Schedule",
    "StartedJob",
    "StatesOfJobs",
    "StopIntent",
    "TimetableStore",
    "Transition",
    "WantedJob",
    "Worker",
    "WorkerIdentity",
    "WorkerSession",
    "WorkerStore",
    "claim_jobs",
    "count_job_minute",
    "expire_events",
    "expire_firings",
    "expire_jobs",
    "fire_due_jobs",
    "fold_job_counts",
    "force_overdue_stops",
    "hold_lease",
    "lifecycle",
    "load_zone",
    "means_due_ones",
    "note_success",
    "parse_schedule",
    "parse_states",
    "place_due_jobs",
    "read_job_figures",
    "release_all_dependents",
    "rescue_jobs_of_lost_workers",
    "seconds_to_next_firing",
    "to_request",
    "validate_node_id",
    "zone_data_version",
]
