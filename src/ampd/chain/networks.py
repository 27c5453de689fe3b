"""Well-known networks: their chain ids (EIP-155), by the names that manifests and providers use."""

from __future__ import annotations

from typing import Final

CHAIN_IDS: Final = {
    "mainnet": 1,
    "ethereum": 1,
    "ethereum-mainnet": 1,
    "sepolia": 11155111,
    "holesky": 17000,
    "hoodi": 560048,
    "optimism": 10,
    "base": 8453,
    "base-mainnet": 8453,
    "base-sepolia": 84532,
    "arbitrum": 42161,
    "arbitrum-one": 42161,
    "arbitrum-sepolia": 421614,
    "polygon": 137,
    "matic": 137,
    "bsc": 56,
    "gnosis": 100,
    "avalanche": 43114,
}
