"""Which source reads the blocks of which provider."""

from __future__ import annotations

from concurrent.futures import Executor

from ampd.datasets import EvmRpcProviderConfig, Provider
from ampd.extraction.head import HeadPolicy
from ampd.sources.blocks import BlockSource
from ampd.sources.evm_rpc import Endpoint, EvmRpcSource


def head_policy(provider: Provider) -> HeadPolicy:
    """Return how far jobs may follow the chain of ``provider`` (kind evm-rpc, secrets substituted)."""
    config = EvmRpcProviderConfig.model_validate(provider.config)
    return HeadPolicy(confirmations=config.confirmations, finality=config.finality)


def open_source(provider: Provider, network: str, executor: Executor) -> BlockSource:
    """Return the source of ``provider`` (kind evm-rpc, secrets substituted), which decodes on ``executor``."""
    config = EvmRpcProviderConfig.model_validate(provider.config)
    headers = {}
    if config.auth_token is not None:
        if config.auth_header is not None:
            headers[config.auth_header] = config.auth_token
        else:
            headers["Authorization"] = f"Bearer {config.auth_token}"
    endpoint = Endpoint(
        url=config.url,
        headers=headers,
        concurrency=config.concurrent_request_limit,
        timeout_seconds=config.timeout_secs,
    )
    return EvmRpcSource(endpoint, network=network, executor=executor)
