"""Fixtures of the tests of webhooks: a database for each module, jobs and endpoints over it, and a receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

import ampd.controller.webhooks
from ampd.metadata_db import MetadataDb
from support.engine import Engine, worker_session
from support.receivers import Receiver, receiver
from support.webhook_scene import OWN_SECRET, Scene

KEY = OWN_SECRET.encode()


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ampd.controller.webhooks, "_INTERVAL_SECONDS", 0.02)


@pytest.fixture
def scene(metadata_db: MetadataDb, database_url: str) -> Iterator[Scene]:
    with worker_session(database_url) as worker:
        yield Scene(metadata_db, Engine(metadata_db, worker))


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver(KEY) as listening:
        yield listening
