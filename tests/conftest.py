"""Fixtures that every tier shares: a real PostgreSQL, and a fresh database for each test that wants one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ampd.metadata_db import EmbeddedPostgres, MetadataDb, migrate

TEMPLATE = "migrated_template"
# The tests of the embedded server itself keep its defaults; here nothing has to outlive a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


def url_of(server: EmbeddedPostgres, database: str) -> str:
    """Return the URL of another database of the same server."""
    return urlsplit(server.url)._replace(path=f"/{database}").geturl()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One server for all tests of this process; its data goes at the end."""
    directory = Path(tempfile.mkdtemp(prefix="ampd-test-"))
    try:
        with EmbeddedPostgres(directory / "metadb", settings=FAST) as server:
            yield server
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a database with all migrations applied, to copy from."""
    _execute(postgres_server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    migrate(url_of(postgres_server, TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    yield from _database(postgres_server, migrated_template)


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a fresh database without any table."""
    yield from _database(postgres_server, "template0")


@pytest.fixture
async def metadata_db(database_url: str) -> AsyncIterator[MetadataDb]:
    """Open connections to a fresh, migrated database."""
    async with MetadataDb(database_url) as db:
        yield db


def _database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    _execute(server, create)
    try:
        yield url_of(server, name)
    finally:
        _execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement)
