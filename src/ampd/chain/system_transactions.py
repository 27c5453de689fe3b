"""Transactions that a chain makes for itself: deposits of the OP stack, those of Arbitrum, Polygon's state sync.

Few per block, so they are encoded one at a time. Their standard fields come from the columns, the rest from ``extra``.
Sources: the OP stack's specification of deposits, Arbitrum's and Polygon's forks of the reference node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ampd.chain.keccak import keccak256
from ampd.chain.rlp import rlp_bytes, rlp_integer, rlp_list

DEPOSIT_TYPE: Final = 0x7E
_ARBITRUM_LEGACY_TYPE: Final = 0x78

# The fields of each type in the order of its encoding, by their JSON names.
_FIELDS: Final = {
    0x64: ("chainId", "requestId", "from", "to", "value"),
    0x65: ("chainId", "from", "nonce", "maxFeePerGas", "gas", "to", "value", "input"),
    0x66: ("chainId", "requestId", "from", "maxFeePerGas", "gas", "to", "value", "input"),
    0x68: (
        *("chainId", "nonce", "from", "maxFeePerGas", "gas", "to", "value", "input"),
        *("ticketId", "refundTo", "maxRefund", "submissionFeeRefund"),
    ),
    0x69: (
        *("chainId", "requestId", "from", "l1BaseFee", "depositValue", "maxFeePerGas", "gas", "retryTo", "retryValue"),
        *("beneficiary", "maxSubmissionFee", "refundTo", "retryData"),
    ),
    0x6A: ("chainId", "input"),
    DEPOSIT_TYPE: ("sourceHash", "from", "to", "mint", "value", "gas", "isSystemTx", "input"),
}
KNOWN_TYPES: Final = frozenset({*_FIELDS, _ARBITRUM_LEGACY_TYPE})
_COLUMNS: Final = {
    "chainId": "chain_id",
    "from": "from",
    "to": "to",
    "nonce": "nonce",
    "maxFeePerGas": "max_fee_per_gas",
    "gas": "gas_limit",
    "value": "value",
    "input": "input",
}
_INTEGERS: Final = frozenset(
    {
        *("chainId", "nonce", "maxFeePerGas", "gas", "value", "maxRefund", "submissionFeeRefund", "l1BaseFee"),
        *("depositValue", "retryValue", "maxSubmissionFee", "mint"),
    }
)
# What a node leaves out when it is nothing: no recipient (a creation), nothing minted.
_MAY_BE_NULL: Final = frozenset({"to", "retryTo", "mint"})

# Mantle's deposits have further fields.
_FOREIGN_KEYS: Final = frozenset({"ethValue", "ethTxValue"})


class UnknownEncodingError(Exception):
    """A transaction's encoding cannot be made; the message says why, the same for all transactions alike."""


def envelope(kind: int, row: Mapping[str, Any], stated: Mapping[str, Any]) -> bytes:
    """Return the envelope of a transaction of a type above 4.

    ``row`` are its columns as Python values, ``stated`` is the node's object as ``extra`` keeps it. Raises
    :class:`UnknownEncodingError` when the type is unknown, or the node left something out.
    """
    if kind == _ARBITRUM_LEGACY_TYPE:
        raise UnknownEncodingError("transactions of type 0x78 keep the hash that they had before Nitro")
    if kind not in _FIELDS:
        raise UnknownEncodingError(f"the encoding of transactions of type {kind:#x} is not known")
    if foreign := sorted(_FOREIGN_KEYS & stated.keys()):
        raise UnknownEncodingError(f"the encoding of transactions of type {kind:#x} with {foreign[0]} is not known")
    return bytes([kind]) + rlp_list([_encode(name, _value(name, row, stated), kind) for name in _FIELDS[kind]])


def state_sync_hash(number: int, block_hash: bytes) -> bytes:
    """Return the hash of the transaction that a Polygon block may end with; it stands outside all roots."""
    return keccak256(b"matic-bor-receipt-" + number.to_bytes(8, "big") + block_hash)


def _value(name: str, row: Mapping[str, Any], stated: Mapping[str, Any]) -> Any:
    if name == "maxFeePerGas" and row["max_fee_per_gas_raw"] is not None:
        return row["max_fee_per_gas_raw"]
    column = _COLUMNS.get(name)
    if column is not None and row[column] is not None:
        return row[column]
    if name == "maxFeePerGas":  # of unsigned transactions Arbitrum's nodes state it as the price
        return stated.get(name, stated.get("gasPrice"))
    return None if name in _COLUMNS else stated.get(name)


def _encode(name: str, value: Any, kind: int) -> bytes:
    if name == "isSystemTx":
        return rlp_integer(int(value in (True, "0x1")))
    if value is None:
        if name not in _MAY_BE_NULL:
            raise UnknownEncodingError(f"the node left out {name} of a transaction of type {kind:#x}")
        return rlp_bytes(b"")
    try:
        if name in _INTEGERS:
            return rlp_integer(integer(value))
        return rlp_bytes(value if isinstance(value, bytes) else bytes.fromhex(value.removeprefix("0x")))
    except (TypeError, ValueError, AttributeError, OverflowError):
        what = f"the node wrote {name} of a transaction of type {kind:#x} in a way of its own"
        raise UnknownEncodingError(what) from None


def integer(value: Any) -> int:
    """Return the number that a column (int, decimal, decimal text, 32 bytes) or a node (hex text) states.

    Raises ``ValueError`` or ``TypeError`` when there is none.
    """
    if isinstance(value, bytes):
        return int.from_bytes(value, "big")
    if isinstance(value, str) and value.startswith("0x"):
        return int(value, 16)
    return int(value)
