"""Manifests: register, look, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from ampd.admin_api.bodies.lake_models import ManifestDatasetsBody, ManifestTagBody, PrunedManifestsBody
from ampd.admin_api.bodies.models import ManifestHashBody, ManifestListBody, ManifestSummaryBody
from ampd.admin_api.bodies.requests import GenerateManifestRequest, ManifestBody
from ampd.admin_api.bodies.shapes import MANIFEST_HASH
from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import VIEWER, WHOLE_ADMIN
from ampd.admin_api.services import ServicesParameter
from ampd.datasets import generate_manifest, parse_manifest
from ampd.errors import ErrorCode

router = APIRouter(prefix="/manifests", tags=["manifests"])

_OF_THE_STORE = (ErrorCode.DATA_STORE_UNREACHABLE, ErrorCode.DATA_STORE_ERROR)
ManifestHash = Annotated[
    str,
    Path(
        alias="hash",
        description="SHA-256 of the canonical manifest, 64 hex digits",
        json_schema_extra=MANIFEST_HASH,
    ),
]


@router.get(
    "",
    operation_id="list_manifests",
    dependencies=[VIEWER],
    responses=error_responses(ErrorCode.METADATA_DB_UNREACHABLE),
)
async def list_manifests(services: ServicesParameter) -> ManifestListBody:
    """List all manifests, by hash."""
    manifests = await services.datasets.list_manifests()
    return ManifestListBody(
        manifests=[
            ManifestSummaryBody(hash=item.hash, kind=item.kind, dataset_count=item.dataset_count) for item in manifests
        ]
    )


@router.post(
    "",
    operation_id="register_manifest",
    dependencies=[WHOLE_ADMIN],
    status_code=201,
    responses=error_responses(
        ErrorCode.INVALID_PAYLOAD_FORMAT,
        ErrorCode.INVALID_MANIFEST,
        ErrorCode.REQUEST_TOO_LARGE,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def register_manifest(body: ManifestBody, services: ServicesParameter) -> ManifestHashBody:
    """Store a manifest; it is known by the hash of its canonical JSON."""
    return ManifestHashBody(hash=await services.datasets.register_manifest(parse_manifest(body)))


@router.post(
    "/generate",
    operation_id="generate_manifest",
    dependencies=[VIEWER],
    responses=error_responses(ErrorCode.INVALID_BODY, ErrorCode.INVALID_MANIFEST, ErrorCode.REQUEST_TOO_LARGE),
)
async def make_manifest(body: GenerateManifestRequest) -> dict[str, Any]:
    """Make a manifest with all tables of a kind. It is not stored."""
    return generate_manifest(body.kind, body.network, body.start_block, body.finalized_blocks_only).to_json()


@router.get(
    "/{hash}",
    operation_id="get_manifest",
    dependencies=[VIEWER],
    responses=error_responses(ErrorCode.INVALID_HASH, ErrorCode.MANIFEST_NOT_FOUND, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def get_manifest(manifest_hash: ManifestHash, services: ServicesParameter) -> dict[str, Any]:
    """Return a manifest."""
    return (await services.datasets.manifest(manifest_hash)).to_json()


@router.delete(
    "",
    operation_id="prune_manifests",
    dependencies=[WHOLE_ADMIN],
    responses=error_responses(ErrorCode.METADATA_DB_UNREACHABLE, *_OF_THE_STORE),
)
async def prune_manifests(services: ServicesParameter) -> PrunedManifestsBody:
    """Delete all manifests that neither a dataset is linked to nor files in the lake were written by."""
    return PrunedManifestsBody(deleted_count=await services.datasets.prune_manifests())


@router.delete(
    "/{hash}",
    operation_id="delete_manifest",
    dependencies=[WHOLE_ADMIN],
    status_code=204,
    response_class=Response,
    responses=error_responses(
        ErrorCode.INVALID_HASH, ErrorCode.MANIFEST_LINKED, ErrorCode.METADATA_DB_UNREACHABLE, *_OF_THE_STORE
    ),
)
async def delete_manifest(manifest_hash: ManifestHash, services: ServicesParameter) -> Response:
    """Delete a manifest that nothing needs; one that does not exist is a success too."""
    await services.datasets.delete_manifest(manifest_hash)
    return Response(status_code=204)


@router.get(
    "/{hash}/datasets",
    operation_id="list_manifest_datasets",
    dependencies=[VIEWER],
    responses=error_responses(ErrorCode.INVALID_HASH, ErrorCode.MANIFEST_NOT_FOUND, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def list_manifest_datasets(manifest_hash: ManifestHash, services: ServicesParameter) -> ManifestDatasetsBody:
    """List the versions and tags of datasets that point at a manifest."""
    tags = await services.datasets.tags_of_manifest(manifest_hash)
    return ManifestDatasetsBody(
        hash=manifest_hash.lower(),
        datasets=[ManifestTagBody(namespace=tag.namespace, name=tag.name, version=tag.version) for tag in tags],
    )
