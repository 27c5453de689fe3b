"""The columns of :mod:`ampd.chain.tables` from the node's objects (field by field: reference data-plane 12.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.hex_columns import (
    decode_bytes,
    decode_data,
    decode_decimal_text,
    decode_hashes,
    decode_quantity_data,
    decode_uint64,
    decode_uint64s,
    decode_wei,
)
from ampd.chain.tables import ACCESS_LIST, AUTHORIZATION_LIST, TABLES, TIMESTAMP, WEI
from ampd.sources.arrays import Indices, or_zeros, spread_topics
from ampd.sources.evm_rpc.rows import Rows

Columns = dict[str, pa.Array]

# EIP-2718 types whose every field has a column: legacy, 2930, 1559, 4844, 7702. Others keep their whole object in
# `extra`.
KNOWN_TYPES = (0, 1, 2, 3, 4)
_NANOSECONDS = 1_000_000_000
_FIRST_EIP155_V = 35
_CHAIN_ID_LIMIT = pa.scalar(Decimal(2**64), WEI)


@dataclass(frozen=True)
class Context:
    """The objects of some blocks, checked: receipts stand in the order of their transactions, logs in the order of
    their receipts.
    """

    headers: pa.StructArray
    transactions: Rows
    receipts: Rows
    logs: Rows

    @cached_property
    def block_columns(self) -> Columns:
        """The columns that every table takes from its block."""
        number = decode_uint64(self.headers.field("number"))
        seconds = pc.cast(decode_uint64(self.headers.field("timestamp")), pa.int64())
        timestamp = pc.multiply(seconds, _NANOSECONDS).cast(pa.timestamp("ns")).cast(TIMESTAMP)
        block_hash = decode_data(self.headers.field("hash"), 32)
        return {"_block_num": number, "block_num": number, "timestamp": timestamp, "block_hash": block_hash}

    def columns_of_blocks(self, positions: Indices) -> Columns:
        """Return the block's columns for rows that belong to the blocks at ``positions``."""
        indices = pa.array(positions)
        taken = {name: column.take(indices) for name, column in self.block_columns.items() if name != "block_num"}
        return {**taken, "block_num": taken["_block_num"]}


def build_tables(context: Context) -> dict[str, pa.Table]:
    """Return the four tables."""
    return {
        "blocks": _table("blocks", _blocks(context)),
        "transactions": _table("transactions", _transactions(context)),
        "logs": _table("logs", _logs(context)),
        "withdrawals": _table("withdrawals", _withdrawals(context)),
    }


def _table(name: str, columns: Columns) -> pa.Table:
    schema = TABLES[name]
    return pa.Table.from_arrays([columns[field.name] for field in schema], schema=schema)


def _amount(name: str, column: pa.StringArray) -> Columns:
    amount, raw = decode_wei(column)
    return {name: amount, f"{name}_raw": raw}


# The header's hashes and numbers by their columns. Decoded together: a batch has few headers.
_HEADER_HASHES = {
    "parent_hash": "parentHash",
    "ommers_hash": "sha3Uncles",
    "state_root": "stateRoot",
    "transactions_root": "transactionsRoot",
    "receipt_root": "receiptsRoot",
    "mix_hash": "mixHash",
    "withdrawals_root": "withdrawalsRoot",
    "parent_beacon_root": "parentBeaconBlockRoot",
    "requests_hash": "requestsHash",
}
_HEADER_NUMBERS = {
    "gas_limit": "gasLimit",
    "gas_used": "gasUsed",
    "blob_gas_used": "blobGasUsed",
    "excess_blob_gas": "excessBlobGas",
}


def _blocks(context: Context) -> Columns:
    header = context.headers.field
    nonce = decode_data(header("nonce"), 8).fill_null(bytes(8))
    hashes = dict(zip(_HEADER_HASHES, decode_hashes(*map(header, _HEADER_HASHES.values())), strict=True))
    numbers = dict(zip(_HEADER_NUMBERS, decode_uint64s(*map(header, _HEADER_NUMBERS.values())), strict=True))
    return {
        **context.block_columns,
        **hashes,
        **numbers,
        "hash": context.block_columns["block_hash"],
        "miner": decode_data(header("miner"), 20),
        "logs_bloom": decode_bytes(header("logsBloom")),
        **_amount("difficulty", header("difficulty")),
        **_amount("total_difficulty", header("totalDifficulty")),
        "extra_data": decode_bytes(header("extraData")),
        "mix_hash": or_zeros(hashes["mix_hash"]),
        "nonce": pa.array([int.from_bytes(value, "big") for value in nonce.to_pylist()], pa.uint64()),
        **_amount("base_fee_per_gas", header("baseFeePerGas")),
        "extra": _block_extra(context.headers),
    }


def lacks_withdrawals(headers: pa.StructArray) -> pa.BooleanArray:
    """Tell which blocks have withdrawals by their header (EIP-4895) while the node left the list out."""
    return pc.and_(headers.field("withdrawalsRoot").is_valid(), headers.field("withdrawals").is_null())


def _block_extra(headers: pa.StructArray) -> pa.StringArray:
    """Return what the standard header fields leave without a column: the block's size, its uncles when there are any,
    and ``"withdrawals":null`` when the node left them out, so that unknown is not taken for none.
    """
    size = headers.field("size")
    missing = lacks_withdrawals(headers)
    end = pc.if_else(missing, '","withdrawals":null}', '"}')
    simple = pc.binary_join_element_wise('{"size":"', size, end, "", null_handling="emit_null")
    uncles = headers.field("uncles")
    is_simple = pc.and_(size.is_valid(), pc.equal(pc.list_value_length(uncles).fill_null(0), 0))
    if is_simple.false_count == 0:
        return simple
    rows = zip(size.to_pylist(), uncles.to_pylist(), missing.to_pylist(), strict=True)
    return pc.if_else(is_simple, simple, pa.array([_full_block_extra(*row) for row in rows], pa.string()))


def _full_block_extra(size: str | None, uncles: list[str] | None, lacks_withdrawals: bool) -> str | None:
    extra: dict[str, object] = {}
    if size is not None:
        extra["size"] = size
    if uncles:
        extra["uncles"] = uncles
    if lacks_withdrawals:
        extra["withdrawals"] = None
    return json.dumps(extra, separators=(",", ":")) if extra else None


def _transactions(context: Context) -> Columns:
    transaction, receipt = context.transactions.field, context.receipts.field
    numbers, receipt_numbers = context.transactions.uint64, context.receipts.uint64
    kind = numbers("type").fill_null(0)
    v = _or_zero(numbers("v"))
    to = _address_or_null(transaction("to"))
    status = receipt_numbers("status")
    gas_price = _only(pc.less_equal(kind, 1), transaction("gasPrice"))
    # Some nodes write fields that a type does not have: those are no facts of the chain. Of an unknown type all count.
    has_fees = pc.greater_equal(kind, 2)
    has_blobs = pc.or_(pc.equal(kind, 3), pc.greater(kind, KNOWN_TYPES[-1]))
    return {
        **context.columns_of_blocks(context.transactions.block),
        "tx_index": pc.cast(numbers("transactionIndex"), pa.uint32()),
        "tx_hash": context.transactions.hashes("hash"),
        "to": to,
        "nonce": numbers("nonce"),
        **_amount("gas_price", gas_price),
        "gas_limit": numbers("gas"),
        "value": decode_decimal_text(transaction("value")),
        "input": decode_bytes(transaction("input")),
        **_signature(v, numbers("yParity"), transaction("r"), transaction("s")),
        "chain_id": _chain_id(kind, v, numbers("chainId")),
        "gas_used": receipt_numbers("gasUsed"),
        "cumulative_gas_used": receipt_numbers("cumulativeGasUsed"),
        # Nodes before London leave it out; for types 0 and 1 it is the gas price by definition (EIP-1559).
        **_amount("effective_gas_price", pc.coalesce(receipt("effectiveGasPrice"), gas_price)),
        "type": pc.cast(kind, pa.int32()),
        **_amount("max_fee_per_gas", _only(has_fees, transaction("maxFeePerGas"))),
        **_amount("max_priority_fee_per_gas", _only(has_fees, transaction("maxPriorityFeePerGas"))),
        **_amount("max_fee_per_blob_gas", _only(has_blobs, transaction("maxFeePerBlobGas"))),
        "blob_gas_used": receipt_numbers("blobGasUsed"),
        **_amount("blob_gas_price", receipt("blobGasPrice")),
        "from": decode_data(transaction("from"), 20),
        "contract_address": _contract_address(to, receipt("contractAddress")),
        "status": pc.equal(status, 1),
        "state_root": _state_root(status, receipt("root")),
        "access_list": _access_lists(_only(pc.greater_equal(kind, 1), transaction("accessList"))),
        "blob_versioned_hashes": _hash_lists(
            _only(has_blobs, transaction("blobVersionedHashes")), TABLES["transactions"]
        ),
        "authorization_list": _authorization_lists(_only(pc.greater_equal(kind, 4), transaction("authorizationList"))),
        "extra": pa.nulls(len(context.transactions), pa.string()),
    }


def _only(rows: pa.BooleanArray, column: pa.Array) -> pa.Array:
    """Return ``column`` with null where ``rows`` is false."""
    if column.null_count == len(column):
        return column
    return pc.if_else(rows, column, pa.scalar(None, column.type))


def _address_or_null(column: pa.StringArray) -> pa.FixedSizeBinaryArray:
    """Decode an address; some clients write ``""`` or ``0x`` where others write null."""
    written = pc.greater(pc.binary_length(column), 2)
    return decode_data(_only(written, column), 20)


def _contract_address(to: pa.Array, column: pa.StringArray) -> pa.FixedSizeBinaryArray:
    """Decode the created address; only a transaction without ``to`` creates one, whatever else a node writes there."""
    return _only(to.is_null(), _address_or_null(column))


def _state_root(status: pa.UInt64Array, root: pa.StringArray) -> pa.FixedSizeBinaryArray:
    """Decode the state root that a receipt carried before Byzantium in place of a status (EIP-658)."""
    return decode_data(_only(status.is_null(), root), 32)


def _or_zero(column: pa.UInt64Array) -> npt.NDArray[np.uint64]:
    """Return the numbers; null counts as zero."""
    return np.asarray((column.fill_null(0) if column.null_count else column).to_numpy())


def _signature(v: npt.NDArray[np.uint64], y_parity: pa.UInt64Array, r: pa.StringArray, s: pa.StringArray) -> Columns:
    """Return r, s and the parity of y. Legacy v is 27 + parity, or 35 + 2 * chain id + parity (EIP-155)."""
    after_eip155 = (v >= _FIRST_EIP155_V) & ((v - np.uint64(_FIRST_EIP155_V)) % 2 == 1)
    from_v = pa.array(after_eip155 | (v == 28) | (v == 1))
    parity = pc.coalesce(pc.equal(y_parity, 1), from_v)
    return {
        "r": or_zeros(decode_quantity_data(r, 32)),
        "s": or_zeros(decode_quantity_data(s, 32)),
        "v_parity": parity,
    }


def _chain_id(kind: pa.UInt64Array, v: npt.NDArray[np.uint64], stated: pa.UInt64Array) -> pa.UInt64Array:
    """Return the chain id a transaction was signed for; for a legacy one v tells it, null before EIP-155."""
    from_v = pa.array((np.maximum(v, _FIRST_EIP155_V) - np.uint64(_FIRST_EIP155_V)) // np.uint64(2))
    signed_before_eip155 = pa.array((v == 27) | (v == 28))
    by_v = pc.if_else(pa.array(v >= _FIRST_EIP155_V), from_v, stated)
    legacy = pc.if_else(signed_before_eip155, pa.scalar(None, pa.uint64()), by_v)
    return pc.if_else(pc.equal(kind, 0), legacy, stated)


def _lists(lists: pa.ListArray, elements: pa.Array, kind: pa.DataType) -> pa.ListArray:
    """Return ``lists`` with their elements replaced by decoded ones; null lists stay null."""
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    validity = lists.is_valid().buffers()[1] if lists.null_count else None
    return pa.Array.from_buffers(kind, len(lists), [validity, pa.py_buffer(offsets)], children=[elements])


def _hash_lists(lists: pa.ListArray, schema: pa.Schema) -> pa.ListArray:
    return _lists(lists, decode_data(lists.flatten(), 32), schema.field("blob_versioned_hashes").type)


def _structs(kind: pa.StructType, columns: list[pa.Array]) -> pa.StructArray:
    return pa.StructArray.from_arrays(columns, fields=list(kind))


def _access_lists(lists: pa.ListArray) -> pa.ListArray:
    if lists.null_count == len(lists):
        return pa.nulls(len(lists), ACCESS_LIST)
    entries = lists.flatten()
    entry_type = ACCESS_LIST.value_type
    keys = entries.field("storageKeys")
    storage_keys = _lists(
        pc.if_else(keys.is_null(), pa.scalar([], keys.type), keys) if keys.null_count else keys,
        decode_data(keys.flatten(), 32),
        entry_type.field("storage_keys").type,
    )
    return _lists(lists, _structs(entry_type, [decode_data(entries.field("address"), 20), storage_keys]), ACCESS_LIST)


def _authorization_lists(lists: pa.ListArray) -> pa.ListArray:
    if lists.null_count == len(lists):
        return pa.nulls(len(lists), AUTHORIZATION_LIST)
    entry = lists.flatten().field
    signature = _signature(_or_zero(decode_uint64(entry("v"))), decode_uint64(entry("yParity")), entry("r"), entry("s"))
    entries = _structs(
        AUTHORIZATION_LIST.value_type,
        [
            _chain_id_or_null(entry("chainId")),
            decode_data(entry("address"), 20),
            decode_uint64(entry("nonce")),
            signature["v_parity"],
            signature["r"],
            signature["s"],
        ],
    )
    return _lists(lists, entries, AUTHORIZATION_LIST)


def _chain_id_or_null(column: pa.StringArray) -> pa.UInt64Array:
    """Decode chain ids of authorizations: 256 bits on the wire, null when 64 do not hold it (then `extra` does)."""
    amounts, raw = decode_wei(column)
    fits = pc.and_(raw.is_null(), pc.less(amounts, _CHAIN_ID_LIMIT))
    return pc.cast(pc.if_else(fits, amounts, pa.scalar(None, amounts.type)), pa.uint64())


def _logs(context: Context) -> Columns:
    log = context.logs.field
    topics = log("topics")
    return {
        **context.columns_of_blocks(context.logs.block),
        "tx_hash": context.logs.hashes("transactionHash"),
        "tx_index": pc.cast(context.logs.uint64("transactionIndex"), pa.uint32()),
        "log_index": pc.cast(context.logs.uint64("logIndex"), pa.uint32()),
        "address": decode_data(log("address"), 20),
        **_topics(topics),
        "data": decode_bytes(log("data")),
        "extra": pa.nulls(len(context.logs), pa.string()),
    }


def _topics(lists: pa.ListArray) -> Columns:
    topics = decode_data(lists.flatten(), 32)
    return spread_topics(topics, pc.list_value_length(lists).fill_null(0).to_numpy())


def _withdrawals(context: Context) -> Columns:
    lists = context.headers.field("withdrawals")
    withdrawal = lists.flatten().field
    return {
        **context.columns_of_blocks(pc.list_parent_indices(lists).to_numpy()),
        "index": decode_uint64(withdrawal("index")),
        "validator_index": decode_uint64(withdrawal("validatorIndex")),
        "address": decode_data(withdrawal("address"), 20),
        "amount": decode_uint64(withdrawal("amount")),
    }


def needs_whole_objects(transactions: pa.Table) -> bool:
    """Tell whether the columns do not hold all of some transaction: its type is unknown, or a number was too large."""
    known = pc.is_in(transactions.column("type"), value_set=pa.array(KNOWN_TYPES, pa.int32()))
    if not pc.all(known).as_py() and transactions.num_rows:
        return True
    authorizations = pc.list_flatten(transactions.column("authorization_list"))
    return bool(len(authorizations)) and pc.struct_field(authorizations, "chain_id").null_count > 0


__all__ = ["KNOWN_TYPES", "Context", "build_tables", "needs_whole_objects"]
