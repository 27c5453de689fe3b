"""The lake: tables, revisions, Parquet files, progress."""

from __future__ import annotations

from ampd.data_store.segments import Compression, Segment, describe_segment, encode_segment, segment_file_name
from ampd.data_store.tables import (
    Dataset,
    ProgressSummary,
    Revision,
    SegmentFile,
    TableProgress,
    TableStore,
)

__all__ = [
    "Compression",
    "Dataset",
    "ProgressSummary",
    "Revision",
    "Segment",
    "SegmentFile",
    "TableProgress",
    "TableStore",
    "describe_segment",
    "encode_segment",
    "segment_file_name",
]
