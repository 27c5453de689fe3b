"""From a deploy request to a job of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ampd.admin_api.bodies.requests import DeployRequest, RetryRequest, VerifyRequest
from ampd.admin_api.bodies.strict import MAX_INT64
from ampd.admin_api.errors import RequestRefusedError
from ampd.admin_api.services import Services
from ampd.chain.sampling import VerifyMode
from ampd.datasets import EvmRpcManifest, ProviderStore, Reference, ResolvedDataset
from ampd.datasets.names import LATEST
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import Dependency, Deployment, RetryPolicy

EXTRACTION_KIND: Final = "extraction"
VERIFICATION_KIND: Final = "verification"
COMPACTION_KIND: Final = "compaction"
# Their inputs name a dataset.
DATASET_KINDS: Final = frozenset({EXTRACTION_KIND, VERIFICATION_KIND, COMPACTION_KIND})
# How the dataset was named by the deploy: its version, or else the revision that was given.
VERSION_LABEL: Final = "dataset_version"
_MATERIALIZE_RAW: Final = "materialize-raw"
# An object store may be away for a while. Each try goes on where the one before it stopped.
_VERIFICATION_RETRIES: Final = 5


def extraction_key(namespace: str, name: str, manifest_hash: str) -> str:
    """Return the idempotency key of a dataset's extraction job: one job per manifest for ever (design section 4.1)."""
    return sha256(f"{_MATERIALIZE_RAW}:{namespace}/{name}@{manifest_hash}".encode()).hexdigest()


async def dependencies_of(services: Services, depends_on: Sequence[str | int]) -> tuple[Dependency, ...]:
    """Return what a request makes the job wait for, each once.

    :raises AmpError: INVALID_BODY for a reference that does not parse, or names no dataset; DEPENDENCY_NOT_FOUND for a
    job that whoever asks does not see.
    """
    found = [await _dependency(services, named) for named in depends_on]
    return tuple({each.reference: each for each in found}.values())


async def _dependency(services: Services, named: str | int) -> Dependency:
    if isinstance(named, int) or (named.isascii() and named.isdecimal()):
        if (isinstance(named, str) and len(named) > len(str(MAX_INT64))) or int(named) > MAX_INT64:
            shown = str(named)[:20]
            raise AmpError(ErrorCode.DEPENDENCY_NOT_FOUND, f"depends_on names job {shown}, which does not exist")
        await _require_seen(services, int(named))
        return Dependency(reference=str(int(named)), job_id=int(named))
    try:
        reference = Reference.parse(named, default_revision=LATEST)
        dataset = await services.datasets.resolve(reference)
    except AmpError as error:
        # The dataset of the deploy is there: no 404, which would be of that one.
        raise RequestRefusedError(ErrorCode.INVALID_BODY, f"depends_on: {error.message}", status=400) from None
    return Dependency(named, key=extraction_key(dataset.namespace, dataset.name, dataset.manifest_hash))


async def _require_seen(services: Services, job_id: int) -> None:
    if services.namespaces is None:
        return  # the engine looks for it, under its lock
    try:
        await services.jobs.get(job_id)
    except AmpError as error:
        if error.code is not ErrorCode.JOB_NOT_FOUND:
            raise
        raise AmpError(ErrorCode.DEPENDENCY_NOT_FOUND, f"depends_on names job {job_id}, which does not exist") from None


def extraction_deployment(
    dataset: ResolvedDataset, manifest: EvmRpcManifest, request: DeployRequest, depends_on: tuple[Dependency, ...] = ()
) -> Deployment:
    """Return the job that extracts ``dataset`` as ``request`` wants it, after ``depends_on``.

    :raises AmpError: INVALID_BODY when it would end before it starts.
    """
    end_block = None if request.end_block is None else str(request.end_block)
    if end_block is not None and end_block.isdecimal() and int(end_block) < manifest.start_block:
        raise AmpError(
            ErrorCode.INVALID_BODY,
            f"end_block {end_block} lies before the dataset's start block {manifest.start_block}",
        )
    job_input = {
        "kind": _MATERIALIZE_RAW,
        "end_block": end_block,
        "max_writers": request.parallelism,
        "dataset_namespace": dataset.namespace,
        "dataset_name": dataset.name,
        "manifest_hash": dataset.manifest_hash,
        "verify": str(request.verify),
    }
    return Deployment(
        kind=EXTRACTION_KIND,
        idempotency_key=extraction_key(dataset.namespace, dataset.name, dataset.manifest_hash),
        input=job_input,
        # Before there was verification every job had false here, whether somebody had chosen so or not.
        earlier_inputs=() if request.verify is VerifyMode.FULL else (job_input | {"verify": False},),
        labels={VERSION_LABEL: dataset.version or dataset.revision},
        worker_selector=request.worker_id,
        priority=request.priority,
        retries=request.retries,
        retry_policy=None if request.retry is None else retry_policy_of(request.retry),
        depends_on=depends_on,
        schedule=None if request.schedule is None else request.schedule.parse(),
    )


def verification_deployment(dataset: ResolvedDataset, manifest: EvmRpcManifest, request: VerifyRequest) -> Deployment:
    """Return the job that verifies the lake of ``dataset`` as ``request`` wants it: one per manifest, like extraction.

    :raises AmpError: INVALID_BODY when there is nothing that could be verified.
    """
    first = manifest.start_block if request.start_block is None else request.start_block
    if first < manifest.start_block:
        message = f"start_block {first} lies before the dataset's start block {manifest.start_block}"
        raise AmpError(ErrorCode.INVALID_BODY, message)
    if request.end_block is not None and request.end_block < first:
        raise AmpError(ErrorCode.INVALID_BODY, f"end_block {request.end_block} lies before block {first}")
    if "blocks" not in manifest.table_names:
        message = "the dataset has no table 'blocks', whose hashes all other rows are verified against"
        raise AmpError(ErrorCode.INVALID_BODY, message)
    named = f"{VERIFICATION_KIND}:{dataset.namespace}/{dataset.name}@{dataset.manifest_hash}"
    return Deployment(
        kind=VERIFICATION_KIND,
        idempotency_key=sha256(named.encode()).hexdigest(),
        input={
            "kind": VERIFICATION_KIND,
            "start_block": None if request.start_block is None else str(request.start_block),
            "end_block": None if request.end_block is None else str(request.end_block),
            "dataset_namespace": dataset.namespace,
            "dataset_name": dataset.name,
            "manifest_hash": dataset.manifest_hash,
        },
        labels={VERSION_LABEL: dataset.version or dataset.revision},
        worker_selector=request.worker_id,
        priority=request.priority,
        retries=_VERIFICATION_RETRIES,
    )


def retry_policy_of(request: RetryRequest) -> RetryPolicy:
    """Return the retry policy that a request asks for."""
    return RetryPolicy(
        initial_delay=float(request.initial_delay_secs),
        multiplier=float(request.multiplier),
        max_delay=float(request.max_delay_secs),
        jitter=float(request.jitter),
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
