"""Fixtures of tests in this process. Nothing of theirs is left when a test ends, so databases are lent again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ampd.metadata_db import EmbeddedPostgres
from support.databases import UsedDatabases


@pytest.fixture(scope="session")
def used_databases(postgres_server: EmbeddedPostgres, migrated_template: str) -> UsedDatabases:
    return UsedDatabases(postgres_server, migrated_template)


@pytest.fixture
def database_url(used_databases: UsedDatabases) -> Iterator[str]:
    """The URL of a migrated database without a row."""
    with used_databases.lend() as url:
        yield url
