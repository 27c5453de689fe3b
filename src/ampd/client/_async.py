"""The asynchronous client."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Unpack

import httpx

from ampd.client import _calls
from ampd.client._calls import JobFilters
from ampd.client._lake import AsyncDatasetLake, AsyncManifestUse, AsyncRevisions
from ampd.client._models import (
    DatasetRevision,
    DatasetSummary,
    DatasetVersions,
    Event,
    EventPage,
    Job,
    JobPage,
    ManifestSummary,
    Progress,
    Provider,
    RegisteredDataset,
    Worker,
)
from ampd.client._options import JobFilterOptions, RetryOptions, ScheduleOptions, VerifyMode
from ampd.client._transport import DEFAULT_ADMIN_URL, DEFAULT_TIMEOUT_SECONDS, AsyncTransport, SendAsync
from ampd.client._webhooks import AsyncWebhooks, Webhook

Json = dict[str, Any]
POLL_SECONDS = 1.0


class AsyncJobs:
    """Jobs: list, look, stop, remove."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    async def list(
        self, *, limit: int | None = None, after: int | None = None, **filters: Unpack[JobFilterOptions]
    ) -> JobPage:
        """Return one page of jobs below ``after``, the newest first; active ones unless ``status`` says otherwise."""
        return await self._send(_calls.list_jobs(limit, after, JobFilters(**filters)))

    async def iterate(self, *, page_size: int | None = None, **filters: Unpack[JobFilterOptions]) -> AsyncIterator[Job]:
        """Go through all jobs of all pages, the newest first."""
        after = None
        while True:
            page = await self.list(limit=page_size, after=after, **filters)
            for job in page.jobs:
                yield job
            if page.next_cursor is None:
                return
            after = page.next_cursor

    async def get(self, job_id: int) -> Job:
        """Return a job."""
        return await self._send(_calls.get_job(job_id))

    async def progress(self, job_id: int) -> Progress:
        """Return how far a job is."""
        return await self._send(_calls.job_progress(job_id))

    async def stop(self, job_id: int) -> Job:
        """Ask for the end of a job, and return the job; see :meth:`wait` for the end itself."""
        return await self._send(_calls.stop_job(job_id))

    async def set_webhook(self, *, url: str, events: Sequence[str] | None = None, secret: str | None = None) -> Webhook:
        """Tell ``url`` of what happens to jobs: of all ``events`` unless named. The same call again changes nothing.

        More can be said with the resource ``webhooks``.
        """
        return await AsyncWebhooks(self._send).set(url, events=events, secret=secret)

    async def delete(self, job_id: int) -> None:
        """Remove a job that has ended; one that does not exist is a success too."""
        await self._send(_calls.delete_job(job_id))

    async def prune(self, status: str | None = None) -> int:
        """Remove the jobs that have ended, or those with ``status`` (completed, stopped, error), and count them."""
        return await self._send(_calls.prune_jobs(status))

    async def event_page(self, job_id: int, *, limit: int | None = None, after: int | None = None) -> EventPage:
        """Return one page of the history of a job, oldest first, from after an event."""
        return await self._send(_calls.job_events(job_id, limit, after))

    async def events(self, job_id: int) -> builtins.list[Event]:
        """Return the whole history of a job, oldest first."""
        page = await self.event_page(job_id)
        events = [*page.events]
        while page.next_cursor is not None:
            page = await self.event_page(job_id, after=page.next_cursor)
            events += page.events
        return events

    async def event(self, job_id: int, event_id: int) -> Event:
        """Return one entry of a job's history."""
        return await self._send(_calls.job_event(job_id, event_id))

    async def wait(self, job_id: int, timeout: float | None = None, *, poll_seconds: float = POLL_SECONDS) -> Job:  # noqa: ASYNC109 - the same face as the synchronous client
        """Wait until a job has ended, and return it.

        :raises TimeoutError: when it has not ended after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (job := await self.get(job_id)).is_terminal:
            remaining = poll_seconds if deadline is None else deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"job {job_id} is {job.status} after {timeout} seconds")
            await asyncio.sleep(min(poll_seconds, remaining))
        return job


class AsyncWorkers:
    """Workers: look at them, and keep work away from them."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    async def list(self) -> builtins.list[Worker]:
        """Return all workers, the newest registration first."""
        return await self._send(_calls.list_workers())

    async def get(self, node_id: str) -> Worker:
        """Return a worker."""
        return await self._send(_calls.get_worker(node_id))

    async def drain(self, node_id: str) -> Worker:
        """Keep work away from a worker until :meth:`undrain`; it hands back what it has."""
        return await self._send(_calls.drain_worker(node_id, drain=True))

    async def undrain(self, node_id: str) -> Worker:
        """Let work come to a worker again."""
        return await self._send(_calls.drain_worker(node_id, drain=False))


class AsyncDatasets(AsyncDatasetLake):
    """Datasets. A name is ``namespace/name``; a reference is ``namespace/name@revision`` (default ``latest``)."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    async def register(self, name: str, manifest: Json | str, version: str | None = None) -> RegisteredDataset:
        """Register a manifest (or the hash of a known one) under a name, and tag it with a semantic version."""
        return await self._send(_calls.register_dataset(name, manifest, version))

    async def deploy(
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
        recomputed, ``"off"``, ``"sample"`` (unless given) or ``"full"``; False is off, True full.
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
            "schedule": _calls.schedule(schedule),
        }
        return await self._send(_calls.deploy_dataset(reference, options))

    async def verify(
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
        return await self._send(_calls.verify_dataset(reference, options))

    async def list(self) -> builtins.list[DatasetSummary]:
        """Return all datasets."""
        return await self._send(_calls.list_datasets())

    async def get(self, name: str) -> DatasetSummary:
        """Return a dataset with its versions."""
        return await self._send(_calls.get_dataset(name))

    async def inspect(self, reference: str) -> DatasetRevision:
        """Return what a revision stands for."""
        return await self._send(_calls.inspect_dataset(reference))

    async def versions(self, name: str) -> DatasetVersions:
        """Return all versions and tags of a dataset."""
        return await self._send(_calls.dataset_versions(name))

    async def manifest(self, reference: str) -> Json:
        """Return the manifest of a revision."""
        return await self._send(_calls.dataset_manifest(reference))

    async def jobs(self, reference: str) -> JobPage:
        """Return the jobs of a revision, the newest first, with their tables."""
        return await self._send(_calls.dataset_jobs(reference))


class AsyncManifests(AsyncManifestUse):
    """Manifests, known by the SHA-256 of their canonical JSON."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    async def register(self, manifest: Json) -> str:
        """Store a manifest and return its hash."""
        return await self._send(_calls.register_manifest(manifest))

    async def list(self) -> builtins.list[ManifestSummary]:
        """Return all manifests."""
        return await self._send(_calls.list_manifests())

    async def get(self, manifest_hash: str) -> Json:
        """Return a manifest."""
        return await self._send(_calls.get_manifest(manifest_hash))


class AsyncProviders:
    """Providers: where blocks come from."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    async def register(self, name: str, kind: str, config: Json) -> None:
        """Store a provider; one of the same name is replaced."""
        await self._send(_calls.register_provider(name, kind, config))

    async def list(self) -> builtins.list[Provider]:
        """Return all providers."""
        return await self._send(_calls.list_providers())

    async def get(self, name: str) -> Provider:
        """Return a provider, its secrets replaced."""
        return await self._send(_calls.get_provider(name))

    async def delete(self, name: str) -> None:
        """Remove a provider; one that does not exist is a success too."""
        await self._send(_calls.delete_provider(name))


class AsyncAmpd:
    """The Admin API at ``admin_url``. Close it after use, or use it in an ``async with`` block.

    Every method raises :class:`ampd.client.ApiError`. ``timeout`` (seconds) holds for each request; ``transport``
    replaces the network in tests.
    """

    def __init__(
        self,
        admin_url: str = DEFAULT_ADMIN_URL,
        auth_token: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = AsyncTransport(admin_url, auth_token, timeout, transport)
        self.jobs = AsyncJobs(self._transport.send)
        self.workers = AsyncWorkers(self._transport.send)
        self.datasets = AsyncDatasets(self._transport.send)
        self.manifests = AsyncManifests(self._transport.send)
        self.providers = AsyncProviders(self._transport.send)
        self.revisions = AsyncRevisions(self._transport.send)
        self.webhooks = AsyncWebhooks(self._transport.send)

    async def __aenter__(self) -> AsyncAmpd:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()
