"""Hex text to numbers and bytes, a whole column at a time (design section 7.2).

The JSON-RPC encodings are those of the Ethereum execution API: DATA is ``0x`` and two digits per byte, QUANTITY is
``0x`` and the number without leading zeros. Real nodes also send leading zeros and upper case, which are read as they
are meant. Nulls stay null. Every function raises :class:`MalformedHexError` for text that is something else; none loops
over rows in Python.
"""

from __future__ import annotations

from typing import Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.tables import WEI, WEI_LIMIT

Bytes = npt.NDArray[np.uint8]

_BAD_DIGIT: Final = 0xFF
_PREFIX: Final = 0x200
_BAD_PAIR: Final = 0x100
_ZERO: Final = ord("0")


class MalformedHexError(ValueError):
    """Text that is not the hex it should be; the message shows the first such value."""


def _digit_values() -> Bytes:
    table = np.full(256, _BAD_DIGIT, dtype=np.uint8)
    for value, digit in enumerate("0123456789abcdef"):
        table[ord(digit)] = table[ord(digit.upper())] = value
    return table


def _pair_values() -> npt.NDArray[np.uint16]:
    """Return the byte behind each pair of characters, read as a little-endian 16-bit number."""
    digits = _digit_values().astype(np.uint16)
    first, second = np.meshgrid(digits, digits)  # rows: the second character, the high byte
    pairs = np.where((first == _BAD_DIGIT) | (second == _BAD_DIGIT), _BAD_PAIR, first << 4 | second)
    for x in "xX":
        pairs[ord(x), _ZERO] = _PREFIX
    return pairs.astype(np.uint16).reshape(-1)


_DIGITS: Final = _digit_values()
_PAIRS: Final = _pair_values()


def _parts(column: pa.StringArray) -> tuple[npt.NDArray[np.int64], Bytes]:
    """Return the offsets of the values and the characters they point into. The column must not be empty."""
    _, offsets_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return offsets.astype(np.int64), data


def _malformed(column: pa.StringArray, bad: npt.NDArray[np.bool_], expected: str) -> MalformedHexError:
    value = str(column[int(np.argmax(bad))].as_py())
    return MalformedHexError(f"{value[:80]!r} is not {expected}")


def _validity(valid: pa.BooleanArray) -> pa.Buffer | None:
    return None if valid.true_count == len(valid) else valid.buffers()[1]


def fixed_bytes(matrix: Bytes, valid: pa.BooleanArray | None = None) -> pa.FixedSizeBinaryArray:
    """Return the rows of ``matrix`` (n, width) as a FixedSizeBinary column."""
    rows, width = matrix.shape
    buffer = pa.py_buffer(np.ascontiguousarray(matrix))
    validity = None if valid is None else _validity(valid)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), rows, [validity, buffer])


def _spread(valid: pa.BooleanArray, rows: Bytes) -> Bytes:
    """Return a matrix with ``rows`` where ``valid`` holds and zeros elsewhere."""
    if len(rows) == len(valid):
        return rows
    spread = np.zeros((len(valid), rows.shape[1]), dtype=np.uint8)
    spread[valid.to_numpy(zero_copy_only=False)] = rows
    return spread


def decode_data(column: pa.StringArray, width: int) -> pa.FixedSizeBinaryArray:
    """Decode DATA of exactly ``width`` bytes, such as a hash or an address."""
    present = column.drop_null()
    valid = column.is_valid()
    if len(present) == 0:
        return pa.nulls(len(column), pa.binary(width))
    offsets, data = _parts(present)
    size = 2 + 2 * width
    wrong_size = np.diff(offsets) != size
    if wrong_size.any():
        raise _malformed(present, wrong_size, f"0x and {2 * width} hex digits")
    pairs = _PAIRS[_pairs(data, offsets)].reshape(-1, width + 1)
    bad = (pairs[:, 0] != _PREFIX) | (pairs[:, 1:] >= _BAD_PAIR).any(axis=1)
    if bad.any():
        raise _malformed(present, bad, f"0x and {2 * width} hex digits")
    return fixed_bytes(_spread(valid, pairs[:, 1:].astype(np.uint8)), valid)


def _pairs(data: Bytes, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
    """Return the characters of all values as pairs; every value must have an even length."""
    characters = data[offsets[0] : offsets[-1]]
    if characters.ctypes.data % 2:
        characters = characters.copy()
    return characters.view("<u2")


def decode_bytes(column: pa.StringArray) -> pa.BinaryArray:
    """Decode DATA of any length, such as call data."""
    filled = column.fill_null("0x") if column.null_count else column
    if len(filled) == 0:
        return pa.array([], pa.binary())
    offsets, data = _parts(filled)
    odd = np.diff(offsets) % 2 != 0
    if odd.any():
        raise _malformed(filled, odd, "0x and an even number of hex digits")
    pairs = _PAIRS[_pairs(data, offsets)]
    prefixes = (offsets[:-1] - offsets[0]) // 2
    empty = np.diff(offsets) == 0
    if empty.any() or (pairs[prefixes] != _PREFIX).any():
        raise _malformed(filled, empty if empty.any() else pairs[prefixes] != _PREFIX, "0x and hex digits")
    keep = np.ones(len(pairs), dtype=np.bool_)
    keep[prefixes] = False
    if np.count_nonzero(pairs >= _BAD_PAIR) != len(filled):
        first_bad = np.flatnonzero(keep & (pairs >= _BAD_PAIR))[0]
        row = np.searchsorted(prefixes, first_bad, side="right") - 1
        raise _malformed(filled, np.arange(len(filled)) == row, "0x and hex digits")
    new_offsets = ((offsets - offsets[0]) // 2 - np.arange(len(offsets))).astype(np.int32)
    return pa.BinaryArray.from_buffers(
        pa.binary(),
        len(column),
        [
            _validity(column.is_valid()),
            pa.py_buffer(new_offsets),
            pa.py_buffer(pairs[keep].astype(np.uint8)),
        ],
    )


def quantity_bytes(column: pa.StringArray, width: int) -> Bytes:
    """Decode QUANTITY into a matrix (n, ``width``) of big-endian bytes; null becomes zeros.

    Shorter numbers are filled up on the left; a number that needs more than ``width`` bytes is refused.
    """
    present = column.drop_null()
    if len(present) == 0:
        return np.zeros((len(column), width), dtype=np.uint8)
    offsets, data = _parts(present)
    starts, ends = offsets[:-1] + 2, offsets[1:]
    bad = ends <= starts
    if not bad.any():
        bad = (data[starts - 2] != _ZERO) | (data[starts - 1] | 0x20 != ord("x"))
    if bad.any():
        raise _malformed(present, bad, "a hex number")
    # Most numbers are short: only as many digits are looked at as the longest has.
    used = min(width, (int((ends - starts).max()) + 1) // 2)
    digits = _right_aligned_digits(data, starts, ends, 2 * used)
    bad = (digits == _BAD_DIGIT).any(axis=1) | _has_higher_digits(data, starts, ends, 2 * used)
    if bad.any():
        raise _malformed(present, bad, f"a hex number of at most {width} bytes")
    matrix = np.zeros((len(present), width), dtype=np.uint8)
    matrix[:, width - used :] = digits[:, 0::2] << 4 | digits[:, 1::2]
    return _spread(column.is_valid(), matrix)


def _right_aligned_digits(data: Bytes, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], count: int) -> Bytes:
    index = ends[:, None] + np.arange(-count, 0)
    inside = index >= starts[:, None]
    digits = _DIGITS[data[np.where(inside, index, ends[:, None] - 1)]]
    return cast(Bytes, np.where(inside, digits, 0).astype(np.uint8))


def _has_higher_digits(
    data: Bytes, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.bool_]:
    """Tell which values have other digits than 0 beyond the lowest ``count`` (rare: only those rows are looked at)."""
    higher = np.zeros(len(starts), dtype=np.bool_)
    for row in np.flatnonzero(ends - starts > count):
        higher[row] = bool((data[starts[row] : ends[row] - count] != _ZERO).any())
    return higher


def decode_uint64(column: pa.StringArray) -> pa.UInt64Array:
    """Decode QUANTITY below 2^64."""
    values = quantity_bytes(column, 8).view(">u8").reshape(-1).astype("<u8")
    return pa.UInt64Array.from_buffers(pa.uint64(), len(column), [_validity(column.is_valid()), pa.py_buffer(values)])


def decode_quantity_data(column: pa.StringArray, width: int) -> pa.FixedSizeBinaryArray:
    """Decode QUANTITY into ``width`` big-endian bytes, such as the r and s of a signature."""
    return fixed_bytes(quantity_bytes(column, width), column.is_valid())


def decode_wei(column: pa.StringArray) -> tuple[pa.Decimal128Array, pa.FixedSizeBinaryArray]:
    """Decode QUANTITY below 2^256 into the two columns of an amount (see :mod:`ampd.chain.tables`)."""
    matrix = _amount_bytes(column)
    valid = column.is_valid()
    words = matrix.view(">u8").astype("<u8").reshape(len(column), matrix.shape[1] // 8)
    overflow = _overflows(words)
    low = words[:, -1]
    high = words[:, -2] if words.shape[1] > 1 else np.zeros_like(low)
    little_endian = np.stack([low, high], axis=1)
    fits = valid if not overflow.any() else pc.and_(valid, pa.array(~overflow))
    decimals = pa.Decimal128Array.from_buffers(WEI, len(column), [_validity(fits), pa.py_buffer(little_endian)])
    if not overflow.any():
        return decimals, pa.nulls(len(column), pa.binary(32))
    return decimals, fixed_bytes(quantity_bytes(column, 32), pa.array(overflow))


def _amount_bytes(column: pa.StringArray) -> Bytes:
    """Return big-endian bytes, as few as the longest value needs: 8, 16 or 32."""
    longest = pc.max(pc.binary_length(column)).as_py() or 0
    width = 8 if longest <= 18 else 16 if longest <= 34 else 32
    return quantity_bytes(column, width)


def _overflows(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Tell which amounts are 10^38 or more; ``words`` are 64-bit words, the most significant first."""
    if words.shape[1] == 1:
        return np.zeros(len(words), dtype=np.bool_)
    limit_high, limit_low = np.uint64(WEI_LIMIT >> 64), np.uint64(WEI_LIMIT & (2**64 - 1))
    high, low = words[:, -2], words[:, -1]
    over = (high > limit_high) | ((high == limit_high) & (low >= limit_low))
    return cast(npt.NDArray[np.bool_], over | (words[:, :-2] != 0).any(axis=1))


def decode_decimal_text(column: pa.StringArray) -> pa.StringArray:
    """Decode QUANTITY below 2^256 into decimal text."""
    amounts, raw = decode_wei(column)
    text = pc.cast(amounts, pa.string())
    if raw.null_count == len(raw):
        return text
    exact = [None if value is None else str(int.from_bytes(value, "big")) for value in raw.to_pylist()]
    return pc.coalesce(text, pa.array(exact, pa.string()))
