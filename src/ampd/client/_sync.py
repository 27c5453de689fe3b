"""The synchronous client."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import httpx

from ampd.client import _calls, _job_calls
from ampd.client._events import Events
from ampd.client._job_models import JobPage
from ampd.client._jobs import Jobs
from ampd.client._lake import DatasetLake, ManifestUse, Revisions
from ampd.client._models import (
    DatasetRevision,
    DatasetSummary,
    DatasetVersions,
    ManifestSummary,
    Provider,
    RegisteredDataset,
    Worker,
)
from ampd.client._options import RetryOptions, ScheduleOptions, VerifyMode
from ampd.client._schemas import Schemas
from ampd.client._tokens import Tokens
from ampd.client._transport import DEFAULT_ADMIN_URL, DEFAULT_TIMEOUT_SECONDS, Send, SyncTransport
from ampd.client._webhooks import Webhooks

Json = dict[str, Any]


class Workers:
    """Workers: look at them, and keep work away from them."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def list(self) -> builtins.list[Worker]:
        """Return all workers, the newest registration first."""
        return self._send(_calls.list_workers())

    def get(self, node_id: str) -> Worker:
        """Return a worker."""
        return self._send(_calls.get_worker(node_id))

    def drain(self, node_id: str) -> Worker:
        """Keep work away from a worker until :meth:`undrain`; it hands back what it has."""
        return self._send(_calls.drain_worker(node_id, drain=True))

    def undrain(self, node_id: str) -> Worker:
        """Let work come to a worker again."""
        return self._send(_calls.drain_worker(node_id, drain=False))


class Datasets(DatasetLake):
    """Datasets. A name is ``namespace/name``; a reference is ``namespace/name@revision`` (default ``latest``)."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def register(self, name: str, manifest: Json | str, version: str | None = None) -> RegisteredDataset:
        """Register a manifest (or the hash of a known one) under a name, and tag it with a semantic version."""
        return self._send(_calls.register_dataset(name, manifest, version))

    def deploy(
        self,
        reference: str,
        *,
        end_block: int | str | None = None,
        parallelism: int | None = None,
        worker_id: str | None = None,
        verify: VerifyMode | bool | None = None,
        priority: int | None = None,
        depends_on: Sequence[int | str] = (),
        retries: int | None = None,
        retry: RetryOptions | None = None,
        schedule: ScheduleOptions | None = None,
    ) -> int:
        """Start the extraction of a dataset and return the id of its job.

        ``end_block``: None follows the chain; or ``"latest"``, a number, or ``"-N"`` blocks behind the latest.
        ``worker_id``: an id, or a prefix and ``*``. ``depends_on``: ids of jobs or references of datasets that must
        have completed before. ``retries``: how often a failure that may pass is tried again, None without limit;
        ``retry`` says how long to wait between the tries. ``verify``: of which blocks what they commit to is
        recomputed, ``"off"``, ``"sample"`` (unless given) or ``"full"``; False is off, True full. ``schedule``: when it
        runs; now, once, unless given.
        """
        options = {
            "end_block": end_block,
            "parallelism": parallelism,
            "worker_id": worker_id,
            "verify": verify,
            "priority": priority,
            "depends_on": list(depends_on) or None,
            "retries": retries,
            "retry": retry,
            "schedule": _job_calls.schedule(schedule),
        }
        return self._send(_calls.deploy_dataset(reference, options))

    def verify(
        self,
        reference: str,
        *,
        start_block: int | None = None,
        end_block: int | None = None,
        worker_id: str | None = None,
        priority: int | None = None,
    ) -> int:
        """Start the verification of what the lake has of a dataset, and return the id of its job.

        Blocks: from the dataset's first to the last that the lake has, unless given. :meth:`wait` for the job, then
        its progress has what was found (``verification``); it is FAILED when something does not hold.
        """
        options = {"start_block": start_block, "end_block": end_block, "worker_id": worker_id, "priority": priority}
        return self._send(_calls.verify_dataset(reference, options))

    def list(self) -> builtins.list[DatasetSummary]:
        """Return all datasets."""
        return self._send(_calls.list_datasets())

    def get(self, name: str) -> DatasetSummary:
        """Return a dataset with its versions."""
        return self._send(_calls.get_dataset(name))

    def inspect(self, reference: str) -> DatasetRevision:
        """Return what a revision stands for."""
        return self._send(_calls.inspect_dataset(reference))

    def versions(self, name: str) -> DatasetVersions:
        """Return all versions and tags of a dataset."""
        return self._send(_calls.dataset_versions(name))

    def manifest(self, reference: str) -> Json:
        """Return the manifest of a revision."""
        return self._send(_calls.dataset_manifest(reference))

    def jobs(self, reference: str) -> JobPage:
        """Return the jobs of a revision, the newest first, with their tables."""
        return self._send(_calls.dataset_jobs(reference))


class Manifests(ManifestUse):
    """Manifests, known by the SHA-256 of their canonical JSON."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def register(self, manifest: Json) -> str:
        """Store a manifest and return its hash."""
        return self._send(_calls.register_manifest(manifest))

    def generate(self, kind: str, network: str, *, start_block: int = 0, finalized_blocks_only: bool = False) -> Json:
        """Return a manifest with all tables of a kind; it is not stored."""
        return self._send(_calls.generate_manifest(kind, network, start_block, finalized_blocks_only))

    def list(self) -> builtins.list[ManifestSummary]:
        """Return all manifests."""
        return self._send(_calls.list_manifests())

    def get(self, manifest_hash: str) -> Json:
        """Return a manifest."""
        return self._send(_calls.get_manifest(manifest_hash))


class Providers:
    """Providers: where blocks come from."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def register(self, name: str, kind: str, config: Json) -> None:
        """Store a provider; one of the same name is replaced."""
        self._send(_calls.register_provider(name, kind, config))

    def list(self) -> builtins.list[Provider]:
        """Return all providers."""
        return self._send(_calls.list_providers())

    def get(self, name: str) -> Provider:
        """Return a provider, its secrets replaced."""
        return self._send(_calls.get_provider(name))

    def delete(self, name: str) -> None:
        """Remove a provider; one that does not exist is a success too."""
        self._send(_calls.delete_provider(name))


class Ampd:
    """The Admin API at ``admin_url``. Close it after use, or use it in a ``with`` block.

    Every method raises :class:`ampd.client.ApiError`. ``timeout`` (seconds) holds for each request; ``transport``
    replaces the network in tests.
    """

    def __init__(
        self,
        admin_url: str = DEFAULT_ADMIN_URL,
        auth_token: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = SyncTransport(admin_url, auth_token, timeout, transport)
        self.jobs = Jobs(self._transport.send)
        self.workers = Workers(self._transport.send)
        self.datasets = Datasets(self._transport.send)
        self.manifests = Manifests(self._transport.send)
        self.providers = Providers(self._transport.send)
        self.revisions = Revisions(self._transport.send)
        self.webhooks = Webhooks(self._transport.send)
        self.tokens = Tokens(self._transport.send)
        self.schemas = Schemas(self._transport.send)
        self.events = Events(self._transport)

    def __enter__(self) -> Ampd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
