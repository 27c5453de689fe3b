"""Databases of a running PostgreSQL server, made for tests and dropped after them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from ampd.metadata_db import EmbeddedPostgres


def url_of(server: EmbeddedPostgres, database: str) -> str:
    """Return the URL of another database of the same server."""
    return urlsplit(server.url)._replace(path=f"/{database}").geturl()


def execute(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    """Run one statement outside of any transaction."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement)


def copy_database(server: EmbeddedPostgres, template: str) -> str:
    """Copy the database ``template`` and return the URL of the copy."""
    name = f"test_{uuid4().hex}"
    execute(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    return url_of(server, name)


def drop_database(server: EmbeddedPostgres, url: str) -> None:
    """Drop a database, with whatever sessions there are in it."""
    name = urlsplit(url).path.removeprefix("/")
    execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def fresh_database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Give the URL of a new copy of the database ``template``."""
    url = copy_database(server, template)
    try:
        yield url
    finally:
        drop_database(server, url)


# Without triggers and foreign keys: all goes. Small tables are quicker to empty by DELETE, which makes no new files.
_EMPTY = """
DO $$
DECLARE
    each record;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR each IN
        SELECT oid::regclass AS name, pg_relation_size(oid) AS bytes FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname !~ 'yoyo'
    LOOP
        IF each.bytes > 262144 THEN
            EXECUTE format('TRUNCATE %s CASCADE', each.name);
        ELSIF each.bytes > 0 THEN
            EXECUTE format('DELETE FROM %s', each.name);
        END IF;
    END LOOP;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""


def empty(url: str) -> None:
    """Take all rows out of a database that only one test at a time uses: quicker than a fresh one for each."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_EMPTY)


_END_SESSIONS = """
SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
# All that makes a database what it is, besides rows. A copy has the object ids of its template.
_SHAPE = """
WITH parts (what, id, version) AS (
    SELECT 'class', oid, '' FROM pg_class WHERE relkind <> 't'
    UNION ALL SELECT 'attribute', attrelid, attname || xmin FROM pg_attribute
    UNION ALL SELECT 'trigger', oid, xmin::text FROM pg_trigger
    UNION ALL SELECT 'constraint', oid, xmin::text FROM pg_constraint
    UNION ALL SELECT 'default', oid, xmin::text FROM pg_attrdef
    UNION ALL SELECT 'sequence', seqrelid, xmin::text FROM pg_sequence
    UNION ALL SELECT 'procedure', oid, xmin::text FROM pg_proc
    UNION ALL SELECT 'schema', oid, xmin::text FROM pg_namespace
)
SELECT md5(string_agg(concat_ws(' ', what, id, version), ',' ORDER BY what, id, version) || settings || migrations)
FROM
    parts,
    (
        SELECT coalesce(string_agg(setconfig::text, ','), '') AS settings FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS of_sessions,
    (SELECT string_agg(m::text, ',' ORDER BY m.migration_id) AS migrations FROM _yoyo_migration m) AS applied
WHERE id >= 16384 -- what is below comes with PostgreSQL
GROUP BY settings, migrations
"""


class UsedDatabases:
    """Databases that tests give back are emptied and lent again: a copy of the template and its end cost a tenth of a
    second each. One whose tables, functions or settings a test has changed, or that does not answer, is dropped.
    """

    def __init__(self, server: EmbeddedPostgres, template: str) -> None:
        self._server = server
        self._template = template
        self._shape: str | None = None
        self._free: list[str] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        """Give the URL of a migrated database without a row."""
        url = self._free.pop() if self._free else self._copy()
        try:
            yield url
        finally:
            if self._make_as_new(url):
                self._free.append(url)
            else:
                drop_database(self._server, url)

    def _copy(self) -> str:
        url = copy_database(self._server, self._template)
        if self._shape is None:
            with psycopg.connect(url, autocommit=True) as connection:
                self._shape = _shape_of(connection)
        return url

    def _make_as_new(self, url: str) -> bool:
        """End all sessions and take all rows out; False: this cannot be done."""
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_END_SESSIONS)
                is_changed = _shape_of(connection) != self._shape
                if not is_changed:
                    connection.execute(_EMPTY)
        except psycopg.OperationalError:  # a test may have forbidden connections
            return False
        return not is_changed


def _shape_of(connection: psycopg.Connection) -> str:
    row = connection.execute(_SHAPE).fetchone()
    assert row is not None
    return str(row[0])
