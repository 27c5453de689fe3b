"""What the decoder must refuse, never store: each case has its code, and its message names the block."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.sources.evm_rpc.decode import decode_blocks, decode_receipts
from oracle.recorded import DATA, Recorded, answer, assert_rows_equal_slow_path, read_json, recorded
from oracle.refusals import NAME, NUMBER, OTHER_HASH, Text, decode, refused, small

Change = Callable[[Recorded], object]


def test_the_small_block_is_good_before_it_is_broken() -> None:
    decode(small())
    assert_rows_equal_slow_path([small()])
    assert sum(len(receipt["logs"]) for receipt in small().receipts) == 8


# --- Recorded answers of real nodes ---

DEFECTIVE = {
    6541: ErrorCode.RECEIPT_COUNT_MISMATCH,  # an empty list for a block with a transaction
    68216: ErrorCode.RECEIPT_COUNT_MISMATCH,  # one receipt for two transactions
    131465: ErrorCode.RECEIPT_COUNT_MISMATCH,  # two receipts for three transactions
    11446765: ErrorCode.LOG_INDEX_MISMATCH,  # a gap in the log indexes
}


def test_every_recorded_defect_has_a_case() -> None:
    directories = (DATA / "defective").glob("cronos-*")
    assert {int(directory.name.removeprefix("cronos-")) for directory in directories} == set(DEFECTIVE)


def defective(number: int) -> Recorded:
    directory: Path = DATA / "defective" / f"cronos-{number}"
    (block,) = directory.glob("block.json*")
    return Recorded(read_json(block), read_json(directory / "receipts.json"))


@pytest.mark.parametrize(("number", "code"), DEFECTIVE.items())
def test_a_recorded_defect_is_refused(number: int, code: ErrorCode) -> None:
    refused(code, defective(number), number=number)


def test_a_recorded_block_whose_receipts_are_all_there_but_shifted_is_refused() -> None:
    """131465 with one receipt repeated, so that only the order tells."""
    one = defective(131465)
    one.receipts.insert(1, one.receipts[1])
    refused(ErrorCode.RECEIPT_ORDER_MISMATCH, one, number=131465)


# --- Blocks ---


def test_a_null_block_is_not_available_yet() -> None:
    refused(ErrorCode.BLOCK_NOT_AVAILABLE, Recorded(None, []))  # type: ignore[arg-type]


def test_another_block_than_asked_for_is_refused() -> None:
    refused(ErrorCode.BLOCK_NUMBER_MISMATCH, small(), number=NUMBER + 1)


def test_a_block_that_does_not_follow_its_parent_is_refused() -> None:
    first, second = recorded("ethereum/19433902"), recorded(NAME)
    second.block["parentHash"] = OTHER_HASH
    bodies = [answer(one.number, one.block) for one in (first, second)]
    with pytest.raises(AmpError) as caught:
        decode_blocks([first.number, second.number], bodies, expect_unknown_keys=False)
    assert caught.value.code == ErrorCode.PARENT_HASH_MISMATCH
    assert str(NUMBER) in caught.value.message


def test_null_for_the_last_of_three_blocks_is_told_with_its_number() -> None:
    numbers = [17686110, 17686111, 17686112]
    chain = [recorded(f"ethereum-17686110-17686132/{number}").block for number in numbers[:2]]
    bodies = [answer(number, block) for number, block in zip(numbers, [*chain, None], strict=True)]
    with pytest.raises(AmpError) as caught:
        decode_blocks(numbers, bodies, expect_unknown_keys=False)
    assert caught.value.code == ErrorCode.BLOCK_NOT_AVAILABLE
    assert "17686112" in caught.value.message


REQUIRED_OF_BLOCK = [
    "hash", "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom",
    "gasLimit", "gasUsed", "extraData", "timestamp", "transactions",
]  # fmt: skip
REQUIRED_OF_TRANSACTION = ["nonce", "gas", "value", "input", "from"]
REQUIRED_OF_RECEIPT = ["gasUsed", "cumulativeGasUsed", "logs"]
REQUIRED_OF_LOG = ["address", "topics", "data"]


@pytest.mark.parametrize("way", ["missing", "null"])
@pytest.mark.parametrize("key", REQUIRED_OF_BLOCK)
def test_a_block_without_a_required_key_is_refused(key: str, way: str) -> None:
    one = small()
    leave_out(one.block, key, way)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("way", ["missing", "null"])
@pytest.mark.parametrize("key", REQUIRED_OF_TRANSACTION)
def test_a_transaction_without_a_required_key_is_refused(key: str, way: str) -> None:
    one = small()
    leave_out(one.block["transactions"][2], key, way)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("way", ["missing", "null"])
@pytest.mark.parametrize("key", REQUIRED_OF_RECEIPT)
def test_a_receipt_without_a_required_key_is_refused(key: str, way: str) -> None:
    """In the last receipt, where no later log index could give it away: "no logs" must be said, not left out."""
    one = small()
    leave_out(one.receipts[-1], key, way)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("way", ["missing", "null"])
@pytest.mark.parametrize("key", REQUIRED_OF_LOG)
def test_a_log_without_a_required_key_is_refused(key: str, way: str) -> None:
    one = small()
    leave_out(one.receipts[2]["logs"][1], key, way)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


REQUIRED_OF_ENTRIES = {
    "access list address": ("0x1", "accessList", "address"),
    "authorization address": ("0x4", "authorizationList", "address"),
    "authorization nonce": ("0x4", "authorizationList", "nonce"),
}
ENTRY = {
    "address": "0x" + "11" * 20,
    "storageKeys": [],
    "chainId": "0x1",
    "nonce": "0x1",
    "yParity": "0x1",
    "r": "0x1",
    "s": "0x1",
}


@pytest.mark.parametrize("way", ["missing", "null"])
@pytest.mark.parametrize("case", REQUIRED_OF_ENTRIES)
def test_an_entry_of_a_list_without_a_required_key_is_refused(case: str, way: str) -> None:
    kind, column, key = REQUIRED_OF_ENTRIES[case]
    entry: dict[str, Any] = dict(ENTRY)
    leave_out(entry, key, way)
    one = small()
    one.block["transactions"][1].update({"type": kind, column: [entry]})
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("way", ["missing", "null"])
def test_an_empty_block_without_a_hash_is_refused(way: str) -> None:
    """A node answers so for the pending block, which is not a block yet."""
    one = small()
    one.block["transactions"] = []
    leave_out(one.block, "hash", way)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


def leave_out(stated: dict[str, Any], key: str, way: str) -> None:
    if way == "missing":
        del stated[key]
    else:
        stated[key] = None


@pytest.mark.parametrize("key", ["hash", "number", "transactionIndex", "transactionHash", "blockHash", "logIndex"])
def test_what_ties_an_answer_together_cannot_be_left_out(key: str) -> None:
    for path in ("block", "transaction", "receipt", "log"):
        one = small()
        parts = {
            "block": one.block,
            "transaction": one.block["transactions"][1],
            "receipt": one.receipts[1],
            "log": one.receipts[1]["logs"][1],
        }
        if key not in parts[path] or (path, key) == ("log", "transactionHash"):
            continue
        del parts[path][key]
        with pytest.raises(AmpError) as caught:
            decode(one)
        assert str(NUMBER) in caught.value.message, (path, caught.value.message)


# --- Order and number of transactions, receipts and logs ---


def swap(items: list[Any], one: int, other: int) -> None:
    items[one], items[other] = items[other], items[one]


def of_other_block(stated: dict[str, Any]) -> None:
    stated["blockHash"] = OTHER_HASH


STRUCTURE: dict[str, tuple[ErrorCode, Change]] = {
    "receipts swapped": (ErrorCode.RECEIPT_ORDER_MISMATCH, lambda one: swap(one.receipts, 1, 2)),
    "receipts short": (ErrorCode.RECEIPT_COUNT_MISMATCH, lambda one: one.receipts.pop()),
    "receipts doubled": (ErrorCode.RECEIPT_COUNT_MISMATCH, lambda one: one.receipts.insert(1, one.receipts[1])),
    "receipts all doubled": (ErrorCode.RECEIPT_COUNT_MISMATCH, lambda one: one.receipts.extend(one.receipts[:])),
    "receipt repeated for its neighbour": (
        ErrorCode.RECEIPT_ORDER_MISMATCH,
        lambda one: one.receipts.__setitem__(2, one.receipts[1]),
    ),
    "receipts empty": (ErrorCode.RECEIPT_COUNT_MISMATCH, lambda one: one.receipts.clear()),
    "receipt of another transaction": (
        ErrorCode.RECEIPT_ORDER_MISMATCH,
        lambda one: one.receipts[1].update(transactionHash=OTHER_HASH),
    ),
    "receipt with another index": (
        ErrorCode.RECEIPT_ORDER_MISMATCH,
        lambda one: one.receipts[1].update(transactionIndex="0x2"),
    ),
    "receipt of another block": (ErrorCode.RECEIPT_BLOCK_MISMATCH, lambda one: of_other_block(one.receipts[3])),
    "receipts of another block": (
        ErrorCode.RECEIPT_BLOCK_MISMATCH,
        lambda one: [of_other_block(receipt) for receipt in one.receipts],
    ),
    "log of another block": (
        ErrorCode.RECEIPT_BLOCK_MISMATCH,
        lambda one: of_other_block(one.receipts[3]["logs"][1]),
    ),
    "log index gap": (
        ErrorCode.LOG_INDEX_MISMATCH,
        lambda one: one.receipts[3]["logs"][1].update(logIndex="0x8"),
    ),
    "log index doubled": (
        ErrorCode.LOG_INDEX_MISMATCH,
        lambda one: one.receipts[3]["logs"][1].update(logIndex="0x6"),
    ),
    "log indexes swapped": (ErrorCode.LOG_INDEX_MISMATCH, lambda one: swap(one.receipts[1]["logs"], 0, 1)),
    "log index from one": (
        ErrorCode.LOG_INDEX_MISMATCH,
        lambda one: [
            log.update(logIndex=hex(int(log["logIndex"], 16) + 1))
            for receipt in one.receipts
            for log in receipt["logs"]
        ],
    ),
    "log index restarts in each transaction": (
        ErrorCode.LOG_INDEX_MISMATCH,
        lambda one: [
            log.update(logIndex=hex(position))
            for receipt in one.receipts
            for position, log in enumerate(receipt["logs"])
        ],
    ),
    "log dropped": (ErrorCode.LOG_INDEX_MISMATCH, lambda one: one.receipts[1]["logs"].pop(0)),
    "log removed": (ErrorCode.LOG_REMOVED, lambda one: one.receipts[2]["logs"][0].update(removed=True)),
    "transactions swapped": (
        ErrorCode.TRANSACTION_ORDER_MISMATCH,
        lambda one: swap(one.block["transactions"], 0, 1),
    ),
    "transactions and receipts swapped": (
        ErrorCode.TRANSACTION_ORDER_MISMATCH,
        lambda one: (swap(one.block["transactions"], 0, 1), swap(one.receipts, 0, 1)),
    ),
    "transaction missing in the middle": (
        ErrorCode.TRANSACTION_ORDER_MISMATCH,
        lambda one: (one.block["transactions"].pop(1), one.receipts.pop(1)),
    ),
    "transaction of another block": (
        ErrorCode.TRANSACTION_ORDER_MISMATCH,
        lambda one: of_other_block(one.block["transactions"][1]),
    ),
}


@pytest.mark.parametrize("case", STRUCTURE)
def test_an_answer_out_of_order_is_refused(case: str) -> None:
    code, change = STRUCTURE[case]
    one = small()
    change(one)
    refused(code, one)


def test_a_defect_in_the_middle_of_three_blocks_is_told_with_that_block() -> None:
    numbers = [17686110, 17686111, 17686112]
    chain = [recorded(f"ethereum-17686110-17686132/{number}") for number in numbers]
    chain[1].receipts[7]["logs"] = []
    blocks = decode_blocks(numbers, [answer(one.number, one.block) for one in chain], expect_unknown_keys=False)
    bodies = [answer(one.number, one.receipts) for one in chain]
    swap(chain[1].receipts, 3, 4)
    swapped = [answer(one.number, one.receipts) for one in chain]
    for code, texts in ((ErrorCode.LOG_INDEX_MISMATCH, bodies), (ErrorCode.RECEIPT_ORDER_MISMATCH, swapped)):
        with pytest.raises(AmpError) as caught:
            decode_receipts(blocks, texts, expect_unknown_keys=False)
        assert caught.value.code == code
        assert "17686111" in caught.value.message


def test_receipts_of_two_blocks_in_each_others_place_are_refused() -> None:
    chain = [recorded("ethereum/19433902"), recorded(NAME)]
    numbers = [one.number for one in chain]
    blocks = decode_blocks(numbers, [answer(one.number, one.block) for one in chain], expect_unknown_keys=False)
    bodies = [answer(number, one.receipts) for number, one in zip(numbers, reversed(chain), strict=True)]
    with pytest.raises(AmpError) as caught:
        decode_receipts(blocks, bodies, expect_unknown_keys=False)
    assert caught.value.code in (ErrorCode.RECEIPT_COUNT_MISMATCH, ErrorCode.RECEIPT_BLOCK_MISMATCH)
    assert any(str(number) in caught.value.message for number in numbers)


# --- Null elements ---

NULL_ELEMENTS: dict[str, Change] = {
    "transactions": lambda one: one.block["transactions"].__setitem__(1, None),
    "withdrawals": lambda one: one.block["withdrawals"].__setitem__(1, None),
    "receipts": lambda one: one.receipts.__setitem__(1, None),
    "logs": lambda one: one.receipts[1]["logs"].__setitem__(1, None),
    "topics": lambda one: one.receipts[1]["logs"][1]["topics"].__setitem__(0, None),
    "access list": lambda one: one.block["transactions"][1].update(accessList=[None]),
    "storage keys": lambda one: one.block["transactions"][1].update(
        accessList=[{"address": "0x" + "11" * 20, "storageKeys": [None]}]
    ),
    "blob hashes": lambda one: one.block["transactions"][1].update(type="0x3", blobVersionedHashes=[None]),
    "authorizations": lambda one: one.block["transactions"][1].update(type="0x4", authorizationList=[None]),
}


@pytest.mark.parametrize("case", NULL_ELEMENTS)
def test_null_as_an_element_of_a_list_is_refused(case: str) -> None:
    one = small()
    NULL_ELEMENTS[case](one)
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


@pytest.mark.parametrize("key", ["index", "validatorIndex", "address", "amount"])
def test_a_withdrawal_without_a_required_key_is_refused(key: str) -> None:
    one = small()
    del one.block["withdrawals"][2][key]
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


# --- Bodies ---


def test_null_receipts_are_not_available_yet() -> None:
    refused(ErrorCode.RECEIPTS_NOT_AVAILABLE, Recorded(small().block, None))  # type: ignore[arg-type]


def with_id(value: Any) -> Text:
    return lambda body: json.dumps({**json.loads(body), "id": value}).encode()


BODIES: dict[str, tuple[ErrorCode, Text]] = {
    "wrong id": (ErrorCode.NODE_ANSWER_MALFORMED, with_id(NUMBER + 1)),
    "no id": (ErrorCode.NODE_ANSWER_MALFORMED, with_id(None)),
    "HTML": (ErrorCode.NODE_ANSWER_MALFORMED, lambda _: b"<html><body>502 Bad Gateway</body></html>"),
    "truncated": (ErrorCode.NODE_ANSWER_MALFORMED, lambda body: body[: len(body) // 2]),
    "last brace missing": (ErrorCode.NODE_ANSWER_MALFORMED, lambda body: body[:-1]),
    "empty": (ErrorCode.NODE_ANSWER_MALFORMED, lambda _: b""),
    "a list": (ErrorCode.NODE_ANSWER_MALFORMED, lambda body: b"[" + body + b"]"),
    "two answers": (ErrorCode.NODE_ANSWER_MALFORMED, lambda body: body + b"\n" + body),
    "result is text": (ErrorCode.NODE_ANSWER_MALFORMED, lambda _: answer(NUMBER, "0x1")),
    "result is a number": (ErrorCode.NODE_ANSWER_MALFORMED, lambda _: answer(NUMBER, 1)),
    "error": (
        ErrorCode.NODE_ANSWERED_ERROR,
        lambda _: b'{"jsonrpc":"2.0","id":19433903,"error":{"code":-32000,"message":"header not found"}}',
    ),
}


@pytest.mark.parametrize("which", ["block", "receipts"])
@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_no_answer_is_refused(case: str, which: str) -> None:
    code, text = BODIES[case]
    refused(code, small(), **{f"{which}_text": text})


def test_transaction_hashes_in_place_of_transactions_are_refused() -> None:
    one = small()
    one.block["transactions"] = [transaction["hash"] for transaction in one.block["transactions"]]
    refused(ErrorCode.NODE_ANSWER_MALFORMED, one)


WAYS_TO_WRITE: dict[str, Text] = {
    "with spaces and line breaks": lambda body: json.dumps(json.loads(body), indent=2).encode(),
    "with a line break at the end": lambda body: body + b"\r\n",
    "without any space": lambda body: json.dumps(json.loads(body), separators=(",", ":")).encode(),
    "with its keys in another order": lambda body: json.dumps(json.loads(body), sort_keys=True).encode(),
    "with unknown keys beside the result": lambda body: b'{"trace":[1,{}],' + body[1:],
}


@pytest.mark.parametrize("way", WAYS_TO_WRITE)
def test_the_same_answer_written_in_another_way_is_accepted(way: str) -> None:
    decode(small(), block_text=WAYS_TO_WRITE[way], receipts_text=WAYS_TO_WRITE[way])
