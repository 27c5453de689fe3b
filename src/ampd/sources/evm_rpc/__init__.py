"""Blocks from Ethereum JSON-RPC endpoints."""

from __future__ import annotations

from ampd.sources.evm_rpc.client import Patience
from ampd.sources.evm_rpc.endpoint import Endpoint
from ampd.sources.evm_rpc.source import EvmRpcSource

__all__ = ["Endpoint", "EvmRpcSource", "Patience"]
