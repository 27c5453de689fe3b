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


@contextmanager
def fresh_database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Give the URL of a new copy of the database ``template``."""
    name = f"test_{uuid4().hex}"
    identifier = sql.Identifier(name)
    execute(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(identifier, sql.Identifier(template)))
    try:
        yield url_of(server, name)
    finally:
        execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ 'yoyo'"


def empty(url: str) -> None:
    """Take all rows out of a database that only one test at a time uses: quicker than a fresh one for each."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = [sql.Identifier(name) for (name,) in connection.execute(_TABLES)]
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.SQL(", ").join(names)))
