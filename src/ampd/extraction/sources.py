"""Which source reads the blocks of which providers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

from ampd.chain.networks import CHAIN_IDS
from ampd.datasets import EvmRpcProviderConfig, FirehoseProviderConfig, Provider, ProviderConfig, parse_config
from ampd.errors import AmpError, ErrorCode
from ampd.extraction.head import HeadPolicy
from ampd.sources import firehose
from ampd.sources.blocks import BlockSource
from ampd.sources.cooldowns import CooldownStore
from ampd.sources.evm_rpc import Endpoint, EvmRpcSource
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
    finalized_only: bool = False,
    cooldowns: CooldownStore | None = None,
    memory: ByteBudget | None = None,
) -> BlockSource:
    """Return the source of ``providers`` (all of one kind, secrets substituted), which decodes on ``executor``.

    The providers share the load and stand in for each other. ``finalized_only`` keeps blocks away that can be undone;
    ``cooldowns`` is where workers tell each other of nodes that want to be left alone; ``memory`` is what all sources
    of a worker share.
    """
    configs = [_config(provider) for provider in providers]
    servers = [config for config in configs if isinstance(config, FirehoseProviderConfig)]
    if servers:
        return firehose.FirehoseSource(
            [firehose.Endpoint(config.url, config.token, config.timeout_secs) for config in servers],
            network=network,
            executor=executor,
            chain_id=_chain_id(network, servers),
            # What the chain counts as final is the server's word; a number of blocks is kept by the plan.
            final_only=finalized_only and head_policy(providers).finality == "tag",
            cooldowns=cooldowns,
            memory=memory,
        )
    endpoints = [_endpoint(config) for config in configs if isinstance(config, EvmRpcProviderConfig)]
    return EvmRpcSource(endpoints, network=network, executor=executor, cooldowns=cooldowns, memory=memory)


def _chain_id(network: str, servers: Sequence[FirehoseProviderConfig]) -> int | None:
    """Return the chain id that the providers name.

    :raises AmpError: NETWORK_MISMATCH when they name several, or another one than the network is known to have.
    """
    named = sorted({config.chain_id for config in servers if config.chain_id is not None} | _known(network))
    if len(named) > 1:
        raise AmpError(
            ErrorCode.NETWORK_MISMATCH,
            f"the providers of network {network!r} name another chain_id than it has, or several: "
            f"{', '.join(map(str, named))}. Mend their files",
        )
    return named[0] if named else None


def _known(network: str) -> set[int]:
    return {CHAIN_IDS[network]} if network in CHAIN_IDS else set()


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
