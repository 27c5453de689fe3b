"""Pooled connections to the metadata database: each is looked at before its use, and none waits for ever."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import MetadataDb
from support.daemons import wait_for


async def _pid(db: MetadataDb) -> int:
    row = await db.fetch_one("SELECT pg_backend_pid() AS pid")
    assert row is not None
    return int(row["pid"])


def _terminate(url: str, pid: int) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        wait_for(
            "the session to end",
            lambda: admin.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is None,
        )


async def test_a_connection_that_was_lost_right_after_its_use_is_replaced_unnoticed(database_url: str) -> None:
    async with MetadataDb(database_url, max_connections=1) as db:
        for _ in range(3):
            pid = await _pid(db)
            await asyncio.to_thread(_terminate, database_url, pid)
            assert await _pid(db) != pid


async def test_statements_alone_are_committed_and_those_of_a_transaction_together(database_url: str) -> None:
    async with MetadataDb(database_url) as db, MetadataDb(database_url) as other:
        await db.execute("CREATE TABLE kept (n integer)")
        await db.execute("INSERT INTO kept VALUES (1)")
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as connection:
                await connection.execute("INSERT INTO kept VALUES (2)")
                raise ZeroDivisionError
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO kept VALUES (3)")
            assert await other.fetch_all("SELECT n FROM kept") == [{"n": 1}]
        assert await other.fetch_all("SELECT n FROM kept ORDER BY n") == [{"n": 1}, {"n": 3}]


async def test_who_waits_for_a_lock_too_long_is_told_so(database_url: str) -> None:
    async with MetadataDb(database_url) as holder, MetadataDb(database_url, lock_seconds=0.2) as db:
        async with holder.transaction() as connection:
            await connection.execute("LOCK TABLE jobs")
            with pytest.raises(AmpError, match="too busy to answer: canceling statement due to lock timeout") as told:
                await db.fetch_all("SELECT FROM jobs")
        assert told.value.code is ErrorCode.METADATA_DB_UNREACHABLE
        assert told.value.recoverable
        assert await db.fetch_all("SELECT FROM jobs") == []


async def test_what_nobody_waits_for_ends_with_the_connections(database_url: str) -> None:
    """Also what has not begun yet when they are closed, and what has begun and waits for the database."""
    ends: list[str] = []

    async def ask(name: str) -> None:
        try:
            await db.execute("SELECT pg_sleep(60)")
        finally:
            ends.append(name)

    async with MetadataDb(database_url) as db:
        db.run_beside(ask("begun"), name="begun")
        await asyncio.sleep(0)
        db.run_beside(ask("planned"), name="planned")
    assert ends == ["begun"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
