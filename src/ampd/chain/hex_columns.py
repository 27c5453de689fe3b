"""Hex text to numbers and bytes, a whole column at a time (design section 7.2).

The JSON-RPC encodings are those of the Ethereum execution API: DATA is ``0x`` and two digits per byte, QUANTITY is
``0x`` and the number without leading zeros. Real nodes also send leading zeros and upper case, which are read as they
are meant. Nulls stay null. Every function raises :class:`MalformedHexError` for text that is something else; none loops
over rows in Python.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.tables import WEI, WEI_LIMIT

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

_ZERO: Final = ord("0")
_NINE: Final = ord("9")
_A, _F, _X = ord("a"), ord("f"), ord("x")
_TO_LOWER: Final = 0x20
_DIGITS_OF_WORD: Final = 16
_HALF: Final = 8  # characters in 64 bits
# Beyond the end of any value: without it Arrow 26 miscounts the room that the rest of the values need.
_TO_END: Final = 2**31 - 1
_LONGEST: Final = 64  # digits of 256 bits
# By how many of the last eight characters are digits, which may be less than none and more than eight (the first place
# stands for -64): which characters to keep, and zeros for the others.
_KEEP: Final = np.array(
    [(2**64 - 1) << 8 * (8 - min(max(used, 0), 8)) & (2**64 - 1) for used in range(-_LONGEST, _LONGEST + 1)],
    dtype=np.uint64,
)
_FILL: Final = ~_KEEP & np.uint64(int.from_bytes(b"0" * 8, "little"))


class MalformedHexError(ValueError):
    """Text that is not the hex it should be; the message shows the first such value."""


def _parts(column: pa.StringArray) -> tuple[npt.NDArray[np.int64], Bytes]:
    """Return the offsets of the values and the characters they point into. The column must not be empty."""
    _, offsets_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return offsets.astype(np.int64), data


def _malformed(column: pa.StringArray, bad: Mask, expected: str) -> MalformedHexError:
    value = str(column[int(np.argmax(bad))].as_py())
    return MalformedHexError(f"{value[:80]!r} is not {expected}")


def _validity(column: pa.Array) -> pa.Buffer | None:
    """Return the validity bits of a column, from its first value on; None when nothing is null."""
    return column.is_valid().buffers()[1] if column.null_count else None


def _is_empty(column: pa.Array) -> bool:
    """Tell whether a column has no value; most columns of newer transaction types have none in older blocks."""
    return bool(column.null_count == len(column))


def _fixed_bytes(rows: Bytes, column: pa.Array) -> pa.FixedSizeBinaryArray:
    """Return ``rows`` (n, width) as a FixedSizeBinary column, null where ``column`` is."""
    buffers = [_validity(column), pa.py_buffer(np.ascontiguousarray(rows))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.shape[1]), len(rows), buffers)


def _spread(column: pa.Array, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a matrix with ``rows`` where ``column`` has a value and zeros elsewhere."""
    if len(rows) == len(column):
        return rows
    spread = np.zeros((len(column), rows.shape[1]), dtype=rows.dtype)
    spread[column.is_valid().to_numpy(zero_copy_only=False)] = rows
    return spread


def _no_prefix(first: Bytes, second: Bytes) -> Mask:
    """Tell which values do not begin with 0x, by their first two characters."""
    return np.asarray((first != _ZERO) | (second | _TO_LOWER != _X), dtype=np.bool_)


def decode_data(column: pa.StringArray, width: int) -> pa.FixedSizeBinaryArray:
    """Decode DATA of exactly ``width`` bytes, such as a hash or an address."""
    if _is_empty(column):
        return pa.nulls(len(column), pa.binary(width))
    present = column.drop_null() if column.null_count else column
    offsets, data = _parts(present)
    size = 2 + 2 * width
    wrong_size = np.diff(offsets) != size
    if wrong_size.any():
        raise _malformed(present, wrong_size, f"0x and {2 * width} hex digits")
    characters = data[offsets[0] : offsets[-1]].reshape(-1, size)
    bad = _no_prefix(characters[:, 0], characters[:, 1])
    digits = np.ascontiguousarray(characters[:, 2:])
    values = None if bad.any() else _bytes_of_digits(digits)
    if values is None:
        raise _malformed(present, bad | _no_digits(digits).any(axis=1), f"0x and {2 * width} hex digits")
    return _fixed_bytes(_spread(column, values.reshape(-1, width)), column)


def _bytes_of_digits(digits: Bytes) -> Bytes | None:
    """Return a byte for every two digits of a contiguous array, None when something is no digit.

    The standard library does this three times as fast as look-ups or arithmetic in numpy.
    """
    try:
        return np.frombuffer(binascii.unhexlify(digits.data), dtype=np.uint8)
    except binascii.Error:
        return None


def _no_digits(characters: Bytes) -> Mask:
    """Tell which characters are no hex digits."""
    lower = characters | _TO_LOWER
    return ~(((characters >= _ZERO) & (characters <= _NINE)) | ((lower >= _A) & (lower <= _F)))


def decode_bytes(column: pa.StringArray) -> pa.BinaryArray:
    """Decode DATA of any length, such as call data."""
    filled = column.fill_null("0x") if column.null_count else column
    if len(filled) == 0:
        return pa.array([], pa.binary())
    offsets, data = _parts(filled)
    odd = np.diff(offsets) % 2 != 0
    if odd.any():
        raise _malformed(filled, odd, "0x and an even number of hex digits")
    characters, starts = data[offsets[0] : offsets[-1]].copy(), offsets[:-1] - offsets[0]
    bad = np.diff(offsets) == 0
    if not bad.any():
        bad = _no_prefix(characters[starts], characters[starts + 1])
    if bad.any():
        raise _malformed(filled, bad, "0x and hex digits")
    characters[starts + 1] = _ZERO  # so that each value begins with a byte 0 instead of the prefix
    values = _bytes_of_digits(characters)
    if values is None:
        row = np.searchsorted(starts, np.flatnonzero(_no_digits(characters))[0], side="right") - 1
        raise _malformed(filled, np.arange(len(filled)) == row, "0x and hex digits")
    prefixed = pa.BinaryArray.from_buffers(
        pa.binary(),
        len(filled),
        [None, pa.py_buffer(((offsets - offsets[0]) // 2).astype(np.int32)), pa.py_buffer(values)],
    )
    decoded = pc.binary_slice(prefixed, 1, _TO_END)
    if not column.null_count:
        return decoded
    return pa.BinaryArray.from_buffers(pa.binary(), len(column), [_validity(column), *decoded.buffers()[1:]])


def _quantity_words(column: pa.StringArray, width: int) -> Words:
    """Decode QUANTITY into 64-bit words (n, …), the most significant first, as few as the longest value needs; null
    becomes zeros. A number that needs more than ``width`` bytes is refused.
    """
    if _is_empty(column):
        return np.zeros((len(column), 1), dtype=np.uint64)
    present = column.drop_null() if column.null_count else column
    offsets, data = _parts(present)
    lengths = np.diff(offsets) - 2
    starts = offsets[:-1]
    bad = lengths <= 0
    if not bad.any():
        bad = _no_prefix(data[starts], data[starts + 1])
    if bad.any():
        raise _malformed(present, bad, "a hex number")
    # Most numbers are short: only as many digits are looked at as the longest has.
    most = 2 * width
    count = (min(most, int(lengths.max())) + _DIGITS_OF_WORD - 1) // _DIGITS_OF_WORD
    digits = _last_digits(data, offsets, np.minimum(lengths, most), count)
    values = _bytes_of_digits(digits)
    higher = _has_higher_digits(data, starts + 2, offsets[1:], most)
    if values is None or higher.any():
        bad = higher | _no_digits(digits).any(axis=1)
        raise _malformed(present, bad, f"a hex number of at most {width} bytes")
    return _spread(column, values.view(">u8").astype(np.uint64).reshape(-1, count))


def _last_digits(data: Bytes, offsets: Offsets, lengths: Offsets, count: int) -> Bytes:
    """Return the last ``lengths`` characters of each value, zeros before them, as rows of 16 times ``count``."""
    halves = 2 * count
    reach = _HALF * halves
    characters = np.empty(reach + int(offsets[-1] - offsets[0]), dtype=np.uint8)
    characters[reach:] = data[offsets[0] : offsets[-1]]
    # Eight characters from every place on: read where a value ends, whatever its address.
    anywhere = np.ndarray((len(characters) - 7,), dtype="<u8", buffer=characters, strides=(1,))
    ends = offsets[1:] - (offsets[0] - reach)
    digits = np.empty((len(ends), halves), dtype=np.uint64)
    for place in range(halves):
        behind = _HALF * (halves - 1 - place)
        used = lengths + (_LONGEST - behind)
        digits[:, place] = anywhere[ends - (behind + _HALF)] & _KEEP[used] | _FILL[used]
    return digits.view(np.uint8)


def _has_higher_digits(data: Bytes, starts: Offsets, ends: Offsets, count: int) -> Mask:
    """Tell which values have other digits than 0 beyond the lowest ``count`` (rare: only those rows are looked at)."""
    higher = np.zeros(len(starts), dtype=np.bool_)
    long = ends - starts > count
    for row in np.flatnonzero(long) if long.any() else ():
        higher[row] = bool((data[starts[row] : ends[row] - count] != _ZERO).any())
    return higher


def decode_uint64(column: pa.StringArray) -> pa.UInt64Array:
    """Decode QUANTITY below 2^64."""
    values = pa.py_buffer(_quantity_words(column, 8))
    return pa.UInt64Array.from_buffers(pa.uint64(), len(column), [_validity(column), values])


def decode_uint64s(*columns: pa.StringArray) -> list[pa.UInt64Array]:
    """Decode several columns as :func:`decode_uint64` does, at the cost of one: of few values most is overhead."""
    return _apart(decode_uint64(pa.concat_arrays(columns)), columns)


def decode_hashes(*columns: pa.StringArray) -> list[pa.FixedSizeBinaryArray]:
    """Decode several columns of DATA of 32 bytes, at the cost of one."""
    return _apart(decode_data(pa.concat_arrays(columns), 32), columns)


def _apart(values: pa.Array, columns: Sequence[pa.Array]) -> list[pa.Array]:
    """Return the values of each of the columns that were put one behind the other."""
    ends = np.cumsum([len(column) for column in columns]).tolist()
    return [values.slice(end - len(column), len(column)) for column, end in zip(columns, ends, strict=True)]


def decode_quantity_data(column: pa.StringArray, width: int) -> pa.FixedSizeBinaryArray:
    """Decode QUANTITY into ``width`` big-endian bytes, such as the r and s of a signature.

    Shorter numbers are filled up on the left; a number that needs more than ``width`` bytes is refused.
    """
    return _fixed_bytes(_big_endian(_quantity_words(column, width), width), column)


def _big_endian(words: Words, width: int) -> Bytes:
    """Return numbers as rows of ``width`` bytes, which hold them."""
    given = words.byteswap().view(np.uint8).reshape(len(words), 8 * words.shape[1])
    if given.shape[1] >= width:
        return given[:, given.shape[1] - width :]
    rows = np.zeros((len(words), width), dtype=np.uint8)
    rows[:, width - given.shape[1] :] = given
    return rows


def decode_wei(column: pa.StringArray) -> tuple[pa.Decimal128Array, pa.FixedSizeBinaryArray]:
    """Decode QUANTITY below 2^256 into the two columns of an amount (see :mod:`ampd.chain.tables`)."""
    if _is_empty(column):
        return pa.nulls(len(column), WEI), pa.nulls(len(column), pa.binary(32))
    return wei_of_words(_quantity_words(column, 32), _validity(column))


def wei_of_words(words: Words, validity: pa.Buffer | None) -> tuple[pa.Decimal128Array, pa.FixedSizeBinaryArray]:
    """Return the two columns of an amount from 64-bit words (n, …), the most significant first; ``validity`` are the
    bits of the rows that have one (None: all).
    """
    little_endian = np.zeros((len(words), 2), dtype=np.uint64)
    little_endian[:, : min(2, words.shape[1])] = words[:, :-3:-1]
    decimals = pa.Decimal128Array.from_buffers(WEI, len(words), [validity, pa.py_buffer(little_endian)])
    overflow = _overflows(words)
    if not overflow.any():
        return decimals, pa.nulls(len(words), pa.binary(32))
    fits, nothing = pa.array(~overflow), pa.scalar(None, pa.binary(32))
    rows = pa.py_buffer(np.ascontiguousarray(_big_endian(words, 32)))
    exact = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(words), [validity, rows])
    return pc.if_else(fits, decimals, pa.scalar(None, WEI)), pc.if_else(fits, nothing, exact)


def _overflows(words: Words) -> Mask:
    """Tell which amounts are 10^38 or more."""
    if words.shape[1] == 1:
        return np.zeros(len(words), dtype=np.bool_)
    limit_high, limit_low = np.uint64(WEI_LIMIT >> 64), np.uint64(WEI_LIMIT & (2**64 - 1))
    high, low = words[:, -2], words[:, -1]
    over = (high > limit_high) | ((high == limit_high) & (low >= limit_low))
    return np.asarray(over | (words[:, :-2] != 0).any(axis=1), dtype=np.bool_)


def decode_decimal_text(column: pa.StringArray) -> pa.StringArray:
    """Decode QUANTITY below 2^256 into decimal text."""
    return decimal_text(*decode_wei(column))


def decimal_text(amounts: pa.Decimal128Array, raw: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """Return the two columns of an amount as decimal text."""
    text = pc.cast(amounts, pa.string())
    if raw.null_count == len(raw):
        return text
    exact = [None if value is None else str(int.from_bytes(value, "big")) for value in raw.to_pylist()]
    return pc.coalesce(text, pa.array(exact, pa.string()))
