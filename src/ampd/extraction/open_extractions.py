"""Extractions that are open in this process. Several slots that work for one job share its source, and so what was
learned of the node and how much it is asked at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ampd.data_store import Dataset
from ampd.datasets import RawManifest
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.head import Head
from ampd.extraction.parts import Extraction, Parts
from ampd.extraction.plan import ExtractionInput
from ampd.extraction.sources import head_policy
from ampd.jobs import Lease
from ampd.sources.blocks import BlockSource
from ampd.sources.verified import verified


@dataclass
class _Shared:
    extraction: Extraction
    users: int = 0


class OpenExtractions:
    """Opens extractions, and closes each when its last user has left."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._shared: dict[int, _Shared] = {}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def of_own_job(self, lease: Lease, wanted: ExtractionInput) -> AsyncIterator[Extraction]:
        """Give the extraction of the job that this worker holds; its tables are made when they are not there.

        :raises AmpError: what is wrong with the manifest, the provider, or the node; LEASE_LOST.
        """
        manifest, source, head = await self._source(wanted)
        try:
            chain_id = await source.chain_id()
            dataset = Dataset(wanted.namespace, wanted.name, wanted.manifest_hash, manifest.start_block)
            revisions = await self._parts.tables.open_revisions(lease, dataset, manifest.table_names)
            await self._parts.tables.bind_chain(revisions.values(), chain_id)
            shared = _Shared(Extraction(lease.job_id, wanted, manifest, source, head, revisions))
        except BaseException:
            await source.close()
            raise
        async with self._used(shared):
            yield shared.extraction

    @asynccontextmanager
    async def of_other_job(self, job_id: int, wanted: ExtractionInput) -> AsyncIterator[Extraction]:
        """Give the extraction of a job that another worker holds, or another slot of this one.

        :raises AmpError: as above; JOB_NOT_FOUND when its tables have gone.
        """
        async with self._lock:
            shared = self._shared.get(job_id) or await self._open_other(job_id, wanted)
            self._shared[job_id] = shared
        async with self._used(shared):
            yield shared.extraction

    async def _open_other(self, job_id: int, wanted: ExtractionInput) -> _Shared:
        revisions = await self._parts.tables.revisions_of_job(job_id)
        if not revisions:
            raise AmpError(ErrorCode.JOB_NOT_FOUND, f"job {job_id} writes no tables (any more)", recoverable=True)
        manifest, source, head = await self._source(wanted)
        try:
            await self._parts.tables.bind_chain(revisions.values(), await source.chain_id())
        except BaseException:
            await source.close()
            raise
        return _Shared(Extraction(job_id, wanted, manifest, source, head, revisions))

    async def _source(self, wanted: ExtractionInput) -> tuple[RawManifest, BlockSource, Head]:
        manifest = await self._parts.datasets.manifest(wanted.manifest_hash)
        providers = await self._parts.providers.find(manifest.kind, manifest.network)
        only_final = manifest.finalized_blocks_only
        source = self._parts.open_source(providers, manifest.network, self._parts.executor, finalized_only=only_final)
        source = verified(source, wanted.verify, manifest.network, self._parts.executor)
        head = Head(source, head_policy(providers), finalized_only=only_final)
        return manifest, source, head

    @asynccontextmanager
    async def _used(self, shared: _Shared) -> AsyncIterator[None]:
        job_id = shared.extraction.job_id
        shared.users += 1
        self._shared[job_id] = shared
        try:
            yield
        finally:
            shared.users -= 1
            if shared.users == 0:
                if self._shared.get(job_id) is shared:
                    del self._shared[job_id]
                await shared.extraction.source.close()
