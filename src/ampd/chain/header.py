"""The hash of a block header, recomputed from the fields of ``eth_getBlockByNumber``.

Pure: keccak-256 over the RLP list of the header's fields. The order of the fields is that of the Ethereum execution
specification: the fifteen of Frontier, then what each fork appended (EIP-1559, 4895, 4844, 4788, 7685). Chains that
keep this header layout (ethereum, polygon, arbitrum and OP-stack chains among them) hash the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from eth_hash.auto import keccak

# Names as in the JSON answer. Integers are RLP scalars (no leading zero); the rest are byte strings of fixed or free
# length.
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
)
_INTEGER_FIELDS = frozenset(
    {
        "difficulty",
        "number",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "baseFeePerGas",
        "blobGasUsed",
        "excessBlobGas",
    }
)
_FIELD_INDEX = {name: index for index, name in enumerate(_FRONTIER_FIELDS + _APPENDED_FIELDS)}

_SHORT_PAYLOAD = 55  # RLP: up to this many bytes the length stands in the prefix byte itself
_STRING_PREFIX = 0x80
_LIST_PREFIX = 0xC0


class HeaderFieldError(ValueError):
    """A header field is missing or is not the hex text it should be; the message names it."""


def keccak256(data: bytes) -> bytes:
    """Return the 32 bytes of keccak-256 (the hash of Ethereum, not NIST's SHA-3) over ``data``."""
    return keccak(data)


def rlp_bytes(data: bytes) -> bytes:
    """Return the RLP encoding of a byte string (Ethereum yellow paper, appendix B)."""
    if len(data) == 1 and data[0] < _STRING_PREFIX:
        return data
    return _rlp_prefix(len(data), _STRING_PREFIX) + data


def rlp_integer(value: int) -> bytes:
    """Return the RLP encoding of a non-negative integer: big-endian, no leading zeros, zero is the empty string."""
    return rlp_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rlp_list(encoded_items: Iterable[bytes]) -> bytes:
    """Return the RLP list of items that are RLP encoded already."""
    payload = b"".join(encoded_items)
    return _rlp_prefix(len(payload), _LIST_PREFIX) + payload


def header_fields(block: Mapping[str, Any]) -> list[bytes]:
    """Return the header's fields in header order, each RLP encoded.

    ``block`` is the result of ``eth_getBlockByNumber``. A field that a fork appended belongs to the header when the
    answer has it (present and not null). Raises :class:`HeaderFieldError` when a field is missing that must be there,
    or malformed.
    """
    names = list(_FRONTIER_FIELDS)
    appended = [name for name in _APPENDED_FIELDS if block.get(name) is not None]
    if appended:
        # RLP has no names: a header can only leave out fields from the end.
        names.extend(_APPENDED_FIELDS[: _APPENDED_FIELDS.index(appended[-1]) + 1])
    return [_encode_field(name, block.get(name)) for name in names]


def replace_header_fields(fields: list[bytes], values: Mapping[str, int | bytes]) -> list[bytes]:
    """Return a copy of the output of :func:`header_fields` with some fields changed, by their JSON names."""
    changed = fields.copy()
    for name, value in values.items():
        changed[_FIELD_INDEX[name]] = rlp_integer(value) if isinstance(value, int) else rlp_bytes(value)
    return changed


def hash_of_header_fields(fields: Iterable[bytes]) -> bytes:
    """Return the 32 bytes of the header hash of RLP encoded fields in header order."""
    return keccak256(rlp_list(fields))


def header_hash(block: Mapping[str, Any]) -> str:
    """Return the block hash (``0x`` and 64 lower-case digits) recomputed from the header fields of ``block``.

    Raises :class:`HeaderFieldError` as :func:`header_fields` does.
    """
    return "0x" + hash_of_header_fields(header_fields(block)).hex()


def _rlp_prefix(length: int, kind: int) -> bytes:
    if length <= _SHORT_PAYLOAD:
        return bytes([kind + length])
    length_bytes = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([kind + _SHORT_PAYLOAD + len(length_bytes)]) + length_bytes


def _encode_field(name: str, value: Any) -> bytes:
    if value is None:
        raise HeaderFieldError(f"the block header has no {name}")
    if not isinstance(value, str) or not value.startswith("0x"):
        raise HeaderFieldError(f"the header field {name} is not hex text: {value!r:.80}")
    try:
        if name in _INTEGER_FIELDS:
            return rlp_integer(int(value, 16))
        return rlp_bytes(bytes.fromhex(value[2:]))
    except ValueError:
        raise HeaderFieldError(f"the header field {name} is not hex text: {value!r:.80}") from None
