"""The columns of :mod:`ampd.chain.tables` from blocks of ``sf.ethereum.type.v2``, the same as from JSON-RPC.

Where the two differ (reference extraction 1) the columns follow JSON-RPC: a creation has no recipient, amounts that are
not there are zero or null by the transaction's type, a status is a truth value, and null before Byzantium.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.hex_columns import decimal_text
from ampd.chain.keccak import keccak256
from ampd.chain.rlp import rlp_bytes, rlp_integer, rlp_list
from ampd.chain.tables import ACCESS_LIST, AUTHORIZATION_LIST, TIMESTAMP, TRANSACTIONS
from ampd.sources.arrays import Indices, or_zeros, spread_topics
from ampd.sources.firehose import byte_values
from ampd.sources.firehose.extras import block_extra, transaction_extra

Columns = dict[str, pa.Array]

_FIRST_EIP155_V = 35
_CREATE = 5  # of a call
_SUCCEEDED = 1  # of a transaction
_BLOB, _SET_CODE = 3, 4


@dataclass(frozen=True)
class Rows:
    """Messages of one kind in the order of their blocks; ``block`` gives the position of each one's block."""

    messages: pa.StructArray
    block: Indices

    def field(self, name: str) -> pa.Array:
        """Return one field of all messages."""
        return self.messages.field(name)

    def __len__(self) -> int:
        return len(self.messages)


def rows_of(lists: pa.ListArray, block_of_list: Indices | None = None) -> tuple[Rows, Indices]:
    """Return the elements of lists, and the position of each element's list; ``block_of_list`` tells the blocks of the
    lists when each is not one's own.
    """
    owners = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    return Rows(lists.flatten(), owners if block_of_list is None else block_of_list[owners]), owners


@dataclass(frozen=True)
class Context:
    """Some blocks, flattened. ``log_owner`` and ``call_owner`` are the rows of each one's transaction."""

    blocks: pa.RecordBatch
    header: pa.StructArray
    transactions: Rows
    receipts: pa.StructArray
    logs: Rows
    log_owner: Indices
    calls: Rows
    call_owner: Indices
    chain_id: int

    @cached_property
    def block_columns(self) -> Columns:
        """The columns that every table takes from its block."""
        number = self.blocks.column("number")
        timestamp = self.header.field("timestamp").cast(TIMESTAMP)
        block_hash = byte_values.data(self.blocks.column("hash"), 32)
        return {"_block_num": number, "block_num": number, "timestamp": timestamp, "block_hash": block_hash}

    @cached_property
    def transaction_hashes(self) -> pa.FixedSizeBinaryArray:
        """The hashes of the transactions."""
        return byte_values.data(self.transactions.field("hash"), 32)

    @cached_property
    def transaction_index(self) -> pa.UInt32Array:
        """The place of each transaction in its block."""
        return self.transactions.field("index")

    def columns_of_blocks(self, positions: Indices) -> Columns:
        """Return the block's columns for rows that belong to the blocks at ``positions``."""
        indices = pa.array(positions)
        taken = {name: column.take(indices) for name, column in self.block_columns.items() if name != "block_num"}
        return {**taken, "block_num": taken["_block_num"]}

    def columns_of_transactions(self, owners: Indices) -> Columns:
        """Return the columns that name a transaction, for rows that belong to the transactions at ``owners``."""
        indices = pa.array(owners)
        return {"tx_hash": self.transaction_hashes.take(indices), "tx_index": self.transaction_index.take(indices)}


def _amount(name: str, column: pa.StructArray, rows: npt.NDArray[np.bool_] | None = None) -> Columns:
    """Return the columns of an amount, zero where the message has none, null where ``rows`` is false."""
    number = column.field("value")
    amount, raw = byte_values.wei(number, None if rows is None else pa.array(rows))
    return {name: amount, f"{name}_raw": raw}


def _amount_or_null(name: str, column: pa.StructArray) -> Columns:
    """Return the columns of an amount, null where the message has none."""
    amount, raw = byte_values.wei(column.field("value"), column.is_valid())
    return {name: amount, f"{name}_raw": raw}


def _only(rows: npt.NDArray[np.bool_], column: pa.Array) -> pa.Array:
    """Return ``column`` with null where ``rows`` is false."""
    if rows.all():
        return column
    return pc.if_else(pa.array(rows), column, pa.scalar(None, column.type))


def blocks(context: Context) -> Columns:
    """Return the columns of the table ``blocks``."""
    header = context.header.field

    def hashes(name: str) -> pa.FixedSizeBinaryArray:
        return byte_values.data(header(name), 32)

    return {
        **context.block_columns,
        "hash": context.block_columns["block_hash"],
        "parent_hash": hashes("parent_hash"),
        "ommers_hash": hashes("uncle_hash"),
        "miner": byte_values.data(header("coinbase"), 20),
        "state_root": hashes("state_root"),
        "transactions_root": hashes("transactions_root"),
        "receipt_root": hashes("receipt_root"),
        "logs_bloom": header("logs_bloom"),
        **_amount("difficulty", header("difficulty")),
        **_amount_or_null("total_difficulty", header("total_difficulty")),
        "gas_limit": header("gas_limit"),
        "gas_used": header("gas_used"),
        "extra_data": header("extra_data"),
        "mix_hash": or_zeros(hashes("mix_hash")),
        "nonce": header("nonce"),
        **_amount_or_null("base_fee_per_gas", header("base_fee_per_gas")),
        "withdrawals_root": hashes("withdrawals_root"),
        "blob_gas_used": header("blob_gas_used"),
        "excess_blob_gas": header("excess_blob_gas"),
        "parent_beacon_root": hashes("parent_beacon_root"),
        "requests_hash": hashes("requests_hash"),
        "extra": block_extra(context.blocks, header("withdrawals_root")),
    }


def transactions(context: Context) -> Columns:
    """Return the columns of the table ``transactions``."""
    transaction, receipt = context.transactions.field, context.receipts.field
    kind = np.asarray(transaction("type").to_numpy())
    to, created = _recipients(context)
    has_fees, has_fixed_price, has_blobs = kind >= 2, kind <= 1, kind == _BLOB
    state_root = byte_values.data(receipt("state_root"), 32)
    return {
        **context.columns_of_blocks(context.transactions.block),
        "tx_index": context.transaction_index,
        "tx_hash": context.transaction_hashes,
        "to": to,
        "nonce": transaction("nonce"),
        **_amount("gas_price", transaction("gas_price"), has_fixed_price),
        "gas_limit": transaction("gas_limit"),
        "value": decimal_text(*byte_values.wei(transaction("value").field("value"), None)),
        "input": transaction("input"),
        **_signature(context, kind),
        "gas_used": transaction("gas_used"),
        "cumulative_gas_used": receipt("cumulative_gas_used"),
        **_amount("effective_gas_price", transaction("gas_price")),
        "type": transaction("type"),
        **_amount("max_fee_per_gas", transaction("max_fee_per_gas"), has_fees),
        **_amount("max_priority_fee_per_gas", transaction("max_priority_fee_per_gas"), has_fees),
        **_amount("max_fee_per_blob_gas", transaction("blob_gas_fee_cap"), has_blobs),
        "blob_gas_used": _only(has_blobs, receipt("blob_gas_used")),
        **_amount("blob_gas_price", receipt("blob_gas_price"), has_blobs),
        "from": byte_values.data(transaction("sender"), 20),
        "contract_address": created,
        "status": _only(~_has(state_root), pc.equal(transaction("status"), _SUCCEEDED)),
        "state_root": state_root,
        "access_list": _access_lists(transaction("access_list"), kind != 0),
        "blob_versioned_hashes": _hash_lists(transaction("blob_hashes"), has_blobs),
        "authorization_list": _authorization_lists(transaction("set_code_authorizations"), kind == _SET_CODE),
        "extra": transaction_extra(context.transactions.messages, kind),
    }


def _has(column: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _recipients(context: Context) -> tuple[pa.Array, pa.Array]:
    """Return the recipients and the created addresses: of a creation Firehose names the latter as the former. It is a
    creation when its first call is; without calls, when the address is the one that the sender creates.
    """
    address = byte_values.data(context.transactions.field("to"), 20)
    creates = np.zeros(len(context.transactions), dtype=np.bool_)
    owners, firsts = np.unique(context.call_owner, return_index=True)
    creates[owners] = np.asarray(context.calls.field("call_type").to_numpy())[firsts] == _CREATE
    untraced = np.ones(len(context.transactions), dtype=np.bool_)
    untraced[owners] = False
    for row in np.flatnonzero(untraced).tolist():
        creates[row] = address[row].as_py() == _created_by(context.transactions, row)
    return _only(~creates, address), _only(creates, address)


def _created_by(transactions: Rows, row: int) -> bytes:
    """Return the address of the contract that a transaction would create."""
    sender, nonce = transactions.field("sender")[row].as_py(), transactions.field("nonce")[row].as_py()
    return keccak256(rlp_list([rlp_bytes(sender), rlp_integer(nonce)]))[-20:]


def _signature(context: Context, kind: npt.NDArray[np.int32]) -> Columns:
    """Return the signature and the chain id. Legacy v is 27 + parity, or 35 + 2 * chain id + parity (EIP-155); of other
    types it is the parity, and their chain id is the chain's: no other could be in a block.
    """
    v = byte_values.uint64(context.transactions.field("v"))
    after_eip155 = v >= _FIRST_EIP155_V
    parity = np.where(after_eip155, (v - np.uint64(_FIRST_EIP155_V)) % 2 == 1, (v == 28) | (v == 1))
    legacy = kind == 0
    chain_id = np.where(legacy, (v - np.uint64(_FIRST_EIP155_V)) // np.uint64(2), np.uint64(context.chain_id))
    has_chain = (legacy & after_eip155) | ((kind >= 1) & (kind <= _SET_CODE))
    return {
        "r": byte_values.word(context.transactions.field("r")),
        "s": byte_values.word(context.transactions.field("s")),
        "v_parity": pa.array(parity),
        "chain_id": pa.array(chain_id.astype(np.uint64), pa.uint64(), mask=~has_chain),
    }


def _lists(
    lists: pa.ListArray, kind: pa.DataType, rows: npt.NDArray[np.bool_] | None, make: Callable[[pa.Array], pa.Array]
) -> pa.ListArray:
    """Return ``lists`` with their elements made anew, null where ``rows`` is false."""
    if rows is not None and not rows.any():
        return pa.nulls(len(lists), kind)
    lengths = np.asarray(pc.list_value_length(lists).to_numpy()).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    validity = None if rows is None or rows.all() else pa.array(rows).buffers()[1]
    return pa.Array.from_buffers(kind, len(lists), [validity, pa.py_buffer(offsets)], children=[make(lists.flatten())])


def _hash_lists(lists: pa.ListArray, rows: npt.NDArray[np.bool_]) -> pa.ListArray:
    kind = TRANSACTIONS.field("blob_versioned_hashes").type
    return _lists(lists, kind, rows, lambda values: byte_values.data(values, 32))


def _access_lists(lists: pa.ListArray, rows: npt.NDArray[np.bool_]) -> pa.ListArray:
    entry_type = ACCESS_LIST.value_type

    def entries(messages: pa.StructArray) -> pa.StructArray:
        kind = entry_type.field("storage_keys").type
        keys = _lists(messages.field("storage_keys"), kind, None, lambda values: byte_values.data(values, 32))
        address = byte_values.data(messages.field("address"), 20)
        return pa.StructArray.from_arrays([address, keys], fields=list(entry_type))

    return _lists(lists, ACCESS_LIST, rows, entries)


def _authorization_lists(lists: pa.ListArray, rows: npt.NDArray[np.bool_]) -> pa.ListArray:
    entry_type = AUTHORIZATION_LIST.value_type

    def entries(messages: pa.StructArray) -> pa.StructArray:
        chain_ids, _ = byte_values.wei(messages.field("chain_id"), None)
        in_64_bits = pc.less(chain_ids, pa.scalar(2**64, pa.decimal128(38, 0))).fill_null(False)
        known = pc.if_else(in_64_bits, chain_ids, pa.scalar(None, chain_ids.type))
        columns = [
            pc.cast(known, pa.uint64()),
            byte_values.data(messages.field("address"), 20),
            messages.field("nonce"),
            pc.is_in(messages.field("v"), value_set=pa.array([1, 28], pa.uint32())),
            byte_values.word(messages.field("r")),
            byte_values.word(messages.field("s")),
        ]
        return pa.StructArray.from_arrays(columns, fields=list(entry_type))

    return _lists(lists, AUTHORIZATION_LIST, rows, entries)


def logs(context: Context) -> Columns:
    """Return the columns of the table ``logs``."""
    log = context.logs.field
    return {
        **context.columns_of_blocks(context.logs.block),
        **context.columns_of_transactions(context.log_owner),
        "log_index": log("block_index"),
        "address": byte_values.data(log("address"), 20),
        **_topics(log("topics")),
        "data": log("data"),
        "extra": pa.nulls(len(context.logs), pa.string()),
    }


def _topics(lists: pa.ListArray) -> Columns:
    topics = byte_values.data(lists.flatten(), 32)
    return spread_topics(topics, np.asarray(pc.list_value_length(lists).to_numpy()))


def withdrawals(context: Context) -> Columns:
    """Return the columns of the table ``withdrawals``."""
    rows, _ = rows_of(context.blocks.column("withdrawals"))
    return {
        **context.columns_of_blocks(rows.block),
        "index": rows.field("index"),
        "validator_index": rows.field("validator_index"),
        "address": byte_values.data(rows.field("address"), 20),
        "amount": rows.field("amount"),
    }


def calls(context: Context) -> Columns:
    """Return the columns of the table ``calls``: those whose effects stayed."""
    stayed = pc.invert(context.calls.field("state_reverted"))
    mask = np.asarray(stayed.to_numpy(zero_copy_only=False), dtype=np.bool_)
    messages, block, owners = context.calls.messages.filter(stayed), context.calls.block[mask], context.call_owner[mask]
    call = messages.field
    return {
        **context.columns_of_blocks(block),
        **context.columns_of_transactions(owners),
        **{name: call(name) for name in ("index", "parent_index", "depth", "call_type")},
        "caller": byte_values.data(call("caller"), 20),
        "address": byte_values.data(call("address"), 20),
        **_amount("value", call("value")),
        **{name: call(name) for name in ("gas_limit", "gas_consumed", "return_data", "input", "executed_code")},
        "selfdestruct": call("suicide"),
        **{name: call(name) for name in ("begin_ordinal", "end_ordinal")},
    }
