"""A cluster that a dashboard is looked at with: 10,000 jobs, 200 workers, tables with 100,000 files each, an extraction
that goes on, failures of today, webhooks with a log, and charts of eight days.

It stands on ``admin_api_scene.py``. What a controller would have counted in eight days, and the workers beside the
first ones, are written as their own statements would have left them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from admin_api_scene import LEASE_SECONDS, SEGMENT_BLOCKS, SEGMENTS, WATCHED, Scene, Size, going_on, say, scene
from ampd.metadata_db import EmbeddedPostgres, MetadataDb
from ampd.webhooks import AddressRules, WebhookSettings, WebhookStore

SIZE = Size(jobs=10_000, ended=8_000, held=200, paused=300, due=900, recurring=300)
WORKERS = 200
WEBHOOKS, DELIVERIES = 20, 20_000

_FILL = Path(__file__).with_suffix(".sql")
_BEAT = "UPDATE worker_heartbeats SET heartbeat_at = clock_timestamp() WHERE node_id LIKE 'fleet-%'"


@dataclass(frozen=True)
class DashboardScene:
    """What is there: see :class:`admin_api_scene.Scene`; ``token`` sees and may do everything."""

    scene: Scene
    token: str
    webhook_id: int

    @property
    def url(self) -> str:
        return self.scene.cluster.admin_url


@asynccontextmanager
async def dashboard_scene(directory: Path) -> AsyncIterator[DashboardScene]:
    """Make all of it on a server of its own, and keep it alive until the end."""
    with EmbeddedPostgres(directory / "metadb") as server:
        async with scene(server, directory, clients=0, size=SIZE) as there, MetadataDb(server.url) as db:
            webhook_id = await _make_webhooks(db)
            await asyncio.to_thread(_fill, server.url, WORKERS - len(await _workers(db)))
            say(f"{WORKERS} workers, {WEBHOOKS} webhooks with {DELIVERIES} deliveries, charts of eight days")
            async with going_on(_beat(db)):
                yield DashboardScene(there, there.tokens["operator"][0], webhook_id)


async def _make_webhooks(db: MetadataDb) -> int:
    store = WebhookStore(db, AddressRules.of([]))
    made = [
        await store.create(WebhookSettings(f"https://hooks.example.com/{n}", ("job.failed",)), secret=None)
        for n in range(WEBHOOKS)
    ]
    return made[0][0].id


async def _workers(db: MetadataDb) -> list[dict[str, object]]:
    return await db.fetch_all("SELECT node_id FROM workers")


def _fill(url: str, workers: int) -> None:
    numbers = {"workers": workers, "webhooks": WEBHOOKS, "deliveries": DELIVERIES}
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in _FILL.read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                connection.execute(statement.encode(), numbers)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


async def _beat(db: MetadataDb) -> None:
    while True:
        await asyncio.gather(asyncio.sleep(LEASE_SECONDS / 5), db.execute(_BEAT))


__all__ = ["SEGMENTS", "SEGMENT_BLOCKS", "SIZE", "WATCHED", "WORKERS", "DashboardScene", "dashboard_scene"]
