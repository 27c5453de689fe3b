"""What the routes stand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Protocol, cast, runtime_checkable

from fastapi import Depends, Request

from ampd.access import Access, AccessStore
from ampd.admin_api.cluster_figures import ClusterFigures
from ampd.admin_api.rules import access_under_rule
from ampd.admin_api.streams.event_streams import EventStreams
from ampd.admin_api.streams.live import LiveStreams
from ampd.data_store import LakeOverview, LakeStores, TableStore
from ampd.datasets import DatasetStore, ProviderStore
from ampd.handlers import InputKind
from ampd.jobs import JobCreator, JobOverview, JobStore, TimetableStore, WorkerStore
from ampd.queries import SchemaPlanner
from ampd.webhooks import WebhookStore
from ampd.worker_events import WorkerEventLog

# Who did it, in the history of a job, when nobody had to show a token.
ACTOR = "admin-api"


@runtime_checkable
class Limitable(Protocol):
    """A store that can be narrowed to what a token sees."""

    def limited_to(self, namespaces: tuple[str, ...]) -> Any:
        """Return the same store, in which there is nothing outside of ``namespaces``."""


@dataclass(frozen=True)
class Services:
    """The stores behind the Admin API; the caller opens and closes what they stand on. ``kinds`` are those whose inputs
    are checked here. ``actor`` is who asks, for the history; ``namespaces`` what they see, None: everything.
    """

    jobs: JobStore
    workers: WorkerStore
    datasets: DatasetStore
    providers: ProviderStore
    tables: TableStore
    job_overview: JobOverview
    lake_overview: LakeOverview
    lake: LakeStores
    creator: JobCreator
    timetables: TimetableStore
    kinds: Mapping[str, InputKind]
    webhooks: WebhookStore
    events: WorkerEventLog
    event_streams: EventStreams
    live: LiveStreams
    access: AccessStore
    figures: ClusterFigures
    version: str
    schemas: SchemaPlanner = field(default_factory=SchemaPlanner)
    actor: str = ACTOR
    namespaces: tuple[str, ...] | None = None

    def close_streams(self) -> None:
        """End the answers that would go on: the controller ends."""
        self.event_streams.close()
        self.live.close()

    def of(self, access: Access) -> Services:
        """Return the services as far as they are open to ``access``: every store that can be limited is."""
        if access.namespaces is None:
            return self if access.actor == self.actor else replace(self, actor=access.actor)
        limited = {
            each.name: store.limited_to(access.namespaces)
            for each in fields(self)
            if isinstance(store := getattr(self, each.name), Limitable)
        }
        return replace(self, actor=access.actor, namespaces=access.namespaces, **limited)


async def services_of(request: Request) -> Services:
    """Return the services that :func:`ampd.admin_api.create_app` was given, as far as they are open to the request."""
    return cast(Services, request.app.state.services).of(access_under_rule(request))


ServicesParameter = Annotated[Services, Depends(services_of)]
