"""From the body of POST /jobs to a job, by its kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from ampd.admin_api.bodies.job_creation_requests import (
    CompactionJobInput,
    CreateJobRequest,
    ExtractionJobInput,
    VerificationJobInput,
)
from ampd.admin_api.bodies.strict import Strict
from ampd.admin_api.deployment import (
    COMPACTION_KIND,
    DATASET_KINDS,
    EXTRACTION_KIND,
    VERIFICATION_KIND,
    VERSION_LABEL,
    dependencies_of,
    extraction_deployment,
    require_provider,
    retry_policy_of,
    verification_deployment,
)
from ampd.admin_api.errors import RequestRefusedError
from ampd.admin_api.services import Services
from ampd.datasets import Reference, ResolvedDataset
from ampd.datasets.names import LATEST
from ampd.datasets.validation import explain
from ampd.errors import AmpError, ErrorCode
from ampd.handlers import hide_by_names
from ampd.jobs import Deployment, NewJob

Model = TypeVar("Model", bound=Strict)
Read = TypeVar("Read")


async def create_job(services: Services, request: CreateJobRequest) -> tuple[int, bool]:
    """Create the job of ``request`` and return its id; False when it was there already.

    :raises AmpError: UNKNOWN_JOB_KIND, INVALID_JOB_INPUT, INVALID_BODY, IDEMPOTENCY_KEY_REUSED, and those of a deploy.
    """
    if VERSION_LABEL in request.labels:
        raise AmpError(ErrorCode.INVALID_BODY, f"labels: '{VERSION_LABEL}' is set by ampd itself; choose another name")
    if services.namespaces is not None and request.kind not in DATASET_KINDS:
        raise AmpError(
            ErrorCode.FORBIDDEN,
            f"this token is limited to {', '.join(services.namespaces)}, and a job of kind '{request.kind[:80]}' is of "
            "no namespace: use a token without --namespace",
        )
    deploy = _DEPLOYED.get(request.kind)
    if deploy is not None:
        return await _deploy(services, request, deploy)
    new = await _new_job(services, request)
    try:
        return await services.creator.create(new, actor=services.actor)
    except AmpError as error:
        if services.namespaces is not None and error.code is ErrorCode.IDEMPOTENCY_KEY_REUSED:
            # The job that has the key may be one that is not seen.
            message = f"the idempotency key {new.idempotency_key!r} was used for another request; choose another key"
            raise AmpError(error.code, message) from None
        raise


# --- kinds of which a dataset has one job for ever


_Deploy = Callable[[Services, CreateJobRequest], Awaitable[Deployment]]


async def _deploy(services: Services, request: CreateJobRequest, deploy: _Deploy) -> tuple[int, bool]:
    if request.idempotency_key is not None:
        reason = "there is one such job for each manifest of a dataset, which a deploy starts again"
        raise AmpError(ErrorCode.INVALID_BODY, f"idempotency_key: not for jobs of kind '{request.kind}': {reason}")
    deployment = replace(await deploy(services, request), schedule=request.wanted_schedule())
    before = await services.creator.execution_of(deployment.idempotency_key)
    job = await services.jobs.deploy(deployment, actor=services.actor)
    return job.id, before != job.execution_number


async def _extraction(services: Services, request: CreateJobRequest) -> Deployment:
    wanted = _read(request.kind, lambda: ExtractionJobInput.model_validate(request.input))
    body = _read(request.kind, lambda: wanted.deploy_request(request))
    dataset = await _resolve(services, request.kind, wanted.dataset)
    manifest = await services.datasets.manifest(dataset.manifest_hash)
    depends_on = await dependencies_of(services, request.depends_on)
    deployment = extraction_deployment(dataset, manifest, body, depends_on)
    await require_provider(services.providers, manifest)
    return _labelled(deployment, request)


async def _verification(services: Services, request: CreateJobRequest) -> Deployment:
    for name in ("retries", "retry_policy", "depends_on"):
        if name in request.given:
            raise AmpError(ErrorCode.INVALID_BODY, f"{name}: not for jobs of kind '{request.kind}'")
    wanted = _read(request.kind, lambda: VerificationJobInput.model_validate(request.input))
    body = _read(request.kind, lambda: wanted.verify_request(request))
    dataset = await _resolve(services, request.kind, wanted.dataset)
    manifest = await services.datasets.manifest(dataset.manifest_hash)
    return _labelled(verification_deployment(dataset, manifest, body), request)


_DEPLOYED: dict[str, _Deploy] = {EXTRACTION_KIND: _extraction, VERIFICATION_KIND: _verification}


def _labelled(deployment: Deployment, request: CreateJobRequest) -> Deployment:
    deployment.labels.update({**request.labels, **deployment.labels})
    return deployment


# --- kinds of which there are as many jobs as were asked for


async def _new_job(services: Services, request: CreateJobRequest) -> NewJob:
    labels = dict(request.labels)
    secrets: list[Any] = []
    if request.kind == COMPACTION_KIND:
        wanted = _read(request.kind, lambda: CompactionJobInput.model_validate(request.input))
        dataset = await _resolve(services, request.kind, wanted.dataset)
        labels[VERSION_LABEL] = dataset.version or dataset.revision
        job_input = {
            "dataset_namespace": dataset.namespace,
            "dataset_name": dataset.name,
            "manifest_hash": dataset.manifest_hash,
            "cooldown_secs": wanted.cooldown_secs,
        }
    elif request.kind in services.kinds:
        job_input, secrets = services.kinds[request.kind].take_apart(request.input)
    else:
        await _require_kind(services, request.kind)
        # Its model is known to workers only: the job fails there when the input does not fit.
        job_input, secrets = hide_by_names(request.input)
    return NewJob(
        kind=request.kind,
        input=job_input,
        request_hash=request.content_hash(),
        secrets=[[list(path), value] for path, value in secrets],
        labels=labels,
        worker_selector=request.worker,
        priority=request.priority,
        retries=request.retries,
        retry_policy=None if request.retry_policy is None else retry_policy_of(request.retry_policy),
        schedule=request.wanted_schedule(),
        depends_on=await dependencies_of(services, request.depends_on),
        idempotency_key=request.idempotency_key,
    )


async def _require_kind(services: Services, kind: str) -> None:
    workers = await services.workers.list_all()
    known = {*_DEPLOYED, COMPACTION_KIND, *services.kinds, *(name for each in workers for name in each.kinds)}
    if kind not in known:
        raise AmpError(
            ErrorCode.UNKNOWN_JOB_KIND,
            f"unknown kind {kind[:80]!r}; known are {', '.join(sorted(known))}. A package that brings another must be "
            "installed where the controller or a worker runs",
        )


async def _resolve(services: Services, kind: str, text: str) -> ResolvedDataset:
    try:
        return await services.datasets.resolve(Reference.parse(text, default_revision=LATEST))
    except AmpError as error:
        if error.code in {ErrorCode.INVALID_REFERENCE, ErrorCode.DATASET_NOT_FOUND, ErrorCode.MANIFEST_NOT_FOUND}:
            # The job is what was asked for, and not the dataset: no 404.
            raise RequestRefusedError(
                ErrorCode.INVALID_JOB_INPUT, f"the input of kind '{kind}': dataset: {error.message}", status=400
            ) from None
        raise


def _read(kind: str, read: Callable[[], Read]) -> Read:
    try:
        return read()
    except ValidationError as error:
        message = f"the input of kind '{kind}' is not valid: {explain(error)}"
        raise AmpError(ErrorCode.INVALID_JOB_INPUT, message) from None
