"""Which source reads the blocks of which providers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

from ampd.datasets import EvmRpcProviderConfig, Provider, ProviderConfig, parse_config
from ampd.extraction.head import HeadPolicy
from ampd.sources.blocks import BlockSource
from ampd.sources.evm_rpc import CooldownStore, Endpoint, EvmRpcSource
from ampd.sources.memory import ByteBudget


def head_policy(providers: Sequence[Provider]) -> HeadPolicy:
    """Return how far jobs may follow the chain of ``providers`` (secrets substituted): of several wishes the most
    careful one, and a number of blocks before the nodes' own word.
    """
    configs = [_config(provider) for provider in providers]
    distances = [config.finality for config in configs if config.finality != "tag"]
    return HeadPolicy(
        confirmations=max(config.confirmations for config in configs),
        finality=max(distances) if distances else "tag",
    )


def open_source(
    providers: Sequence[Provider],
    network: str,
    executor: Executor,
    *,
    cooldowns: CooldownStore | None = None,
    memory: ByteBudget | None = None,
) -> BlockSource:
    """Return the source of ``providers`` (kind evm-rpc, secrets substituted), which decodes on ``executor``.

    The providers share the load and stand in for each other; ``cooldowns`` is where workers tell each other of nodes
    that want to be left alone; ``memory`` is what all sources of a worker share.
    """
    endpoints = [_endpoint(_config(provider)) for provider in providers]
    return EvmRpcSource(endpoints, network=network, executor=executor, cooldowns=cooldowns, memory=memory)


def _config(provider: Provider) -> ProviderConfig:
    return parse_config(provider.config, f"provider '{provider.name}'")


def _endpoint(config: EvmRpcProviderConfig) -> Endpoint:
    per_minute = config.rate_limit_per_minute
    return Endpoint(
        url=config.url,
        headers=_headers(config),
        concurrency=config.concurrent_request_limit,
        timeout_seconds=config.timeout_secs,
        batch_size=max(1, config.rpc_batch_size),
        requests_per_second=None if per_minute is None else per_minute / 60,
        units_per_second=config.compute_units_per_second,
        compute_units=config.compute_units,
        receipts_per_transaction=config.fetch_receipts_per_tx,
    )


def _headers(config: EvmRpcProviderConfig) -> dict[str, str]:
    if config.auth_token is None:
        return {}
    if config.auth_header is not None:
        return {config.auth_header: config.auth_token}
    return {"Authorization": f"Bearer {config.auth_token}"}
