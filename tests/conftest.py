"""Fixtures that every tier shares: a real PostgreSQL, and a fresh database for each test that wants one."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from psycopg import sql

from ampd.metadata_db import EmbeddedPostgres, MetadataDb, migrate
from support.daemons import ampd_starts
from support.databases import execute, fresh_database, url_of
from support.forked import ForkedProcess

# In CI the same examples every time: a run must not fail by chance. At the desk chance goes on looking.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# A shell starts background jobs with Ctrl+C ignored, and children inherit that; tests send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ampd_starts.append(ForkedProcess)

TEMPLATE = "migrated_template"
# The tests of the embedded server itself keep its defaults; here nothing has to outlive a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write halves of surrogate pairs, which some tests use, so that reports can go from one process to another."""
    report = yield
    report.sections = [(name, _sendable(text)) for name, text in report.sections]
    if report.longrepr is not None and _sendable(text := str(report.longrepr)) != text:
        report.longrepr = _sendable(text)
    return report


def _sendable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


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
    execute(postgres_server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    migrate(url_of(postgres_server, TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """A migrated database that the tests of a module share."""
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a fresh database without any table."""
    with fresh_database(postgres_server, "template0") as url:
        yield url


@pytest.fixture
async def metadata_db(database_url: str) -> AsyncIterator[MetadataDb]:
    """Open connections to a fresh, migrated database."""
    async with MetadataDb(database_url) as db:
        yield db
