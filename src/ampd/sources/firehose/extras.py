"""The ``extra`` columns of blocks from Firehose: what has no column, in the words of JSON-RPC.

Few values per block, or exceptional: transactions of types that the columns do not cover.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ampd.chain.trie import EMPTY_ROOT

_KNOWN_TYPES: Final = (0, 1, 2, 3, 4)
_UINT64_LIMIT: Final = 2**64
# What is in other tables, or is not of the transaction.
_LEFT_OUT: Final = frozenset({"calls", "receipt"})


def block_extra(blocks: pa.RecordBatch, withdrawals_roots: pa.BinaryArray) -> pa.StringArray:
    """Return what the header leaves without a column: the block's size, its uncles, and ``"withdrawals":null`` when the
    header says that there are some and the block has none: servers of before Shanghai leave them out.
    """
    texts = []
    lengths = pa.compute.list_value_length(blocks.column("withdrawals")).to_pylist()
    rows = zip(
        blocks.column("size").to_pylist(),
        blocks.column("uncles").to_pylist(),
        withdrawals_roots.to_pylist(),
        lengths,
        strict=True,
    )
    for size, uncles, root, withdrawals in rows:
        extra: dict[str, Any] = {"size": hex(size)} if size else {}
        if uncles:
            extra["uncles"] = [_hex(uncle["hash"]) for uncle in uncles]
        if root and root != EMPTY_ROOT and not withdrawals:
            extra["withdrawals"] = None
        texts.append(_text(extra))
    return pa.array(texts, pa.string())


def transaction_extra(messages: pa.StructArray, kind: npt.NDArray[np.int32]) -> pa.StringArray:
    """Return, of transactions of unknown types, all that is known of them, and of authorizations what has no column."""
    texts: list[str | None] = [None] * len(messages)
    for row in np.flatnonzero(~np.isin(kind, _KNOWN_TYPES)).tolist():
        fields = [field.name for field in messages.type if field.name not in _LEFT_OUT]
        texts[row] = _text({"firehose": {name: _plain(messages.field(name)[row].as_py()) for name in fields}})
    for row in np.flatnonzero(kind == _KNOWN_TYPES[-1]).tolist():
        entries = messages.field("set_code_authorizations")[row].as_py()
        if any(int.from_bytes(entry["chain_id"], "big") >= _UINT64_LIMIT for entry in entries):
            texts[row] = _text({"transaction": {"authorizationList": [_authorization(entry) for entry in entries]}})
    return pa.array(texts, pa.string())


def _authorization(entry: dict[str, Any]) -> dict[str, str]:
    return {
        "chainId": _quantity(entry["chain_id"]),
        "address": _hex(entry["address"]),
        "nonce": hex(entry["nonce"]),
        "yParity": hex(entry["v"]),
        "r": _quantity(entry["r"]),
        "s": _quantity(entry["s"]),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return _hex(value)
    if isinstance(value, dict):
        return _quantity(value["value"]) if set(value) == {"value"} else {k: _plain(v) for k, v in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _quantity(value: bytes) -> str:
    return hex(int.from_bytes(value, "big"))


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _text(extra: dict[str, Any]) -> str | None:
    return json.dumps(extra, separators=(",", ":")) if extra else None
