"""Databases that tests lend one after the other: none brings anything of an earlier test."""

from __future__ import annotations

import psycopg
import pytest

from ampd.metadata_db import EmbeddedPostgres
from support.databases import UsedDatabases

ROW = "INSERT INTO tokens (name, role, prefix, hash, created_by) SELECT 'x', 'viewer', 'p', sha256(''), 'x'"
CHANGES = {
    "a table": "CREATE TABLE x ()",
    "a column": "ALTER TABLE jobs ADD COLUMN n integer",
    "a default": "ALTER TABLE jobs ALTER COLUMN priority SET DEFAULT 3",
    "a trigger that is off": "ALTER TABLE jobs DISABLE TRIGGER USER",
    "an index that is gone": "DROP INDEX jobs_due",
    "a function": "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "a migration that is forgotten": "DELETE FROM _yoyo_migration WHERE migration_id LIKE '0001%'",
    "a setting": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database()); END $$",
}


@pytest.fixture
def databases(postgres_server: EmbeddedPostgres, migrated_template: str) -> UsedDatabases:
    return UsedDatabases(postgres_server, migrated_template)


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_a_database_comes_again_without_rows_sessions_and_counts(databases: UsedDatabases) -> None:
    with databases.lend() as url:
        run(url, ROW)
        left = psycopg.connect(url, autocommit=True)
    with databases.lend() as again:
        assert again == url
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")
        assert run(again, "SELECT FROM tokens") == []
        assert run(again, ROW + " RETURNING id") == [(1,)]
    left.close()


def test_tests_at_the_same_time_have_databases_of_their_own(databases: UsedDatabases) -> None:
    with databases.lend() as one, databases.lend() as other:
        assert one != other


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_database_that_was_changed_is_not_lent_again(databases: UsedDatabases, change: str) -> None:
    with databases.lend() as url:
        run(url, change)
    with databases.lend() as other:
        assert other != url
