"""Restoring datasets and tables from the files in the store, when the metadata database is lost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from ampd.admin_api.bodies.lake_models import (
    RestoredDatasetBody,
    RestoreProgressBody,
    RestoreTableRequest,
    restore_progress_body,
    restored_table_body,
)
from ampd.admin_api.errors import error_responses
from ampd.admin_api.lake_targets import dataset_of, require_table
from ampd.admin_api.routes.datasets import OF_A_REVISION, Name, Namespace, Revision, reference_of
from ampd.admin_api.routes.revisions import OF_THE_STORE
from ampd.admin_api.rules import ADMIN, VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.errors import ErrorCode

router = APIRouter(prefix="/datasets", tags=["datasets"])

_RESTORING = (
    *OF_A_REVISION,
    *OF_THE_STORE,
    ErrorCode.TABLE_NOT_FOUND,
    ErrorCode.WRITER_JOB_NOT_TERMINAL,
    ErrorCode.REVISION_CONFLICT,
)


@router.post(
    "/{namespace}/{name}/versions/{revision}/restore",
    operation_id="restore_dataset",
    dependencies=[ADMIN],
    status_code=202,
    responses=error_responses(*_RESTORING),
)
async def restore_dataset(
    namespace: Namespace, name: Name, revision: Revision, services: ServicesParameter
) -> RestoredDatasetBody:
    """Restore all tables of a revision from the footers of their files, and make them active.

    Of each table the newest directory with files of this dataset is taken. The answer comes when everything is
    registered: a deploy after it extracts nothing twice. A GET of the same path tells how far it is meanwhile; done
    again, it goes on where it was interrupted.
    """
    dataset, manifest = await dataset_of(services, reference_of(namespace, name, revision))
    restored = await services.lake.restorer.restore_dataset(dataset, manifest.network, manifest.table_names)
    url_of = services.lake.revisions.url_of
    return RestoredDatasetBody(tables=[restored_table_body(each, url_of(each.path)) for each in restored])


@router.get(
    "/{namespace}/{name}/versions/{revision}/restore",
    operation_id="get_restore_progress",
    dependencies=[VIEWER],
    responses=error_responses(*OF_A_REVISION, ErrorCode.RESTORE_NOT_FOUND),
)
async def get_restore_progress(
    namespace: Namespace, name: Name, revision: Revision, services: ServicesParameter
) -> RestoreProgressBody:
    """Return how far the last restore of a revision is."""
    dataset, _manifest = await dataset_of(services, reference_of(namespace, name, revision))
    return restore_progress_body(await services.lake.restore_progress(dataset))


@router.post(
    "/{namespace}/{name}/versions/{revision}/tables/{table}/restore",
    operation_id="restore_table",
    dependencies=[ADMIN],
    response_class=Response,
    responses=error_responses(
        *_RESTORING,
        ErrorCode.INVALID_BODY,
        ErrorCode.TABLE_NOT_IN_MANIFEST,
        ErrorCode.REVISION_NOT_FOUND,
        ErrorCode.TABLE_NOT_REGISTERED,
        ErrorCode.REQUEST_TOO_LARGE,
    ),
)
async def restore_table(
    namespace: Namespace,
    name: Name,
    revision: Revision,
    *,
    table: Annotated[str, Path(description="name of a table", examples=["blocks"])],
    services: ServicesParameter,
    body: RestoreTableRequest | None = None,
) -> Response:
    """Restore one table from its newest directory; or, with a `location_id`, make that revision the active one.

    The other tables are not looked at: what they do not have in common with this one, the next deploy extracts again.
    """
    reference = reference_of(namespace, name, revision)
    dataset, manifest = await dataset_of(services, reference)
    require_table(manifest, str(reference), table)
    if body is not None and body.location_id is not None:
        await services.lake.revisions.activate(dataset, table, body.location_id)
    else:
        await services.lake.restorer.restore_dataset(dataset, manifest.network, [table])
    return Response(status_code=200)
