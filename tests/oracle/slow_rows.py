"""From the JSON of a block and its receipts to rows, one plain Python value at a time.

Written from the meaning of the columns (docstring of ``ampd.chain.tables``, design section 7.4), standard library only,
and without a look at the decoder: two independent readings of one block must give the same rows.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

Json = Any
Row = dict[str, Any]

WEI_LIMIT: Final = 10**38
UNSIGNED: Final = bytes(32)
NANOSECONDS: Final = 10**9

LEGACY, ACCESS_LISTS, DYNAMIC_FEE, BLOB, SET_CODE = 0, 1, 2, 3, 4
STANDARD_TYPES: Final = (LEGACY, ACCESS_LISTS, DYNAMIC_FEE, BLOB, SET_CODE)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KNOWN_OF_BLOCK: Final = _names(
    """number hash parentHash nonce mixHash sha3Uncles logsBloom transactionsRoot stateRoot receiptsRoot miner
    difficulty totalDifficulty extraData size gasLimit gasUsed timestamp transactions uncles baseFeePerGas
    withdrawals withdrawalsRoot blobGasUsed excessBlobGas parentBeaconBlockRoot requestsHash"""
)
KNOWN_OF_TRANSACTION: Final = _names(
    """blockHash blockNumber blockTimestamp transactionIndex hash type from to nonce value input gas gasPrice
    maxFeePerGas maxPriorityFeePerGas maxFeePerBlobGas accessList blobVersionedHashes authorizationList chainId
    v yParity r s"""
)
KNOWN_OF_RECEIPT: Final = _names(
    """blockHash blockNumber blockTimestamp transactionIndex transactionHash type from to contractAddress
    cumulativeGasUsed gasUsed effectiveGasPrice blobGasUsed blobGasPrice logs logsBloom root status"""
)
KNOWN_OF_LOG: Final = _names(
    """address topics data blockNumber blockHash blockTimestamp transactionHash transactionIndex logIndex
    removed"""
)

# A list of objects keeps its form in `extra` when its entries say more than their columns hold.
KNOWN_OF_ENTRIES: Final = {
    "withdrawals": _names("index validatorIndex address amount"),
    "accessList": _names("address storageKeys"),
    "authorizationList": _names("chainId address nonce yParity v r s"),
}


def slow_rows(block: dict[str, Json], receipts: list[dict[str, Json]]) -> dict[str, list[Row]]:
    """Return the rows of one block by table: hashes and data as bytes, amounts as Decimal, times in Unix seconds."""
    transactions = block["transactions"]
    pairs = list(zip(transactions, receipts, strict=True))
    return {
        "blocks": [block_row(block)],
        "transactions": [transaction_row(block, index, *pair) for index, pair in enumerate(pairs)],
        "logs": [
            log_row(block, index, transaction, log)
            for index, (transaction, receipt) in enumerate(pairs)
            for log in receipt["logs"]
        ],
        "withdrawals": [withdrawal_row(block, one) for one in block.get("withdrawals") or []],
    }


def block_row(block: dict[str, Json]) -> Row:
    number = integer(block["number"])
    return {
        "_block_num": number,
        "block_num": number,
        "timestamp": integer(block["timestamp"]),
        "hash": data(block["hash"]),
        "parent_hash": data(block["parentHash"]),
        "ommers_hash": data(block["sha3Uncles"]),
        "miner": data(block["miner"]),
        "state_root": data(block["stateRoot"]),
        "transactions_root": data(block["transactionsRoot"]),
        "receipt_root": data(block["receiptsRoot"]),
        "logs_bloom": data(block["logsBloom"]),
        **amount("difficulty", block.get("difficulty")),
        **amount("total_difficulty", block.get("totalDifficulty")),
        "gas_limit": integer(block["gasLimit"]),
        "gas_used": integer(block["gasUsed"]),
        "extra_data": data(block["extraData"]),
        "mix_hash": data_or_none(block.get("mixHash")) or bytes(32),
        "nonce": integer_or_none(block.get("nonce")) or 0,
        **amount("base_fee_per_gas", block.get("baseFeePerGas")),
        "withdrawals_root": data_or_none(block.get("withdrawalsRoot")),
        "blob_gas_used": integer_or_none(block.get("blobGasUsed")),
        "excess_blob_gas": integer_or_none(block.get("excessBlobGas")),
        "parent_beacon_root": data_or_none(block.get("parentBeaconBlockRoot")),
        "requests_hash": data_or_none(block.get("requestsHash")),
        "extra": block_extra(block),
    }


def block_extra(block: dict[str, Json]) -> dict[str, Json] | None:
    extra: dict[str, Json] = {}
    if block.get("size") is not None:
        extra["size"] = block["size"]
    if block.get("uncles"):
        extra["uncles"] = block["uncles"]
    if block.get("withdrawalsRoot") is not None and block.get("withdrawals") is None:
        extra["withdrawals"] = None  # the header says there are some, the node left the list out
    return extra | lists_that_say_more(block, "withdrawals") | unknown_keys(block, KNOWN_OF_BLOCK) or None


def transaction_row(block: dict[str, Json], index: int, transaction: dict[str, Json], receipt: dict[str, Json]) -> Row:
    kind = integer_or_none(transaction.get("type")) or LEGACY
    return {
        **place(block),
        "tx_index": index,
        "tx_hash": data(transaction["hash"]),
        "to": recipient(transaction),
        "nonce": integer(transaction["nonce"]),
        "gas_limit": integer(transaction["gas"]),
        "value": str(integer(transaction["value"])),
        "input": data(transaction["input"]),
        **signature(kind, transaction),
        **outcome(transaction, receipt),
        "type": kind,
        "from": data(transaction["from"]),
        **fees(kind, transaction, receipt),
        **lists(kind, transaction),
        "extra": transaction_extra(kind, transaction, receipt),
    }


def place(block: dict[str, Json]) -> Row:
    number = integer(block["number"])
    return {
        "_block_num": number,
        "block_hash": data(block["hash"]),
        "block_num": number,
        "timestamp": integer(block["timestamp"]),
    }


def recipient(transaction: dict[str, Json]) -> bytes | None:
    """Return whom the transaction calls; some nodes write "" or "0x" for a creation."""
    return data_or_none(transaction.get("to")) or None


def signature(kind: int, transaction: dict[str, Json]) -> Row:
    return {
        "r": word_or_none(transaction.get("r")) or UNSIGNED,
        "s": word_or_none(transaction.get("s")) or UNSIGNED,
        "v_parity": parity(transaction),
        "chain_id": chain_id(kind, transaction),
    }


def parity(transaction: dict[str, Json]) -> bool:
    if transaction.get("yParity") is not None:
        return integer(transaction["yParity"]) == 1
    v = integer_or_none(transaction.get("v"))
    if v is None:
        return False
    if v in (27, 28):
        return v == 28
    if v >= 35:
        return (v - 35) % 2 == 1
    return v == 1


def chain_id(kind: int, transaction: dict[str, Json]) -> int | None:
    v = integer_or_none(transaction.get("v"))
    if kind == LEGACY and v is not None:
        if v in (27, 28):
            return None
        if v >= 35:
            return (v - 35) // 2
    return integer_or_none(transaction.get("chainId"))


def outcome(transaction: dict[str, Json], receipt: dict[str, Json]) -> Row:
    status = integer_or_none(receipt.get("status"))
    creates = recipient(transaction) is None
    return {
        "gas_used": integer(receipt["gasUsed"]),
        "cumulative_gas_used": integer(receipt["cumulativeGasUsed"]),
        "contract_address": (data_or_none(receipt.get("contractAddress")) or None) if creates else None,
        "status": None if status is None else status == 1,
        "state_root": data_or_none(receipt.get("root")) if status is None else None,
        "blob_gas_used": integer_or_none(receipt.get("blobGasUsed")),
    }


def fees(kind: int, transaction: dict[str, Json], receipt: dict[str, Json]) -> Row:
    """Return the fee columns. A type that is not standard has whatever its node states, save ``gas_price``."""
    has_fixed_price = kind in (LEGACY, ACCESS_LISTS)
    gas_price = transaction.get("gasPrice") if has_fixed_price else None
    effective = receipt.get("effectiveGasPrice")
    blob_fee = None if kind in STANDARD_TYPES and kind != BLOB else transaction.get("maxFeePerBlobGas")
    return {
        **amount("gas_price", gas_price),
        **amount("effective_gas_price", gas_price if effective is None else effective),
        **amount("max_fee_per_gas", None if has_fixed_price else transaction.get("maxFeePerGas")),
        **amount("max_priority_fee_per_gas", None if has_fixed_price else transaction.get("maxPriorityFeePerGas")),
        **amount("max_fee_per_blob_gas", blob_fee),
        **amount("blob_gas_price", receipt.get("blobGasPrice")),
    }


def lists(kind: int, transaction: dict[str, Json]) -> Row:
    row: Row = {"access_list": None, "blob_versioned_hashes": None, "authorization_list": None}
    accesses, blobs, authorizations = (
        transaction.get(key) for key in ("accessList", "blobVersionedHashes", "authorizationList")
    )
    if kind != LEGACY and accesses is not None:
        row["access_list"] = [
            {
                "address": data(one["address"]),
                "storage_keys": [data(key) for key in one["storageKeys"]],
            }
            for one in accesses
        ]
    if kind not in (LEGACY, ACCESS_LISTS, DYNAMIC_FEE, SET_CODE) and blobs is not None:
        row["blob_versioned_hashes"] = [data(one) for one in blobs]
    if kind not in (LEGACY, ACCESS_LISTS, DYNAMIC_FEE, BLOB) and authorizations is not None:
        row["authorization_list"] = [authorization(one) for one in authorizations]
    return row


def authorization(one: dict[str, Json]) -> Row:
    """Return an entry of the list; what an unusual node leaves out is null, or zeros where null is not allowed."""
    stated = integer_or_none(one.get("chainId"))
    return {
        "chain_id": stated if stated is not None and stated < 2**64 else None,
        "address": data(one["address"]),
        "nonce": integer(one["nonce"]),
        "y_parity": parity(one),
        "r": word_or_none(one.get("r")) or UNSIGNED,
        "s": word_or_none(one.get("s")) or UNSIGNED,
    }


def transaction_extra(kind: int, transaction: dict[str, Json], receipt: dict[str, Json]) -> dict[str, Json] | None:
    if kind not in STANDARD_TYPES:
        kept = {key: value for key, value in receipt.items() if key not in ("logs", "logsBloom")}
        return {"transaction": transaction, "receipt": kept}
    parts = {
        "transaction": unknown_keys(transaction, KNOWN_OF_TRANSACTION)
        | lists_that_say_more(transaction, "accessList", "authorizationList")
        | too_wide(transaction),
        "receipt": unknown_keys(receipt, KNOWN_OF_RECEIPT),
    }
    return {name: part for name, part in parts.items() if part} or None


def lists_that_say_more(stated: dict[str, Json], *keys: str) -> dict[str, Json]:
    """Return, whole, the known lists of which an entry has an unknown key."""
    return {
        key: stated[key] for key in keys if any(set(entry) - KNOWN_OF_ENTRIES[key] for entry in stated.get(key) or [])
    }


def too_wide(transaction: dict[str, Json]) -> dict[str, Json]:
    """Return the authorization list when one of its chain ids has no place in its column."""
    authorizations = transaction.get("authorizationList") or []
    if any((integer_or_none(one.get("chainId")) or 0) >= 2**64 for one in authorizations):
        return {"authorizationList": authorizations}
    return {}


def log_row(block: dict[str, Json], tx_index: int, transaction: dict[str, Json], log: dict[str, Json]) -> Row:
    topics = [data(topic) for topic in log["topics"]]
    return {
        **place(block),
        "tx_hash": data(transaction["hash"]),
        "tx_index": tx_index,
        "log_index": integer(log["logIndex"]),
        "address": data(log["address"]),
        **{f"topic{at}": topics[at] if at < len(topics) else None for at in range(4)},
        "data": data(log["data"]),
        "extra": unknown_keys(log, KNOWN_OF_LOG) or None,
    }


def withdrawal_row(block: dict[str, Json], one: dict[str, Json]) -> Row:
    return {
        **place(block),
        "index": integer(one["index"]),
        "validator_index": integer(one["validatorIndex"]),
        "address": data(one["address"]),
        "amount": integer(one["amount"]),
    }


def unknown_keys(stated: dict[str, Json], known: frozenset[str]) -> dict[str, Json]:
    return {key: value for key, value in stated.items() if key not in known}


def integer(text: str) -> int:
    return int(text, 16)


def integer_or_none(text: str | None) -> int | None:
    return None if text is None else integer(text)


def data(text: str) -> bytes:
    """Return the bytes of "0x…"; "" (some nodes' way to say nothing) has none."""
    return bytes.fromhex(text[2:])


def data_or_none(text: str | None) -> bytes | None:
    return None if text is None else data(text)


def word(text: str) -> bytes:
    """Return a 256-bit quantity, which nodes write without its leading zeros, as 32 bytes."""
    return integer(text).to_bytes(32, "big")


def word_or_none(text: str | None) -> bytes | None:
    return None if text is None else word(text)


def amount(column: str, text: str | None) -> Row:
    """Return the two columns of an amount in wei: a Decimal, or 32 bytes when it has more than 38 digits."""
    if text is None:
        return {column: None, f"{column}_raw": None}
    wei = integer(text)
    if wei < WEI_LIMIT:
        return {column: Decimal(wei), f"{column}_raw": None}
    return {column: None, f"{column}_raw": wei.to_bytes(32, "big")}


def rows_of(table: Any) -> list[Row]:
    """Return the rows of a pyarrow table in the same plain values (no pandas: nanoseconds are checked and cut here)."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name == "timestamp":
            columns[name] = [whole_seconds(moment) for moment in column.cast("int64").to_pylist()]
        elif name == "extra":
            columns[name] = [None if text is None else json.loads(text) for text in column.to_pylist()]
        else:
            columns[name] = column.to_pylist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def whole_seconds(nanoseconds: int | None) -> int | None:
    if nanoseconds is None:
        return None
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    if rest:
        raise ValueError(f"a block time of {nanoseconds} ns is not a whole second")
    return seconds


def difference(table: str, expected: list[Row], got: list[Row]) -> str | None:
    """Return the first place where the rows differ, in words, or None when they are the same."""
    for at, (should, does) in enumerate(zip(expected, got, strict=False)):
        if set(should) != set(does):
            return f"{table}: columns differ: {sorted(set(should) ^ set(does))}"
        for column, value in should.items():
            if not same(value, does[column]):
                return f"{table} row {at}, column {column}: expected {value!r}, the decoder says {does[column]!r}"
    if len(expected) != len(got):
        return f"{table}: expected {len(expected)} rows, the decoder says {len(got)}"
    return None


def same(left: Any, right: Any) -> bool:
    """Return whether two values are equal and of the same kind: in Python True == 1, in a table it is not."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
