"""Recursive length prefix, Ethereum's encoding of byte strings and lists (yellow paper, appendix B).

One value at a time; :mod:`ampd.chain.rlp_columns` encodes whole columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

STRING_PREFIX: Final = 0x80
LIST_PREFIX: Final = 0xC0
SHORT_PAYLOAD: Final = 55  # up to this many bytes the length stands in the prefix byte itself


def rlp_bytes(data: bytes) -> bytes:
    """Return the encoding of a byte string."""
    if len(data) == 1 and data[0] < STRING_PREFIX:
        return data
    return _prefix(len(data), STRING_PREFIX) + data


def rlp_integer(value: int) -> bytes:
    """Return the encoding of a non-negative integer: big-endian, no leading zeros, zero is the empty string."""
    return rlp_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rlp_list(encoded_items: Iterable[bytes]) -> bytes:
    """Return the list of items that are encoded already."""
    payload = b"".join(encoded_items)
    return _prefix(len(payload), LIST_PREFIX) + payload


def _prefix(length: int, kind: int) -> bytes:
    if length <= SHORT_PAYLOAD:
        return bytes([kind + length])
    length_bytes = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([kind + SHORT_PAYLOAD + len(length_bytes)]) + length_bytes
