"""Files of the lake: look."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from ampd.admin_api.bodies.lake_models import FileBody, file_body
from ampd.admin_api.bodies.strict import MAX_INT64
from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.errors import ErrorCode

router = APIRouter(prefix="/files", tags=["files"])


@router.get(
    "/{file_id}",
    operation_id="get_file",
    dependencies=[VIEWER],
    responses=error_responses(ErrorCode.INVALID_FILE_ID, ErrorCode.FILE_NOT_FOUND, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def get_file(
    file_id: Annotated[int, Path(ge=1, le=MAX_INT64, description="id of a file")], services: ServicesParameter
) -> FileBody:
    """Return a file that counts."""
    revisions = services.lake.revisions
    file = await revisions.file(file_id)
    return file_body(file, revisions.url_of(f"{file.path}/{file.file_name}"))
