"""Fixtures of the tests of worker events: a database for each module, and a job whose tables are told of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

import ampd.controller.worker_events
import ampd.worker_events.broker
from ampd.metadata_db import EmbeddedPostgres, MetadataDb
from support.databases import empty, fresh_database
from support.event_scene import EventScene, event_scene


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ampd.controller.worker_events, "_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(ampd.controller.worker_events, "_STANDBY_SECONDS", 0.05)
    monkeypatch.setattr(ampd.worker_events.broker, "SEND_SECONDS", 1.0)
    monkeypatch.setattr(ampd.controller.worker_events, "_BACKOFF_SECONDS", (0.05,))


@pytest.fixture(scope="module")
def shared_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
def database_url(shared_url: str) -> str:
    empty(shared_url)
    return shared_url


@pytest.fixture
async def scene(metadata_db: MetadataDb) -> AsyncIterator[EventScene]:
    async with event_scene(metadata_db) as scene:
        yield scene
