"""The lake as a reader sees it: the files that the database says count."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

_FILES = """
SELECT r.path, f.file_name, f.start_block, f.end_block FROM files f
JOIN table_revisions r ON r.id = f.revision_id
JOIN physical_tables t ON t.active_revision_id = r.id
WHERE t.table_name = %(table)s
  AND (%(dataset)s::text IS NULL OR t.dataset_namespace || '/' || t.dataset_name = %(dataset)s)
ORDER BY f.start_block
"""


def _rows(database_url: str, table: str, dataset: str | None) -> list[tuple[str, str, int, int]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(_FILES, {"table": table, "dataset": dataset}).fetchall()


def registered_files(database_url: str, data_dir: Path, table: str, dataset: str | None = None) -> list[Path]:
    """Return the files of a table that count, in the order of their blocks; of all datasets, or of one."""
    return [data_dir / path / name for path, name, _, _ in _rows(database_url, table, dataset)]


def registered_ranges(database_url: str, table: str, dataset: str | None = None) -> list[tuple[int, int]]:
    """Return the block ranges (both ends included) of the files of a table that count, in order."""
    return [(start, end) for _, _, start, end in _rows(database_url, table, dataset)]


def read_table(database_url: str, data_dir: Path, table: str, dataset: str | None = None) -> pa.Table:
    """Return all rows of a table that count."""
    files = registered_files(database_url, data_dir, table, dataset)
    return pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)


def files_on_disk(data_dir: Path, table: str, dataset: str = "*/*") -> set[Path]:
    """Return every Parquet file of a table, whether it counts or not."""
    return set(data_dir.glob(f"{dataset}/{table}/*/*.parquet"))
