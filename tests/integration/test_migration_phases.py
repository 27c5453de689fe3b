"""Upgrades while others are at work: what adds comes first, what takes away waits for the last older process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from structlog.testing import capture_logs

import ampd
from ampd.errors import AmpError, ErrorCode
from ampd.jobs import JobFilter, JobStore, WorkerIdentity
from ampd.jobs.workers import WorkerSession
from ampd.metadata_db import (
    MetadataDb,
    Phase,
    migrate,
    migrate_at_start,
    migration_status,
    pending_migrations,
)
from support.daemons import wait_for

BACKEND = import_module("ampd.metadata_db.migration_backend")
# What this version has, in small: a table that processes read.
FIRST = {"0001_first": "-- depends:\n\nCREATE TABLE held (n int, old int);\nINSERT INTO held VALUES (1, 1);"}
# A version to come: it adds a column, stops using another, and takes that away at last. Its numbers say that the post
# migration was written before the last pre migration.
PRE = "0002_adds"
POST = "0003_takes_away"
LATER_PRE = "0004_adds_more"
NEXT = {
    PRE: "-- depends: 0001_first\n-- phase: pre\n\nALTER TABLE held ADD COLUMN new int;",
    POST: "-- depends: 0002_adds\n-- phase: post\n-- oldest-version: 0.2.0\n\nALTER TABLE held DROP COLUMN old;",
    LATER_PRE: "-- depends: 0002_adds\n-- phase: pre\n\nCREATE TABLE another (n int);",
}


class Versions:
    """Folders of migrations, as the packages of two versions have them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.present = self.write("present", FIRST)
        self.next = self.write("next", FIRST | NEXT)

    def write(self, name: str, files: dict[str, str]) -> str:
        folder = self._directory / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for id_, text in files.items():
            (folder / f"{id_}.sql").write_text(f"{text}\n", encoding="utf-8")
        return str(folder)


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path)


@pytest.fixture
def url(empty_database_url: str, versions: Versions) -> str:
    """A database of the present version."""
    migrate(empty_database_url, source=versions.present)
    return empty_database_url


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def columns(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT attname FROM pg_attribute WHERE attrelid = 'held'::regclass AND attnum > 0")
        return {name for (name,) in rows if not name.startswith("...")}


def code_of(call: Callable[[], Any]) -> tuple[ErrorCode, str]:
    with pytest.raises(AmpError) as refused:
        call()
    return refused.value.code, refused.value.message


def test_what_adds_comes_before_what_takes_away_whatever_their_numbers(url: str, versions: Versions) -> None:
    assert pending_migrations(url, source=versions.next) == [PRE, LATER_PRE, POST]
    assert migrate(url, source=versions.next, phase=Phase.PRE) == [PRE, LATER_PRE]
    assert columns(url) == {"n", "old", "new"}
    assert migrate(url, source=versions.next, phase=Phase.PRE) == []
    assert migrate(url, source=versions.next, phase=Phase.POST) == [POST]
    assert columns(url) == {"n", "new"}


def test_what_takes_away_is_not_applied_before_what_adds(url: str, versions: Versions) -> None:
    code, message = code_of(lambda: migrate(url, source=versions.next, phase=Phase.POST))
    assert code == ErrorCode.METADATA_DB_NOT_MIGRATED
    assert PRE in message
    assert "--phase pre" in message


def test_the_version_before_works_on_until_something_is_taken_away(url: str, versions: Versions) -> None:
    migrate(url, source=versions.next, phase=Phase.PRE)
    assert pending_migrations(url, source=versions.present) == []
    assert migrate_at_start(url, source=versions.present).applied == []

    migrate(url, source=versions.next)
    for call in (pending_migrations, migrate, migrate_at_start):
        code, message = code_of(lambda call=call: call(url, source=versions.present))
        assert code == ErrorCode.METADATA_DB_UNSUPPORTED
        assert POST in message
        assert "Install ampd 0.2.0 or newer" in message


def test_a_version_that_had_stopped_needing_it_before_works_on(
    url: str, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(url, source=versions.next)
    monkeypatch.setattr(ampd, "__version__", "0.10.1")
    assert pending_migrations(url, source=versions.present) == []


def test_a_database_that_an_ampd_without_phases_has_made_is_taken_over(url: str, versions: Versions) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE _yoyo_migration DROP COLUMN phase, DROP COLUMN oldest_version")
    assert pending_migrations(url, source=versions.present) == []
    assert migrate(url, source=versions.next) == [PRE, LATER_PRE, POST]
    status = migration_status(url, source=versions.next)
    assert [(each.id, each.phase, each.oldest_version) for each in status.applied] == [
        ("0001_first", None, None),
        (PRE, Phase.PRE, None),
        (LATER_PRE, Phase.PRE, None),
        (POST, Phase.POST, "0.2.0"),
    ]


async def test_what_takes_away_waits_for_the_sessions_of_an_older_version(
    url: str, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MetadataDb(url, process="controller one:17"):
        code, message = code_of(lambda: migrate(url, source=versions.next))
        assert code == ErrorCode.METADATA_DB_IN_USE
        assert f"controller one:17 (ampd {ampd.__version__})" in message
        assert f"Applied before: {PRE}, {LATER_PRE}." in message
        assert columns(url) == {"n", "old", "new"}
        status = migration_status(url, source=versions.next)
        assert [each.name for each in status.older_processes] == ["controller one:17"]

        done = migrate_at_start(url, source=versions.next)
        assert (done.applied, done.waiting) == ([], [POST])
        assert columns(url) == {"n", "old", "new"}

    monkeypatch.setattr(ampd, "__version__", "0.2.0")
    async with MetadataDb(url, process="controller two:18"):
        assert migrate_at_start(url, source=versions.next).applied == [POST]


async def test_force_does_not_ask_who_is_at_work(url: str, versions: Versions) -> None:
    async with MetadataDb(url, process="controller one:17"):
        assert migrate(url, source=versions.next, force=True) == [PRE, LATER_PRE, POST]


async def test_processes_that_do_not_tell_their_version_are_older_ones(url: str, versions: Versions) -> None:
    with psycopg.connect(url, application_name="ampd"), psycopg.connect(url, application_name="amphora"):
        _, message = code_of(lambda: migrate(url, source=versions.next))
        assert "at work on the metadata database" in message
        assert ": a process at this host (ampd of an unknown version)." in message
    migrate(url, source=versions.next)


def test_what_takes_away_waits_for_workers_of_an_older_version_that_beat(database_url: str, versions: Versions) -> None:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        for name, version in (("eth-1", "v0.1.0"), ("eth-2", "v0.2.0-3-gabcdef0"), ("gone", "v0.1.0")):
            session = WorkerSession(connection, WorkerIdentity(name, uuid4()), lease_seconds=60)
            session.register(info={"version": version}, slots=1)
        session.retire()
    takes_away = "-- depends:\n-- phase: post\n-- oldest-version: 0.2.0\n\nALTER TABLE jobs DROP COLUMN priority;"
    added = versions.write("added", {POST: takes_away})
    shutil.copytree(Path(ampd.__file__).parent / "metadata_db" / "migrations", added, dirs_exist_ok=True)
    code, message = code_of(lambda: migrate(database_url, source=added, lease_seconds=60))
    assert code == ErrorCode.METADATA_DB_IN_USE
    assert "worker eth-1 (ampd 0.1.0)" in message
    assert "eth-2" not in message
    assert "gone" not in message


async def test_a_process_does_not_start_beside_one_that_is_too_old_for_what_it_adds(
    url: str, versions: Versions
) -> None:
    adds = NEXT[PRE].replace("-- phase: pre", "-- phase: pre\n-- oldest-version: 0.2.0")
    source = versions.write("far", FIRST | {PRE: adds})
    async with MetadataDb(url, process="worker old"):
        code, message = code_of(lambda: migrate_at_start(url, source=source))
    assert code == ErrorCode.METADATA_DB_IN_USE
    assert "worker old" in message
    assert "Upgrade them to a version in between first" in message
    assert columns(url) == {"n", "old"}


def waiting(url: str, query: str) -> bool:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    with psycopg.connect(url) as connection:
        row = connection.execute(asked, [f"%{query}%"]).fetchone()
    return row is not None and row[0] > 0


def test_a_process_that_starts_while_something_is_taken_away_learns_of_it(
    url: str, versions: Versions, threads: ThreadPoolExecutor
) -> None:
    gate = "DO $$ BEGIN LOOP EXIT WHEN EXISTS (SELECT FROM gate); PERFORM pg_sleep(0.01); END LOOP; END $$;"
    source = versions.write("gated", FIRST | NEXT | {POST: f"{NEXT[POST]}\n{gate}"})
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE gate (n int)")
        migrating = threads.submit(migrate, url, source=source)
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %%' AND state = 'active'"
        wait_for("the migration", lambda: connection.execute(running).fetchone() != (0,))
        starting = threads.submit(pending_migrations, url, source=versions.present)
        wait_for("the process that starts", lambda: starting.done() or waiting(url, "_yoyo_migration m"))
        connection.execute("INSERT INTO gate VALUES (1)")
    assert migrating.result() == [PRE, LATER_PRE, POST]
    with pytest.raises(AmpError, match=r"Install ampd 0\.2\.0 or newer"):
        starting.result()


def test_nobody_queues_behind_a_migration_that_waits_for_a_long_transaction(
    url: str, versions: Versions, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The readers are as patient as ampd's own sessions are not: each would fail if it had to wait for the long one."""
    monkeypatch.setattr(BACKEND, "TABLE_LOCK_MILLISECONDS", 50)
    monkeypatch.setattr(BACKEND, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(BACKEND, "_LONGEST_PAUSE_SECONDS", 0.05)
    with psycopg.connect(url) as long, psycopg.connect(url, autocommit=True) as reader, capture_logs() as logs:
        long.execute("SELECT * FROM held")
        migrating = threads.submit(migrate, url, source=versions.next)

        def tries() -> int:
            return sum(entry["event"] == "migration.waits" for entry in logs)

        reader.execute("SET lock_timeout = '5s'")
        for _ in range(3):
            before = tries()
            wait_for("the migration to be in the way", lambda: waiting(url, "ALTER TABLE held") or migrating.done())
            assert reader.execute("SELECT n FROM held").fetchone() == (1,)
            wait_for("another try", lambda before=before: tries() > before)
        waits = next(entry for entry in logs if entry["event"] == "migration.waits")
        assert (waits["migration"], waits["longest_transaction"]["pid"]) == (PRE, long.info.backend_pid)
        long.rollback()
    assert migrating.result(30) == [PRE, LATER_PRE, POST]


def test_an_index_is_built_while_others_wait_to_migrate_and_write(
    url: str, versions: Versions, threads: ThreadPoolExecutor
) -> None:
    build = (
        "-- depends: 0001_first\n-- phase: pre\n-- transactional: false\n\n"
        "DROP INDEX CONCURRENTLY IF EXISTS held_n;\nCREATE INDEX CONCURRENTLY held_n ON held (n);"
    )
    source = versions.write("indexed", FIRST | {"0002_index": build})
    with psycopg.connect(url) as writer, psycopg.connect(url, autocommit=True) as other:
        writer.execute("INSERT INTO held VALUES (2, 2)")  # the index waits for the end of this transaction
        migrating: list[Future[list[str]]] = [threads.submit(migrate, url, source=source)]
        wait_for("the index to be built", lambda: waiting(url, "CREATE INDEX CONCURRENTLY"))
        migrating += [threads.submit(migrate, url, source=source) for _ in range(2)]
        asking = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_try_advisory_lock%'"
        wait_for("others that want to migrate", lambda: other.execute(asking).fetchone() == (2,))
        other.execute("INSERT INTO held VALUES (3, 3)")
        writer.commit()
        assert sorted(each.result(60) for each in migrating) == [[], [], ["0002_index"]]
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'held_n'::regclass"
        assert other.execute(valid).fetchone() == (True,)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("-- phase: later", "must be pre or post"),
        ("-- phase: post", "add '-- oldest-version: X.Y.Z'"),
        ("-- phase: pre\n-- oldest-version: next", "must be a version"),
    ],
)
def test_a_head_that_says_nothing_usable_is_refused(versions: Versions, head: str, said: str) -> None:
    source = versions.write("bad", {"0001_bad": f"-- depends:\n{head}\n\nSELECT 1;"})
    code, message = code_of(lambda: migrate("postgresql://127.0.0.1:1/none", source=source))
    assert code == ErrorCode.METADATA_DB_MIGRATION_FAILED
    assert said in message


async def test_jobs_are_listed_by_a_session_that_has_listed_them_before_a_column_came(database_url: str) -> None:
    """PostgreSQL refuses a prepared statement whose answer has got a column; psycopg prepares what comes often."""
    async with MetadataDb(database_url, max_connections=1) as db:
        jobs = JobStore(db)
        for _ in range(8):
            await jobs.list_page(JobFilter(), limit=10)
        with psycopg.connect(database_url) as connection:
            connection.execute("ALTER TABLE jobs ADD COLUMN note text")
        assert await jobs.list_page(JobFilter(), limit=10) == ([], False)
