"""Lakes made of nothing but files: what is left when the metadata database is lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import uuid_utils

from ampd.chain.tables import TABLES
from ampd.data_store import Compression, Segment, describe_segment, encode_segment, segment_file_name

START = datetime(2025, 1, 15, 17, 20, 15, tzinfo=UTC)


def hash_of(block: int, fork: int = 0) -> bytes:
    return bytes([fork]) + (block + 1).to_bytes(31, "big")


def segment_of(start: int, end: int, fork: int = 0) -> Segment:
    return Segment(start, end, hash_of(start - 1, fork), hash_of(end, fork), 1_700_000_000 + end)


class MadeLake:
    """Tables of one dataset, each in one directory below ``data``."""

    def __init__(self, data: Path, dataset: str = "ethereum/mainnet", tables: Iterable[str] = TABLES) -> None:
        self.data = data
        self.paths = {name: f"{dataset}/{name}/{uuid_utils.uuid7()}" for name in tables}

    def write(
        self,
        start: int,
        end: int,
        *,
        fork: int = 0,
        seconds: int = 0,
        tables: Sequence[str] | None = None,
        network: str = "mainnet",
    ) -> list[Path]:
        """Write a segment of all tables, or of some, ``seconds`` after the start."""
        return [
            self._write(name, segment_of(start, end, fork), START + timedelta(seconds=seconds), network)
            for name in tables or self.paths
        ]

    def _write(self, table: str, segment: Segment, created_at: datetime, network: str) -> Path:
        name = segment_file_name(segment.start_block)
        described = describe_segment(segment, table=table, file_name=name, network=network, created_at=created_at)
        content = encode_segment(table, [TABLES[table].empty_table()], described, Compression())
        return self.put(table, name, content)

    def put(self, table: str, name: str, content: bytes | pa.Buffer) -> Path:
        """Put any content beside the files of a table."""
        path = self.data / self.paths[table] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def write_as_reference(self, table: str, segment: Segment) -> Path:
        """Write a file as the reference system did before it noted the time of the last block."""
        name = f"{segment.start_block:09d}-{0:016x}.parquet"
        block_range: dict[str, Any] = {
            "numbers": {"start": segment.start_block, "end": segment.end_block},
            "network": "mainnet",
            "hash": "0x" + segment.end_hash.hex(),
            "prev_hash": "0x" + segment.start_parent_hash.hex(),
        }
        described = {
            "table": table,
            "filename": name,
            "created_at": {"secs": 1770149591, "nanos": 747913636},
            "ranges": [block_range],
        }
        moment = datetime.fromtimestamp(segment.end_timestamp, UTC)
        rows = pa.table({"block_num": pa.array([segment.end_block], pa.uint64()), "timestamp": [moment]})
        keys = {"nozzle_metadata": json.dumps(described), "parent_file_ids": "[]", "generation": "0"}
        sink = pa.BufferOutputStream()
        pq.write_table(rows.replace_schema_metadata(keys), sink, compression="zstd")
        return self.put(table, name, sink.getvalue())


def files_below(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}
