"""Values that recorded blocks do not have: the decoder and the slow path read them alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle.recorded import Recorded, assert_rows_equal_slow_path, decoded, follow_on, recorded
from oracle.slow_rows import (
    KNOWN_OF_BLOCK,
    KNOWN_OF_LOG,
    KNOWN_OF_RECEIPT,
    KNOWN_OF_TRANSACTION,
    STANDARD_TYPES,
    rows_of,
)

Json = Any
Draw = Callable[[st.SearchStrategy[Any]], Any]

MODERATE = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEES = {2: "maxFeePerGas maxPriorityFeePerGas", 4: "maxFeePerGas maxPriorityFeePerGas"}
FEES[3] = FEES[2] + " maxFeePerBlobGas"
HUGE = 2**256 - 1
EDGES = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**127, 2**128 - 1, 10**38 - 1, 10**38, 10**38 + 1, HUGE]
VS = [*range(2), 27, 28, *range(35, 40), 2**53, 2**64 - 2, 2**64 - 1]


def spelled(digits: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["0x" + digits, "0x" + digits.upper()])


def quantity(largest: int) -> st.SearchStrategy[str]:
    """Numbers up to ``largest``, often at an edge; in upper case or with leading zeros too, which some nodes write."""
    numbers = st.integers(0, largest) | st.sampled_from([edge for edge in EDGES if edge <= largest])
    zeros = st.sampled_from(["", "", "0", "0" * 70])
    return st.tuples(zeros, numbers).flatmap(lambda pair: spelled(f"{pair[0]}{pair[1]:x}"))


def data(size: int | None = None, at_most: int = 70) -> st.SearchStrategy[str]:
    length = {"max_size": at_most} if size is None else {"min_size": size, "max_size": size}
    return st.binary(**length).flatmap(lambda content: spelled(content.hex()))


UINT64 = quantity(2**64 - 1)
AMOUNT = quantity(HUGE)
WORD = quantity(HUGE)
HASH = data(32)
ADDRESS = data(20)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def unknown_to(known: frozenset[str]) -> st.SearchStrategy[dict[str, Json]]:
    """Unknown keys of any JSON value. Names known elsewhere, nearly known and odd ones are among them."""
    elsewhere = (KNOWN_OF_BLOCK | KNOWN_OF_TRANSACTION | KNOWN_OF_RECEIPT | KNOWN_OF_LOG) - known
    odd = ["", "Hash", "hash ", "l1Fee", 'quo"te', "back\\slash", "ключ", "new\nline", "size2"]
    names = st.sampled_from(sorted(elsewhere) + odd) | st.text(max_size=6)
    return st.dictionaries(names.filter(lambda name: name not in known), JSON_VALUES, max_size=2)


def put(draw: Draw, target: dict[str, Json], key: str, values: st.SearchStrategy[Json]) -> None:
    """Give ``key`` a value, or null, or leave it out."""
    choice = draw(st.sampled_from(["value", "value", "null", "missing"]))
    target.pop(key, None)
    if choice != "missing":
        target[key] = draw(values) if choice == "value" else None


ACCESSES = st.lists(st.fixed_dictionaries({"address": ADDRESS, "storageKeys": st.lists(HASH, max_size=3)}), max_size=3)
PARITY = st.sampled_from([{"yParity": "0x0"}, {"yParity": "0x1"}, {"v": "0x1b"}, {"v": "0x1c"}, {"v": "0x1"}])
AUTHORIZATION = st.fixed_dictionaries(
    {"chainId": WORD, "address": ADDRESS, "nonce": UINT64, "r": WORD, "s": WORD}
).flatmap(lambda one: PARITY.map(lambda parity: one | parity))
WITHDRAWALS = st.lists(
    st.fixed_dictionaries({"index": UINT64, "validatorIndex": UINT64, "address": ADDRESS, "amount": UINT64}),
    max_size=3,
)


@st.composite
def transactions(draw: Draw, recorded_one: dict[str, Json]) -> dict[str, Json]:
    kept = ("hash", "blockHash", "blockNumber", "transactionIndex", "from")
    one = {key: recorded_one[key] for key in kept}
    kind = draw(st.sampled_from(STANDARD_TYPES) | st.integers(5, 0x7F))
    one["type"] = hex(kind)
    if kind == 0 and draw(st.booleans()):
        del one["type"]
    one |= {"nonce": draw(UINT64), "gas": draw(UINT64), "value": draw(AMOUNT), "input": draw(data())}
    one["gasPrice"] = draw(AMOUNT)
    put(draw, one, "to", ADDRESS | st.sampled_from(["", "0x"]))
    for key in FEES.get(kind, FEES[3] if kind > 4 else "").split():
        put(draw, one, key, AMOUNT)
    if kind != 0:
        put(draw, one, "accessList", ACCESSES)
    if kind >= 3 and kind != 4:
        put(draw, one, "blobVersionedHashes", st.lists(HASH, max_size=3))
    if kind >= 4:
        put(draw, one, "authorizationList", st.lists(AUTHORIZATION, max_size=3))
    put(draw, one, "chainId", UINT64)
    put(draw, one, "v", st.sampled_from(VS).map(hex))
    put(draw, one, "yParity", st.sampled_from(["0x0", "0x1", "0x01"]))
    put(draw, one, "r", WORD)
    put(draw, one, "s", WORD)
    put(draw, one, "blockTimestamp", UINT64)
    return one | draw(unknown_to(KNOWN_OF_TRANSACTION))


@st.composite
def receipts(draw: Draw, recorded_one: dict[str, Json], first_log: int) -> dict[str, Json]:
    kept = ("transactionHash", "transactionIndex", "blockHash", "blockNumber", "from", "to", "logsBloom")
    one = {key: recorded_one[key] for key in kept}
    one |= {"gasUsed": draw(UINT64), "cumulativeGasUsed": draw(UINT64)}
    put(draw, one, "type", st.just("0x0"))
    put(draw, one, "effectiveGasPrice", AMOUNT)
    put(draw, one, "contractAddress", ADDRESS)
    put(draw, one, "status", st.sampled_from(["0x0", "0x1"]))
    put(draw, one, "root", HASH)
    put(draw, one, "blobGasUsed", UINT64)
    put(draw, one, "blobGasPrice", AMOUNT)
    place = {key: one[key] for key in ("transactionHash", "transactionIndex", "blockHash", "blockNumber")}
    one["logs"] = [draw(logs(place, first_log + position)) for position in range(draw(st.integers(0, 3)))]
    return one | draw(unknown_to(KNOWN_OF_RECEIPT))


@st.composite
def logs(draw: Draw, place: dict[str, Json], index: int) -> dict[str, Json]:
    one = {
        **place,
        "logIndex": hex(index),
        "address": draw(ADDRESS),
        "topics": draw(st.lists(HASH, max_size=4)),
        "data": draw(data()),
    }
    put(draw, one, "removed", st.just(False))
    put(draw, one, "blockTimestamp", UINT64)
    return one | draw(unknown_to(KNOWN_OF_LOG))


SECONDS = st.integers(0, 2**33).map(hex)
OPTIONAL_OF_BLOCK = {
    "mixHash": HASH,
    "nonce": data(8),
    "difficulty": AMOUNT,
    "totalDifficulty": AMOUNT,
    "baseFeePerGas": AMOUNT,
    "withdrawals": WITHDRAWALS,
    "withdrawalsRoot": HASH,
    "blobGasUsed": UINT64,
    "excessBlobGas": UINT64,
    "parentBeaconBlockRoot": HASH,
    "requestsHash": HASH,
    "size": UINT64,
    "uncles": st.lists(HASH, max_size=2),
}
REQUIRED_OF_BLOCK = {
    "timestamp": SECONDS,
    "miner": ADDRESS,
    "stateRoot": HASH,
    "gasLimit": UINT64,
    "gasUsed": UINT64,
    "extraData": data(),
}


@st.composite
def blocks(draw: Draw, name: str) -> Recorded:
    """A recorded block with up to three of its transactions, and nearly all its values exchanged."""
    source = recorded(name)
    count = draw(st.integers(0, min(3, len(source.receipts))))
    block = {**source.block, **{key: draw(values) for key, values in REQUIRED_OF_BLOCK.items()}}
    for key, values in OPTIONAL_OF_BLOCK.items():
        put(draw, block, key, values)
    block["transactions"] = [draw(transactions(one)) for one in source.block["transactions"][:count]]
    drawn: list[dict[str, Json]] = []
    for one in source.receipts[:count]:
        drawn.append(draw(receipts(one, sum(len(before["logs"]) for before in drawn))))
    return Recorded(block | draw(unknown_to(KNOWN_OF_BLOCK)), drawn)


NAMES = ["ethereum/1000000", "ethereum/19433903"]
A_BLOCK = st.sampled_from(NAMES).flatmap(blocks)


@MODERATE
@given(one=A_BLOCK, expect_unknown_keys=st.booleans())
def test_a_block_of_edge_values_equals_the_slow_path(one: Recorded, expect_unknown_keys: bool) -> None:
    assert_rows_equal_slow_path([one], expect_unknown_keys=expect_unknown_keys)


@settings(MODERATE, max_examples=40)
@given(pair=st.tuples(*map(blocks, NAMES)), expect_unknown_keys=st.booleans())
def test_two_blocks_of_edge_values_do_not_mix(pair: tuple[Recorded, Recorded], expect_unknown_keys: bool) -> None:
    follow_on(pair)
    assert_rows_equal_slow_path(pair, expect_unknown_keys=expect_unknown_keys)


def small_block(**stated: Json) -> Recorded:
    """Block 19433903 with its first two transactions only; ``stated`` is added to the first of them."""
    one = recorded("ethereum/19433903")
    one.block["transactions"] = one.block["transactions"][:2]
    one.block["transactions"][0].update(stated)
    for receipt in one.receipts:
        receipt["logs"] = []
    return Recorded(one.block, one.receipts[:2])


def first_transaction(one: Recorded) -> dict[str, Any]:
    return rows_of(decoded([one], expect_unknown_keys=False).tables["transactions"])[0]


AUTHORIZED = {"chainId": "0x1", "address": "0x" + "11" * 20, "nonce": "0x1", "yParity": "0x1", "r": "0x5", "s": "0x6"}
NOT_OF_TYPE = [
    ("0x0", "maxFeePerGas", "0x5", "max_fee_per_gas"),
    ("0x1", "maxFeePerGas", "0x5", "max_fee_per_gas"),
    ("0x0", "maxPriorityFeePerGas", "0x5", "max_priority_fee_per_gas"),
    ("0x1", "maxPriorityFeePerGas", "0x5", "max_priority_fee_per_gas"),
    ("0x2", "maxFeePerBlobGas", "0x5", "max_fee_per_blob_gas"),
    ("0x4", "maxFeePerBlobGas", "0x5", "max_fee_per_blob_gas"),
    ("0x0", "accessList", [], "access_list"),
    ("0x2", "blobVersionedHashes", [], "blob_versioned_hashes"),
    ("0x2", "blobVersionedHashes", ["0x" + "11" * 32], "blob_versioned_hashes"),
    ("0x2", "authorizationList", [], "authorization_list"),
    ("0x2", "authorizationList", [AUTHORIZED], "authorization_list"),
]


@pytest.mark.parametrize(("kind", "key", "value", "column"), NOT_OF_TYPE)
def test_a_column_that_the_type_does_not_have_is_null_even_when_the_node_states_it(
    kind: str, key: str, value: Json, column: str
) -> None:
    row = first_transaction(small_block(type=kind, **{key: value}))
    assert row[column] is None
    assert row.get(f"{column}_raw") is None


@pytest.mark.parametrize("kind", ["0x0", "0x1", "0x2", "0x3", "0x4", "0x7e", "0x7f"], ids=lambda kind: f"type {kind}")
def test_only_fixed_price_transactions_have_a_gas_price(kind: str) -> None:
    row = first_transaction(small_block(type=kind, gasPrice=hex(10**38)))
    assert row["gas_price"] is None
    assert row["gas_price_raw"] == ((10**38).to_bytes(32, "big") if kind in ("0x0", "0x1") else None)


@pytest.mark.parametrize("v", [*range(0, 45), 2**64 - 1])
@pytest.mark.parametrize("kind", ["0x0", "0x2"])
def test_parity_and_chain_id_follow_from_v_alone(kind: str, v: int) -> None:
    one = small_block(type=kind, v=hex(v))
    for key in ("yParity", "maxFeePerGas", "maxPriorityFeePerGas", "accessList"):
        one.block["transactions"][0].pop(key, None)
    assert_rows_equal_slow_path([one])


def test_an_authorization_in_another_form_is_kept_whole_in_extra() -> None:
    """As Frontier nodes write it: the signature is an object of its own and the chain id a JSON number."""
    signed = {"odd_y_parity": True, "r": "0x5", "s": "0x6"}
    frontier = {"chain_id": 945, "address": "0x" + "11" * 20, "nonce": "0x6", "signature": signed}
    row = first_transaction(small_block(type="0x4", authorizationList=[frontier]))
    assert row["extra"] == {"transaction": {"authorizationList": [frontier]}}


def test_an_unknown_key_of_a_withdrawal_is_kept_in_extra() -> None:
    one = small_block()
    one.block["withdrawals"][3]["reason"] = "new"
    assert_rows_equal_slow_path([one])


def test_an_unknown_key_inside_an_access_list_is_kept_in_extra() -> None:
    accesses = [{"address": "0x" + "11" * 20, "storageKeys": [], "reason": "new"}]
    row = first_transaction(small_block(type="0x1", accessList=accesses))
    assert row["extra"] == {"transaction": {"accessList": accesses}}
