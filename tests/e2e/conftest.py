"""Databases and nodes for tests with real processes; a module shares them where its tests do not disturb each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from support.actions import actions
from support.daemons import Cluster
from support.nodes import replay_process
from support.seed_jobs import Jobs, Service, jobs_of


@pytest.fixture(scope="session")
def recorded_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node with the 23 recorded mainnet blocks."""
    with replay_process(tmp_path_factory.mktemp("node") / "node.log") as url:
        yield url


@pytest.fixture(scope="session")
def slow_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node with a chain that takes minutes to extract: what runs on it is still running when a test looks."""
    with replay_process(tmp_path_factory.mktemp("slow") / "node.log", "--length", "4000", "--latency", "0.25") as url:
        yield url


@contextmanager
def _ending(cluster: Cluster) -> Iterator[Cluster]:
    try:
        yield cluster
    finally:
        cluster.end()
    for log in cluster.directory.glob("*.log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in text, f"a stack trace in {log}:\n{text}"


# Short segments and quick looks at the tip: tests see several commits within seconds.
SETTINGS = "poll_interval_secs = 0.2\n[writer]\ntarget_range_secs = 1.0\n[worker]\nslots = 32\n"


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    """The config of a cluster of one test; the test starts its processes, and they end with it."""
    with _ending(Cluster(tmp_path, database_url, SETTINGS)) as made:
        yield made


@pytest.fixture(scope="module")
def module_cluster(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Cluster]:
    """The config of a cluster that the tests of a module share."""
    directory = tmp_path_factory.mktemp("cluster")
    with _ending(Cluster(directory, module_database_url, SETTINGS)) as made:
        yield made


# Jobs may call this machine, and webhooks may be sent to it.
_SECOND_LIFECYCLE = """
[worker]
slots = 32
[http_jobs]
allowed_networks = ["127.0.0.0/8"]
[webhooks]
allowed_networks = ["127.0.0.0/8"]
"""
_products = count(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Service]:
    """A controller, a worker, and a service that jobs call, for the tests of a module."""
    directory = tmp_path_factory.mktemp("cluster")
    with _ending(Cluster(directory, module_database_url, _SECOND_LIFECYCLE)) as cluster, actions() as called:
        cluster.start_controller()
        cluster.start_worker("worker-01")
        yield Service(cluster, called, module_database_url)


@pytest.fixture
async def jobs(service: Service) -> AsyncIterator[Jobs]:
    """Creates jobs for one test; nobody else's jobs have its product."""
    async for made in jobs_of(service, f"my-app-{next(_products)}"):
        yield made
