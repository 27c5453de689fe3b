"""Reading recorded blocks: files of ``{"chain", "block", "receipts"}`` as nodes answered them."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from ampd.errors import AmpError, ErrorCode
from ampd.replay_node.template import BlockIdentity

_QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)")
_HASH = re.compile(r"0x[0-9a-f]{64}")
_IDENTITY_FIELDS = {"number": _QUANTITY, "timestamp": _QUANTITY, "hash": _HASH, "parentHash": _HASH}


@dataclass(frozen=True)
class RecordedBlock:
    """One block as a node answered it.

    ``block`` is the result of ``eth_getBlockByNumber(n, true)``, ``receipts`` that of ``eth_getBlockReceipts(n)``;
    ``chain`` is a name such as ``ethereum``.
    """

    chain: str
    block: dict[str, Any]
    receipts: list[dict[str, Any]]

    @property
    def identity(self) -> BlockIdentity:
        """The place in its chain that the block was recorded with."""
        return BlockIdentity(
            number=int(self.block["number"], 16),
            hash=self.block["hash"],
            parent_hash=self.block["parentHash"],
            timestamp=int(self.block["timestamp"], 16),
        )


def read_recorded_blocks(directory: Path) -> list[RecordedBlock]:
    """Return the blocks of the directory's ``.json.gz`` and ``.json`` files, ascending and linked.

    Raises :class:`AmpError` (``RECORDED_BLOCKS_INVALID``) when the directory is missing or holds no recorded block,
    when a file cannot be read, or when the blocks do not follow each other.
    """
    if not directory.is_dir():
        raise invalid_blocks(f"the directory {directory} does not exist; name a directory of recorded blocks")
    files = [path for path in directory.iterdir() if path.name.endswith((".json", ".json.gz"))]
    if not files:
        raise invalid_blocks(
            f"the directory {directory} holds no recorded block; it needs files named NUMBER.json.gz or NUMBER.json"
        )
    recorded = sorted((_read_file(path) for path in files), key=lambda each: each.identity.number)
    _check_links(recorded, directory)
    return recorded


def invalid_blocks(message: str) -> AmpError:
    """Return the error for recorded blocks that cannot be served."""
    return AmpError(ErrorCode.RECORDED_BLOCKS_INVALID, f"Recorded blocks: {message}.")


def _read_file(path: Path) -> RecordedBlock:
    try:
        data = path.read_bytes()
        content = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise invalid_blocks(f"the file {path} cannot be read: {error}; record it again or remove it") from error
    problem = _problem_of(content)
    if problem:
        raise invalid_blocks(
            f"the file {path} is not a recorded block: {problem}; "
            'it needs {"chain", "block", "receipts"} with full transactions'
        )
    return RecordedBlock(content["chain"], content["block"], content["receipts"])


def _problem_of(content: Any) -> str | None:
    """Say what keeps a file's content from being a recorded block. Whether receipts fit the block is not asked."""
    if not isinstance(content, dict) or not isinstance(content.get("chain"), str):
        return "it has no chain name"
    block, receipts = content.get("block"), content.get("receipts")
    if not isinstance(block, dict) or not isinstance(receipts, list):
        return "block or receipts are missing"
    return _problem_of_block(block) or _problem_of_receipts(receipts)


def _problem_of_block(block: dict[str, Any]) -> str | None:
    for name, pattern in _IDENTITY_FIELDS.items():
        if not isinstance(block.get(name), str) or not pattern.fullmatch(block[name]):
            return f"the block's {name} is missing or malformed"
    transactions = block.get("transactions")
    if not _is_list_of_objects(transactions) or not all("hash" in each for each in transactions):
        return "the block's transactions are not objects with a hash"
    return None


def _problem_of_receipts(receipts: list[Any]) -> str | None:
    for receipt in receipts:
        if not isinstance(receipt, dict) or "transactionHash" not in receipt:
            return "a receipt has no transactionHash"
        if not _is_list_of_objects(receipt.get("logs")):
            return "a receipt has no logs"
    return None


def _is_list_of_objects(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _check_links(recorded: Sequence[RecordedBlock], directory: Path) -> None:
    for before, after in itertools.pairwise(recorded):
        earlier, later = before.identity, after.identity
        if later.number != earlier.number + 1:
            raise invalid_blocks(
                f"in {directory} block {later.number} follows block {earlier.number}; "
                "the directory must hold one run of consecutive blocks, each once"
            )
        if later.parent_hash != earlier.hash:
            raise invalid_blocks(
                f"in {directory} block {later.number} is not the child of block {earlier.number} "
                f"(its parentHash is {later.parent_hash}, not {earlier.hash}); "
                "record both from the same chain"
            )
