"""The tables of an EVM dataset: the one place where their columns are written down (design section 7.4).

The same rows come from every source. Conventions:

- ``_block_num`` is the first column of every table and equals ``block_num``.
- ``timestamp`` is the block's time, UTC, nanosecond type with whole seconds.
- Amounts are wei in ``decimal128(38, 0)``. A value of 10^38 or more does not fit: the column is null then, and
  ``<column>_raw`` (32 bytes, big-endian, null otherwise) keeps it exactly. ``transactions.value`` is a decimal string,
  which always fits.
- Columns that a transaction type does not have are null (a legacy transaction has no ``max_fee_per_gas``).
- ``extra`` of a block whose header has a withdrawals root while the node left the list out holds
  ``"withdrawals":null``.
- ``extra`` is a JSON object with what the node said and no column holds (null when there is nothing), values as the
  node wrote them.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

UINT64: Final = pa.uint64()
TIMESTAMP: Final = pa.timestamp("ns", tz="+00:00")
WEI: Final = pa.decimal128(38, 0)
HASH: Final = pa.binary(32)
ADDRESS: Final = pa.binary(20)

# Decimal128(38, 0) holds integers below this.
WEI_LIMIT: Final = 10**38


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _optional(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=True)


def _wei(name: str) -> list[pa.Field]:
    """Return the two columns of an amount. The first is nullable even when the chain requires it: it may overflow."""
    return [_optional(name, WEI), _optional(f"{name}_raw", HASH)]


def _list_of(kind: pa.DataType) -> pa.DataType:
    return pa.list_(_required("item", kind))


ACCESS_LIST: Final = _list_of(pa.struct([_required("address", ADDRESS), _required("storage_keys", _list_of(HASH))]))
AUTHORIZATION_LIST: Final = _list_of(
    pa.struct(
        [
            # 256 bits wide on the wire (EIP-7702); null when it does not fit, then `extra` keeps it.
            _optional("chain_id", UINT64),
            _required("address", ADDRESS),
            _required("nonce", UINT64),
            _required("y_parity", pa.bool_()),
            _required("r", HASH),
            _required("s", HASH),
        ]
    )
)

BLOCKS: Final = pa.schema(
    [
        _required("_block_num", UINT64),
        _required("block_num", UINT64),
        _required("timestamp", TIMESTAMP),
        _required("hash", HASH),
        _required("parent_hash", HASH),
        _required("ommers_hash", HASH),
        _required("miner", ADDRESS),
        _required("state_root", HASH),
        _required("transactions_root", HASH),
        _required("receipt_root", HASH),
        _required("logs_bloom", pa.binary()),
        *_wei("difficulty"),
        *_wei("total_difficulty"),
        _required("gas_limit", UINT64),
        _required("gas_used", UINT64),
        _required("extra_data", pa.binary()),
        _required("mix_hash", HASH),  # zeros when the chain has none
        _required("nonce", UINT64),  # the eight bytes as a big-endian integer; 0 when the chain has none
        *_wei("base_fee_per_gas"),
        _optional("withdrawals_root", HASH),
        _optional("blob_gas_used", UINT64),
        _optional("excess_blob_gas", UINT64),
        _optional("parent_beacon_root", HASH),
        _optional("requests_hash", HASH),
        _optional("extra", pa.string()),
    ]
)

TRANSACTIONS: Final = pa.schema(
    [
        _required("_block_num", UINT64),
        _required("block_hash", HASH),
        _required("block_num", UINT64),
        _required("timestamp", TIMESTAMP),
        _required("tx_index", pa.uint32()),
        _required("tx_hash", HASH),
        _optional("to", ADDRESS),  # null: contract creation
        _required("nonce", UINT64),
        *_wei("gas_price"),  # types 0 and 1 only: see effective_gas_price
        _required("gas_limit", UINT64),
        _required("value", pa.string()),
        _required("input", pa.binary()),
        _required("r", HASH),  # zeros when the type is not signed
        _required("s", HASH),
        _required("v_parity", pa.bool_()),
        _optional("chain_id", UINT64),  # null: before EIP-155, or the type has none
        _required("gas_used", UINT64),  # of this transaction
        _required("cumulative_gas_used", UINT64),
        *_wei("effective_gas_price"),
        _required("type", pa.int32()),
        *_wei("max_fee_per_gas"),
        *_wei("max_priority_fee_per_gas"),
        *_wei("max_fee_per_blob_gas"),
        _optional("blob_gas_used", UINT64),
        *_wei("blob_gas_price"),
        _required("from", ADDRESS),
        _optional("contract_address", ADDRESS),
        _optional("status", pa.bool_()),  # null before Byzantium (EIP-658)
        _optional("state_root", HASH),  # only before Byzantium
        _optional("access_list", ACCESS_LIST),
        _optional("blob_versioned_hashes", _list_of(HASH)),
        _optional("authorization_list", AUTHORIZATION_LIST),
        _optional("extra", pa.string()),
    ]
)

LOGS: Final = pa.schema(
    [
        _required("_block_num", UINT64),
        _required("block_hash", HASH),
        _required("block_num", UINT64),
        _required("timestamp", TIMESTAMP),
        _required("tx_hash", HASH),
        _required("tx_index", pa.uint32()),
        _required("log_index", pa.uint32()),  # within the block
        _required("address", ADDRESS),
        _optional("topic0", HASH),
        _optional("topic1", HASH),
        _optional("topic2", HASH),
        _optional("topic3", HASH),
        _required("data", pa.binary()),
        _optional("extra", pa.string()),
    ]
)

WITHDRAWALS: Final = pa.schema(
    [
        _required("_block_num", UINT64),
        _required("block_hash", HASH),
        _required("block_num", UINT64),
        _required("timestamp", TIMESTAMP),
        _required("index", UINT64),  # counted over the whole chain (EIP-4895)
        _required("validator_index", UINT64),
        _required("address", ADDRESS),
        _required("amount", UINT64),  # gwei
    ]
)

# What transactions did: each call that one contract made to another, and the first of each transaction. Only Firehose
# has them. Calls whose effects were undone (in a transaction that failed, or within one that did not) are not there.
CALLS: Final = pa.schema(
    [
        _required("_block_num", UINT64),
        _required("block_hash", HASH),
        _required("block_num", UINT64),
        _required("timestamp", TIMESTAMP),
        _required("tx_index", pa.uint32()),
        _required("tx_hash", HASH),
        _required("index", pa.uint32()),  # within the transaction, from 1
        _required("parent_index", pa.uint32()),  # 0: the transaction's own call
        _required("depth", pa.uint32()),
        _required("call_type", pa.int32()),
        _required("caller", ADDRESS),
        _optional("address", ADDRESS),
        *_wei("value"),
        _required("gas_limit", UINT64),
        _required("gas_consumed", UINT64),
        _required("return_data", pa.binary()),
        _required("input", pa.binary()),
        _required("selfdestruct", pa.bool_()),
        _required("executed_code", pa.bool_()),
        _required("begin_ordinal", UINT64),
        _required("end_ordinal", UINT64),
    ]
)

# The tables that every source has.
TABLES: Final[dict[str, pa.Schema]] = {
    "blocks": BLOCKS,
    "transactions": TRANSACTIONS,
    "logs": LOGS,
    "withdrawals": WITHDRAWALS,
}
FIREHOSE_TABLES: Final[dict[str, pa.Schema]] = {**TABLES, "calls": CALLS}

# Within a file rows ascend by these columns; Parquet footers declare it.
SORT_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "blocks": ("_block_num",),
    "transactions": ("_block_num", "tx_index"),
    "logs": ("_block_num", "log_index"),
    "withdrawals": ("_block_num", "index"),
    "calls": ("_block_num", "tx_index", "index"),
}
