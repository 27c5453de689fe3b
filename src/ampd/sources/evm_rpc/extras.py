"""The ``extra`` columns: what a node says and no column holds. The exceptional path, object by object.

Standard Ethereum answers never come here. Answers of other chains do (their extra fields are rows' worth of facts), and
so do transactions of a type that the columns do not cover: their whole object is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from ampd.sources.evm_rpc import answers
from ampd.sources.evm_rpc.columns import KNOWN_TYPES

_UINT64_LIMIT = 2**64


def _keys(kind: pa.StructType) -> frozenset[str]:
    return frozenset(field.name for field in kind)


_BLOCK_KEYS = _keys(answers.BLOCK)
_TRANSACTION_KEYS = _keys(answers.TRANSACTION)
_RECEIPT_KEYS = _keys(answers.RECEIPT)
_LOG_KEYS = _keys(answers.LOG)
_WITHDRAWAL_KEYS = _keys(answers.WITHDRAWAL)
_ACCESS_KEYS = _keys(answers.ACCESS_LIST.value_type)
_AUTHORIZATION_KEYS = _keys(answers.AUTHORIZATION_LIST.value_type)


def add_extras(
    tables: dict[str, pa.Table], block_bodies: Sequence[bytes], receipt_bodies: Sequence[bytes]
) -> dict[str, pa.Table]:
    """Return ``tables`` with the ``extra`` columns of blocks, transactions and logs filled from the bodies they came
    from.
    """
    blocks = [json.loads(body)["result"] for body in block_bodies]
    receipts = [receipt for body in receipt_bodies for receipt in json.loads(body)["result"]]
    transactions = [transaction for block in blocks for transaction in block["transactions"]]
    logs = [log for receipt in receipts for log in receipt["logs"]]
    pairs = zip(transactions, receipts, strict=True)
    return {
        **tables,
        "blocks": _with_extra(tables["blocks"], map(_block_extra, blocks)),
        "transactions": _with_extra(tables["transactions"], (_transaction_extra(*pair) for pair in pairs)),
        "logs": _with_extra(tables["logs"], (_unknown(log, _LOG_KEYS) for log in logs)),
    }


def _with_extra(table: pa.Table, extras: Iterable[dict[str, Any]]) -> pa.Table:
    texts = [json.dumps(extra, separators=(",", ":"), ensure_ascii=False) if extra else None for extra in extras]
    place = table.schema.get_field_index("extra")
    return table.set_column(place, table.schema.field(place), pa.array(texts, pa.string()))


def _unknown(value: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in known}


def _block_extra(block: dict[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if block.get("size") is not None:
        extra["size"] = block["size"]
    if block.get("uncles"):
        extra["uncles"] = block["uncles"]
    if block.get("withdrawalsRoot") is not None and block.get("withdrawals") is None:
        extra["withdrawals"] = None
    extra.update(_unknown(block, _BLOCK_KEYS))
    if any(_unknown(withdrawal, _WITHDRAWAL_KEYS) for withdrawal in block.get("withdrawals") or ()):
        extra["withdrawals"] = block["withdrawals"]
    return extra


def _transaction_extra(transaction: dict[str, Any], receipt: dict[str, Any]) -> dict[str, Any]:
    """Return unknown keys of a transaction and of its receipt; of an unknown type, both objects (the logs have their
    table).
    """
    if int(transaction.get("type") or "0x0", 16) not in KNOWN_TYPES:
        return {"transaction": transaction, "receipt": _unknown(receipt, frozenset({"logs", "logsBloom"}))}
    of_transaction = _unknown(transaction, _TRANSACTION_KEYS)
    for name, is_lossy in (("accessList", _loses_access), ("authorizationList", _loses_authorization)):
        if any(is_lossy(entry) for entry in transaction.get(name) or ()):
            of_transaction[name] = transaction[name]
    of_receipt = _unknown(receipt, _RECEIPT_KEYS)
    extra = {"transaction": of_transaction, "receipt": of_receipt}
    return {key: value for key, value in extra.items() if value}


def _loses_access(entry: dict[str, Any]) -> bool:
    """Tell whether the columns do not hold all of an access list entry."""
    return bool(_unknown(entry, _ACCESS_KEYS))


def _loses_authorization(entry: dict[str, Any]) -> bool:
    """Tell whether the columns do not hold all of an authorization."""
    return bool(_unknown(entry, _AUTHORIZATION_KEYS)) or _chain_id(entry) >= _UINT64_LIMIT


def _chain_id(authorization: dict[str, Any]) -> int:
    return int(authorization.get("chainId") or "0x0", 16)
