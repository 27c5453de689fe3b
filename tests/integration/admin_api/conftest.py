"""Fixtures of the tests of the Admin API, its client and ampctl."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from admin_api_cluster import LEASE_SECONDS, Cluster, services_over
from psycopg.rows import dict_row

from ampd.admin_api import create_app, serve_admin_api
from ampd.jobs import WorkerIdentity, WorkerSession
from ampd.metadata_db import MetadataDb


@pytest.fixture
def session(database_url: str) -> Iterator[WorkerSession]:
    """A registered, beating worker."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        worker = WorkerSession(connection, WorkerIdentity("worker-01", uuid4()), lease_seconds=LEASE_SECONDS)
        worker.register(info={"version": "0.1.0", "commit_sha": "8b065bde", "build_date": None}, slots=20)
        yield worker


@pytest.fixture
async def cluster(metadata_db: MetadataDb, session: WorkerSession, tmp_path: Path) -> AsyncIterator[Cluster]:
    """The Admin API in this process, without a socket."""
    services = services_over(metadata_db, tmp_path)
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        yield Cluster(metadata_db, services, api, session, session._identity, tmp_path)


@pytest.fixture
def admin_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The address of an Admin API over the same database and files, served on a free port by a thread."""
    ready = threading.Event()
    served: dict[str, Any] = {}

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        served["end"] = lambda: loop.call_soon_threadsafe(stop.set)

        def started(host: str, port: int) -> None:
            served["url"] = f"http://{host}:{port}"
            ready.set()

        async with MetadataDb(database_url) as db:
            app = create_app(services_over(db, tmp_path))
            await serve_admin_api(app, host="127.0.0.1", port=0, started=started, stop=stop)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="admin-api")
    thread.start()
    try:
        assert ready.wait(30), "the Admin API did not start"
        yield served["url"]
    finally:
        served["end"]()
        thread.join(30)
    assert not thread.is_alive()
