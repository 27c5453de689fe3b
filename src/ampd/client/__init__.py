"""The Python client of the Admin API.

:class:`Ampd` and :class:`AsyncAmpd` have the same resources: ``jobs``, ``workers``, ``datasets``, ``manifests``,
``providers``, ``revisions`` and ``webhooks``. They answer frozen dataclasses that keep the answer as it came in
``raw``. Every failure is an :class:`ApiError`. :func:`verify_webhook` is for those who receive webhooks.
"""

from __future__ import annotations

from ampd.client._async import AsyncAmpd
from ampd.client._errors import ApiError
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
    Dependency,
    Event,
    EventPage,
    Job,
    JobDataset,
    JobPage,
    ManifestSummary,
    Progress,
    Provider,
    RegisteredDataset,
    TableProgress,
    VerificationReport,
    Worker,
    WorkerInfo,
)
from ampd.client._options import ScheduleOptions, VerifyMode
from ampd.client._sync import Ampd
from ampd.client._transport import DEFAULT_ADMIN_URL
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
    "Job",
    "JobDataset",
    "JobPage",
    "LakeFile",
    "ManifestSummary",
    "ManifestTag",
    "Progress",
    "Provider",
    "RegisteredDataset",
    "RestoreProgress",
    "RestoredTable",
    "Revision",
    "ScheduleOptions",
    "TableProgress",
    "VerificationReport",
    "VerifyMode",
    "Webhook",
    "WebhookFilters",
    "WebhookVerificationError",
    "Worker",
    "WorkerInfo",
    "verify_webhook",
]
