"""Numbers of up to 256 bits as big-endian bytes, out of the columns that keep them (see :mod:`ampd.chain.tables`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.byte_columns import Bytes, Mask, matrix_of, valid_mask
from ampd.chain.tables import WEI

_DECIMAL_BYTES = 16
_WORD_BYTES = 32
_MOST_DIGITS = 38  # of a decimal128
_DECIMAL_TEXT = r"^(?:0|[1-9][0-9]*)\z"
_WORD_LIMIT = 2**256


def amount_bytes(decimals: pa.Decimal128Array, raw: pa.FixedSizeBinaryArray) -> tuple[Bytes, Mask]:
    """Return the amounts of a column and its ``_raw`` column, (n, 16 or 32), and where there is one.

    A row that has both is read as its ``_raw``.
    """
    present = valid_mask(decimals)
    numbers = _decimal_bytes(decimals)
    if raw.null_count == len(raw):
        return numbers, present
    has_raw = valid_mask(raw)
    wide = np.zeros((len(raw), _WORD_BYTES), dtype=np.uint8)
    wide[:, -_DECIMAL_BYTES:] = numbers
    wide[has_raw] = matrix_of(raw)[has_raw]
    return wide, present | has_raw


@dataclass(frozen=True)
class Amounts:
    """The amounts of a column: as bytes (n, 16 or 32), as their lowest 64 bits, and where there is one.

    ``is_long`` tells where the 64 bits are not all of it, or so nearly all that a sum of two would not fit.
    """

    numbers: Bytes
    present: Mask
    low: npt.NDArray[np.uint64]
    is_long: Mask

    @classmethod
    def of(cls, decimals: pa.Decimal128Array, raw: pa.FixedSizeBinaryArray) -> Amounts:
        """Read a column and its ``_raw`` column; where there is no amount, it counts as zero."""
        numbers, present = amount_bytes(decimals, raw)
        low = np.ascontiguousarray(numbers[:, -8:]).view(">u8").reshape(-1).astype(np.uint64)
        is_long = numbers[:, :-8].any(axis=1) | (low >> np.uint64(63) > 0)
        return cls(numbers, present, low, is_long)

    def exact(self, row: int) -> int:
        """Return the amount of a row."""
        return int.from_bytes(self.numbers[row].tobytes(), "big")


def decimal_text_bytes(column: pa.StringArray) -> tuple[Bytes, Mask]:
    """Return the numbers of a column of decimal texts, (n, 16 or 32), and which texts are no number below 2^256.

    Those count as zero.
    """
    is_number = pc.match_substring_regex(column, _DECIMAL_TEXT)
    is_short = pc.less_equal(pc.binary_length(column), _MOST_DIGITS)
    fits = pc.and_(is_number, is_short)
    bad = ~valid_mask(column) | ~np.asarray(is_number.fill_null(False).to_numpy(zero_copy_only=False))
    if pc.all(fits, min_count=0).as_py() and not bad.any():
        return _decimal_bytes(pc.cast(column, WEI)), bad
    numbers = np.zeros((len(column), _WORD_BYTES), dtype=np.uint8)
    for row, text in enumerate(column.to_pylist()):
        if not bad[row]:
            value = int(text) if len(text) < 80 else _WORD_LIMIT
            bad[row] = value >= _WORD_LIMIT
            numbers[row] = np.frombuffer((value % _WORD_LIMIT).to_bytes(_WORD_BYTES, "big"), dtype=np.uint8)
    return numbers, bad


def _decimal_bytes(decimals: pa.Decimal128Array) -> Bytes:
    if decimals.null_count:
        decimals = decimals.fill_null(0)
    if len(decimals) == 0:
        return np.zeros((0, _DECIMAL_BYTES), dtype=np.uint8)
    data = np.frombuffer(decimals.buffers()[1], dtype=np.uint8)
    start = decimals.offset * _DECIMAL_BYTES
    return data[start : start + len(decimals) * _DECIMAL_BYTES].reshape(-1, _DECIMAL_BYTES)[:, ::-1]
