"""From what a request names to a table of the lake."""

from __future__ import annotations

from ampd.admin_api.services import Services
from ampd.data_store import Dataset, RevisionInfo
from ampd.datasets import EvmRpcManifest, Reference, ResolvedDataset
from ampd.datasets.names import LATEST
from ampd.errors import AmpError, ErrorCode


async def dataset_of(services: Services, reference: Reference) -> tuple[Dataset, EvmRpcManifest]:
    """Return the dataset that a reference stands for now, and its manifest.

    :raises AmpError: DATASET_NOT_FOUND, MANIFEST_NOT_FOUND.
    """
    resolved: ResolvedDataset = await services.datasets.resolve(reference)
    manifest = await services.datasets.manifest(resolved.manifest_hash)
    dataset = Dataset(resolved.namespace, resolved.name, resolved.manifest_hash, manifest.start_block)
    return dataset, manifest


async def table_of(services: Services, text: str, table_name: str) -> Dataset:
    """Return the dataset of a table that a body names.

    :raises AmpError: INVALID_BODY, DATASET_NOT_FOUND, TABLE_NOT_IN_MANIFEST.
    """
    try:
        reference = Reference.parse(text, default_revision=LATEST)
    except AmpError as error:
        raise AmpError(ErrorCode.INVALID_BODY, f"dataset: {error.message}") from None
    dataset, manifest = await dataset_of(services, reference)
    require_table(manifest, str(reference), table_name)
    return dataset


def require_table(manifest: EvmRpcManifest, reference: str, table_name: str) -> None:
    """Make sure that a manifest has a table.

    :raises AmpError: TABLE_NOT_IN_MANIFEST.
    """
    if table_name not in manifest.table_names:
        raise AmpError(
            ErrorCode.TABLE_NOT_IN_MANIFEST,
            f"dataset '{reference}' has no table '{table_name}'; its tables are {', '.join(manifest.table_names)}",
        )


async def dataset_of_revision(services: Services, revision: RevisionInfo) -> tuple[Dataset, EvmRpcManifest]:
    """Return the dataset that a revision is of, at its manifest.

    :raises AmpError: MANIFEST_NOT_FOUND.
    """
    metadata = revision.metadata
    manifest = await services.datasets.manifest(metadata["manifest_hash"])
    namespace, name = metadata["dataset_namespace"], metadata["dataset_name"]
    return Dataset(namespace, name, metadata["manifest_hash"], manifest.start_block), manifest
