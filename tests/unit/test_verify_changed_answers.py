"""One wrong field in what a node sends is refused by the decoder, or breaks the commitment that covers it (generated).

Every field of block, transaction, receipt, log and withdrawal, as recorded nodes sent them. ``NAMED`` says by which
error or commitment it is named; ``NOT_KEPT`` are the fields that leave no trace in the tables, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from ampd.chain.commitments import Commitment
from ampd.chain.verification import verify_blocks
from ampd.errors import AmpError, ErrorCode
from oracle.recorded import Recorded, recorded
from oracle.verified import tables_of

Json = Any
BLOCKS: Final = (
    "ethereum/1000000",
    "ethereum/4369999",
    "ethereum-17686110-17686132/17686111",
    "ethereum/18000000",
    "ethereum/19433903",
    "polygon/50000000",
)
MOST_BLOCKS: Final = 3  # for each field
C, E = Commitment, ErrorCode
HEADER: Final = [
    "difficulty",
    "extraData",
    "gasLimit",
    "miner",
    "mixHash",
    "nonce",
    "number",
    "parentHash",
    "sha3Uncles",
    "stateRoot",
    "timestamp",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "withdrawalsRoot",
]
HASHED: Final = [
    "gas",
    "input",
    "nonce",
    "to",
    "value",
    "v",
    "r",
    "s",
    "chainId",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "yParity",
    "accessList",
    "type",
    "gasPrice",
    "maxFeePerBlobGas",
    "blobVersionedHashes",
]
NAMED: Final[dict[str, dict[str, set[str]]]] = {
    "block": {
        **{name: {C.HEADER_HASH} for name in HEADER},
        "hash": {E.TRANSACTION_ORDER_MISMATCH},
        "gasUsed": {C.HEADER_HASH, C.GAS_USED},
        "logsBloom": {C.HEADER_HASH, C.LOGS_BLOOM},
        "receiptsRoot": {C.HEADER_HASH, C.RECEIPTS_ROOT},
        "transactionsRoot": {C.HEADER_HASH, C.TRANSACTIONS_ROOT},
        "baseFeePerGas": {C.HEADER_HASH},
        "blobGasUsed": {C.HEADER_HASH, C.BLOB_GAS},
        "transactions": {E.RECEIPT_COUNT_MISMATCH},
        "withdrawals": {C.WITHDRAWALS_ROOT},
    },
    "transaction": {
        **{name: {C.TRANSACTION_HASH, C.TRANSACTIONS_ROOT} for name in HASHED},
        "blockHash": {E.TRANSACTION_ORDER_MISMATCH},
        "transactionIndex": {E.TRANSACTION_ORDER_MISMATCH},
        "hash": {E.RECEIPT_ORDER_MISMATCH},
    },
    "receipt": {
        "blockHash": {E.RECEIPT_BLOCK_MISMATCH},
        "transactionHash": {E.RECEIPT_ORDER_MISMATCH},
        "transactionIndex": {E.RECEIPT_ORDER_MISMATCH},
        "status": {C.RECEIPTS_ROOT},
        "root": {C.RECEIPTS_ROOT},
        "cumulativeGasUsed": {C.RECEIPTS_ROOT, C.GAS_USED},
        "gasUsed": {C.GAS_USED},
        "effectiveGasPrice": {C.EFFECTIVE_GAS_PRICE},
        "blobGasUsed": {C.BLOB_GAS},
        "blobGasPrice": {C.BLOB_GAS},
        "logs": {E.LOG_INDEX_MISMATCH, C.RECEIPTS_ROOT},
        "contractAddress": {C.CONTRACT_ADDRESS},
    },
    "log": {
        **{name: {C.RECEIPTS_ROOT} for name in ("address", "topics", "data")},
        **{name: {E.RECEIPT_BLOCK_MISMATCH} for name in ("blockHash", "transactionHash", "transactionIndex")},
        "logIndex": {E.LOG_INDEX_MISMATCH},
        "removed": {E.LOG_REMOVED},
    },
    "withdrawal": {name: {C.WITHDRAWALS_ROOT} for name in ("index", "validatorIndex", "address", "amount")},
}
OF_THE_BLOCK: Final = "the tables take it from the block"
NOT_KEPT: Final[dict[str, dict[str, str]]] = {
    "block": {
        "size": "no header has it; kept in `extra`",
        "uncles": "the tables have their hash, ommers_hash",
        "totalDifficulty": "no header has it; of blocks that follow each other it is checked",
    },
    "transaction": {
        "blockNumber": OF_THE_BLOCK,
        "blockTimestamp": OF_THE_BLOCK,
        "from": "only the signature tells it; of creations it is checked (docs/decisions/0009)",
    },
    "receipt": {
        "blockNumber": OF_THE_BLOCK,
        **dict.fromkeys(("from", "to", "type"), "the tables take it from the transaction"),
        "logsBloom": "it follows from the logs, and no table has it",
    },
    "log": {"blockNumber": OF_THE_BLOCK, "blockTimestamp": OF_THE_BLOCK},
    "withdrawal": {},
}


def is_typed(transaction: Json) -> bool:
    return bool(transaction["type"] != "0x0")


def pick(kind: str, one: Recorded, field: str) -> Json:
    """Return an object of this kind in which the field says something of its own, or None."""
    transactions, receipts = one.block["transactions"], one.receipts
    if kind == "block":
        return one.block
    if kind == "withdrawal":
        return next(iter(one.block.get("withdrawals") or []), None)
    if kind == "transaction":
        if field in ("gasPrice", "v"):  # of other types the price follows, and the parity is another field
            return next((each for each in transactions if not is_typed(each)), None)
        if field == "chainId":
            return next((each for each in transactions if is_typed(each)), None)
        return next((each for each in transactions if each.get(field) not in (None, [])), None)
    if kind == "receipt":
        return next((each for each in receipts if each.get(field) not in (None, [])), None)
    return next((log for each in receipts for log in each["logs"] if log.get(field) not in (None, [])), None)


def changed(value: Json) -> Json:
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return value[:-1]
    return "0x05" if value == "0x" else value[:-1] + ("1" if value[-1] == "0" else "0")


def recorded_fields() -> Iterator[tuple[str, str]]:
    """Give all fields that recorded nodes sent, by the kind of their object."""
    seen = set()
    for name in BLOCKS:
        one = recorded(name)
        groups = {
            "block": [one.block],
            "transaction": one.block["transactions"],
            "receipt": one.receipts,
            "log": [log for each in one.receipts for log in each["logs"]],
            "withdrawal": one.block.get("withdrawals") or [],
        }
        seen |= {(kind, field) for kind, objects in groups.items() for each in objects for field in each}
    return iter(sorted(seen))


FIELDS = list(recorded_fields())


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=[".".join(pair) for pair in FIELDS])
def test_one_wrong_field_of_an_answer_is_found_and_named(kind: str, field: str) -> None:
    needs = NAMED[kind].get(field, set())
    assert bool(needs) != (field in NOT_KEPT[kind])
    tried = 0
    for name in BLOCKS:
        one = recorded(name)
        target = pick(kind, one, field)
        if target is None or target.get(field) in (None, []) or tried == MOST_BLOCKS:
            continue
        tried += 1
        target[field] = changed(target[field])
        found = what_is_found(one)
        # A log too few is seen by the number of the next one, if there is one.
        named = needs & found if field == "logs" else needs <= found
        assert named if needs else not found, (name, found)
    assert tried or field == "uncles", "no recorded block has it"


def what_is_found(one: Recorded) -> set[str]:
    try:
        tables = tables_of(one)
    except AmpError as error:
        return {error.code}
    return {violation.commitment for violation in verify_blocks(tables).violations}
