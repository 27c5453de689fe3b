"""What the routes stand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from ampd.data_store import LakeStores, TableStore
from ampd.datasets import DatasetStore, ProviderStore
from ampd.handlers import InputKind
from ampd.jobs import JobCreator, JobStore, TimetableStore, WorkerStore
from ampd.webhooks import WebhookStore

# Who did it, in the history of a job.
ACTOR = "admin-api"


@dataclass(frozen=True)
class Services:
    """The stores behind the Admin API; the caller opens and closes what they stand on. ``kinds`` are those whose inputs
    are checked here.
    """

    jobs: JobStore
    workers: WorkerStore
    datasets: DatasetStore
    providers: ProviderStore
    tables: TableStore
    lake: LakeStores
    creator: JobCreator
    timetables: TimetableStore
    kinds: Mapping[str, InputKind]
    webhooks: WebhookStore
    version: str


def services_of(request: Request) -> Services:
    """Return the services that :func:`ampd.admin_api.create_app` was given."""
    return cast(Services, request.app.state.services)


ServicesParameter = Annotated[Services, Depends(services_of)]
