"""Where a controller reads the figures of the whole cluster."""

from __future__ import annotations

from functools import partial

from ampd.admin_api import FigureSources
from ampd.data_store import read_lake_figures
from ampd.datasets import EndpointCooldowns
from ampd.jobs import read_job_figures
from ampd.metadata_db import MetadataDb
from ampd.worker_events import read_event_figures


def figures_of(db: MetadataDb, *, lease_seconds: float) -> FigureSources:
    """Return the figures of ``db``; a worker counts as live for ``lease_seconds`` after its last heartbeat."""
    return FigureSources(
        jobs=partial(read_job_figures, db, lease_seconds=lease_seconds),
        lake=partial(read_lake_figures, db),
        resting_endpoints=EndpointCooldowns(db).count,
        worker_events=partial(read_event_figures, db),
    )
