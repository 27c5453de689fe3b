"""Fixtures of the tests of worker events: a database for each module, and a job whose tables are told of."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import ampd.controller.worker_events
import ampd.worker_events.broker
from ampd.metadata_db import MetadataDb
from support.event_scene import EventScene, event_scene


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ampd.controller.worker_events, "_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(ampd.controller.worker_events, "_STANDBY_SECONDS", 0.05)
    monkeypatch.setattr(ampd.worker_events.broker, "SEND_SECONDS", 1.0)
    monkeypatch.setattr(ampd.controller.worker_events, "_BACKOFF_SECONDS", (0.05,))


@pytest.fixture
async def scene(metadata_db: MetadataDb) -> AsyncIterator[EventScene]:
    async with event_scene(metadata_db) as scene:
        yield scene
