"""Transactions that chains make for themselves, types that nobody knows, forks to come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ampd.chain.commitments import Commitment, NotChecked
from ampd.chain.verification import verify_blocks
from oracle.consensus import data, hex_of, keccak, name_block, number, number_logs, seal
from oracle.made_up import ZERO_ADDRESS, block, conformance, transaction
from oracle.recorded import Recorded, recorded
from oracle.verified import Tables, assert_verified, broken, not_checked, tables_of, with_value

C = Commitment
Json = Any

WORD = "0x" + "c1" * 32
OTHER_WORD = "0x" + "c2" * 32
ADDRESS = "0x" + "c3" * 20
DEPOSIT = {"sourceHash": WORD, "mint": "0x0", "nonce": "0x792ed1", "gasPrice": "0x0"}
ARBITRUM = {"chainId": "0xa4b1", "sendRoot": WORD}


def changed_extra(tables: Tables, table: str, row: int, part: str | None, key: str, value: Json) -> Tables:
    """Return the tables with another value under a key of ``extra`` (of its ``part``); None takes the key away."""
    extra = json.loads(tables[table].column("extra")[row].as_py())
    target = extra if part is None else extra[part]
    target.pop(key, None)
    if value is not None:
        target[key] = value
    return {**tables, table: with_value(tables[table], "extra", row, json.dumps(extra))}


# The OP stack


@pytest.mark.parametrize(
    "over",
    [
        {"depositNonce": "0x792ed1", "depositReceiptVersion": "0x1"},  # Canyon
        {"depositNonce": "0x792ed1"},  # Regolith: stated, but not part of the root
        {},  # Bedrock
    ],
)
@pytest.mark.parametrize(
    "stated", [{}, {"mint": "0xde0b6b3a7640000"}, {"isSystemTx": True}, {"mint": None}, {"to": None}]
)
def test_deposits_of_the_op_stack_verify(over: dict[str, Json], stated: dict[str, Json]) -> None:
    deposit = transaction(0x7E, **{**DEPOSIT, **stated})
    one = block(
        [deposit, transaction(0, v="0x1c", r="0x1", s="0x2")], logs_of=[1, 2], receipt_parts=[over], l1BlockNumber="0x5"
    )
    unknown = {C.CONTRACT_ADDRESS} if stated.get("to", "") is None else set()
    assert {each.commitment for each in assert_verified(tables_of(one))} == unknown


@pytest.mark.parametrize(
    ("part", "key", "value", "commitments"),
    [
        ("transaction", "sourceHash", OTHER_WORD, {C.TRANSACTION_HASH, C.TRANSACTIONS_ROOT}),
        ("transaction", "mint", "0x1", {C.TRANSACTION_HASH, C.TRANSACTIONS_ROOT}),
        ("transaction", "isSystemTx", True, {C.TRANSACTION_HASH, C.TRANSACTIONS_ROOT}),
        ("transaction", "type", "0x7d", {C.COLUMN_RULES}),
        ("receipt", "depositNonce", "0x1", {C.RECEIPTS_ROOT}),
        ("receipt", "depositReceiptVersion", "0x2", {C.RECEIPTS_ROOT}),
        ("receipt", "depositReceiptVersion", None, {C.RECEIPTS_ROOT}),
        ("receipt", "depositReceiptVersion", "many", {C.RECEIPTS_ROOT}),
    ],
)
def test_a_wrong_value_of_a_deposit_that_only_extra_has_is_found(
    part: str, key: str, value: Json, commitments: set[C]
) -> None:
    over = {"depositNonce": "0x792ed1", "depositReceiptVersion": "0x1"}
    tables = tables_of(block([transaction(0x7E, **DEPOSIT)], receipt_parts=[over]))
    assert broken(tables) == set()
    assert broken(changed_extra(tables, "transactions", 0, part, key, value)) == commitments


@pytest.mark.parametrize("column", ["from", "to", "gas_limit", "value", "input"])
def test_a_wrong_column_of_a_deposit_is_found(column: str) -> None:
    tables = tables_of(block([transaction(0x7E, **DEPOSIT)]))
    before = tables["transactions"].column(column)[0].as_py()
    value = {"value": "7", "gas_limit": 7}.get(column, bytes(len(before)) if isinstance(before, bytes) else before)
    wrong = with_value(tables["transactions"], column, 0, value)
    assert broken({**tables, "transactions": wrong}) == {C.TRANSACTION_HASH, C.TRANSACTIONS_ROOT}


def test_a_deposit_whose_source_the_node_left_out_is_not_checked() -> None:
    tables = tables_of(block([transaction(0x7E, **DEPOSIT)]))
    tables = changed_extra(tables, "transactions", 0, "transaction", "sourceHash", None)
    reason = "the node left out sourceHash of a transaction of type 0x7e"
    assert assert_verified(tables) == [
        NotChecked(10_000_000, C.TRANSACTION_HASH, reason),
        NotChecked(10_000_000, C.TRANSACTIONS_ROOT, reason),
    ]


def test_deposits_with_fields_of_their_own_are_not_checked() -> None:
    """Mantle's."""
    tables = tables_of(block([transaction(0x7E, ethValue="0x1", **DEPOSIT)]))
    assert_verified(tables)
    assert not_checked(tables) == {C.TRANSACTION_HASH, C.TRANSACTIONS_ROOT}


def test_op_stack_blob_gas_and_withdrawals_root_of_another_meaning_are_not_taken_for_broken() -> None:
    deposit = transaction(0x7E, **DEPOSIT)
    one = block([deposit], blobGasUsed="0x0", excessBlobGas="0x0", withdrawalsRoot=WORD, parentBeaconBlockRoot=WORD)
    one.block.update(withdrawals=[], withdrawalsRoot=WORD, blobGasUsed="0x9000")
    name_block(one)
    tables = tables_of(one)
    assert_verified(tables)
    assert not_checked(tables) == {C.WITHDRAWALS_ROOT, C.BLOB_GAS}


def test_unsigned_transactions_of_before_bedrock_verify() -> None:
    assert assert_verified(tables_of(block([transaction(0, v="0x0")]))) == []


# Arbitrum

ARBITRUM_TRANSACTIONS = [
    transaction(0x64, chainId="0xa4b1", requestId=WORD),
    transaction(0x65, chainId="0xa4b1", maxFeePerGas="0x9", to=None),
    transaction(0x66, chainId="0xa4b1", requestId=WORD, maxFeePerGas="0x9"),
    transaction(
        0x68,
        **{"chainId": "0xa4b1", "maxFeePerGas": hex(10**40), "ticketId": WORD, "refundTo": ADDRESS},
        **{"maxRefund": hex(2**200), "submissionFeeRefund": "0x0"},
    ),
    transaction(
        0x69,
        **{"chainId": "0xa4b1", "maxFeePerGas": "0x9", "requestId": WORD, "l1BaseFee": "0x7", "depositValue": "0x8"},
        **{"retryTo": ADDRESS, "retryValue": "0x6", "beneficiary": ADDRESS, "maxSubmissionFee": "0x5"},
        **{"refundTo": ADDRESS, "retryData": "0x0102"},
    ),
    transaction(0x6A, chainId="0xa4b1"),
]


def test_transactions_that_arbitrum_makes_verify() -> None:
    one = block(ARBITRUM_TRANSACTIONS, logs_of=[0, 1, 2], sendRoot=WORD)
    assert {each.commitment for each in assert_verified(tables_of(one))} == {C.CONTRACT_ADDRESS}


@pytest.mark.parametrize("row", range(len(ARBITRUM_TRANSACTIONS)))
def test_each_field_that_only_extra_has_is_part_of_the_hash_of_arbitrums_transactions(row: int) -> None:
    tables = tables_of(block(ARBITRUM_TRANSACTIONS, sendRoot=WORD))
    held = "type hash from to nonce gas gasPrice maxFeePerGas value input v r s chainId"
    places = "blockHash blockNumber transactionIndex"
    for key in ARBITRUM_TRANSACTIONS[row].keys() - set(f"{held} {places}".split()):
        text = ARBITRUM_TRANSACTIONS[row][key]
        wrong = changed_extra(tables, "transactions", row, "transaction", key, text[:-1] + "f")
        assert broken(wrong) == {C.TRANSACTION_HASH, C.TRANSACTIONS_ROOT}, key


def test_an_unsigned_transaction_whose_price_the_node_calls_gas_price_verifies() -> None:
    one = block([transaction(0x66, chainId="0xa4b1", requestId=WORD, maxFeePerGas="0x9")])
    del one.block["transactions"][0]["maxFeePerGas"]
    assert assert_verified(tables_of(one)) == []


def test_the_price_on_arbitrum_is_the_base_fee_or_what_the_fees_give() -> None:
    tables = tables_of(recorded("arbitrum/150000000"))
    base_fee = tables["blocks"].column("base_fee_per_gas")[0].as_py()
    assert tables["transactions"].column("gas_price")[1].as_py() > base_fee
    assert broken(tables) == set()
    for price, commitments in ((base_fee + 1, {C.EFFECTIVE_GAS_PRICE}), (base_fee, set())):
        wrong = with_value(tables["transactions"], "effective_gas_price", 1, price)
        assert broken({**tables, "transactions": wrong}) == commitments
    elsewhere = changed_extra(tables, "blocks", 0, None, "sendRoot", None)
    assert broken(elsewhere) == {C.EFFECTIVE_GAS_PRICE}, "only Arbitrum's blocks have that rule"


def test_transactions_from_before_nitro_are_not_checked() -> None:
    tables = tables_of(block([transaction(0x78, chainId="0xa4b1")]))
    assert_verified(tables)
    assert not_checked(tables) == {C.TRANSACTION_HASH, C.TRANSACTIONS_ROOT}


# Polygon


def with_state_sync(**stated: Json) -> Recorded:
    """Return a block that ends with a state sync transaction, which has logs but stands outside all roots."""
    nothing = {"from": ZERO_ADDRESS, "to": ZERO_ADDRESS, "gas": "0x0", "gasPrice": "0x0", "nonce": "0x0"}
    sync = transaction(0, **{**nothing, "value": "0x0", "input": "0x", **stated})
    transfers = [transaction(0, v="0x1b", r="0x5", nonce=hex(nonce)) for nonce in range(3)]
    over = [{}, {}, {}, {"gasUsed": "0x0", "cumulativeGasUsed": "0x0"}]
    one = block([*transfers, sync], logs_of=[1, 0, 2, 4], receipt_parts=over, outside=1)
    key = b"matic-bor-receipt-" + number(one.block["number"]).to_bytes(8, "big") + data(one.block["hash"])
    sync["hash"] = hex_of(keccak(key))
    for part in (one.receipts[-1], *one.receipts[-1]["logs"]):
        part["transactionHash"] = sync["hash"]
    return one


OUTSIDE = "Polygon's state sync transaction and its logs stand outside all roots"


def test_a_block_with_a_state_sync_transaction_verifies_and_says_what_stands_outside() -> None:
    tables = tables_of(with_state_sync())
    assert tables["transactions"].num_rows == 4
    assert assert_verified(tables) == [NotChecked(10_000_000, C.RECEIPTS_ROOT, OUTSIDE)]


def test_a_wrong_hash_of_a_state_sync_transaction_is_found() -> None:
    tables = tables_of(with_state_sync())
    wrong = with_value(tables["transactions"], "tx_hash", 3, bytes(32))
    assert broken({**tables, "transactions": wrong}) == {C.TRANSACTION_HASH, C.ROW_LINKS}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[("from", b"\1" * 20), ("to", b"\1" * 20), ("to", None), ("nonce", 1), ("gas_limit", 1), ("gas_used", 1)],
        *[("value", "1"), ("input", b"\1"), ("r", b"\1" * 32)],
    ],
)
def test_a_state_sync_transaction_is_one_by_its_hash_and_otherwise_nothing(column: str, value: Json) -> None:
    tables = tables_of(with_state_sync())
    wrong = with_value(tables["transactions"], column, 3, value)
    assert broken({**tables, "transactions": wrong}) == {C.COLUMN_RULES}


def test_logs_of_a_state_sync_transaction_are_numbered_on() -> None:
    tables = tables_of(with_state_sync())
    assert tables["logs"].num_rows == 7
    wrong = with_value(tables["logs"], "log_index", 6, 9)
    assert broken({**tables, "logs": wrong}) == {C.LOG_INDEX}
    free = with_value(tables["logs"], "data", 6, b"whatever")
    assert broken({**tables, "logs": free}) == set(), "nothing covers them"


def test_a_state_sync_transaction_in_another_place_is_still_outside() -> None:
    one = with_state_sync()
    other = Recorded(one.block, one.receipts)
    for parts in (other.block["transactions"], other.receipts):
        parts.insert(0, parts.pop())
    for index, (stated, own) in enumerate(zip(other.block["transactions"], other.receipts, strict=True)):
        stated["transactionIndex"] = hex(index)
        for part in (own, *own["logs"]):
            part["transactionIndex"] = hex(index)
    number_logs(other)
    assert assert_verified(tables_of(other)) == [NotChecked(10_000_000, C.RECEIPTS_ROOT, OUTSIDE)]


# Types that nobody knows


def with_unknown_type(**stated: Json) -> Recorded:
    transfers = [transaction(0, v="0x1b", r="0x5", nonce=hex(nonce)) for nonce in range(2)]
    return block([transfers[0], transaction(0x76, secret="0x5", **stated), transfers[1]], logs_of=[1, 2, 1])


def test_what_an_unknown_type_hides_is_not_checked_and_the_rest_verifies() -> None:
    reason = "the encoding of transactions of type 0x76 is not known"
    assert assert_verified(tables_of(with_unknown_type())) == [
        NotChecked(10_000_000, C.TRANSACTION_HASH, reason),
        NotChecked(10_000_000, C.TRANSACTIONS_ROOT, reason),
    ]


def test_a_wrong_neighbour_of_an_unknown_type_is_found() -> None:
    tables = tables_of(with_unknown_type())
    wrong = with_value(tables["transactions"], "gas_limit", 2, 7)
    assert broken({**tables, "transactions": wrong}) == {C.TRANSACTION_HASH}


def test_receipts_of_an_unknown_type_count_as_checked_only_when_they_give_the_root() -> None:
    tables = tables_of(with_unknown_type())
    assert C.RECEIPTS_ROOT not in not_checked(tables)
    wrong = with_value(tables["transactions"], "status", 1, False)
    outcome = verify_blocks({**tables, "transactions": wrong})
    assert outcome.violations == []
    reason = "the receipts of transactions of type 0x76 may have fields of their own"
    assert NotChecked(10_000_000, C.RECEIPTS_ROOT, reason) in outcome.not_checked


# Forks and nodes


def test_all_standard_types_in_one_block_verify_with_the_hashes_that_a_real_node_gave_them() -> None:
    cases = [
        "get-legacy-create",
        "get-legacy-tx",
        "get-access-list",
        "get-dynamic-fee",
        "get-blob-tx",
        "get-setcode-tx",
    ]
    transactions = [conformance("eth_getTransactionByHash", case) for case in cases]
    hashes = [one["hash"] for one in transactions]
    withdrawal = {
        "index": "0x0",
        "validatorIndex": "0x0",
        "address": ADDRESS,
        "amount": "0x1",
    }  # below 32 bytes: inline
    prague = {"withdrawals": [withdrawal], "withdrawalsRoot": WORD, "blobGasUsed": "0x0", "excessBlobGas": "0x0"}
    one = block(
        transactions, logs_of=range(6), baseFeePerGas="0x1", **prague, parentBeaconBlockRoot=WORD, requestsHash=WORD
    )
    assert [transaction["hash"] for transaction in one.block["transactions"]] == hashes
    assert assert_verified(tables_of(one)) == []


@pytest.mark.parametrize("chain_id", [0, 1, 2**64 - 1, 2**64, 2**256 - 1])
def test_authorizations_for_any_chain_verify(chain_id: int) -> None:
    """A chain id may need 256 bits: then ``extra`` has it."""
    one = {"address": ADDRESS, "nonce": hex(2**64 - 1), "yParity": "0x1", "r": "0x1", "s": hex(2**256 - 1)}
    lists = [{"chainId": hex(each), **one} for each in (chain_id, 5)]
    fees = {"maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x1", "yParity": "0x1", "chainId": "0x1", "accessList": []}
    tables = tables_of(
        block([transaction(4, authorizationList=lists, **fees), transaction(4, authorizationList=[], **fees)])
    )
    assert assert_verified(tables) == []


def test_an_authorization_list_in_a_form_of_its_own_is_not_checked() -> None:
    tables = tables_of(recorded("bittensor-testnet/6646068"))
    (reason,) = {each.reason for each in assert_verified(tables) if each.commitment == C.TRANSACTION_HASH}
    assert reason == "the authorization list has a form of its own"


def test_amounts_beyond_the_decimal_columns_verify() -> None:
    huge = hex(2**256 - 1)
    transfers = [
        transaction(0, v="0x1b", r="0x5", gasPrice=huge, value=huge),
        transaction(
            2, chainId="0x1", maxFeePerGas=huge, maxPriorityFeePerGas=hex(10**38), yParity="0x0", accessList=[]
        ),
        transaction(
            2, chainId="0x1", maxFeePerGas=hex(10**38), maxPriorityFeePerGas=huge, yParity="0x1", accessList=[]
        ),
    ]
    tables = tables_of(block(transfers, difficulty=huge, baseFeePerGas=hex(10**38 - 1)))
    assert tables["transactions"].column("gas_price_raw")[0].as_py() == b"\xff" * 32
    assert assert_verified(tables) == []
    wrong = with_value(tables["transactions"], "effective_gas_price_raw", 1, b"\xff" * 32)
    assert broken({**tables, "transactions": wrong}) == {C.EFFECTIVE_GAS_PRICE}


def test_headers_of_amsterdam_hash_with_what_only_extra_has() -> None:
    amsterdam = {"blobGasUsed": "0x0", "excessBlobGas": "0x0", "parentBeaconBlockRoot": WORD, "requestsHash": WORD}
    one = block(
        [transaction(0, v="0x1b", r="0x5")],
        **{"withdrawals": [], "withdrawalsRoot": WORD, **amsterdam, "blockAccessListHash": WORD, "slotNumber": "0x7b"},
    )
    one.receipts[0]["gasUsed"] = "0x5000"  # after refunds, which cumulative gas no longer counts (EIP-7778)
    tables = tables_of(one)
    reason = "from Amsterdam on receipts count gas before refunds (EIP-7778)"
    assert assert_verified(tables) == [NotChecked(10_000_000, C.GAS_USED, reason)]
    for key, value in (("blockAccessListHash", OTHER_WORD), ("slotNumber", "0x7c"), ("slotNumber", "soon")):
        assert C.HEADER_HASH in broken(changed_extra(tables, "blocks", 0, None, key, value))


@pytest.mark.parametrize("key", ["extDataHash", "step", "author"])
def test_headers_with_fields_of_their_own_are_not_checked_unless_they_hash_as_ethereums(key: str) -> None:
    tables = tables_of(block([], **{key: "0x5"}))
    assert assert_verified(tables) == []
    wrong = with_value(tables["blocks"], "gas_limit", 0, 7)
    assert not_checked({**tables, "blocks": wrong}) == {C.HEADER_HASH}
    assert broken({**tables, "blocks": wrong}, network="mainnet") == {C.HEADER_HASH}


def test_a_header_with_a_gap_is_found() -> None:
    tables = tables_of(block([]))
    wrong = with_value(tables["blocks"], "requests_hash", 0, bytes(32))
    (violation,) = verify_blocks({**tables, "blocks": wrong}).violations
    assert violation.detail == "the block header has no withdrawalsRoot"


def test_state_roots_that_no_node_keeps_are_not_checked_before_byzantium_only() -> None:
    one = recorded("ethereum/4369999")
    for receipt in one.receipts:
        del receipt["root"]
        receipt["status"] = "0x1"  # what such nodes answer
    tables = tables_of(one)
    (unknown,) = assert_verified(tables, network="mainnet")
    assert unknown.commitment == C.RECEIPTS_ROOT
    assert broken(tables) == {C.RECEIPTS_ROOT}, "on another network it is wrong"


def test_receipts_without_status_and_state_root_are_not_checked() -> None:
    one = recorded("ethereum/18000000")
    for receipt in one.receipts:
        del receipt["status"]
    assert not_checked(tables_of(one)) == {C.RECEIPTS_ROOT}
    one.receipts[0]["status"] = "0x1"
    assert broken(tables_of(one)) == {C.RECEIPTS_ROOT}, "one that has it shows that the node knows"


def test_a_failed_creation_may_name_its_address_or_none() -> None:
    failed = block([transaction(0, to=None, v="0x1b", r="0x5")], receipt_parts=[{"status": "0x0"}])
    assert assert_verified(tables_of(failed)) == []
    failed.receipts[0]["contractAddress"] = None
    assert assert_verified(tables_of(failed)) == []
    failed.receipts[0]["status"] = "0x1"
    assert broken(tables_of(seal(failed))) == {C.CONTRACT_ADDRESS}


def test_a_block_whose_prices_the_node_left_out_says_so() -> None:
    fees = {"chainId": "0x1", "maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x1", "yParity": "0x0", "accessList": []}
    one = block([transaction(2, **fees), transaction(2, **fees)])
    del one.receipts[0]["effectiveGasPrice"]
    assert broken(tables_of(one)) == {C.EFFECTIVE_GAS_PRICE}
    del one.receipts[1]["effectiveGasPrice"]
    assert not_checked(tables_of(one)) == {C.EFFECTIVE_GAS_PRICE}
