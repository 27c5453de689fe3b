"""RLP of whole columns (one value at a time: :mod:`ampd.chain.rlp`).

Encodings are pieces (see :mod:`ampd.chain.byte_columns`): what belongs together in a list is not joined before the list
is, and a value that a row does not have is the empty piece.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ampd.chain.byte_columns import Bytes, Integers, Mask, join, kept, lengths_of, merge_neighbours, offsets_of, piece
from ampd.chain.rlp import LIST_PREFIX, SHORT_PAYLOAD, STRING_PREFIX

_LENGTH_BYTES = 4  # of the longest string or list that a column can hold


def rlp_integers(numbers: Bytes, present: Mask | None = None) -> pa.BinaryArray:
    """Encode big-endian integers, rows of (n, at most 55); rows where ``present`` is false become empty."""
    width = numbers.shape[1]
    sizes = _sizes(numbers)
    prefixed = (sizes != 1) | (numbers[:, -1] >= STRING_PREFIX)
    keep = np.empty((len(numbers), width + 1), dtype=np.bool_)
    keep[:, 0] = prefixed
    np.greater_equal(np.arange(width), (width - sizes)[:, None], out=keep[:, 1:])
    matrix = np.empty((len(numbers), width + 1), dtype=np.uint8)
    matrix[:, 0] = STRING_PREFIX + sizes
    matrix[:, 1:] = numbers
    return _kept_where(present, matrix, keep, sizes + prefixed)


def _sizes(numbers: Bytes) -> Integers:
    """Return how many bytes each number has without its leading zeros."""
    nonzero = numbers != 0
    first = nonzero.argmax(axis=1)
    width = numbers.shape[1]
    return np.where(nonzero[np.arange(len(numbers)), first], width - first, 0)


def _kept_where(present: Mask | None, matrix: Bytes, keep: Mask, lengths: Integers) -> pa.BinaryArray:
    if present is not None and not present.all():
        keep &= present[:, None]
        lengths = lengths * present
    return kept(matrix, keep, lengths)


def rlp_uint64s(numbers: npt.NDArray[np.uint64], present: Mask | None = None) -> pa.BinaryArray:
    """Encode integers."""
    return rlp_integers(big_endian(numbers), present)


def big_endian(numbers: npt.NDArray[np.uint64]) -> Bytes:
    """Return the eight bytes of each number, (n, 8)."""
    return numbers.astype(">u8").view(np.uint8).reshape(-1, 8)


def rlp_words(words: Bytes, present: Mask | None = None, absent: bytes = b"") -> pa.BinaryArray:
    """Encode strings of one length between 2 and 55, rows of (n, width), such as addresses and hashes.

    Rows where ``present`` is false become ``absent`` (at most one byte).
    """
    rows, width = words.shape
    matrix = np.empty((rows, width + 1), dtype=np.uint8)
    matrix[:, 0] = STRING_PREFIX + width
    matrix[:, 1:] = words
    if present is None or present.all():
        return piece(matrix, np.arange(rows + 1) * (width + 1))
    keep = np.repeat(present[:, None], width + 1, axis=1)
    if absent:
        keep[:, 0] = True
        matrix[~present, 0] = absent[0]
    return kept(matrix, keep, np.where(present, width + 1, len(absent)))


def string_prefixes(column: pa.BinaryArray) -> pa.BinaryArray:
    """Return what stands before each value when it is encoded as a string."""
    lengths = lengths_of(column)
    alone = np.zeros(len(column), dtype=np.bool_)
    (single,) = np.nonzero(lengths == 1)
    if len(single):
        data = np.frombuffer(column.buffers()[2], dtype=np.uint8)
        alone[single] = data[offsets_of(column)[single]] < STRING_PREFIX
    return _prefixes(lengths, STRING_PREFIX, ~alone)


def list_prefixes(lengths: Integers, present: Mask | None = None) -> pa.BinaryArray:
    """Return what stands before the payload of lists with payloads of these lengths."""
    return _prefixes(lengths, LIST_PREFIX, present)


def _prefixes(lengths: Integers, kind: int, present: Mask | None) -> pa.BinaryArray:
    is_long = lengths > SHORT_PAYLOAD
    if not is_long.any():
        return _kept_where(present, (kind + lengths).astype(np.uint8)[:, None], *_ones(len(lengths)))
    length_bytes = lengths.astype(">u4").view(np.uint8).reshape(-1, _LENGTH_BYTES)
    sizes = np.where(is_long, _sizes(length_bytes), 0)
    keep = np.empty((len(lengths), 1 + _LENGTH_BYTES), dtype=np.bool_)
    keep[:, 0] = True
    np.greater_equal(np.arange(_LENGTH_BYTES), (_LENGTH_BYTES - sizes)[:, None], out=keep[:, 1:])
    matrix = np.empty(keep.shape, dtype=np.uint8)
    matrix[:, 0] = kind + np.where(is_long, SHORT_PAYLOAD + sizes, lengths)
    matrix[:, 1:] = length_bytes
    return _kept_where(present, matrix, keep, 1 + sizes)


def _ones(rows: int) -> tuple[Mask, Integers]:
    return np.ones((rows, 1), dtype=np.bool_), np.ones(rows, dtype=np.int64)


def rlp_lists(*pieces: pa.BinaryArray, before: pa.BinaryArray | None = None) -> pa.BinaryArray:
    """Encode a list per row from the encoded items in ``pieces``; ``before`` is put in front (a type's byte)."""
    prefixes = list_prefixes(np.sum([lengths_of(each) for each in pieces], axis=0, dtype=np.int64))
    return join(*([] if before is None else [before]), prefixes, *pieces)


def rlp_nested_lists(items: pa.BinaryArray, counts: Integers, present: Mask | None = None) -> list[pa.BinaryArray]:
    """Return the two pieces, prefix and payload, of a list per row: its next ``counts`` of the encoded ``items``.

    A row where ``present`` is false has no list, and no items.
    """
    payloads = merge_neighbours(items, counts)
    return [list_prefixes(lengths_of(payloads), present), payloads]
