"""The lake: tables, revisions, Parquet files, progress."""

from __future__ import annotations

from ampd.data_store.changes import TableChanges
from ampd.data_store.compaction_store import CompactionStore, FilesReplacedError, StoredFile
from ampd.data_store.figures import LakeFigures, TableFigures, read_lake_figures
from ampd.data_store.job_ranges import BlockState, JobRanges, StateRange
from ampd.data_store.lake_files import LakeFile, LakeFiles
from ampd.data_store.lake_stores import LakeStores
from ampd.data_store.leftovers import Leftovers
from ampd.data_store.minutes import LakeTrend, count_lake_minute, note_lags
from ampd.data_store.overview import DatasetLag, LakeOverview, Throughput
from ampd.data_store.range_store import (
    Cost,
    HeldRange,
    OpenPlan,
    PlannedRange,
    PlanView,
    RangeLease,
    RangeState,
    RangeStore,
    Run,
    StoredSegment,
)
from ampd.data_store.registration import WrittenSegment
from ampd.data_store.restore_progress import RestoreProgress
from ampd.data_store.restoring import RestoredTable, Restorer
from ampd.data_store.revisions import RegisteredFile, RevisionFilter, RevisionInfo, RevisionStore
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
    "BlockState",
    "CompactionStore",
    "Compression",
    "Cost",
    "Dataset",
    "DatasetLag",
    "FilesReplacedError",
    "HeldRange",
    "JobRanges",
    "LakeFigures",
    "LakeFile",
    "LakeFiles",
    "LakeOverview",
    "LakeStores",
    "LakeTrend",
    "Leftovers",
    "OpenPlan",
    "PlanView",
    "PlannedRange",
    "ProgressSummary",
    "RangeLease",
    "RangeState",
    "RangeStore",
    "RegisteredFile",
    "RestoreProgress",
    "RestoredTable",
    "Restorer",
    "Revision",
    "RevisionFilter",
    "RevisionInfo",
    "RevisionStore",
    "Run",
    "Segment",
    "SegmentFile",
    "StateRange",
    "StoredFile",
    "StoredSegment",
    "TableChanges",
    "TableFigures",
    "TableProgress",
    "TableStore",
    "Throughput",
    "WrittenSegment",
    "count_lake_minute",
    "describe_segment",
    "encode_segment",
    "note_lags",
    "read_lake_figures",
    "segment_file_name",
]
