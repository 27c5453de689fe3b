"""Columns of byte strings, put together and hashed without a Python object per value.

A "piece" here is a ``pa.BinaryArray`` without nulls. Its values lie one after the other in one buffer, so that runs of
neighbours can be read as one value without copying (:func:`merge_neighbours`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sha3 import keccak_256

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def piece(data: Bytes | bytes | pa.Buffer, offsets: npt.NDArray[np.integer]) -> pa.BinaryArray:
    """Return the values ``data[offsets[i]:offsets[i + 1]]``."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets, dtype=np.int32)), pa.py_buffer(data)]
    return pa.BinaryArray.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def repeated(value: bytes, count: int) -> pa.BinaryArray:
    """Return ``value``, ``count`` times."""
    return piece(value * count, np.arange(count + 1) * len(value))


def kept(matrix: Bytes, keep: Mask, lengths: Integers) -> pa.BinaryArray:
    """Return the rows of ``matrix`` (n, width), each with only its bytes where ``keep`` holds: ``lengths`` of them."""
    offsets = np.zeros(len(matrix) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return piece(matrix[keep], offsets)


def type_bytes(kinds: npt.NDArray[np.integer], present: Mask) -> pa.BinaryArray:
    """Return each number as one byte; rows where ``present`` is false become empty."""
    return kept(kinds.astype(np.uint8)[:, None], present[:, None], present.astype(np.int64))


def offsets_of(column: pa.BinaryArray) -> npt.NDArray[np.int32]:
    """Return the n + 1 places in the buffer of values where the values begin and end."""
    if len(column) == 0:
        return np.zeros(1, dtype=np.int32)
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)
    return offsets[column.offset : column.offset + len(column) + 1]


def lengths_of(column: pa.BinaryArray) -> Integers:
    """Return the length of each value."""
    return np.diff(offsets_of(column)).astype(np.int64)


def join(*pieces: pa.BinaryArray) -> pa.BinaryArray:
    """Return row by row the concatenation of ``pieces``."""
    return pc.binary_join_element_wise(*pieces, b"")


def merge_neighbours(column: pa.BinaryArray, counts: Integers) -> pa.BinaryArray:
    """Return one value for each run of ``counts`` neighbours; the counts add up to ``len(column)``. Copies nothing."""
    bounds = np.concatenate([[0], np.cumsum(counts)])
    data = column.buffers()[2] if len(column) else None
    return piece(data if data is not None else b"", offsets_of(column)[bounds])


def matrix_of(column: pa.FixedSizeBinaryArray) -> Bytes:
    """Return the values of a FixedSizeBinary column as rows (n, width); null becomes zeros."""
    width = column.type.byte_width
    if column.null_count:
        column = column.fill_null(bytes(width))
    if len(column) == 0:
        return np.zeros((0, width), dtype=np.uint8)
    data = np.frombuffer(column.buffers()[1], dtype=np.uint8)
    return data[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)


def valid_mask(column: pa.Array) -> Mask:
    """Tell where ``column`` is not null."""
    if not column.null_count:
        return np.ones(len(column), dtype=np.bool_)
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def views(column: pa.BinaryArray) -> Iterator[memoryview]:
    """Give the values as views of the column's buffer."""
    data = column.buffers()[2] if len(column) else None
    view = memoryview(data) if data is not None else memoryview(b"")
    offsets = offsets_of(column).tolist()
    return (view[start:end] for start, end in pairwise(offsets))


def keccak_of_rows(column: pa.BinaryArray) -> Bytes:
    """Return keccak-256 of each value as rows (n, 32)."""
    digests = b"".join([keccak_256(value).digest() for value in views(column)])
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)
