"""Requests and answers about the lake: revisions, files, restores, and what goes with manifests."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from ampd.admin_api.bodies.shapes import DATASET, REFERENCE, shaped
from ampd.admin_api.bodies.strict import MAX_INT64, Strict
from ampd.admin_api.bodies.timestamps import rfc3339
from ampd.data_store import RegisteredFile, RestoredTable, RestoreProgress, RevisionInfo
from ampd.data_store.revisions import LONGEST_PATH, REVISION_PATH_PATTERN

MAX_REVISIONS = 10_000
MAX_DELAY_SECONDS = 365 * 86_400
MAX_CONCURRENCY = 1000
_HASH = "5ac7a0b1e0e4c9f6b9f4a4e7f1a0c3d2b5e8f7a6c9d0e1f2a3b4c5d6e7f80912"
_PATH = "ethereum/mainnet/blocks/0197b9a2-6f3c-7d41-9a55-0c1f7e2b8d10"


# Manifests


class PrunedManifestsBody(BaseModel):
    """How many manifests were deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deleted_count": 2}]})

    deleted_count: int


class ManifestTagBody(BaseModel):
    """A dataset and one of its tags: a semantic version, `latest` or `dev`."""

    namespace: str
    name: str
    version: str


class ManifestDatasetsBody(BaseModel):
    """What points at a manifest."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"hash": _HASH, "datasets": [{"namespace": "ethereum", "name": "mainnet", "version": "1.0.0"}]}
            ]
        }
    )

    hash: str
    datasets: list[ManifestTagBody]


# Revisions


class RevisionListQuery(Strict):
    """Query parameters of GET /revisions."""

    active: bool | None = Field(default=None, description="only those that are active, or only those that are not")
    limit: int = Field(default=100, ge=0, le=MAX_REVISIONS, description=f"how many at most, up to {MAX_REVISIONS}")
    last_id: int | None = Field(
        default=None, ge=1, le=MAX_INT64, description="the id of the last revision of the page before"
    )
    dataset: Annotated[str, shaped(DATASET)] | None = Field(
        default=None, description="only those of this dataset: namespace/name"
    )
    table_name: str | None = Field(default=None, description="only those of tables with this name")


class FileListQuery(Strict):
    """Query parameters of GET /revisions/{id}/files."""

    limit: int = Field(default=100, ge=1, le=1000, description="how many files at most, 1 to 1000")
    after: int = Field(
        default=-1, ge=-1, le=MAX_INT64, description="the next_cursor of the page before: the first block of a file"
    )


class TruncateQuery(Strict):
    """Query parameters of DELETE /revisions/{id}/truncate."""

    concurrency: int = Field(default=10, ge=1, le=MAX_CONCURRENCY, description="how many objects are deleted at once")


class PruneQuery(Strict):
    """Query parameters of DELETE /revisions/{id}/prune."""

    before_block: int | None = Field(
        default=None, ge=0, le=MAX_INT64, description="only files that end before this block"
    )
    gc_delay_secs: int = Field(
        default=3600, ge=0, le=MAX_DELAY_SECONDS, description="the time until the objects are deleted, in seconds"
    )


class TableRequest(Strict):
    """A table of a dataset: `namespace/name@revision`, where a revision is also `latest`, `dev` or a hash."""

    dataset: Annotated[StrictStr, shaped(REFERENCE)]
    table_name: Annotated[StrictStr, Field(examples=["blocks"])]


_REVISION_PATH: Final = {"pattern": REVISION_PATH_PATTERN, "maxLength": LONGEST_PATH, "examples": [_PATH]}


class RegisterRevisionRequest(TableRequest):
    """Body of POST /revisions. `path` lies below the data directory."""

    path: Annotated[StrictStr, shaped(_REVISION_PATH)]


class RestoreTableRequest(Strict):
    """Body of a table's restore: the revision to make active, when it is not the newest directory."""

    location_id: StrictInt | None = Field(default=None, ge=1, le=MAX_INT64)


class LocationBody(BaseModel):
    """The id of a revision."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"location_id": 7}]})

    location_id: int


class RevisionBody(BaseModel):
    """A revision: a directory with files of one table. `writer` is the job that wrote it last; counts are of the files
    that count.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 7,
                    "path": _PATH,
                    "active": True,
                    "writer": 12,
                    "metadata": {
                        "dataset_namespace": "ethereum",
                        "dataset_name": "mainnet",
                        "manifest_hash": _HASH,
                        "table_name": "blocks",
                        "start_block": 0,
                    },
                    "files_count": 47,
                    "total_size_bytes": 2147483648,
                    "created_at": "2025-01-15T17:20:15Z",
                    "updated_at": "2025-01-15T17:20:15Z",
                }
            ]
        }
    )

    id: int
    path: str
    active: bool
    writer: int | None = None
    metadata: dict[str, Any]
    files_count: int
    total_size_bytes: int
    created_at: str
    updated_at: str


class RestoredFilesBody(BaseModel):
    """How many files of a revision count after its restore; those left out will be deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"total_files": 47, "left_out": 2, "unusable": {}}]})

    total_files: int
    left_out: int
    unusable: dict[str, str] = Field(description="objects that are no segments of the table, and why")


class TruncatedBody(BaseModel):
    """How many objects were deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"files_deleted": 47}]})

    files_deleted: int


class PrunedBody(BaseModel):
    """How many files count no more, and when their objects are deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"files_scheduled": 3, "gc_delay_secs": 3600}]})

    files_scheduled: int
    gc_delay_secs: int


# Files


class FileBody(BaseModel):
    """A file that counts. `metadata` is what its footer says of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 101,
                    "location_id": 7,
                    "file_name": "000000000-0f1e2d3c4b5a6978.parquet",
                    "url": f"file:///var/lib/ampd/data/{_PATH}/000000000-0f1e2d3c4b5a6978.parquet",
                    "object_size": 1048576,
                    "object_e_tag": "6b9f4a4e",
                    "object_version": None,
                    "metadata": {"table": "blocks"},
                    "start_block": 0,
                    "end_block": 999,
                    "row_count": 1000,
                    "created_at": "2025-01-15T17:20:15Z",
                }
            ]
        }
    )

    id: int
    location_id: int
    file_name: str
    url: str
    object_size: int
    object_e_tag: str | None
    object_version: str | None
    metadata: dict[str, Any]
    start_block: int
    end_block: int
    row_count: int
    created_at: str


class FileListBody(BaseModel):
    """One page of the files of a revision, in the order of their blocks. `next_cursor` is there when there are more."""

    files: list[FileBody]
    next_cursor: int | None = None


# Restores


class RestoredTableBody(BaseModel):
    """A table that was restored. `start_block` and `end_block` bound the blocks from the dataset's start without a gap,
    null when there are none.
    """

    table_name: str
    location_id: int
    url: str
    files_count: int
    start_block: int | None
    end_block: int | None
    left_out: int = Field(description="files that are not needed: they will be deleted after a week")
    unusable: dict[str, str] = Field(description="objects that are no segments of the table, and why")


class RestoredDatasetBody(BaseModel):
    """The tables of a dataset that was restored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tables": [
                        {
                            "table_name": "blocks",
                            "location_id": 7,
                            "url": f"file:///var/lib/ampd/data/{_PATH}",
                            "files_count": 47,
                            "start_block": 0,
                            "end_block": 950000,
                            "left_out": 2,
                            "unusable": {},
                        }
                    ]
                }
            ]
        }
    )

    tables: list[RestoredTableBody]


class RestoreProgressBody(BaseModel):
    """How far the last restore of a dataset is. `state`: RUNNING, COMPLETED, FAILED, or INTERRUPTED when its controller
    is gone; `phase`: LISTING, READING (of footers), REGISTERING or ACTIVATING.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "state": "RUNNING",
                    "phase": "READING",
                    "files_found": 12000,
                    "files_read": 4500,
                    "files_registered": 0,
                    "error": None,
                    "started_at": "2025-01-15T17:20:15Z",
                    "updated_at": "2025-01-15T17:20:19Z",
                }
            ]
        }
    )

    state: str
    phase: str
    files_found: int
    files_read: int
    files_registered: int
    error: dict[str, Any] | None
    started_at: str
    updated_at: str


# From rows to answers


def revision_body(revision: RevisionInfo) -> RevisionBody:
    """Return a revision as it is shown; without `writer` when there is none."""
    shown = {
        "id": revision.id,
        "path": revision.path,
        "active": revision.is_active,
        "metadata": revision.metadata,
        "files_count": revision.files_count,
        "total_size_bytes": revision.total_size_bytes,
        "created_at": rfc3339(revision.created_at),
        "updated_at": rfc3339(revision.updated_at),
    }
    if revision.writer_job_id is not None:
        shown["writer"] = revision.writer_job_id
    return RevisionBody.model_validate(shown)


def file_body(file: RegisteredFile, url: str) -> FileBody:
    """Return a file as it is shown."""
    return FileBody(
        id=file.id,
        location_id=file.revision_id,
        file_name=file.file_name,
        url=url,
        object_size=file.object_size,
        object_e_tag=file.object_e_tag,
        object_version=file.object_version,
        metadata=file.metadata,
        start_block=file.start_block,
        end_block=file.end_block,
        row_count=file.row_count,
        created_at=rfc3339(file.created_at),
    )


def restored_table_body(table: RestoredTable, url: str) -> RestoredTableBody:
    """Return a restored table as it is shown."""
    return RestoredTableBody(
        table_name=table.table_name,
        location_id=table.revision_id,
        url=url,
        files_count=table.files_count,
        start_block=table.start_block,
        end_block=table.end_block,
        left_out=table.left_out,
        unusable=table.unusable,
    )


def restore_progress_body(progress: RestoreProgress) -> RestoreProgressBody:
    """Return the progress of a restore as it is shown."""
    moments = {"started_at": rfc3339(progress.started_at), "updated_at": rfc3339(progress.updated_at)}
    return RestoreProgressBody(**vars(progress) | moments)
