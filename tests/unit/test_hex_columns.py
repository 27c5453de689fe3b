from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from ampd.chain.hex_columns import (
    MalformedHexError,
    decode_bytes,
    decode_data,
    decode_decimal_text,
    decode_quantity_data,
    decode_uint64,
    decode_wei,
)


def _text(*values: str | None) -> pa.StringArray:
    return pa.array(values, pa.string())


def test_quantities_with_leading_zeros_upper_case_and_nulls_are_read_as_they_are_meant() -> None:
    column = _text("0x12", "0x0", None, "0xFFff", "0X000000000000000000000001")
    assert decode_uint64(column).to_pylist() == [18, 0, None, 65535, 1]


def test_amounts_beyond_38_digits_keep_their_exact_value_beside_a_null() -> None:
    amounts, raw = decode_wei(_text("0x" + "f" * 64, None, hex(10**38), hex(10**38 - 1), hex(2**64), "0x0"))
    assert [None if value is None else int(value) for value in amounts.to_pylist()] == [
        None,
        None,
        None,
        10**38 - 1,
        2**64,
        0,
    ]
    assert raw.to_pylist() == [b"\xff" * 32, None, (10**38).to_bytes(32, "big"), None, None, None]


def test_decimal_text_is_exact_for_all_256_bits() -> None:
    values = [0, 1, 2**63, 2**64, 10**38 - 1, 10**38, 2**256 - 1]
    assert decode_decimal_text(_text(*map(hex, values))).to_pylist() == [str(value) for value in values]


def test_a_slice_of_a_column_decodes_as_the_slice() -> None:
    column = _text("0x01", "0xabCD", None, "0x", "0x00").slice(1)
    assert decode_bytes(column).to_pylist() == [b"\xab\xcd", None, b"", b"\x00"]
    assert decode_uint64(_text("zz", "0x5", "0x6").slice(1)).to_pylist() == [5, 6]
    assert decode_data(_text("0x01", "0x02", None, "0x03").slice(1, 2), 1).to_pylist() == [b"\x02", None]


def test_columns_without_rows_or_without_values_decode() -> None:
    for decode in (decode_uint64, decode_bytes, decode_decimal_text):
        assert decode(_text()).to_pylist() == []
        assert decode(_text(None, None)).to_pylist() == [None, None]
    assert decode_data(_text(), 32).to_pylist() == []
    assert decode_quantity_data(_text(None, "0x1"), 2).to_pylist() == [None, b"\x00\x01"]


@pytest.mark.parametrize(
    ("decode", "value"),
    [
        (decode_bytes, "0xzz"),
        (decode_bytes, "0xa"),
        (decode_bytes, ""),
        (decode_bytes, "abcd"),
        (decode_bytes, "0x0x"),
        (decode_bytes, "0x00é"),
        (lambda column: decode_data(column, 2), "0x12"),
        (lambda column: decode_data(column, 2), "0x12g4"),
        (lambda column: decode_data(column, 2), "001234"),
        (decode_uint64, "0x"),
        (decode_uint64, "12"),
        (decode_uint64, "0x1g"),
        (decode_uint64, "0x1ffffffffffffffff"),
        (decode_wei, "0x1" + "0" * 64),
    ],
)
def test_text_that_is_not_the_hex_it_should_be_is_refused_and_shown(
    decode: Callable[[pa.StringArray], object], value: str
) -> None:
    with pytest.raises(MalformedHexError) as refused:
        decode(_text("0x0102", value))
    assert repr(value)[:40] in str(refused.value)
