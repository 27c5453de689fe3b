"""The job engine: durable jobs, leases, placement. It knows nothing of blockchains."""

from __future__ import annotations

from ampd.jobs.handlers import JobContext, JobHandler
from ampd.jobs.leases import LeasedJobs, StartedJob, hold_lease, note_success
from ampd.jobs.models import Deployment, Job, JobEvent, Lease, Worker
from ampd.jobs.placement import place_due_jobs, rescue_jobs_of_lost_workers
from ampd.jobs.retry import RetryPolicy
from ampd.jobs.states import ACTIVE_STATES, HELD_STATES, TERMINAL_STATES, JobState, Transition, parse_states
from ampd.jobs.store import JobStore
from ampd.jobs.workers import WantedJob, WorkerIdentity, WorkerSession, WorkerStore, validate_node_id

__all__ = [
    "ACTIVE_STATES",
    "HELD_STATES",
    "TERMINAL_STATES",
    "Deployment",
    "Job",
    "JobContext",
    "JobEvent",
    "JobHandler",
    "JobState",
    "JobStore",
    "Lease",
    "LeasedJobs",
    "RetryPolicy",
    "StartedJob",
    "Transition",
    "WantedJob",
    "Worker",
    "WorkerIdentity",
    "WorkerSession",
    "WorkerStore",
    "hold_lease",
    "note_success",
    "parse_states",
    "place_due_jobs",
    "rescue_jobs_of_lost_workers",
    "validate_node_id",
]
