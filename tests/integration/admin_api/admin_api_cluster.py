"""A small cluster over a real database: the Admin API, and a worker that does what the test says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from ampd.access import AccessStore
from ampd.admin_api import ClusterFigures, EventStreams, Services
from ampd.daemons.figures import figures_of
from ampd.daemons.live import live_streams
from ampd.data_store import Dataset, LakeOverview, LakeStores, TableStore
from ampd.datasets import DatasetStore, ProviderStore, generate_manifest
from ampd.handlers import Kind
from ampd.jobs import (
    JobCreator,
    JobOverview,
    JobStore,
    Lease,
    LeasedJobs,
    TimetableStore,
    WorkerIdentity,
    WorkerSession,
    WorkerStore,
    place_due_jobs,
)
from ampd.metadata_db import MetadataDb
from ampd.object_store import ObjectStore
from ampd.webhooks import AddressRules, WebhookStore
from ampd.worker_events import WorkerEventLog

LEASE_SECONDS = 5.0
SECRET_URL = "https://user:hunter2@rpc.example.com/v3/0123456789abcdef?apikey=s3cret"


def error(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error, after checking its form."""
    body = answer.json()
    assert set(body) == {"error_code", "error_message"}
    assert body["error_message"]
    return answer.status_code, body["error_code"]


def services_over(db: MetadataDb, directory: Path, kinds: Mapping[str, Kind] = MappingProxyType({})) -> Services:
    """Return the services of a controller whose files lie in ``directory``, and which knows ``kinds``."""
    events = WorkerEventLog(db)
    return Services(
        jobs=JobStore(db),
        workers=WorkerStore(db),
        datasets=DatasetStore(db, ObjectStore.open(directory / "manifests")),
        providers=ProviderStore(ObjectStore.open(directory / "providers")),
        tables=TableStore(db),
        job_overview=JobOverview(db),
        lake_overview=LakeOverview(db),
        lake=LakeStores(db, ObjectStore.open(directory / "data")),
        timetables=TimetableStore(db),
        creator=JobCreator(db),
        kinds=kinds,
        webhooks=WebhookStore(db, AddressRules.of(["127.0.0.0/8"])),
        events=events,
        event_streams=EventStreams(events),
        live=live_streams(db, lease_seconds=LEASE_SECONDS, version="0.0.0", most=100),
        access=AccessStore(db),
        figures=ClusterFigures(figures_of(db, lease_seconds=LEASE_SECONDS)),
        version="0.0.0",
    )


@dataclass
class Cluster:
    """The Admin API (``api``) over a database and the files in ``directory``, and one live worker, ``worker-01``, with
    two slots.
    """

    db: MetadataDb
    services: Services
    api: httpx.AsyncClient
    session: WorkerSession
    identity: WorkerIdentity
    directory: Path
    leased: LeasedJobs = field(init=False)

    def __post_init__(self) -> None:
        self.leased = LeasedJobs(self.db)

    async def register(
        self, name: str = "ethereum/mainnet", version: str | None = "1.0.0", start_block: int = 0
    ) -> str:
        """Register a dataset and the provider of its network; return the manifest's hash."""
        await self.services.providers.put("mainnet", "evm-rpc", {"network": "mainnet", "url": SECRET_URL})
        namespace, dataset = name.split("/")
        manifest = generate_manifest("evm-rpc", "mainnet", start_block, False)
        registered = await self.services.datasets.register(namespace, dataset, version, manifest)
        return registered.manifest_hash

    async def deploy(self, name: str = "ethereum/mainnet", revision: str = "latest", **options: Any) -> int:
        """Deploy a registered dataset and return the id of its job."""
        answer = await self.api.post(f"/datasets/{name}/versions/{revision}/deploy", json=options)
        assert answer.status_code == 202, answer.text
        return int(answer.json()["job_id"])

    async def start(self, job_id: int) -> Lease:
        """Place the waiting jobs and let the worker start ``job_id``."""
        await place_due_jobs(self.db, lease_seconds=LEASE_SECONDS)
        lease = next(wanted.lease(self.identity) for wanted in self.session.beat().wanted if wanted.job_id == job_id)
        assert await self.leased.start(lease) is not None
        return lease

    async def job_in_state(self, state: str, name: str) -> int:
        """Register and deploy a dataset of its own, and bring its job into ``state``."""
        await self.register(name)
        job_id = await self.deploy(name)
        if state == "SCHEDULED":
            return job_id
        lease = await self.start(job_id)
        if state == "COMPLETED":
            assert await self.leased.complete(lease)
        elif state == "STOPPED":
            await self.services.jobs.request_stop(job_id, actor="test")
            assert await self.leased.stop(lease)
        else:
            assert state == "RUNNING"
        return job_id

    async def write(self, lease: Lease, manifest_hash: str, ranges: dict[str, list[tuple[int, int]]]) -> None:
        """Register segments of the job's tables: ``{"blocks": [(0, 9), …]}``; linked by hash where they touch."""
        dataset = Dataset("ethereum", "mainnet", manifest_hash, 0)
        revisions = await self.services.tables.open_revisions(lease, dataset, ranges)
        for name, blocks in ranges.items():
            for first, last in blocks:
                values = [revisions[name].id, f"{first:09d}.parquet", first, last, _hash(first - 1), _hash(last)]
                async with self.db.transaction() as connection:
                    await connection.execute(_REGISTER, values)


_REGISTER = """
INSERT INTO files (revision_id, file_name, start_block, end_block, start_parent_hash, end_hash, row_count, object_size,
                   metadata)
VALUES (%s, %s, %s, %s, %s, %s, 10, 2048, '{}')
"""


def _hash(block: int) -> bytes:
    return (block + 1).to_bytes(32, "big")
