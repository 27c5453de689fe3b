"""What a worker counts of its extractions. Names without ``ampd_`` are those of the reference system, whose dashboards
find them; they count what was committed, and not what was only tried.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from ampd.telemetry.metrics import MILLISECONDS, counter, gauge, histogram

_OF_DATASET: Final = ("dataset_namespace", "dataset_name")
_OF_TABLE: Final = (*_OF_DATASET, "table")

STAGES: Final = histogram(
    "ampd_stage_seconds",
    "How long one piece of work took: fetch (a run of blocks, or their receipts), decode and verify (the same run), "
    "encode (a Parquet file), write (put it into the store), commit (the transaction that makes a segment count).",
    ("stage",),
)
_ROWS: Final = counter("rows_ingested_total", "Rows committed by this process.", _OF_TABLE)
_FILES: Final = counter("files_written_total", "Files committed by this process.", _OF_TABLE)
_BYTES: Final = counter("bytes_written_total", "Bytes of these files, as they are in the store.", _OF_TABLE)
_PUTS: Final = counter("write_calls_total", "Files put into the store, also those that never came to count.", _OF_TABLE)
_BLOCKS: Final = counter("ampd_blocks_committed_total", "Blocks committed by this process.", _OF_DATASET)
_COMMITS: Final = counter("ampd_commits_total", "Segments (of all tables) committed by this process.", _OF_DATASET)
_LATEST: Final = gauge(
    "latest_block_number", "Last block of the segment that this process committed last.", _OF_DATASET
)
_TIMESTAMP: Final = gauge(
    "latest_segment_timestamp", "Time of that block, in Unix seconds, as the chain says.", _OF_DATASET
)
_DELAY: Final = gauge(
    "latest_segment_delay_seconds",
    "How old that block was at its commit, by this machine's clock.",
    _OF_DATASET,
)
_RANGES: Final = histogram(
    "dump_duration_milliseconds",
    "From the begin of a range to its last commit.",
    _OF_DATASET,
    buckets=MILLISECONDS,
)
_ERRORS: Final = counter(
    "dump_errors_total", "Errors that ended the reading or writing of a range.", (*_OF_DATASET, "error_code")
)
_REORGS: Final = counter("ampd_reorgs_repaired_total", "Reorgs that this process has repaired.", _OF_DATASET)

_READ_FILES: Final = counter("compaction_files_read_total", "Small files that compaction has replaced.", _OF_DATASET)
_READ_BYTES: Final = counter("compaction_bytes_read_total", "Their bytes.", _OF_DATASET)
_WRITTEN_BYTES: Final = counter("compaction_bytes_written_total", "Bytes of the files in their place.", _OF_DATASET)
_COMPACTING: Final = histogram(
    "compaction_duration_milliseconds", "How long one compaction took.", _OF_DATASET, buckets=MILLISECONDS
)
_COMPACTED: Final = counter("successful_compactions_total", "Compactions that were committed.", _OF_DATASET)
_NOT_COMPACTED: Final = counter("failed_compactions_total", "Compactions that were not.", _OF_DATASET)
DELETED: Final = counter("files_deleted_total", "Objects deleted that did not count (any more).")


@dataclass(frozen=True)
class Written:
    """What one table got of a segment."""

    rows: int
    bytes: int


class DatasetMeter:
    """The counters of one dataset; made by :func:`meter_of`."""

    def __init__(self, namespace: str, name: str) -> None:
        self._labels = labels = (namespace, name)
        self._blocks = _BLOCKS.labels(*labels)
        self._commits = _COMMITS.labels(*labels)
        self._latest = _LATEST.labels(*labels)
        self._timestamp = _TIMESTAMP.labels(*labels)
        self._delay = _DELAY.labels(*labels)
        self._ranges = _RANGES.labels(*labels)
        self._not_compacted = _NOT_COMPACTED.labels(*labels)

    def committed(self, tables: Mapping[str, Written], *, blocks: int, end_block: int, end_timestamp: int) -> None:
        """Count a segment, after its commit."""
        for table, written in tables.items():
            _ROWS.labels(*self._labels, table).inc(written.rows)
            _FILES.labels(*self._labels, table).inc()
            _BYTES.labels(*self._labels, table).inc(written.bytes)
        self._blocks.inc(blocks)
        self._commits.inc()
        self._latest.set(end_block)
        self._timestamp.set(end_timestamp)
        self._delay.set(max(0.0, time.time() - end_timestamp))

    def put(self, table: str) -> None:
        """Count a file that was stored."""
        _PUTS.labels(*self._labels, table).inc()

    def range_done(self, seconds: float) -> None:
        """Observe a range that was committed to its end."""
        self._ranges.observe(seconds * 1000)

    def range_failed(self, error_code: str) -> None:
        """Count an error that ended a range."""
        _ERRORS.labels(*self._labels, error_code).inc()

    def reorg_repaired(self) -> None:
        """Count a repair."""
        _REORGS.labels(*self._labels).inc()

    def compacted(self, *, files: int, bytes_before: int, bytes_after: int, seconds: float) -> None:
        """Count a compaction that was committed."""
        _READ_FILES.labels(*self._labels).inc(files)
        _READ_BYTES.labels(*self._labels).inc(bytes_before)
        _WRITTEN_BYTES.labels(*self._labels).inc(bytes_after)
        _COMPACTING.labels(*self._labels).observe(seconds * 1000)
        _COMPACTED.labels(*self._labels).inc()

    def not_compacted(self) -> None:
        """Count a compaction that failed."""
        self._not_compacted.inc()


@cache
def meter_of(namespace: str, name: str) -> DatasetMeter:
    """Return the counters of a dataset; there are as many as datasets that this process has worked on."""
    return DatasetMeter(namespace, name)
