"""Every operation of the Admin API as a request, made from its specification: for the matrix of who may do what.

A new operation needs an entry in ``BODIES`` when it has a body, and one in ``PARAMETERS`` for a noun that is new.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from admin_api_cluster import Cluster

from ampd.access import NewToken, Role
from ampd.admin_api import specification
from ampd.data_store import Dataset
from ampd.datasets import generate_manifest
from ampd.webhooks import WebhookFilters, WebhookSettings
from support.made_lake import MadeLake

NAME = "set"
NO_ID = 2**50


@dataclass(frozen=True)
class Place:
    """A namespace and what there is in it: one of each thing. As it stands: nothing, nowhere."""

    namespace: str = "nowhere"
    job_id: int = NO_ID
    event_id: int = NO_ID
    webhook_id: int = NO_ID
    delivery_id: int = NO_ID
    manifest_hash: str = "0" * 64
    token_id: int = NO_ID
    revision_id: int = NO_ID
    file_id: int = NO_ID
    url: str = "https://nowhere.example.com/"
    secret: str = f"amp_{'0' * 12}_{'x' * 43}"

    def anonymous(self, text: str) -> str:
        """Return ``text`` without what tells this place from another."""
        mine = {value for key, value in vars(self).items() if key != "url"}
        return re.sub(rf"(?<![\w.])({'|'.join(sorted(map(str, mine), key=len, reverse=True))})(?!\w|\.\d)", "~", text)


async def place(cluster: Cluster, namespace: str, number: int) -> Place:
    """Make one of each thing in a new namespace."""
    manifest_hash = await cluster.register(f"{namespace}/{NAME}", start_block=number)
    revision_id, file_id = await _restored_lake(cluster, Dataset(namespace, NAME, manifest_hash, number))
    token, _ = await cluster.services.access.create(NewToken(Role.ADMIN), actor="test")
    _, secret = await cluster.services.access.create(NewToken(Role.ADMIN), actor="test")
    answer = await cluster.api.post(
        f"/datasets/{namespace}/{NAME}/versions/1.0.0/deploy", json={}, headers=bearer(secret)
    )
    job_id = answer.json()["job_id"]
    url = f"https://{namespace.replace('_', '-')}.example.com/"
    settings = WebhookSettings(url, ("job.failed",), WebhookFilters(dataset_namespaces=(namespace,)))
    webhook, _ = await cluster.services.webhooks.create(settings, secret=None)
    delivery = await cluster.services.webhooks.send_test(webhook.id)
    events, _ = await cluster.services.jobs.events(job_id)
    return Place(
        namespace,
        job_id,
        events[0].id,
        webhook.id,
        delivery.id,
        manifest_hash,
        token.id,
        revision_id,
        file_id,
        url,
        secret,
    )


async def _restored_lake(cluster: Cluster, dataset: Dataset) -> tuple[int, int]:
    """Make files of a dataset and restore it; return the ids of a revision and a file."""
    lake = MadeLake(cluster.directory / "data", f"{dataset.namespace}/{dataset.name}")
    lake.write(dataset.start_block, dataset.start_block + 9)
    restored = await cluster.services.lake.restorer.restore_dataset(dataset, "mainnet", list(lake.paths))
    files, _ = await cluster.services.lake.revisions.files(restored[0].revision_id, limit=1)
    return restored[0].revision_id, files[0].id


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# What stands in a path, by its first part.
PARAMETERS: dict[str, Callable[[Place], dict[str, Any]]] = {
    "jobs": lambda at: {"id": at.job_id, "event_id": at.event_id},
    "workers": lambda _at: {"id": "worker-01"},
    "datasets": lambda at: {"namespace": at.namespace, "name": NAME, "revision": "1.0.0", "table": "blocks"},
    "revisions": lambda at: {"id": at.revision_id},
    "files": lambda at: {"file_id": at.file_id},
    "manifests": lambda at: {"hash": at.manifest_hash},
    "providers": lambda _at: {"name": "other"},
    "webhooks": lambda at: {"id": at.webhook_id, "delivery_id": at.delivery_id},
    "tokens": lambda at: {"id": at.token_id},
}

_ALL_JOBS = {"all": True}
_CRON = {"schedule": {"cron": "0 4 * * *"}}


def _table(at: Place) -> dict[str, Any]:
    return {"dataset": f"{at.namespace}/{NAME}", "table_name": "blocks"}


def _hook(at: Place, url: str) -> dict[str, Any]:
    return {"url": url, "filters": {"dataset_namespaces": [at.namespace]}}


# The bodies of operations that need one.
BODIES: dict[str, Callable[[Place], Any]] = {
    "create_job": lambda at: {"kind": "compaction", "input": {"dataset": f"{at.namespace}/{NAME}"}},
    "cancel_jobs": lambda _at: _ALL_JOBS,
    "pause_jobs": lambda _at: _ALL_JOBS,
    "resume_jobs": lambda _at: _ALL_JOBS,
    "retry_jobs": lambda _at: _ALL_JOBS,
    "delete_many_jobs": lambda _at: _ALL_JOBS,
    "reschedule_job": lambda _at: {"start_at": "2099-01-01T00:00:00Z"},
    "preview_schedule": lambda _at: _CRON,
    "register_dataset": lambda at: {"namespace": at.namespace, "name": NAME, "manifest": at.manifest_hash},
    "register_manifest": lambda _at: generate_manifest("evm-rpc", "mainnet", 77, False).to_json(),
    "register_provider": lambda _at: {
        "name": "other",
        "kind": "evm-rpc",
        "network": "mainnet",
        "url": "http://127.0.0.1:1",
    },
    "register_revision": lambda at: {**_table(at), "path": f"{at.namespace}/{NAME}/blocks/another"},
    "activate_revision": _table,
    "deactivate_revision": _table,
    "create_webhook": lambda at: _hook(at, f"{at.url}created"),
    "put_webhook": lambda at: _hook(at, f"{at.url}put"),
    "update_webhook": lambda _at: {"description": "changed"},
    "replay_webhook": lambda _at: {"since": "2026-01-01T00:00:00Z"},
    "sign_in": lambda at: {"token": at.secret},
    "create_token": lambda at: {"role": "viewer", "namespaces": [at.namespace]},
    # Without tables: planning SQL takes a process each time.
    "infer_schema": lambda at: {
        "functions": {"f": {"inputTypes": [], "outputType": "Utf8"}},
        "dependencies": {"eth": f"{at.namespace}/{NAME}@1.0.0"},
    },
}


# Parameters without which an operation would not come to an end.
QUERIES: dict[str, dict[str, str]] = {
    "stream_events": {"after": "start", "follow": "false"},
    "watch_changes": {"follow": "false"},
}


@dataclass(frozen=True)
class Operation:
    """An operation of the specification, and what that says of who may use it."""

    id: str
    method: str
    path: str
    role: Role | None
    whole: bool
    body: Callable[[Place], Any] | None = field(repr=False)

    def names_a_thing(self) -> bool:
        """Whether its path, or its body, is about something that a namespace has."""
        parts = self.path.split("/")
        in_path = "{" in self.path and parts[1] in {
            "jobs",
            "datasets",
            "manifests",
            "webhooks",
            "revisions",
            "files",
        }
        return in_path or self.id in {
            "create_job",
            "register_dataset",
            "create_webhook",
            "put_webhook",
            "deactivate_revision",
            "infer_schema",
        }

    async def send(self, api: httpx.AsyncClient, at: Place, token: str | None) -> httpx.Response:
        first = self.path.split("/")[1]
        path = self.path.format(**PARAMETERS[first](at)) if "{" in self.path else self.path
        body = None if self.body is None else self.body(at)
        query = QUERIES.get(self.id, {})
        # Who has signed in before is nobody here.
        api.cookies.clear()
        return await api.request(self.method, path, json=body, params=query, headers=bearer(token) if token else {})


def operations() -> Iterator[Operation]:
    """Give all operations, those that take something away last."""
    found = list(_operations())
    unknown = sorted(each.id for each in found if "{" in each.path and each.path.split("/")[1] not in PARAMETERS)
    assert not unknown, f"say in access_matrix.PARAMETERS what stands in the paths of {unknown}"
    yield from sorted(found, key=lambda each: (each.method == "DELETE" or "delete" in each.id, each.id))


def _operations() -> Iterator[Operation]:
    missing = []
    for path, methods in specification("0.0.0")["paths"].items():
        for method, told in methods.items():
            name = told["operationId"]
            if told.get("requestBody", {}).get("required") and name not in BODIES:
                missing.append(name)
            role = told.get("x-required-role")
            yield Operation(
                name,
                method.upper(),
                path,
                None if role is None else Role(role),
                bool(told.get("x-all-namespaces")),
                BODIES.get(name),
            )
    assert not missing, f"say in access_matrix.BODIES what the bodies of {missing} are"
