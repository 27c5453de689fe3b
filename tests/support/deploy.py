"""Registering and deploying over HTTP: what ampctl does, without starting a process for each step."""

from __future__ import annotations

from typing import Any

import httpx

from ampd.datasets import generate_manifest
from support.daemons import Cluster


def register_provider(cluster: Cluster, name: str, network: str, url: str, **settings: Any) -> None:
    body = {"name": name, "kind": "evm-rpc", "network": network, "url": url, **settings}
    _expect(httpx.post(f"{cluster.admin_url}/providers", json=body), 201)


def register_dataset(cluster: Cluster, name: str, network: str, *, start_block: int = 0) -> None:
    """Register ``namespace/name`` at version 1.0.0."""
    namespace, _, short = name.partition("/")
    manifest = generate_manifest("evm-rpc", network, start_block, False).to_json()
    body = {"namespace": namespace, "name": short, "version": "1.0.0", "manifest": manifest}
    _expect(httpx.post(f"{cluster.admin_url}/datasets", json=body), 201)


def register(
    cluster: Cluster, url: str, *, network: str, start_block: int = 0, name: str | None = None, **settings: Any
) -> None:
    """Register a provider for ``network`` at ``url``, and a dataset that uses it (``bad/<network>`` unless named)."""
    register_provider(cluster, network, network, url, **settings)
    register_dataset(cluster, name or f"bad/{network}", network, start_block=start_block)


def deploy(cluster: Cluster, name: str, **options: Any) -> int:
    """Deploy version 1.0.0 of a dataset and return the id of its job."""
    answer = httpx.post(f"{cluster.admin_url}/datasets/{name}/versions/1.0.0/deploy", json=options)
    return int(_expect(answer, 202).json()["job_id"])


def _expect(answer: httpx.Response, status: int) -> httpx.Response:
    assert answer.status_code == status, answer.text
    return answer
