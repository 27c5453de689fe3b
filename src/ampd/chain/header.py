"""The hash of a block header: keccak-256 over the RLP list of its fields.

The order of the fields is that of the Ethereum execution specification: the fifteen of Frontier, then what each fork
appended. Chains that keep this header layout (ethereum, polygon, arbitrum and OP-stack chains among them) hash the same
way. Fields have their JSON-RPC names; they come from a node's answer (:func:`header_fields`) or from anywhere else as
values (:func:`header_fields_of_values`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ampd.chain.keccak import keccak256
from ampd.chain.rlp import rlp_bytes, rlp_integer, rlp_list

# Integers are RLP scalars (no leading zero); the rest are byte strings of fixed or free length.
_FRONTIER_FIELDS = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
)
_APPENDED_FIELDS = (
    "baseFeePerGas",  # London, EIP-1559
    "withdrawalsRoot",  # Shanghai, EIP-4895
    "blobGasUsed",  # Cancun, EIP-4844
    "excessBlobGas",  # Cancun, EIP-4844
    "parentBeaconBlockRoot",  # Cancun, EIP-4788
    "requestsHash",  # Prague, EIP-7685
    "blockAccessListHash",  # Amsterdam, EIP-7928
    "slotNumber",  # Amsterdam, EIP-7843
)
INTEGER_FIELDS = frozenset(
    {
        "difficulty",
        "number",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "baseFeePerGas",
        "blobGasUsed",
        "excessBlobGas",
        "slotNumber",
    }
)
_FIELD_INDEX = {name: index for index, name in enumerate(_FRONTIER_FIELDS + _APPENDED_FIELDS)}


class HeaderFieldError(ValueError):
    """A header field is missing or is not the hex text it should be; the message names it."""


def header_fields(block: Mapping[str, Any]) -> list[bytes]:
    """Return the header's fields in header order, each RLP encoded.

    ``block`` is the result of ``eth_getBlockByNumber``. A field that a fork appended belongs to the header when the
    answer has it (present and not null). Raises :class:`HeaderFieldError` when a field is missing that must be there,
    or malformed.
    """
    return header_fields_of_values({name: parse_field(name, block.get(name)) for name in _FIELD_INDEX})


def header_fields_of_values(values: Mapping[str, int | bytes | None]) -> list[bytes]:
    """Return the header's fields in header order, each RLP encoded, from integers and byte strings by JSON name.

    Raises :class:`HeaderFieldError` when a field is missing that must be there.
    """
    appended = [name for name in _APPENDED_FIELDS if values.get(name) is not None]
    # RLP has no names: a header can only leave out fields from the end.
    last = _APPENDED_FIELDS.index(appended[-1]) + 1 if appended else 0
    return [_encode_field(name, values.get(name)) for name in _FRONTIER_FIELDS + _APPENDED_FIELDS[:last]]


def replace_header_fields(fields: list[bytes], values: Mapping[str, int | bytes]) -> list[bytes]:
    """Return a copy of the output of :func:`header_fields` with some fields changed, by their JSON names."""
    changed = fields.copy()
    for name, value in values.items():
        changed[_FIELD_INDEX[name]] = _encode_field(name, value)
    return changed


def hash_of_header_fields(fields: Iterable[bytes]) -> bytes:
    """Return the 32 bytes of the header hash of RLP encoded fields in header order."""
    return keccak256(rlp_list(fields))


def header_hash(block: Mapping[str, Any]) -> str:
    """Return the block hash (``0x`` and 64 lower-case digits) recomputed from the header fields of ``block``.

    Raises :class:`HeaderFieldError` as :func:`header_fields` does.
    """
    return "0x" + hash_of_header_fields(header_fields(block)).hex()


def parse_field(name: str, value: Any) -> int | bytes | None:
    """Return the value behind the hex text of a header field; None for a field that is not there.

    Raises :class:`HeaderFieldError` when it is not hex text.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not value.startswith("0x"):
        raise HeaderFieldError(f"the header field {name} is not hex text: {value!r:.80}")
    try:
        return int(value, 16) if name in INTEGER_FIELDS else bytes.fromhex(value[2:])
    except ValueError:
        raise HeaderFieldError(f"the header field {name} is not hex text: {value!r:.80}") from None


def _encode_field(name: str, value: int | bytes | None) -> bytes:
    if value is None:
        raise HeaderFieldError(f"the block header has no {name}")
    return rlp_integer(value) if isinstance(value, int) else rlp_bytes(value)
