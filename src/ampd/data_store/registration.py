"""How written files become rows: what every commit shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from ampd.data_store.segments import Segment
from ampd.data_store.tables import SegmentFile


@dataclass(frozen=True)
class WrittenSegment:
    """A segment whose files, by path, are in the store and do not count yet. ``cursor`` is where the source's stream
    goes on behind it, when the source has one.
    """

    segment: Segment
    files: dict[str, SegmentFile]
    cursor: str | None = None


def file_rows(segment: Segment, files: Sequence[SegmentFile], *, created_at: datetime | None = None) -> dict[str, Any]:
    """Return the parameters of ``register_files.sql``. ``created_at`` None: now."""
    count = len(files)
    return {
        "revision_ids": [file.revision_id for file in files],
        "file_names": [file.file_name for file in files],
        "starts": [segment.start_block] * count,
        "ends": [segment.end_block] * count,
        "parent_hashes": [segment.start_parent_hash] * count,
        "end_hashes": [segment.end_hash] * count,
        "row_counts": [file.row_count for file in files],
        "sizes": [file.size for file in files],
        "e_tags": [file.e_tag for file in files],
        "versions": [file.version for file in files],
        "created_at": created_at,
        "descriptions": [Jsonb(file.description) for file in files],
    }
