"""What an answer leads to: the links of the specification, by which clients go from what they have made to what can be
done with it. They follow from :data:`_LEADS`: whose path has just the parameters that an answer gives is linked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

_METHODS: Final = ("get", "put", "post", "patch", "delete")
_BODY: Final = "$response.body#/"
_PARAMETER: Final = re.compile(r"{([^}]+)}")


@dataclass(frozen=True)
class _Lead:
    """Where the parameters of operations below ``noun`` stand in the answers of an operation. ``only``: not of all
    that have these parameters, but of one; ``but``: not of this one.
    """

    noun: str
    parameters: dict[str, str]
    only: str | None = None
    but: str | None = None


def _job(where: str) -> _Lead:
    return _Lead("jobs", {"id": _BODY + where})


def _below(noun: str, **parameters: str) -> _Lead:
    return _Lead(noun, {name: where if where.startswith("$") else _BODY + where for name, where in parameters.items()})


def _next_page(operation: str, noun: str, **parameters: str) -> _Lead:
    return _Lead(noun, {**_below(noun, **parameters).parameters}, only=operation)


_ID: Final = "$request.path.id"
_LEADS: Final[dict[str, tuple[_Lead, ...]]] = {
    "create_job": (_job("id"),),
    "deploy_dataset": (_job("job_id"),),
    "verify_dataset": (_job("job_id"),),
    "list_jobs": (_job("jobs/0/id"), _next_page("list_jobs", "jobs", last_job_id="next_cursor")),
    "list_revision_jobs": (_job("jobs/0/id"),),
    "list_job_events": (
        _below("jobs", id=_ID, event_id="events/0/id"),
        _next_page("list_job_events", "jobs", id=_ID, after="next_cursor"),
    ),
    "create_webhook": (_below("webhooks", id="id"),),
    "put_webhook": (_below("webhooks", id="id"),),
    "list_webhooks": (_below("webhooks", id="webhooks/0/id"),),
    "test_webhook": (_below("webhooks", id=_ID, delivery_id="id"),),
    "list_webhook_deliveries": (
        _below("webhooks", id=_ID, delivery_id="deliveries/0/id"),
        _next_page("list_webhook_deliveries", "webhooks", id=_ID, after="next_cursor"),
    ),
    "create_token": (_below("tokens", id="id"),),
    "register_provider": (_below("providers", name="$request.body#/name"),),
    "list_providers": (_below("providers", name="providers/0/name"),),
    "list_workers": (_below("workers", id="workers/0/node_id"),),
    "register_manifest": (_below("manifests", hash="hash"),),
    "list_manifests": (_below("manifests", hash="manifests/0/hash"),),
    "register_dataset": (
        _below("datasets", namespace="namespace", name="name"),
        # What is deleted is a version, and a hash is none.
        replace(_below("datasets", namespace="namespace", name="name", revision="manifest_hash"), but="delete_version"),
        _below("manifests", hash="manifest_hash"),
    ),
    "list_datasets": (_below("datasets", namespace="datasets/0/namespace", name="datasets/0/name"),),
    "list_versions": (
        _below(
            "datasets", namespace="$request.path.namespace", name="$request.path.name", revision="versions/0/version"
        ),
    ),
    "register_revision": (_below("revisions", id="location_id"),),
    "list_revisions": (_below("revisions", id="0/id"),),
    "restore_dataset": (_below("revisions", id="tables/0/location_id"),),
    "list_revision_files": (
        _below("files", file_id="files/0/id"),
        _next_page("list_revision_files", "revisions", id=_ID, after="next_cursor"),
    ),
}


def add_links(document: dict[str, Any]) -> None:
    """Add the links to the answers of success of a specification.

    :raises KeyError: a link is from an operation that there is not.
    """
    operations = dict(_operations(document))
    for name, leads in _LEADS.items():
        _, operation = operations[name]
        links = {
            "next_page" if lead.only else target: {"operationId": target, "parameters": lead.parameters}
            for lead in leads
            for target in _targets(lead, operations)
        }
        for status, answer in operation["responses"].items():
            if status.startswith("2"):
                answer["links"] = links


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield item[method]["operationId"], (path, item[method])


def _targets(lead: _Lead, operations: dict[str, tuple[str, dict[str, Any]]]) -> Iterator[str]:
    if lead.only is not None:
        yield lead.only
        return
    for name, (path, _) in operations.items():
        if (
            name != lead.but
            and path.split("/")[1] == lead.noun
            and set(_PARAMETER.findall(path)) == set(lead.parameters)
        ):
            yield name
