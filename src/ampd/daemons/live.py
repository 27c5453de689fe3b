"""What a controller tells those who watch."""

from __future__ import annotations

from ampd.admin_api import ChangeSources, LiveStreams
from ampd.data_store import TableChanges
from ampd.jobs import JobChanges, JobOverview
from ampd.metadata_db import MetadataDb
from ampd.webhooks import WebhookChanges


def live_streams(db: MetadataDb, *, lease_seconds: float, version: str, most: int) -> LiveStreams:
    """Return the streams of what changes in ``db``, for ``most`` viewers at once."""
    return LiveStreams(
        lambda: ChangeSources(JobChanges(db, lease_seconds=lease_seconds), TableChanges(db), WebhookChanges(db)),
        JobOverview(db).now,
        version=version,
        most=most,
    )
