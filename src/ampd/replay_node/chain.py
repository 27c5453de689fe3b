"""The chain that a replay node serves: recorded blocks as they are, or repeated into a longer chain.

In a repeated chain block ``k`` is the recorded block ``k mod n`` under a new number, parent and timestamp, and so under
a new hash, computed like a real one. Transactions, receipts and logs keep their content: their own hashes and the
block's transactions and receipts roots stay true, so that a complete verifier accepts every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ampd.chain.header import (
    HeaderFieldError,
    hash_of_header_fields,
    header_fields,
    header_hash,
    replace_header_fields,
)
from ampd.chain.networks import CHAIN_IDS
from ampd.replay_node.recorded import RecordedBlock, invalid_blocks, read_recorded_blocks
from ampd.replay_node.template import BlockIdentity, BlockTemplates, LogTemplate, Template

SECONDS_PER_BLOCK = 12  # of a repeated chain: Ethereum's slot


class ReplayChain:
    """Consecutive blocks, ready to be served as JSON pieces. :func:`build_chain` makes one.

    The answers are lists of byte strings to be joined, so that a block is copied once, into the response.
    """

    def __init__(self, chain_id: int, recorded: Sequence[RecordedBlock], identities: Sequence[BlockIdentity]) -> None:
        self.chain_id = chain_id
        self.first_block = identities[0].number
        self.last_block = identities[-1].number
        self._identities = identities
        self._templates = [BlockTemplates(each.block, each.receipts, each.identity) for each in recorded]
        self._numbers = {identity.hash: identity.number for identity in identities}

    def __len__(self) -> int:
        return len(self._identities)

    def __contains__(self, number: int) -> bool:
        return self.first_block <= number <= self.last_block

    def identity(self, number: int) -> BlockIdentity:
        """Return hash, parent and timestamp of a block (``KeyError`` for a number outside the chain)."""
        if number not in self:
            raise KeyError(number)
        return self._identities[number - self.first_block]

    def number_of_hash(self, block_hash: str) -> int | None:
        """Return the number of the block with this hash (lower case), None when the chain has none."""
        return self._numbers.get(block_hash)

    def block(self, number: int, *, full: bool) -> list[bytes]:
        """Return the JSON pieces of a block, with transactions as objects (``full``) or as hashes."""
        templates = self._templates_of(number)
        template = templates.block if full else templates.block_with_hashes
        return template.parts(self.identity(number))

    def receipts(self, number: int) -> list[bytes]:
        """Return the JSON pieces of the list of a block's receipts."""
        return self._templates_of(number).receipts.parts(self.identity(number))

    def logs(self, number: int) -> list[LogTemplate]:
        """Return the logs of a block. Repetitions of one recorded block answer the same list object."""
        return self._templates_of(number).logs

    def transaction(self, transaction_hash: str) -> tuple[int, Template] | None:
        """Return the first block that has this transaction and the transaction's template.

        In a repeated chain a transaction occurs once per repetition: the first occurrence answers.
        """
        position = self._transactions.get(transaction_hash)
        if position is None:
            return None
        number, index = position
        return number, self._templates_of(number).transaction(index)

    def receipt(self, transaction_hash: str) -> tuple[int, Template] | None:
        """Return the first block that has this transaction and the template of its receipt."""
        position = self._transactions.get(transaction_hash)
        if position is None:
            return None
        template = self._templates_of(position[0]).receipt(transaction_hash)
        return None if template is None else (position[0], template)

    @cached_property
    def _transactions(self) -> dict[str, tuple[int, int]]:
        """Block number and index of each transaction, by hash, at its first occurrence."""
        positions: dict[str, tuple[int, int]] = {}
        for offset, templates in enumerate(self._templates[: len(self)]):
            for index, transaction_hash in enumerate(templates.transaction_hashes):
                positions.setdefault(transaction_hash, (self.first_block + offset, index))
        return positions

    def _templates_of(self, number: int) -> BlockTemplates:
        return self._templates[(number - self.first_block) % len(self._templates)]


def load_recorded_chain(
    directory: Path,
    *,
    length: int | None = None,
    chain_id: int | None = None,
    first_block: int | None = None,
) -> ReplayChain:
    """Read a directory of recorded blocks into a chain; options and errors as of :func:`build_chain`.

    Raises :class:`AmpError` (``RECORDED_BLOCKS_INVALID``) when the files are missing, broken or not consecutive.
    """
    return build_chain(read_recorded_blocks(directory), length=length, chain_id=chain_id, first_block=first_block)


def build_chain(
    recorded: Sequence[RecordedBlock],
    *,
    length: int | None = None,
    chain_id: int | None = None,
    first_block: int | None = None,
) -> ReplayChain:
    """Make a chain of consecutive recorded blocks (at least one).

    Without ``length`` and ``first_block`` the chain is exactly as recorded. With either, the blocks repeat into
    ``length`` blocks (default: as many as recorded) numbered from ``first_block`` (default: as recorded): block ``k``
    has the timestamp of the first recorded one plus 12 seconds times ``k``, its parent is block ``k - 1``, and its hash
    is computed. The first block keeps its recorded parent.

    ``chain_id`` is what ``eth_chainId`` answers: by default the one of the recorded transactions, else that of a known
    chain name.

    Raises :class:`AmpError` (``RECORDED_BLOCKS_INVALID``) when the chain id is unknown or when a block cannot be given
    a new hash because its header does not hash to its recorded one.
    """
    if length is not None and length < 1:
        raise invalid_blocks(f"a chain of length {length} cannot be served; give a length of 1 or more")
    if first_block is not None and first_block < 0:
        raise invalid_blocks(f"the first block cannot be {first_block}; give 0 or more")
    resolved_chain_id = chain_id if chain_id is not None else _chain_id_of(recorded)
    if length is None and first_block is None:
        identities = [each.identity for each in recorded]
    else:
        first = recorded[0].identity.number if first_block is None else first_block
        identities = _repeated_identities(recorded, length or len(recorded), first)
    return ReplayChain(resolved_chain_id, recorded, identities)


def _repeated_identities(recorded: Sequence[RecordedBlock], length: int, first_block: int) -> list[BlockIdentity]:
    """Number, link and hash the blocks of a repeated chain. Only headers are touched: 0.2 s for 10,000."""
    headers = [_checked_header_fields(each) for each in recorded[:length]]
    origin = recorded[0].identity
    parent = bytes.fromhex(origin.parent_hash[2:])
    identities = []
    for offset in range(length):
        number, timestamp = first_block + offset, origin.timestamp + SECONDS_PER_BLOCK * offset
        fields = replace_header_fields(
            headers[offset % len(headers)], {"parentHash": parent, "number": number, "timestamp": timestamp}
        )
        block_hash = hash_of_header_fields(fields)
        identities.append(BlockIdentity(number, "0x" + block_hash.hex(), "0x" + parent.hex(), timestamp))
        parent = block_hash
    return identities


def _checked_header_fields(recorded: RecordedBlock) -> list[bytes]:
    number = recorded.identity.number
    try:
        fields = header_fields(recorded.block)
        recomputed = header_hash(recorded.block)
    except HeaderFieldError as error:
        raise invalid_blocks(
            f"block {number} of {recorded.chain} cannot be given a new number, because {error}; "
            "serve it as recorded, without a length"
        ) from error
    if recomputed != recorded.identity.hash:
        raise invalid_blocks(
            f"block {number} of {recorded.chain} cannot be given a new number: its header hashes to "
            f"{recomputed}, not to its recorded hash {recorded.identity.hash}; "
            "serve it as recorded, without a length"
        )
    return fields


def _chain_id_of(recorded: Sequence[RecordedBlock]) -> int:
    for each in recorded:
        for transaction in each.block["transactions"]:
            text = transaction.get("chainId")
            if isinstance(text, str) and text.startswith("0x"):
                return int(text, 16)
    name = recorded[0].chain
    if name not in CHAIN_IDS:
        raise invalid_blocks(
            f"no transaction of {name} tells the chain id, and the name is not one of "
            f"{', '.join(CHAIN_IDS)}; give the chain id"
        )
    return CHAIN_IDS[name]
