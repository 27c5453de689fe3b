"""A real ``ampd solo`` for the pages of the dashboard, and what they show: jobs, tables, webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.daemons import Cluster
from support.deploy import deploy, register

# Short segments: pages see several commits within seconds. Jobs and webhooks may call this machine, whose tests sign in
# more often than people.
_SETTINGS = """poll_interval_secs = 0.2
[writer]
max_range_blocks = 4
[worker]
slots = 16
[http_jobs]
allowed_networks = ["127.0.0.0/8"]
[admin_api]
sign_ins_per_minute = 0
[webhooks]
allowed_networks = ["127.0.0.0/8"]
"""


class Dashboard(Cluster):
    """One solo. ``url`` is where the dashboard is; tests make what they look at through the Admin API."""

    @property
    def url(self) -> str:
        return self.admin_url

    def restart(self) -> None:
        """Let the process end in good order, and start it again at the same address."""
        self.processes[-1].end()
        self.start_solo()

    def dataset(self, name: str, node_url: str, *, start_block: int = 0) -> str:
        """Register dataset ``name`` (namespace/name) at version 1.0.0, with a provider of its own for its network."""
        network = name.replace("/", "_")
        register(self, node_url, network=network, start_block=start_block, name=name)
        return name

    def deployed(self, name: str, node_url: str, *, start_block: int = 0, **options: object) -> int:
        """Register and deploy a dataset, and return the id of its job."""
        return deploy(self, self.dataset(name, node_url, start_block=start_block), **options)

    def api(self) -> httpx.Client:
        """A client of the Admin API: ``with dashboard.api() as api: api.get("/jobs")``."""
        return httpx.Client(base_url=self.url, timeout=30)


@contextmanager
def running_dashboard(directory: Path, database_url: str, settings: str = "") -> Iterator[Dashboard]:
    """Run a solo on the database; its logs must be free of stack traces at the end."""
    dashboard = Dashboard(directory, database_url, f"{settings}{_SETTINGS}")
    try:
        dashboard.start_solo()
        yield dashboard
    finally:
        dashboard.end()
    for log in directory.glob("*.log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in text, f"a stack trace in {log}:\n{text}"
