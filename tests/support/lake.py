"""The lake as a reader sees it: the files that the database says count."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

_FILES = """
SELECT r.path, f.file_name FROM files f
JOIN table_revisions r ON r.id = f.revision_id
JOIN physical_tables t ON t.active_revision_id = r.id
WHERE t.table_name = %s
ORDER BY f.start_block
"""


def registered_files(database_url: str, data_dir: Path, table: str) -> list[Path]:
    """Return the files of a table that count, in the order of their blocks."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(_FILES, (table,)).fetchall()
    return [data_dir / path / name for path, name in rows]


def read_table(database_url: str, data_dir: Path, table: str) -> pa.Table:
    """Return all rows of a table that count."""
    return pa.concat_tables(pq.read_table(file) for file in registered_files(database_url, data_dir, table))


def files_on_disk(data_dir: Path, table: str) -> set[Path]:
    """Return every Parquet file of a table, whether it counts or not."""
    return set(data_dir.glob(f"*/*/{table}/*/*.parquet"))
