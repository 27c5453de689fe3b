"""Values that have no meaning or no place in their column: refused with NODE_ANSWER_MALFORMED, naming the block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ampd.errors import ErrorCode
from oracle.recorded import Recorded
from oracle.refusals import OTHER_HASH, refused, small

PLACES: dict[str, Callable[[Recorded], tuple[dict[str, Any], str]]] = {
    "block quantity": lambda one: (one.block, "gasLimit"),
    "block amount": lambda one: (one.block, "baseFeePerGas"),
    "block hash-like": lambda one: (one.block, "stateRoot"),
    "block data": lambda one: (one.block, "extraData"),
    "transaction quantity": lambda one: (one.block["transactions"][1], "nonce"),
    "transaction amount": lambda one: (one.block["transactions"][1], "gasPrice"),
    "transaction value": lambda one: (one.block["transactions"][1], "value"),
    "transaction address": lambda one: (one.block["transactions"][1], "from"),
    "transaction data": lambda one: (one.block["transactions"][1], "input"),
    "receipt quantity": lambda one: (one.receipts[1], "cumulativeGasUsed"),
    "receipt amount": lambda one: (one.receipts[1], "effectiveGasPrice"),
    "log address": lambda one: (one.receipts[1]["logs"][1], "address"),
    "log data": lambda one: (one.receipts[1]["logs"][1], "data"),
    "log index": lambda one: (one.receipts[1]["logs"][1], "logIndex"),
    "withdrawal amount": lambda one: (one.block["withdrawals"][1], "amount"),
}
BAD_VALUES = {
    "a number": 5,
    "true": True,
    "an object": {},
    "no hex": "0xzz",
    "no prefix": "1f" * 32,
    "a space": "0x 1",
    "a sign": "-0x1",
    "an inner sign": "0x-1",
    "an underscore": "0x1_0",
    "other digits": "0x١٢",
    "words": "latest",
}


@pytest.mark.parametrize("bad", BAD_VALUES)
@pytest.mark.parametrize("place", PLACES)
def test_a_value_that_is_no_hex_text_is_refused(place: str, bad: str) -> None:
    one = small()
    one.block["transactions"][1]["type"] = "0x0"
    stated, key = PLACES[place](one)
    stated[key] = BAD_VALUES[bad]
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("place", [place for place in PLACES if "quantity" in place])
def test_a_quantity_of_more_than_64_bits_is_refused(place: str) -> None:
    one = small()
    stated, key = PLACES[place](one)
    stated[key] = hex(2**64)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


def test_a_transaction_type_that_has_no_place_in_its_column_is_refused() -> None:
    one = small()
    one.block["transactions"][1]["type"] = hex(2**31)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("seconds", [9223372037, 1_700_000_000_000, 2**63])
def test_a_block_time_that_has_no_place_in_its_column_is_refused(seconds: int) -> None:
    """The column counts nanoseconds in 64 bits: milliseconds must not turn into a date in another century."""
    one = small()
    one.block["timestamp"] = hex(seconds)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("key", ["extraData", "unheardOf"])
def test_text_that_is_not_utf8_is_refused(key: str) -> None:
    one = small()
    one.block[key] = "0xQQ"
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one, block_text=lambda body: body.replace(b"QQ", b"\xff"))


@pytest.mark.parametrize("place", [place for place in PLACES if "amount" in place or place.endswith("value")])
def test_an_amount_of_more_than_256_bits_is_refused(place: str) -> None:
    one = small()
    one.block["transactions"][1]["type"] = "0x0"
    stated, key = PLACES[place](one)
    stated[key] = hex(2**256)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("size", [0, 1, 19, 21, 31, 33])
@pytest.mark.parametrize("place", ["block hash-like", "transaction address", "log address"])
def test_bytes_of_the_wrong_length_are_refused(place: str, size: int) -> None:
    one = small()
    stated, key = PLACES[place](one)
    stated[key] = "0x" + "11" * size
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("place", ["block data", "transaction data", "log data", "block hash-like", "log address"])
def test_half_a_byte_is_refused(place: str) -> None:
    one = small()
    stated, key = PLACES[place](one)
    stated[key] = stated[key] + "a"
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


def test_a_topic_of_the_wrong_length_is_refused() -> None:
    one = small()
    one.receipts[1]["logs"][1]["topics"] = ["0x1234"]
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


def test_a_log_with_five_topics_is_refused() -> None:
    """The EVM knows LOG0 to LOG4; a fifth topic has no column and would be lost."""
    one = small()
    one.receipts[1]["logs"][1]["topics"] = [OTHER_HASH] * 5
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)
