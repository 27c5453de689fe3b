"""Columns of byte strings of any length, as Protocol Buffers have them, to columns of fixed width and to numbers.

Numbers are big-endian without a sign, with or without leading zeros; an empty string is zero, or "not there" where the
column can be null. None of it loops over rows in Python.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.byte_columns import Bytes, offsets_of
from ampd.chain.hex_columns import wei_of_words

_WORD_BYTES = 32
_EIGHT = 8


class MalformedValueError(ValueError):
    """Bytes of a length that the value cannot have; the message says which."""


def data(column: pa.BinaryArray, width: int) -> pa.FixedSizeBinaryArray:
    """Return values of exactly ``width`` bytes, such as hashes or addresses; null where there is none."""
    if len(column) == 0:
        return pa.array([], pa.binary(width))
    offsets = offsets_of(column)
    lengths = np.diff(offsets)
    wrong = (lengths != width) & (lengths != 0)
    if wrong.any():
        raise MalformedValueError(f"a value has {lengths[wrong][0]} bytes, not {width}")
    values = _values(column, offsets).reshape(-1, width)
    if len(values) == len(column):
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(column), [None, pa.py_buffer(values)])
    present = lengths != 0
    spread = np.zeros((len(column), width), dtype=np.uint8)
    spread[present] = values
    buffers = [pa.array(present).buffers()[1], pa.py_buffer(spread)]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(column), buffers)


def word(column: pa.BinaryArray) -> pa.FixedSizeBinaryArray:
    """Return numbers as 32 bytes each."""
    rows = pa.py_buffer(_right_aligned(column, _WORD_BYTES))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(_WORD_BYTES), len(column), [None, rows])


def uint64(column: pa.BinaryArray) -> npt.NDArray[np.uint64]:
    """Return numbers below 2^64."""
    return _right_aligned(column, _EIGHT).view(">u8").reshape(-1).astype(np.uint64)


def wei(column: pa.BinaryArray, present: pa.BooleanArray | None) -> tuple[pa.Decimal128Array, pa.FixedSizeBinaryArray]:
    """Return the two columns of an amount (see :mod:`ampd.chain.tables`), null where ``present`` is false."""
    if present is not None and present.true_count == 0:
        return pa.nulls(len(column), pa.decimal128(38, 0)), pa.nulls(len(column), pa.binary(_WORD_BYTES))
    longest = int(np.diff(offsets_of(column)).max(initial=1))
    width = max(1, -(-longest // _EIGHT)) * _EIGHT
    if width > _WORD_BYTES:
        raise MalformedValueError(f"a number has {longest} bytes, more than {_WORD_BYTES}")
    words = _right_aligned(column, width).view(">u8").astype(np.uint64)
    validity = None if present is None or present.false_count == 0 else pc.and_(present, True).buffers()[1]
    return wei_of_words(words, validity)


def _right_aligned(column: pa.BinaryArray, width: int) -> Bytes:
    """Return the values as rows of ``width`` bytes, zeros before them."""
    rows = np.zeros((len(column), width), dtype=np.uint8)
    if len(column) == 0:
        return rows
    offsets = offsets_of(column).astype(np.int64)
    lengths = np.diff(offsets)
    if (lengths > width).any():
        raise MalformedValueError(f"a number has {lengths.max()} bytes, more than {width}")
    values = _values(column, offsets)
    if (lengths == width).all():
        return values.reshape(-1, width).copy()
    ends = np.arange(1, len(column) + 1) * width  # where each row ends in the flat rows
    places = np.arange(len(values)) + np.repeat(ends - (offsets[1:] - offsets[0]), lengths)
    rows.reshape(-1)[places] = values
    return rows


def _values(column: pa.BinaryArray, offsets: npt.NDArray[np.integer]) -> Bytes:
    buffer = column.buffers()[2]
    data_of = np.zeros(0, np.uint8) if buffer is None else np.frombuffer(buffer, dtype=np.uint8)
    return data_of[offsets[0] : offsets[-1]]
