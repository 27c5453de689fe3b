"""The Python client of the Admin API.

:class:`Ampd` and :class:`AsyncAmpd` have the same resources: ``jobs``, ``workers``, ``datasets``, ``manifests``,
``providers``, ``revisions``, ``webhooks``, ``tokens``, ``schemas`` and ``events``. They answer frozen dataclasses that
keep the answer as it came in ``raw``. Every failure is an :class:`ApiError` with a ``code``. :func:`verify_webhook` is
for those who receive webhooks.
"""

from __future__ import annotations

from ampd.client._async import AsyncAmpd
from ampd.client._errors import ApiError
from ampd.client._events import WorkerEvent
from ampd.client._job_models import (
    BulkResult,
    Dependency,
    FireTime,
    FireTimes,
    Job,
    JobAttempt,
    JobDataset,
    JobExecution,
    JobHistory,
    JobPage,
    JobStats,
)
from ampd.client._lake_models import (
    FilePage,
    LakeFile,
    ManifestTag,
    RestoredTable,
    RestoreProgress,
    Revision,
)
from ampd.client._models import (
    DatasetRevision,
    DatasetSummary,
    DatasetVersion,
    DatasetVersions,
    Event,
    EventPage,
    ManifestSummary,
    Progress,
    Provider,
    RegisteredDataset,
    TableProgress,
    VerificationReport,
    Worker,
    WorkerInfo,
)
from ampd.client._options import (
    CreateOptions,
    JobCriteria,
    JobFilterOptions,
    JobSelection,
    Moment,
    RetryOptions,
    ScheduleOptions,
    VerifyMode,
)
from ampd.client._schemas import Column, TableSchema
from ampd.client._sync import Ampd
from ampd.client._tokens import Token
from ampd.client._transport import DEFAULT_ADMIN_URL
from ampd.client._values import Instant, JobError, JobStatus
from ampd.client._webhooks import (
    Delivery,
    DeliveryPage,
    Webhook,
    WebhookFilters,
    WebhookVerificationError,
    verify_webhook,
)

__all__ = [
    "DEFAULT_ADMIN_URL",
    "Ampd",
    "ApiError",
    "AsyncAmpd",
    "BulkResult",
    "Column",
    "CreateOptions",
    "DatasetRevision",
    "DatasetSummary",
    "DatasetVersion",
    "DatasetVersions",
    "Delivery",
    "DeliveryPage",
    "Dependency",
    "Event",
    "EventPage",
    "FilePage",
    "FireTime",
    "FireTimes",
    "Instant",
    "Job",
    "JobAttempt",
    "JobCriteria",
    "JobDataset",
    "JobError",
    "JobExecution",
    "JobFilterOptions",
    "JobHistory",
    "JobPage",
    "JobSelection",
    "JobStats",
    "JobStatus",
    "LakeFile",
    "ManifestSummary",
    "ManifestTag",
    "Moment",
    "Progress",
    "Provider",
    "RegisteredDataset",
    "RestoreProgress",
    "RestoredTable",
    "RetryOptions",
    "Revision",
    "ScheduleOptions",
    "TableProgress",
    "TableSchema",
    "Token",
    "VerificationReport",
    "VerifyMode",
    "Webhook",
    "WebhookFilters",
    "WebhookVerificationError",
    "Worker",
    "WorkerEvent",
    "WorkerInfo",
    "verify_webhook",
]
