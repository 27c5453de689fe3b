"""Which chain does a node serve: its chain id (EIP-155) and the hash of its first block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ampd.chain.networks import CHAIN_IDS
from ampd.errors import ErrorCode
from ampd.sources.evm_rpc.classify import Reaction, Verdict
from ampd.sources.evm_rpc.client import RpcClient
from ampd.sources.evm_rpc.faults import NodeFault, malformed

# A chain id alone can be borrowed: forks and test chains have kept that of the chain they came from.
GENESIS_HASHES: Final = {
    1: "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    10: "0x7ca38a1916c42007829c55e69d3e9a73265554b586a499015373241b8a3fa48b",
    137: "0xa9c28ce2141b56c474f1dc504bee9b01eb1bd7d1a507580d5519d4437a97de1b",
    8453: "0xf712aa9241cc24369b143cf6dce85f0902a9731e70d66818a3a5845b296c73dd",
    42161: "0x7ee576b35482195fc49205cec9af72ce14f003b9ae69f6ba0faef4514be8b442",
    11155111: "0x25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9",
}


@dataclass(frozen=True)
class ChainIdentity:
    """``genesis_hash`` is None when the node does not have block 0 (pruned, or a chain that begins later)."""

    chain_id: int
    genesis_hash: str | None


async def identify(client: RpcClient) -> ChainIdentity:
    """Ask a node which chain it serves.

    :raises NodeFault: when it does not tell its chain id.
    """
    answer = await client.call("eth_chainId", [])
    try:
        chain_id = int(answer, 16)
    except (TypeError, ValueError):
        raise malformed(client.endpoint.shown_url, "eth_chainId", repr(answer)[:80]) from None
    return ChainIdentity(chain_id, await _genesis_hash(client))


async def _genesis_hash(client: RpcClient) -> str | None:
    try:
        block: Any = await client.call("eth_getBlockByNumber", ["0x0", False])
    except NodeFault as fault:
        if fault.verdict.reaction in (Reaction.RETRY_SAME, Reaction.SLOW_DOWN):
            raise
        return None  # many nodes answer some error for history that they do not keep, or do not give for nothing
    found = block.get("hash") if isinstance(block, dict) and block.get("number") == "0x0" else None
    return found.lower() if isinstance(found, str) else None


def check_identity(found: ChainIdentity, expected: ChainIdentity | None, *, network: str, shown_url: str) -> None:
    """Compare a node's chain with what ``network`` is known to be, and with what the other nodes serve (``expected``).

    :raises NodeFault: NETWORK_MISMATCH; the node must not be used.
    """
    known = CHAIN_IDS.get(network)
    if known is not None and found.chain_id != known:
        _refuse(shown_url, f"says it is chain {found.chain_id}, but network {network!r} is chain {known}")
    if expected is not None and found.chain_id != expected.chain_id:
        what = f"says it is chain {found.chain_id}, but the other nodes of network {network!r} are chain"
        _refuse(shown_url, f"{what} {expected.chain_id}")
    genesis = GENESIS_HASHES.get(known) if known is not None else None
    if genesis is None and expected is not None:
        genesis = expected.genesis_hash
    if genesis is not None and found.genesis_hash is not None and found.genesis_hash != genesis:
        what = f"has genesis block {found.genesis_hash}, but that of network {network!r} (chain {found.chain_id}) is"
        _refuse(shown_url, f"{what} {genesis}")


def _refuse(shown_url: str, what: str) -> None:
    message = f"the node at {shown_url} {what}: give the provider the URL of the right chain"
    raise NodeFault(ErrorCode.NETWORK_MISMATCH, message, Verdict(Reaction.FATAL))


def expected_identity(identities: list[ChainIdentity]) -> ChainIdentity:
    """Return the chain that most nodes serve; of several the one that the first of them serves."""
    ids = [each.chain_id for each in identities]
    chain_id = max(dict.fromkeys(ids), key=ids.count)
    hashes = [each.genesis_hash for each in identities if each.chain_id == chain_id and each.genesis_hash is not None]
    return ChainIdentity(chain_id, max(dict.fromkeys(hashes), key=hashes.count) if hashes else None)
