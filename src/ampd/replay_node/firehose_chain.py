"""Chains of Firehose blocks: the recorded ones as they are, repeated into a longer chain, or parted from another.

A repeated block is a recorded one under a new number, parent and time, and so under a new hash, computed like a real
one: its transactions and their roots stay true, so that a complete verifier accepts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ampd.chain.header import hash_of_header_fields, header_fields_of_values
from ampd.firehose_wire import ethereum_pb2
from ampd.replay_node.chain import SECONDS_PER_BLOCK
from ampd.replay_node.dbin import FirehoseBlock
from ampd.replay_node.recorded import invalid_blocks
from ampd.replay_node.template import BlockIdentity

_HEADER_FIELDS = {
    **{"parentHash": "parent_hash", "sha3Uncles": "uncle_hash", "miner": "coinbase", "stateRoot": "state_root"},
    **{"transactionsRoot": "transactions_root", "receiptsRoot": "receipt_root", "logsBloom": "logs_bloom"},
    **{"number": "number", "gasLimit": "gas_limit", "gasUsed": "gas_used", "extraData": "extra_data"},
    **{"mixHash": "mix_hash"},
}
_APPENDED_BYTES = {
    **{"withdrawalsRoot": "withdrawals_root", "parentBeaconBlockRoot": "parent_beacon_root"},
    **{"requestsHash": "requests_hash"},
}
_APPENDED_NUMBERS = {"blobGasUsed": "blob_gas_used", "excessBlobGas": "excess_blob_gas"}


class _Template:
    """A recorded block, of which each repetition has another header. What is behind the header is made once."""

    def __init__(self, block: FirehoseBlock) -> None:
        message = ethereum_pb2.Block.FromString(block.payload)
        self._header = ethereum_pb2.BlockHeader()
        self._header.CopyFrom(message.header)
        if header_hash(self._header).hex() != block.hash:
            raise invalid_blocks(f"Firehose block {block.number} does not hash to its recorded hash {block.hash}")
        for field in ("hash", "number", "header"):
            message.ClearField(field)
        self._rest = message.SerializeToString()

    def header(self, number: int, parent: bytes, timestamp: int) -> ethereum_pb2.BlockHeader:
        """Return the header of a repetition, with its hash."""
        header = ethereum_pb2.BlockHeader()
        header.CopyFrom(self._header)
        header.number, header.parent_hash, header.timestamp.seconds = number, parent, timestamp
        header.hash = header_hash(header)
        return header

    def block(self, identity: BlockIdentity) -> FirehoseBlock:
        """Return a repetition."""
        header = self.header(identity.number, bytes.fromhex(identity.parent_hash[2:]), identity.timestamp)
        head = ethereum_pb2.Block(hash=header.hash, number=header.number, header=header)
        return FirehoseBlock(
            identity.number,
            identity.hash[2:],
            identity.parent_hash[2:],
            identity.timestamp,
            head.SerializeToString() + self._rest,  # fields may stand in any order
        )


def header_hash(header: ethereum_pb2.BlockHeader) -> bytes:
    """Return the hash of a block by its header."""
    values: dict[str, int | bytes | None] = {name: getattr(header, field) for name, field in _HEADER_FIELDS.items()}
    values["difficulty"] = int.from_bytes(header.difficulty.value, "big")
    values["timestamp"] = header.timestamp.seconds
    values["nonce"] = header.nonce.to_bytes(8, "big")
    if header.HasField("base_fee_per_gas"):
        values["baseFeePerGas"] = int.from_bytes(header.base_fee_per_gas.value, "big")
    values |= {name: getattr(header, field) or None for name, field in _APPENDED_BYTES.items()}
    for name, field in _APPENDED_NUMBERS.items():
        values[name] = getattr(header, field) if header.HasField(field) else None
    return hash_of_header_fields(header_fields_of_values(values))


@dataclass(frozen=True)
class FirehoseChain:
    """Consecutive blocks. :func:`recorded_chain`, :func:`repeated_chain` and :func:`forked_chain` make one."""

    identities: Sequence[BlockIdentity]
    _recorded: Sequence[FirehoseBlock]
    _templates: Sequence[_Template] | None

    @property
    def first_block(self) -> int:
        """Its first number."""
        return self.identities[0].number

    @property
    def last_block(self) -> int:
        """Its last number."""
        return self.identities[-1].number

    def __contains__(self, number: int) -> bool:
        return self.first_block <= number <= self.last_block

    def identity(self, number: int) -> BlockIdentity:
        """Return hash, parent and time of a block (``KeyError`` for a number outside of the chain)."""
        if number not in self:
            raise KeyError(number)
        return self.identities[number - self.first_block]

    def block(self, number: int) -> FirehoseBlock:
        """Return a block as it is sent."""
        offset = number - self.first_block
        if self._templates is None:
            return self._recorded[offset]
        return self._templates[offset % len(self._templates)].block(self.identity(number))


def recorded_chain(recorded: Sequence[FirehoseBlock]) -> FirehoseChain:
    """Return the recorded blocks as they are."""
    identities = [
        BlockIdentity(block.number, "0x" + block.hash, "0x" + block.parent_hash, block.timestamp) for block in recorded
    ]
    return FirehoseChain(identities, recorded, None)


def repeated_chain(recorded: Sequence[FirehoseBlock], *, length: int, first_block: int | None = None) -> FirehoseChain:
    """Return a chain of ``length`` blocks from ``first_block`` on (as recorded unless given), 12 seconds apart.

    Raises :class:`ampd.errors.AmpError` (``RECORDED_BLOCKS_INVALID``) when a block does not hash to its hash.
    """
    number = recorded[0].number if first_block is None else first_block
    origin = BlockIdentity(number, "", "0x" + recorded[0].parent_hash, recorded[0].timestamp)
    return _grown(recorded, [], origin, length, late_seconds=0)


def forked_chain(chain: FirehoseChain, *, at: int, length: int, late_seconds: int = 1) -> FirehoseChain:
    """Return a chain that is ``chain``, a repeated one, up to block ``at`` - 1, and another one from there on: its own
    blocks are ``late_seconds`` later, so that their hashes differ.
    """
    kept = list(chain.identities[: at - chain.first_block])
    return _grown(chain._recorded, kept, chain.identities[0], length, late_seconds=late_seconds)


def _grown(
    recorded: Sequence[FirehoseBlock],
    identities: list[BlockIdentity],
    origin: BlockIdentity,
    length: int,
    *,
    late_seconds: int,
) -> FirehoseChain:
    templates = _templates_of(tuple(recorded))
    parent = identities[-1].hash if identities else origin.parent_hash
    for offset in range(len(identities), length):
        number, time = origin.number + offset, origin.timestamp + SECONDS_PER_BLOCK * offset + late_seconds
        header = templates[offset % len(templates)].header(number, bytes.fromhex(parent[2:]), time)
        identities.append(BlockIdentity(number, "0x" + header.hash.hex(), parent, time))
        parent = identities[-1].hash
    return FirehoseChain(identities, recorded, templates)


@lru_cache(maxsize=4)
def _templates_of(recorded: tuple[FirehoseBlock, ...]) -> list[_Template]:
    return [_Template(block) for block in recorded]
