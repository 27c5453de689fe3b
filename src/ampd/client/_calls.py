"""The operations of the Admin API as :class:`Call`: what both clients share. Those about jobs are in _job_calls.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from ampd.client._errors import ApiError
from ampd.client._job_models import JobPage
from ampd.client._models import (
    DatasetRevision,
    DatasetSummary,
    DatasetVersions,
    ManifestSummary,
    Provider,
    RegisteredDataset,
    Worker,
)
from ampd.client._transport import Call, path
from ampd.errors import ErrorCode

Json = dict[str, Any]
T = TypeVar("T")


def _json(parse: Callable[[Any], T]) -> Callable[[httpx.Response], T]:
    return lambda response: parse(response.json())


def _items(key: str, parse: Callable[[Json], T]) -> Callable[[httpx.Response], list[T]]:
    return lambda response: [parse(item) for item in response.json()[key]]


def _nothing(_response: httpx.Response) -> None:
    return None


def _present(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}


# Workers


def list_workers() -> Call[list[Worker]]:
    return Call("GET", "/workers", _items("workers", Worker.from_json))


def get_worker(node_id: str) -> Call[Worker]:
    return Call("GET", path("workers", node_id), _json(Worker.from_json))


def drain_worker(node_id: str, *, drain: bool) -> Call[Worker]:
    return Call("POST", path("workers", node_id, "drain" if drain else "undrain"), _json(Worker.from_json))


# Datasets


def parse_name(text: str) -> tuple[str, str]:
    """Read ``namespace/name``.

    :raises ApiError: INVALID_REFERENCE.
    """
    namespace, slash, name = text.removeprefix("pkg:amp/").partition("/")
    if not (namespace and slash and name) or "/" in name or "@" in text:
        raise ApiError(ErrorCode.INVALID_REFERENCE, f"{text!r} is no name of a dataset: want namespace/name")
    return namespace, name


def parse_reference(text: str) -> tuple[str, str, str]:
    """Read ``namespace/name@revision``; without a revision it is ``latest``.

    :raises ApiError: INVALID_REFERENCE.
    """
    name, at, revision = text.partition("@")
    if at and (not revision or "@" in revision):
        raise ApiError(ErrorCode.INVALID_REFERENCE, f"{text!r} is no reference: want namespace/name@revision")
    return (*parse_name(name), revision or "latest")


def _revision_path(reference: str, *more: str) -> str:
    namespace, name, revision = parse_reference(reference)
    return path("datasets", namespace, name, "versions", revision, *more)


def register_dataset(name: str, manifest: Json | str, version: str | None) -> Call[RegisteredDataset]:
    namespace, dataset = parse_name(name)
    body = {"namespace": namespace, "name": dataset, "manifest": manifest} | _present(version=version)
    return Call("POST", "/datasets", _json(RegisteredDataset.from_json), body=body)


def deploy_dataset(reference: str, options: Json) -> Call[int]:
    return Call(
        "POST", _revision_path(reference, "deploy"), _json(lambda data: int(data["job_id"])), body=_present(**options)
    )


def verify_dataset(reference: str, options: Json) -> Call[int]:
    return Call(
        "POST", _revision_path(reference, "verify"), _json(lambda data: int(data["job_id"])), body=_present(**options)
    )


def list_datasets() -> Call[list[DatasetSummary]]:
    return Call("GET", "/datasets", _items("datasets", DatasetSummary.from_json))


def get_dataset(name: str) -> Call[DatasetSummary]:
    return Call("GET", path("datasets", *parse_name(name)), _json(DatasetSummary.from_json))


def inspect_dataset(reference: str) -> Call[DatasetRevision]:
    return Call("GET", _revision_path(reference), _json(DatasetRevision.from_json))


def dataset_versions(name: str) -> Call[DatasetVersions]:
    return Call("GET", path("datasets", *parse_name(name), "versions"), _json(DatasetVersions.from_json))


def dataset_manifest(reference: str) -> Call[Json]:
    return Call("GET", _revision_path(reference, "manifest"), _json(dict))


def dataset_jobs(reference: str) -> Call[JobPage]:
    return Call("GET", _revision_path(reference, "jobs"), _json(JobPage.from_json))


# Manifests


def register_manifest(manifest: Json) -> Call[str]:
    return Call("POST", "/manifests", _json(lambda data: str(data["hash"])), body=manifest)


def generate_manifest(kind: str, network: str, start_block: int, finalized_blocks_only: bool) -> Call[Json]:
    body = {"kind": kind, "network": network, "start_block": start_block}
    return Call(
        "POST", "/manifests/generate", _json(dict), body=body | {"finalized_blocks_only": finalized_blocks_only}
    )


def list_manifests() -> Call[list[ManifestSummary]]:
    return Call("GET", "/manifests", _items("manifests", ManifestSummary.from_json))


def get_manifest(manifest_hash: str) -> Call[Json]:
    return Call("GET", path("manifests", manifest_hash), _json(dict))


# Providers


def register_provider(name: str, kind: str, config: Json) -> Call[None]:
    return Call("POST", "/providers", _nothing, body={**config, "name": name, "kind": kind})


def list_providers() -> Call[list[Provider]]:
    return Call("GET", "/providers", _items("providers", Provider.from_json))


def get_provider(name: str) -> Call[Provider]:
    return Call("GET", path("providers", name), _json(Provider.from_json))


def delete_provider(name: str) -> Call[None]:
    return Call("DELETE", path("providers", name), _nothing)
