"""Blocks from an Ethereum JSON-RPC endpoint."""

from __future__ import annotations

from ampd.sources.evm_rpc.client import Endpoint
from ampd.sources.evm_rpc.source import EvmRpcSource

__all__ = ["Endpoint", "EvmRpcSource"]
