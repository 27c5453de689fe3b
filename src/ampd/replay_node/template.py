"""Recorded JSON that can be served at any place of a chain.

A recorded block, receipt or log names its block some hundred times (hash, number, timestamp). A :class:`Template` is
that JSON, rendered once and cut at those places; serving it for another block is one ``bytes.join``, never a JSON
parse. Measured on a mainnet block of 0.7 MB: 40 to 60 us, against 400 to 700 us for two ``bytes.replace`` over
equal-length markers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class BlockIdentity:
    """Where a block stands in its chain. Hashes are ``0x`` texts, ``timestamp`` is in Unix seconds."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int


# The fields that say which block an object is or belongs to, and their value for a block.
_BLOCK_FIELDS: dict[str, Callable[[BlockIdentity], str]] = {
    "number": lambda block: hex(block.number),
    "hash": lambda block: block.hash,
    "parentHash": lambda block: block.parent_hash,
    "timestamp": lambda block: hex(block.timestamp),
}
_MEMBER_FIELDS: dict[str, Callable[[BlockIdentity], str]] = {
    "blockHash": lambda block: block.hash,
    "blockNumber": lambda block: hex(block.number),
    "blockTimestamp": lambda block: hex(block.timestamp),
}
_ALL_FIELDS = _BLOCK_FIELDS | _MEMBER_FIELDS

# Stands in an object for the fields above. Inside a JSON string the quotes would be escaped, so only a key can match.
_GAP_KEY = "@identity"
_GAP = re.compile(rb'"@identity":"([A-Za-z,]+)"')


class Template:
    """JSON bytes with gaps for the fields that follow the block. Get these from :func:`with_gaps`."""

    def __init__(self, value_with_gaps: Any) -> None:
        pieces: list[bytes] = _GAP.split(json.dumps(value_with_gaps, separators=(",", ":")).encode())
        kinds = list(dict.fromkeys(pieces[1::2]))
        self._pieces = pieces
        self._kinds = [kind.decode().split(",") for kind in kinds]
        self._kind_of_gap = [kinds.index(kind) for kind in pieces[1::2]]

    def parts(self, block: BlockIdentity) -> list[bytes]:
        """Return the JSON for ``block`` as pieces, to be joined with what surrounds them: one copy in all."""
        fillings = [_filling(names, block) for names in self._kinds]
        parts = self._pieces.copy()
        parts[1::2] = [fillings[kind] for kind in self._kind_of_gap]
        return parts


def _filling(names: Iterable[str], block: BlockIdentity) -> bytes:
    return ",".join(f'"{name}":"{_ALL_FIELDS[name](block)}"' for name in names).encode()


def with_gaps(value: Any, recorded: BlockIdentity, *, is_block: bool = False) -> Any:
    """Return a copy of ``value`` (JSON) where every object's fields that name its block are a gap.

    A field that contradicts ``recorded``, the block it was recorded with, stays: defective answers are served as they
    are. ``is_block`` says that the outermost object is the block itself.
    """
    if isinstance(value, list):
        return [with_gaps(item, recorded) if isinstance(item, dict) else item for item in value]
    fields = _BLOCK_FIELDS if is_block else _MEMBER_FIELDS
    names = [name for name, text in fields.items() if value.get(name) == text(recorded)]
    gap = {_GAP_KEY: ",".join(names)} if names else {}
    rest = {key: _nested(item, recorded) for key, item in value.items() if key not in names}
    return gap | rest


def _nested(item: Any, recorded: BlockIdentity) -> Any:
    return with_gaps(item, recorded) if isinstance(item, list) else item


@dataclass(frozen=True)
class LogTemplate:
    """One log of a receipt: what a filter looks at, in lower case, and its JSON."""

    address: str
    topics: tuple[str, ...]
    template: Template


class BlockTemplates:
    """All that the node can serve of one recorded block; each part is made when it is first asked for."""

    def __init__(self, block: Mapping[str, Any], receipts: list[dict[str, Any]], recorded: BlockIdentity) -> None:
        self._block = block
        self._receipts = receipts
        self._recorded = recorded

    @cached_property
    def block(self) -> Template:
        """The block with its transactions as objects."""
        return Template(with_gaps(self._block, self._recorded, is_block=True))

    @cached_property
    def block_with_hashes(self) -> Template:
        """The block with its transactions as hashes."""
        hashes = [transaction["hash"] for transaction in self._block["transactions"]]
        return Template(with_gaps({**self._block, "transactions": hashes}, self._recorded, is_block=True))

    @cached_property
    def receipts(self) -> Template:
        """All receipts of the block, as a list."""
        return Template(with_gaps(self._receipts, self._recorded))

    @cached_property
    def logs(self) -> list[LogTemplate]:
        """The logs of all receipts, in order."""
        return [
            LogTemplate(
                log["address"].lower(),
                tuple(topic.lower() for topic in log["topics"]),
                Template(with_gaps(log, self._recorded)),
            )
            for receipt in self._receipts
            for log in receipt["logs"]
        ]

    @cached_property
    def transaction_hashes(self) -> list[str]:
        """The hashes of the block's transactions, in order."""
        return [transaction["hash"] for transaction in self._block["transactions"]]

    def transaction(self, index: int) -> Template:
        """Return one transaction by its place in the block."""
        return Template(with_gaps(self._block["transactions"][index], self._recorded))

    def receipt(self, transaction_hash: str) -> Template | None:
        """Return the receipt of a transaction, None when the recording has none."""
        for receipt in self._receipts:
            if receipt["transactionHash"] == transaction_hash:
                return Template(with_gaps(receipt, self._recorded))
        return None
