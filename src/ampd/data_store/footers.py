"""What the footer of a Parquet file says of the segment in it (design section 7.6): of files of ours, and of those of
the reference system.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ampd.data_store.restore_choice import FoundFile
from ampd.object_store import ObjectStore

# Most footers fit into it, so that one request gives them.
_TAIL: Final = 64 * 1024
# The length of the footer, and the mark of the format.
_END: Final = 8
_MAGIC: Final = b"PAR1"
_HASH_BYTES: Final = 32
_SECONDS_COLUMN: Final = "timestamp"


class UnusableFileError(Exception):
    """An object that is no segment of the table that it lies in; the message says why."""


async def read_found_file(lake: ObjectStore, path: str, size: int, *, table: str, network: str) -> FoundFile | None:
    """Return what the footer of an object says; None when the object is gone.

    :raises UnusableFileError: when it is no segment of ``table`` and ``network``.
    :raises AmpError: DATA_STORE_*.
    """
    if size < _END:
        raise UnusableFileError("it is no whole Parquet file")
    tail = await lake.get_from(path, max(0, size - _TAIL))
    if tail is None:
        return None
    length = _footer_length(tail.data)
    if length + _END > len(tail.data):
        if length + _END > size:
            raise UnusableFileError("it is cut off: its footer is longer than the file")
        tail = await lake.get_from(path, size - length - _END)
        if tail is None:
            return None
    metadata = _metadata(tail.data)
    description = _description(metadata)
    name = path.rpartition("/")[2]
    try:
        found = _found_file(name, description, metadata)
        is_of = description["table"], description["ranges"][0]["network"]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnusableFileError(f"its description of the segment is not as it must be ({error!r})") from error
    if is_of != (table, network):
        raise UnusableFileError(f"it is of table {is_of[0]!r} and network {is_of[1]!r}")
    return replace(found, size=tail.size, e_tag=tail.e_tag, version=tail.version)


def _footer_length(tail: bytes) -> int:
    if len(tail) < _END or tail[-len(_MAGIC) :] != _MAGIC:
        raise UnusableFileError("it is no whole Parquet file")
    return int.from_bytes(tail[-_END : -len(_MAGIC)], "little")


def _metadata(tail: bytes) -> pq.FileMetaData:
    try:
        return pq.read_metadata(pa.BufferReader(tail))
    except (pa.ArrowException, OSError) as error:
        raise UnusableFileError(f"its footer cannot be read ({error})") from error


def _description(metadata: pq.FileMetaData) -> dict[str, Any]:
    text = (metadata.metadata or {}).get(b"nozzle_metadata")
    if text is None:
        raise UnusableFileError("its footer has no key nozzle_metadata")
    try:
        description = json.loads(text)
    except ValueError as error:
        raise UnusableFileError(f"the key nozzle_metadata of its footer is not JSON ({error})") from error
    if not isinstance(description, dict):
        raise UnusableFileError("the key nozzle_metadata of its footer is no JSON object")
    return description


def _found_file(name: str, description: dict[str, Any], metadata: pq.FileMetaData) -> FoundFile:
    ranges = description["ranges"]
    if len(ranges) != 1:
        raise ValueError(f"{len(ranges)} ranges of blocks; want one")
    numbers, created_at = ranges[0]["numbers"], description["created_at"]
    start, end = int(numbers["start"]), int(numbers["end"])
    if not 0 <= start <= end:
        raise ValueError(f"blocks {start} to {end}")
    if ranges[0].get("timestamp") is None and (timestamp := _last_timestamp(metadata)) is not None:
        description = {**description, "ranges": [{**ranges[0], "timestamp": timestamp}]}
    return FoundFile(
        name=name,
        start_block=start,
        end_block=end,
        start_parent_hash=_hash(ranges[0]["prev_hash"]),
        end_hash=_hash(ranges[0]["hash"]),
        created_at=int(created_at["secs"]) + int(created_at["nanos"]) / 1e9,
        row_count=metadata.num_rows,
        description=description,
    )


def _hash(text: str) -> bytes:
    value = bytes.fromhex(text.removeprefix("0x"))
    if len(value) != _HASH_BYTES:
        raise ValueError(f"a hash has {len(value)} bytes")
    return value


def _last_timestamp(metadata: pq.FileMetaData) -> int | None:
    """Return the time of the last row, in Unix seconds, as the statistics of the column say."""
    if metadata.num_row_groups == 0:
        return None
    group = metadata.row_group(metadata.num_row_groups - 1)
    columns: Mapping[str, Any] = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    statistics = columns[_SECONDS_COLUMN].statistics if _SECONDS_COLUMN in columns else None
    if statistics is None or not statistics.has_min_max:
        return None
    last = statistics.max
    return int(last.timestamp()) if isinstance(last, datetime) else None
