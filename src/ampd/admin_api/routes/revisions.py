"""Revisions of tables: look, register, activate, deactivate, restore, delete, truncate, prune."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from ampd.admin_api.bodies.lake_models import (
    FileListBody,
    FileListQuery,
    LocationBody,
    PrunedBody,
    PruneQuery,
    RegisterRevisionRequest,
    RestoredFilesBody,
    RevisionBody,
    RevisionListQuery,
    TableRequest,
    TruncatedBody,
    TruncateQuery,
    file_body,
    revision_body,
)
from ampd.admin_api.bodies.strict import MAX_INT64
from ampd.admin_api.errors import error_responses
from ampd.admin_api.lake_targets import dataset_of_revision, table_of
from ampd.admin_api.rules import ADMIN, VIEWER, WHOLE_ADMIN
from ampd.admin_api.services import ServicesParameter
from ampd.data_store import RevisionFilter
from ampd.datasets import DatasetName
from ampd.errors import AmpError, ErrorCode

router = APIRouter(prefix="/revisions", tags=["revisions"])

RevisionId = Annotated[int, Path(alias="id", ge=1, le=MAX_INT64, description="id of a revision (location_id)")]
_OF_ONE = (ErrorCode.INVALID_PATH_PARAMETERS, ErrorCode.REVISION_NOT_FOUND, ErrorCode.METADATA_DB_UNREACHABLE)
_OF_A_TABLE = (
    ErrorCode.INVALID_BODY,
    ErrorCode.DATASET_NOT_FOUND,
    ErrorCode.MANIFEST_NOT_FOUND,
    ErrorCode.TABLE_NOT_IN_MANIFEST,
    ErrorCode.METADATA_DB_UNREACHABLE,
)
OF_THE_STORE = (
    ErrorCode.DATA_STORE_NOT_FOUND,
    ErrorCode.DATA_STORE_NOT_READABLE,
    ErrorCode.DATA_STORE_NOT_WRITABLE,
    ErrorCode.DATA_STORE_UNREACHABLE,
    ErrorCode.DATA_STORE_ERROR,
)
_NOT_IDLE = (ErrorCode.REVISION_IS_ACTIVE, ErrorCode.WRITER_JOB_NOT_TERMINAL, ErrorCode.FILE_METADATA_REMAINING)


@router.get(
    "",
    operation_id="list_revisions",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(ErrorCode.INVALID_QUERY_PARAMETERS, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def list_revisions(
    query: Annotated[RevisionListQuery, Query()], services: ServicesParameter
) -> list[RevisionBody]:
    """List revisions, the newest first. The next page begins behind the `id` of the last one, given as `last_id`."""
    namespace, name = (None, None) if query.dataset is None else _name(query.dataset)
    wanted = RevisionFilter(query.active, namespace, name, query.table_name)
    found = await services.lake.revisions.list_page(wanted, limit=query.limit, before_id=query.last_id)
    return [revision_body(each) for each in found]


def _name(text: str) -> tuple[str, str]:
    namespace, _, name = text.partition("/")
    try:
        dataset = DatasetName(namespace, name)
    except AmpError as error:
        raise AmpError(ErrorCode.INVALID_QUERY_PARAMETERS, f"dataset: {error.message}") from None
    return dataset.namespace, dataset.name


@router.post(
    "",
    operation_id="register_revision",
    dependencies=[WHOLE_ADMIN],
    responses=error_responses(*_OF_A_TABLE, ErrorCode.REVISION_CONFLICT, ErrorCode.REQUEST_TOO_LARGE),
)
async def register_revision(body: RegisterRevisionRequest, services: ServicesParameter) -> LocationBody:
    """Make a directory of the lake known as a revision of a table: inactive, and without its files, which its restore
    registers. The same path again answers the same revision. A directory of the lake belongs to no namespace before.
    """
    dataset = await table_of(services, body.dataset, body.table_name)
    return LocationBody(location_id=await services.lake.revisions.register(dataset, body.table_name, body.path))


@router.post(
    "/deactivate",
    operation_id="deactivate_revision",
    dependencies=[ADMIN],
    response_class=Response,
    responses=error_responses(
        *_OF_A_TABLE, ErrorCode.TABLE_NOT_FOUND, ErrorCode.WRITER_JOB_NOT_TERMINAL, ErrorCode.REQUEST_TOO_LARGE
    ),
)
async def deactivate_revision(body: TableRequest, services: ServicesParameter) -> Response:
    """Leave a table without an active revision; its files stay. The next deploy begins a new one."""
    dataset = await table_of(services, body.dataset, body.table_name)
    await services.lake.revisions.deactivate(dataset, body.table_name)
    return Response(status_code=200)


@router.get(
    "/{id}",
    operation_id="get_revision_by_id",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(*_OF_ONE),
)
async def get_revision(revision_id: RevisionId, services: ServicesParameter) -> RevisionBody:
    """Return a revision."""
    return revision_body(await services.lake.revisions.get(revision_id))


@router.get(
    "/{id}/files",
    operation_id="list_revision_files",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(*_OF_ONE, ErrorCode.INVALID_QUERY_PARAMETERS),
)
async def list_revision_files(
    revision_id: RevisionId, query: Annotated[FileListQuery, Query()], services: ServicesParameter
) -> FileListBody:
    """List one page of the files of a revision that count, in the order of their blocks."""
    revisions = services.lake.revisions
    found, more = await revisions.files(revision_id, limit=query.limit, after_block=query.after)
    files = [file_body(each, revisions.url_of(f"{each.path}/{each.file_name}")) for each in found]
    return FileListBody(files=files, next_cursor=files[-1].start_block) if more else FileListBody(files=files)


@router.post(
    "/{id}/activate",
    operation_id="activate_revision",
    dependencies=[ADMIN],
    response_class=Response,
    responses=error_responses(
        *_OF_ONE,
        *_OF_A_TABLE,
        ErrorCode.TABLE_NOT_REGISTERED,
        ErrorCode.WRITER_JOB_NOT_TERMINAL,
        ErrorCode.REQUEST_TOO_LARGE,
    ),
)
async def activate_revision(revision_id: RevisionId, body: TableRequest, services: ServicesParameter) -> Response:
    """Make a revision the active one of its table, in the place of another one."""
    dataset = await table_of(services, body.dataset, body.table_name)
    await services.lake.revisions.activate(dataset, body.table_name, revision_id)
    return Response(status_code=200)


@router.post(
    "/{id}/restore",
    operation_id="restore_revision",
    dependencies=[ADMIN],
    responses=error_responses(
        *_OF_ONE,
        *OF_THE_STORE,
        ErrorCode.MANIFEST_NOT_FOUND,
        ErrorCode.WRITER_JOB_NOT_TERMINAL,
        ErrorCode.REVISION_CONFLICT,
    ),
)
async def restore_revision(revision_id: RevisionId, services: ServicesParameter) -> RestoredFilesBody:
    """Register the files in a revision's directory, by their footers; those that overlap others are left out."""
    revision = await services.lake.revisions.get(revision_id)
    dataset, manifest = await dataset_of_revision(services, revision)
    table_name = revision.metadata["table_name"]
    restored = await services.lake.restorer.restore_revision(revision_id, dataset, manifest.network, table_name)
    return RestoredFilesBody(total_files=restored.files_count, left_out=restored.left_out, unusable=restored.unusable)


@router.delete(
    "/{id}",
    operation_id="delete_revision",
    dependencies=[ADMIN],
    status_code=204,
    response_class=Response,
    responses=error_responses(*_OF_ONE, *_NOT_IDLE, *OF_THE_STORE),
)
async def delete_revision(revision_id: RevisionId, services: ServicesParameter) -> Response:
    """Forget an inactive revision. Its files stay in the store: registered and restored again, they count."""
    await services.lake.revisions.delete(revision_id)
    return Response(status_code=204)


@router.delete(
    "/{id}/truncate",
    operation_id="truncate_revision",
    dependencies=[ADMIN],
    responses=error_responses(*_OF_ONE, *_NOT_IDLE, *OF_THE_STORE, ErrorCode.INVALID_QUERY_PARAMETERS),
)
async def truncate_revision(
    revision_id: RevisionId, query: Annotated[TruncateQuery, Query()], services: ServicesParameter
) -> TruncatedBody:
    """Delete an inactive revision with all its files."""
    deleted = await services.lake.revisions.truncate(revision_id, concurrency=query.concurrency)
    return TruncatedBody(files_deleted=deleted)


@router.delete(
    "/{id}/prune",
    operation_id="prune_revision",
    dependencies=[ADMIN],
    responses=error_responses(*_OF_ONE, ErrorCode.INVALID_QUERY_PARAMETERS, ErrorCode.WRITER_JOB_NOT_TERMINAL),
)
async def prune_revision(
    revision_id: RevisionId, query: Annotated[PruneQuery, Query()], services: ServicesParameter
) -> PrunedBody:
    """Let the files go that do not hang together with the revision's first ones. They count no more from now on; any
    worker deletes their objects when the delay is over.
    """
    scheduled = await services.lake.revisions.prune(
        revision_id, before_block=query.before_block, delay_seconds=query.gc_delay_secs
    )
    return PrunedBody(files_scheduled=scheduled, gc_delay_secs=query.gc_delay_secs)
