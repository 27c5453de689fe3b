"""Every operation of the Admin API as a :class:`Call`: what both clients share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import httpx

from ampd.client._errors import ApiError
from ampd.client._models import (
    DatasetRevision,
    DatasetSummary,
    DatasetVersions,
    Event,
    EventPage,
    Job,
    JobPage,
    ManifestSummary,
    Progress,
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


# Jobs


@dataclass(frozen=True)
class JobFilters:
    """What listed jobs have in common; None asks for nothing. See GET /jobs."""

    status: str | None = None
    kind: str | None = None
    dataset: str | None = None
    worker_id: str | None = None
    labels: Mapping[str, str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def to_query(self) -> Json:
        """Return the query parameters of the filters that are there."""
        return _present(
            status=self.status,
            kind=self.kind,
            dataset=self.dataset,
            worker_id=self.worker_id,
            label=[f"{key}={value}" for key, value in (self.labels or {}).items()] or None,
            created_after=_rfc3339("created_after", self.created_after),
            created_before=_rfc3339("created_before", self.created_before),
        )


def _rfc3339(name: str, moment: datetime | None) -> str | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ApiError(ErrorCode.INVALID_QUERY_PARAMETERS, f"{name} {moment} has no time zone")
    return moment.isoformat()


def list_jobs(limit: int | None, after: int | None, filters: JobFilters) -> Call[JobPage]:
    query = _present(limit=limit, last_job_id=after) | filters.to_query()
    return Call("GET", "/jobs", _json(JobPage.from_json), query)


def get_job(job_id: int) -> Call[Job]:
    return Call("GET", path("jobs", job_id), _json(Job.from_json))


def job_progress(job_id: int) -> Call[Progress]:
    return Call("GET", path("jobs", job_id, "progress"), _json(Progress.from_json))


def stop_job(job_id: int) -> Call[Job]:
    return Call("PUT", path("jobs", job_id, "stop"), _json(Job.from_json))


def delete_job(job_id: int) -> Call[None]:
    return Call("DELETE", path("jobs", job_id), _nothing)


def prune_jobs(status: str | None) -> Call[int]:
    return Call("DELETE", "/jobs", lambda response: int(response.headers["X-Deleted-Count"]), _present(status=status))


def job_events(job_id: int, limit: int | None, after: int | None) -> Call[EventPage]:
    return Call("GET", path("jobs", job_id, "events"), _json(EventPage.from_json), _present(limit=limit, after=after))


def job_event(job_id: int, event_id: int) -> Call[Event]:
    return Call("GET", path("jobs", job_id, "events", event_id), _json(Event.from_json))


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


def schedule(options: Mapping[str, Any] | None) -> Json | None:
    """Return a schedule as the wire has it; None when nothing is given."""
    moments = {
        name: _rfc3339(name, value) if isinstance(value, datetime) else value for name, value in (options or {}).items()
    }
    return _present(**moments) or None


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
