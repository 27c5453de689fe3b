"""From a deploy request to a job of the engine."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from ampd.admin_api.errors import RequestRefusedError
from ampd.admin_api.requests import DeployRequest
from ampd.datasets import EvmRpcManifest, ProviderStore, ResolvedDataset
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import Deployment

EXTRACTION_KIND: Final = "extraction"
# How the dataset was named by the deploy: its version, or else the revision that was given.
VERSION_LABEL: Final = "dataset_version"
_MATERIALIZE_RAW: Final = "materialize-raw"


def extraction_key(namespace: str, name: str, manifest_hash: str) -> str:
    """Return the idempotency key of a dataset's extraction job: one job per manifest for ever (design section 4.1)."""
    return sha256(f"{_MATERIALIZE_RAW}:{namespace}/{name}@{manifest_hash}".encode()).hexdigest()


def extraction_deployment(dataset: ResolvedDataset, manifest: EvmRpcManifest, request: DeployRequest) -> Deployment:
    """Return the job that extracts ``dataset`` as ``request`` wants it.

    :raises AmpError: INVALID_BODY when it would end before it starts, or asks for what is not there yet.
    """
    if request.verify:
        raise AmpError(
            ErrorCode.INVALID_BODY,
            "full verification of every block (verify) is not supported yet: deploy without it; "
            "counts, order, links and block hashes are always checked",
        )
    end_block = None if request.end_block is None else str(request.end_block)
    if end_block is not None and end_block.isdecimal() and int(end_block) < manifest.start_block:
        raise AmpError(
            ErrorCode.INVALID_BODY,
            f"end_block {end_block} lies before the dataset's start block {manifest.start_block}",
        )
    return Deployment(
        kind=EXTRACTION_KIND,
        idempotency_key=extraction_key(dataset.namespace, dataset.name, dataset.manifest_hash),
        input={
            "kind": _MATERIALIZE_RAW,
            "end_block": end_block,
            "max_writers": request.parallelism,
            "dataset_namespace": dataset.namespace,
            "dataset_name": dataset.name,
            "manifest_hash": dataset.manifest_hash,
            "verify": request.verify,
        },
        labels={VERSION_LABEL: dataset.version or dataset.revision},
        worker_selector=request.worker_id,
        priority=request.priority,
    )


async def require_provider(providers: ProviderStore, manifest: EvmRpcManifest) -> None:
    """Make sure that the blocks of ``manifest`` can come from somewhere.

    :raises AmpError: PROVIDER_NOT_FOUND, with how to add one.
    """
    try:
        await providers.require(manifest.kind, manifest.network)
    except AmpError as error:
        # Of a deploy it is the request that cannot be met: no 404, which would be of the dataset.
        raise RequestRefusedError(error.code, error.message, status=400) from None
