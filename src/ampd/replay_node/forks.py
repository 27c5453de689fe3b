"""Chains that part at a block, and a node that changes from one to another, as nodes do when a chain reorganises."""

from __future__ import annotations

from collections.abc import Sequence

from ampd.chain.header import hash_of_header_fields, replace_header_fields
from ampd.replay_node.chain import SECONDS_PER_BLOCK, ReplayChain, _checked_header_fields
from ampd.replay_node.recorded import RecordedBlock
from ampd.replay_node.server import ReplayNode
from ampd.replay_node.template import BlockIdentity


def fork_chain(
    chain: ReplayChain, recorded: Sequence[RecordedBlock], *, at: int, length: int, late_seconds: int = 1
) -> ReplayChain:
    """Return a chain that is ``chain``, made of ``recorded``, up to block ``at`` - 1, and another one from there on:
    ``length`` blocks in all.

    Its own blocks are ``late_seconds`` later than those of ``chain`` would be, so that their hashes differ: another
    number makes another fork.
    """
    headers = [_checked_header_fields(each) for each in recorded]
    first = chain.identity(chain.first_block)
    identities = [chain.identity(number) for number in range(chain.first_block, at)]
    parent = bytes.fromhex((identities[-1].hash if identities else first.parent_hash)[2:])
    for offset in range(len(identities), length):
        number = chain.first_block + offset
        timestamp = first.timestamp + SECONDS_PER_BLOCK * offset + late_seconds
        changes: dict[str, int | bytes] = {"parentHash": parent, "number": number, "timestamp": timestamp}
        block_hash = hash_of_header_fields(replace_header_fields(headers[offset % len(headers)], changes))
        identities.append(BlockIdentity(number, "0x" + block_hash.hex(), "0x" + parent.hex(), timestamp))
        parent = block_hash
    return ReplayChain(chain.chain_id, recorded, identities)


class ForkingNode(ReplayNode):
    """A replay node that can follow another chain from one answer to the next."""

    def follow(self, chain: ReplayChain, *, head: int | None = None) -> None:
        """Serve ``chain`` from now on, up to block ``head`` (its last one unless given)."""
        self.chain = chain
        self._methods.chain = chain
        self.head = chain.last_block if head is None else head
