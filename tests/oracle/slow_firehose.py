"""From the bytes of a Firehose block to rows, one field at a time.

Written from the wire format of Protocol Buffers and the field numbers alone, standard library only: neither the .proto
files nor any library for them takes part, so that two independent readings of the same bytes must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from oracle.slow_rows import WEI_LIMIT, Row

Value = int | bytes

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

BLOCK_HASH, BLOCK_NUMBER, BLOCK_HEADER, BLOCK_TRANSACTIONS = 2, 3, 5, 10
HEADER_TIMESTAMP = 12
TX_INDEX, TX_HASH, TX_CALLS = 20, 21, 32
# Columns of `calls` by the numbers of their fields.
CALL_NUMBERS: Final = {
    **{"index": 1, "parent_index": 2, "depth": 3, "call_type": 4, "gas_limit": 8, "gas_consumed": 9},
    **{"begin_ordinal": 31, "end_ordinal": 32},
}
CALL_FLAGS: Final = {"executed_code": 15, "selfdestruct": 16}
CALL_BYTES: Final = {"caller": 5, "address": 6, "return_data": 13, "input": 14}
CALL_VALUE, CALL_STATE_REVERTED = 7, 30


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Give the fields of a message in the order in which they stand."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield number, value
        elif kind == BYTES:
            length, at = varint(message, at)
            assert at + length <= len(message)
            yield number, message[at : at + length]
            at += length
        else:
            width = {FIXED64: 8, FIXED32: 4}[kind]
            yield number, message[at : at + width]
            at += width


def varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def number(message: bytes, field: int) -> int:
    """Return the last value of a field; zero when it is not there."""
    values = [value for key, value in fields(message) if key == field]
    assert all(isinstance(value, int) for value in values)
    return int(values[-1]) if values else 0  # type: ignore[arg-type]


def content(message: bytes, field: int) -> bytes | None:
    values = [value for key, value in fields(message) if key == field]
    assert all(isinstance(value, bytes) for value in values)
    return values[-1] if values else None  # type: ignore[return-value]


def contents(message: bytes, field: int) -> list[bytes]:
    return [value for key, value in fields(message) if key == field and isinstance(value, bytes)]


def slow_calls(block: bytes) -> list[Row]:
    """Return the rows of the table ``calls`` of one block."""
    header = content(block, BLOCK_HEADER)
    assert header is not None
    block_number = number(block, BLOCK_NUMBER)
    place: Row = {
        "_block_num": block_number,
        "block_hash": content(block, BLOCK_HASH),
        "block_num": block_number,
        "timestamp": number(content(header, HEADER_TIMESTAMP) or b"", 1),
    }
    return [
        {**place, "tx_index": number(trace, TX_INDEX), "tx_hash": content(trace, TX_HASH), **call_row(call)}
        for trace in contents(block, BLOCK_TRANSACTIONS)
        for call in contents(trace, TX_CALLS)
        if not number(call, CALL_STATE_REVERTED)
    ]


def call_row(call: bytes) -> Row:
    return {
        **{name: number(call, field) for name, field in CALL_NUMBERS.items()},
        **{name: bool(number(call, field)) for name, field in CALL_FLAGS.items()},
        **{name: content(call, field) or b"" for name, field in CALL_BYTES.items()},
        **wei("value", content(call, CALL_VALUE)),
    }


def wei(column: str, big_integer: bytes | None) -> dict[str, Any]:
    amount = int.from_bytes((content(big_integer, 1) if big_integer else None) or b"", "big")
    if amount < WEI_LIMIT:
        return {column: Decimal(amount), f"{column}_raw": None}
    return {column: None, f"{column}_raw": amount.to_bytes(32, "big")}
