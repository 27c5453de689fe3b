"""What the client tells of the lake."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Revision:
    """A revision of a table: a directory of files, below the data directory. ``writer`` is the job that wrote it last;
    counts and bytes are of the files that count.
    """

    id: int
    path: str
    active: bool
    writer: int | None
    namespace: str
    name: str
    manifest_hash: str
    table_name: str
    files_count: int
    total_size_bytes: int
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Revision:
        """Read the answer of GET /revisions/{id}."""
        metadata = data["metadata"]
        return cls(
            id=data["id"],
            path=data["path"],
            active=data["active"],
            writer=data.get("writer"),
            namespace=metadata["dataset_namespace"],
            name=metadata["dataset_name"],
            manifest_hash=metadata["manifest_hash"],
            table_name=metadata["table_name"],
            files_count=data["files_count"],
            total_size_bytes=data["total_size_bytes"],
            raw=data,
        )


@dataclass(frozen=True)
class LakeFile:
    """A file that counts. ``metadata`` is what its footer says of it."""

    id: int
    revision_id: int
    url: str
    start_block: int
    end_block: int
    row_count: int
    object_size: int
    metadata: Json
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> LakeFile:
        """Read the answer of GET /files/{id}."""
        same = ("id", "url", "start_block", "end_block", "row_count", "object_size", "metadata")
        return cls(**{name: data[name] for name in same}, revision_id=data["location_id"], raw=data)


@dataclass(frozen=True)
class FilePage:
    """One page of the files of a revision, in the order of their blocks. ``next_cursor`` is None on the last page."""

    files: tuple[LakeFile, ...]
    next_cursor: int | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> FilePage:
        """Read the answer of GET /revisions/{id}/files."""
        return cls(tuple(map(LakeFile.from_json, data["files"])), data.get("next_cursor"), raw=data)


@dataclass(frozen=True)
class RestoredTable:
    """A table that was restored. ``start_block`` and ``end_block`` bound its blocks from the dataset's start without a
    gap (None: there are none); ``left_out`` files will be deleted; ``unusable`` says which objects are no segments, and
    why.
    """

    table_name: str
    revision_id: int
    url: str
    files_count: int
    start_block: int | None
    end_block: int | None
    left_out: int
    unusable: dict[str, str]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> RestoredTable:
        """Read one table of the answer of a restore."""
        same = ("table_name", "url", "files_count", "start_block", "end_block", "left_out", "unusable")
        return cls(**{name: data[name] for name in same}, revision_id=data["location_id"], raw=data)


@dataclass(frozen=True)
class RestoreProgress:
    """How far the last restore of a dataset is. ``state``: RUNNING, COMPLETED, FAILED or INTERRUPTED; ``phase``:
    LISTING, READING, REGISTERING or ACTIVATING.
    """

    state: str
    phase: str
    files_found: int
    files_read: int
    files_registered: int
    error: Json | None
    started_at: datetime
    updated_at: datetime
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> RestoreProgress:
        """Read the answer of GET …/restore."""
        same = ("state", "phase", "files_found", "files_read", "files_registered", "error")
        return cls(
            **{name: data[name] for name in same},
            started_at=datetime.fromisoformat(data["started_at"]),
            updated_at=datetime.fromisoformat(data["updated_at"]),
            raw=data,
        )


@dataclass(frozen=True)
class ManifestTag:
    """A dataset and a tag of it (a version, ``latest`` or ``dev``) that points at a manifest."""

    namespace: str
    name: str
    version: str

    @classmethod
    def from_json(cls, data: Json) -> ManifestTag:
        """Read one item of GET /manifests/{hash}/datasets."""
        return cls(data["namespace"], data["name"], data["version"])
