"""Datasets: register, deploy, look."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from ampd.admin_api.bodies.job_models import DatasetJobListBody
from ampd.admin_api.bodies.models import (
    DatasetListBody,
    DatasetRevisionBody,
    DatasetSummaryBody,
    DatasetVersionsBody,
    DeployedBody,
    RegisteredDatasetBody,
)
from ampd.admin_api.bodies.present import (
    dataset_job_body,
    dataset_summary_body,
    dataset_versions_body,
    registered_dataset_body,
    revision_body,
)
from ampd.admin_api.bodies.requests import DeployRequest, RegisterDatasetRequest, VerifyRequest
from ampd.admin_api.bodies.shapes import NAME, NAMESPACE, REVISION, VERSION
from ampd.admin_api.deployment import (
    dependencies_of,
    extraction_deployment,
    require_provider,
    verification_deployment,
)
from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import ADMIN, OPERATOR, VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.datasets import DatasetName, DatasetSummary, Reference, parse_manifest
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import ACTIVE_STATES

router = APIRouter(prefix="/datasets", tags=["datasets"])

Namespace = Annotated[str, Path(description="namespace of the dataset", json_schema_extra=NAMESPACE)]
Name = Annotated[str, Path(description="name of the dataset", json_schema_extra=NAME)]
Revision = Annotated[
    str, Path(description="a semantic version, `latest`, `dev` or a manifest hash", json_schema_extra=REVISION)
]
_OF_A_NAME = (ErrorCode.INVALID_PATH, ErrorCode.DATASET_NOT_FOUND, ErrorCode.METADATA_DB_UNREACHABLE)
OF_A_REVISION = (*_OF_A_NAME, ErrorCode.MANIFEST_NOT_FOUND)


def dataset_name(namespace: str, name: str) -> DatasetName:
    """Return a name of the path.

    :raises AmpError: INVALID_PATH.
    """
    try:
        return DatasetName(namespace, name)
    except AmpError as error:
        raise AmpError(ErrorCode.INVALID_PATH, error.message) from None


def reference_of(namespace: str, name: str, revision: str) -> Reference:
    """Return a reference of the path.

    :raises AmpError: INVALID_PATH.
    """
    try:
        return Reference(namespace, name, revision)
    except AmpError as error:
        raise AmpError(ErrorCode.INVALID_PATH, error.message) from None


@router.get(
    "",
    operation_id="list_datasets",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(ErrorCode.METADATA_DB_UNREACHABLE),
)
async def list_datasets(services: ServicesParameter) -> DatasetListBody:
    """List all datasets."""
    return DatasetListBody(datasets=[dataset_summary_body(item) for item in await services.datasets.list_all()])


@router.post(
    "",
    operation_id="register_dataset",
    dependencies=[ADMIN],
    status_code=201,
    responses=error_responses(
        ErrorCode.INVALID_PAYLOAD_FORMAT,
        ErrorCode.INVALID_MANIFEST,
        ErrorCode.INVALID_REFERENCE,
        ErrorCode.INVALID_HASH,
        ErrorCode.MANIFEST_NOT_FOUND,
        ErrorCode.REQUEST_TOO_LARGE,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def register_dataset(body: RegisterDatasetRequest, services: ServicesParameter) -> RegisteredDatasetBody:
    """Register a manifest under a name. The tag `dev` points at it, and so does `version` when given."""
    manifest = body.manifest if isinstance(body.manifest, str) else parse_manifest(body.manifest)
    registered = await services.datasets.register(body.namespace, body.name, body.version, manifest)
    return registered_dataset_body(registered)


@router.get(
    "/{namespace}/{name}",
    operation_id="get_dataset",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(*_OF_A_NAME),
)
async def get_dataset(namespace: Namespace, name: Name, services: ServicesParameter) -> DatasetSummaryBody:
    """Return a dataset and its semantic versions."""
    dataset = dataset_name(namespace, name)
    found = await services.datasets.versions(dataset.namespace, dataset.name)
    versions = [tag.version for tag in found.versions]
    return dataset_summary_body(DatasetSummary(found.namespace, found.name, found.latest_version, versions))


@router.delete(
    "/{namespace}/{name}",
    operation_id="delete_dataset",
    dependencies=[ADMIN],
    status_code=204,
    response_class=Response,
    responses=error_responses(ErrorCode.INVALID_PATH, ErrorCode.ACTIVE_JOB_CONFLICT, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def delete_dataset(namespace: Namespace, name: Name, services: ServicesParameter) -> Response:
    """Forget a dataset with its versions and tags; one that does not exist is a success too.

    Its manifests stay, and so do its files: registered again, it goes on with them.
    """
    dataset = dataset_name(namespace, name)
    await services.datasets.delete(dataset.namespace, dataset.name, active_states=ACTIVE_STATES)
    return Response(status_code=204)


@router.get(
    "/{namespace}/{name}/versions",
    operation_id="list_versions",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(*_OF_A_NAME),
)
async def list_versions(namespace: Namespace, name: Name, services: ServicesParameter) -> DatasetVersionsBody:
    """Return all versions and tags of a dataset, the highest version first."""
    dataset = dataset_name(namespace, name)
    return dataset_versions_body(await services.datasets.versions(dataset.namespace, dataset.name))


@router.get(
    "/{namespace}/{name}/versions/{revision}",
    operation_id="get_revision",
    dependencies=[VIEWER],
    responses=error_responses(*OF_A_REVISION),
)
async def get_revision(
    namespace: Namespace, name: Name, revision: Revision, services: ServicesParameter
) -> DatasetRevisionBody:
    """Return what a revision stands for."""
    dataset = await services.datasets.resolve(reference_of(namespace, name, revision))
    return revision_body(dataset, await services.datasets.manifest(dataset.manifest_hash))


@router.delete(
    "/{namespace}/{name}/versions/{revision}",
    operation_id="delete_version",
    dependencies=[ADMIN],
    status_code=204,
    response_class=Response,
    responses=error_responses(
        ErrorCode.INVALID_PATH, ErrorCode.CANNOT_DELETE_LATEST_VERSION, ErrorCode.METADATA_DB_UNREACHABLE
    ),
)
async def delete_version(
    namespace: Namespace,
    name: Name,
    version: Annotated[str, Path(alias="revision", description="a semantic version", json_schema_extra=VERSION)],
    services: ServicesParameter,
) -> Response:
    """Forget a semantic version; one that does not exist is a success too. What it points at stays."""
    dataset = dataset_name(namespace, name)
    try:
        await services.datasets.delete_version(dataset.namespace, dataset.name, version)
    except AmpError as error:
        code = ErrorCode.INVALID_PATH if error.code is ErrorCode.INVALID_REFERENCE else error.code
        raise AmpError(code, error.message) from None
    return Response(status_code=204)


@router.get(
    "/{namespace}/{name}/versions/{revision}/manifest",
    operation_id="get_revision_manifest",
    dependencies=[VIEWER],
    responses=error_responses(*OF_A_REVISION),
)
async def get_revision_manifest(
    namespace: Namespace, name: Name, revision: Revision, services: ServicesParameter
) -> dict[str, Any]:
    """Return the manifest of a revision."""
    dataset = await services.datasets.resolve(reference_of(namespace, name, revision))
    return (await services.datasets.manifest(dataset.manifest_hash)).to_json()


@router.post(
    "/{namespace}/{name}/versions/{revision}/deploy",
    operation_id="deploy_dataset",
    dependencies=[OPERATOR],
    status_code=202,
    responses=error_responses(
        *OF_A_REVISION,
        ErrorCode.INVALID_BODY,
        ErrorCode.ACTIVE_JOB_CONFLICT,
        ErrorCode.DEPENDENCY_NOT_FOUND,
        ErrorCode.DEPENDENCY_CYCLE,
        ErrorCode.INVALID_SCHEDULE,
        ErrorCode.REQUEST_TOO_LARGE,
        bad_request=ErrorCode.PROVIDER_NOT_FOUND,
    ),
)
async def deploy_dataset(
    namespace: Namespace,
    name: Name,
    revision: Revision,
    services: ServicesParameter,
    body: DeployRequest | None = None,
) -> DeployedBody:
    """Start the extraction of a revision.

    The same options while its job is active answer the same job, other options 409; a job that has ended runs again.
    A deploy is taken when no worker is there: the job waits, and says for what. 400 PROVIDER_NOT_FOUND when no
    provider has the network.
    """
    dataset = await services.datasets.resolve(reference_of(namespace, name, revision))
    manifest = await services.datasets.manifest(dataset.manifest_hash)
    request = body or DeployRequest()
    depends_on = await dependencies_of(services, request.depends_on)
    deployment = extraction_deployment(dataset, manifest, request, depends_on)
    await require_provider(services.providers, manifest)
    job = await services.jobs.deploy(deployment, actor=services.actor)
    return DeployedBody(job_id=job.id)


@router.post(
    "/{namespace}/{name}/versions/{revision}/verify",
    operation_id="verify_dataset",
    dependencies=[OPERATOR],
    status_code=202,
    responses=error_responses(
        *OF_A_REVISION, ErrorCode.INVALID_BODY, ErrorCode.ACTIVE_JOB_CONFLICT, ErrorCode.REQUEST_TOO_LARGE
    ),
)
async def verify_dataset(
    namespace: Namespace,
    name: Name,
    revision: Revision,
    services: ServicesParameter,
    body: VerifyRequest | None = None,
) -> DeployedBody:
    """Start the verification of what the lake has of a revision, from its files alone.

    The same blocks while its job is active answer the same job, others 409; a job that has ended runs again, from the
    beginning. The job's progress tells what was found; a job that found something broken is FAILED with
    VERIFICATION_FAILED.
    """
    dataset = await services.datasets.resolve(reference_of(namespace, name, revision))
    manifest = await services.datasets.manifest(dataset.manifest_hash)
    deployment = verification_deployment(dataset, manifest, body or VerifyRequest())
    job = await services.jobs.deploy(deployment, actor=services.actor)
    return DeployedBody(job_id=job.id)


@router.get(
    "/{namespace}/{name}/versions/{revision}/jobs",
    operation_id="list_revision_jobs",
    dependencies=[VIEWER],
    responses=error_responses(*OF_A_REVISION),
)
async def list_revision_jobs(
    namespace: Namespace, name: Name, revision: Revision, services: ServicesParameter
) -> DatasetJobListBody:
    """List the jobs of a revision in all states, the newest first, with their tables."""
    dataset = await services.datasets.resolve(reference_of(namespace, name, revision))
    tables = (await services.datasets.manifest(dataset.manifest_hash)).table_names
    jobs = await services.jobs.list_of_dataset(dataset.namespace, dataset.name, dataset.manifest_hash)
    return DatasetJobListBody(jobs=[dataset_job_body(job, tables) for job in jobs])
