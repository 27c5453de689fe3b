"""Datasets: manifests, references and versions, provider files."""

from __future__ import annotations

from ampd.datasets.cooldowns import EndpointCooldowns
from ampd.datasets.manifests import SUPPORTED_KINDS, EvmRpcManifest, RawManifest, generate_manifest, parse_manifest
from ampd.datasets.names import DatasetName, Reference
from ampd.datasets.provider_config import EvmRpcProviderConfig, FirehoseProviderConfig, ProviderConfig, parse_config
from ampd.datasets.providers import Provider, ProviderStore
from ampd.datasets.redaction import redacted
from ampd.datasets.registry import (
    DatasetStore,
    DatasetSummary,
    DatasetVersions,
    ManifestSummary,
    ManifestTag,
    RegisteredDataset,
    ResolvedDataset,
    VersionTag,
)
from ampd.datasets.semver import SemanticVersion

__all__ = [
    "SUPPORTED_KINDS",
    "DatasetName",
    "DatasetStore",
    "DatasetSummary",
    "DatasetVersions",
    "EndpointCooldowns",
    "EvmRpcManifest",
    "EvmRpcProviderConfig",
    "FirehoseProviderConfig",
    "ManifestSummary",
    "ManifestTag",
    "Provider",
    "ProviderConfig",
    "ProviderStore",
    "RawManifest",
    "Reference",
    "RegisteredDataset",
    "ResolvedDataset",
    "SemanticVersion",
    "VersionTag",
    "generate_manifest",
    "parse_config",
    "parse_manifest",
    "redacted",
]
