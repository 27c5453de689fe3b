"""Segments: the files of one range of blocks, as Parquet (design sections 7.5 and 7.6).

The footer keys are those of the reference system, so that its files and ours can be restored by either.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ampd.chain.tables import SORT_COLUMNS

# Columns of few different values, or that are searched by value. Elsewhere a dictionary costs time and saves nothing:
# zstd alone makes hashes, numbers and amounts as small.
_DICTIONARY_COLUMNS: Final = frozenset(
    """
    _block_num block_num block_hash timestamp miner ommers_hash gas_limit extra
    to contract_address type chain_id status v_parity
    address topic0 topic1 topic2 validator_index caller call_type depth parent_index
    """.split()  # noqa: SIM905 - a list of twenty quoted words reads worse
)


@dataclass(frozen=True)
class Segment:
    """A range of blocks and how it hangs in the chain: hashes of 32 bytes, the end's timestamp in Unix seconds."""

    start_block: int
    end_block: int
    start_parent_hash: bytes
    end_hash: bytes
    end_timestamp: int


@dataclass(frozen=True)
class Compression:
    """A Parquet codec and its level (None: the codec's default)."""

    codec: str = "zstd"
    level: int | None = 1


def segment_file_name(start_block: int) -> str:
    """Return a name that no other attempt uses: ``<start, 9 digits>-<16 random hex digits>.parquet``."""
    return f"{start_block:09d}-{secrets.token_hex(8)}.parquet"


def describe_segment(
    segment: Segment, *, table: str, file_name: str, network: str, created_at: datetime
) -> dict[str, Any]:
    """Return what the footer (key ``nozzle_metadata``) and the files table say of a segment file."""
    nanoseconds = created_at.microsecond * 1000
    return {
        "table": table,
        "filename": file_name,
        "created_at": {"secs": int(created_at.timestamp()), "nanos": nanoseconds},
        "ranges": [
            {
                "numbers": {"start": segment.start_block, "end": segment.end_block},
                "network": network,
                "hash": "0x" + segment.end_hash.hex(),
                "prev_hash": "0x" + segment.start_parent_hash.hex(),
                "timestamp": segment.end_timestamp,
            }
        ],
    }


def encode_segment(
    name: str,
    tables: Sequence[pa.Table],
    description: dict[str, Any],
    compression: Compression,
    *,
    parents: Sequence[int] = (),
) -> pa.Buffer:
    """Return a Parquet file with the rows of ``tables`` in their order. A table without rows still makes a file: the
    range was seen. ``parents`` are the ids of the files that it was compacted from.
    """
    table = pa.concat_tables(tables)
    schema = table.schema
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression=compression.codec,
        compression_level=compression.level,
        use_dictionary=[column for column in schema.names if column in _DICTIONARY_COLUMNS],
        write_statistics=True,
        write_page_index=True,
        write_page_checksum=True,
        store_schema=True,
        sorting_columns=[pq.SortingColumn(schema.get_field_index(column)) for column in SORT_COLUMNS[name]],
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(
            {
                "nozzle_metadata": json.dumps(description, separators=(",", ":")),
                "parent_file_ids": json.dumps(list(parents)),
                "generation": "1" if parents else "0",
            }
        )
    return sink.getvalue()
