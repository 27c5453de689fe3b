"""Migrations: complete or not at all, safe for many processes, and clear about what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from ampd.errors import AmpError, ErrorCode
from ampd.metadata_db import EmbeddedPostgres, migrate, pending_migrations, require_migrated
from ampd.telemetry import redact

MODULE = import_module("ampd.metadata_db.migrate")  # the function of this name hides it in the package
BACKEND = import_module("ampd.metadata_db.migration_backend")
FIRST = "0001_first_tables"
PATIENCE_SECONDS = 30.0
# A process that migrates: says "ready", waits for a line, then migrates and prints what it applied.
MIGRATOR = """
import sys
from ampd.metadata_db import migrate
print("ready", flush=True)
sys.stdin.readline()
print(migrate(sys.argv[1], **({"source": sys.argv[2]} if len(sys.argv) > 2 else {})))
"""


def start_migrator(url: str, source: Path | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MIGRATOR, url, *([str(source)] if source else [])]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def tables_in(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {row[0] for row in rows}


def write_migrations(directory: Path, *texts: str) -> str:
    for number, text in enumerate(texts, start=1):
        depends = f"{number - 1:04}" if number > 1 else ""
        (directory / f"{number:04}.sql").write_text(f"-- depends: {depends}\n\n{text}\n")
    return str(directory)


def test_a_new_database_gets_all_tables_and_a_second_run_does_nothing(empty_database_url: str) -> None:
    assert pending_migrations(empty_database_url)[0] == FIRST
    assert tables_in(empty_database_url) == set()
    applied = migrate(empty_database_url)
    assert applied[0] == FIRST
    assert {"jobs", "workers", "files", "tags"} <= tables_in(empty_database_url)
    assert pending_migrations(empty_database_url) == []
    assert migrate(empty_database_url) == []
    require_migrated(empty_database_url)


def test_a_database_without_migrations_is_refused_with_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(AmpError, match=r"ampd --config <file> migrate") as refused:
        require_migrated(empty_database_url)
    assert refused.value.code == ErrorCode.METADATA_DB_NOT_MIGRATED
    assert FIRST in refused.value.message


def test_processes_that_migrate_at_once_apply_everything_once(empty_database_url: str) -> None:
    processes = [start_migrator(empty_database_url) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=PATIENCE_SECONDS) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    applied = [out.strip() for out, _ in said]
    assert applied.count("[]") == 3
    assert sum(FIRST in out for out in applied) == 1


def test_a_process_killed_while_it_migrates_leaves_nothing_and_blocks_nobody(
    empty_database_url: str, tmp_path: Path
) -> None:
    source = write_migrations(tmp_path, "CREATE TABLE half (n int);\nSELECT pg_sleep(600);")
    process = start_migrator(empty_database_url, tmp_path)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    _wait_for_query(empty_database_url, "SELECT pg_sleep(600)")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    write_migrations(tmp_path, "CREATE TABLE whole (n int);")
    assert migrate(empty_database_url, source=source) == ["0001"]
    assert {"whole"} == tables_in(empty_database_url) & {"half", "whole"}


def _wait_for_query(url: str, query: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    asked = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE %s AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(asked, [f"{query}%"]).fetchone() == (0,):
            assert time.monotonic() < deadline, "the migration did not get there"
            time.sleep(0.01)


def test_a_failing_migration_keeps_those_before_it_and_nothing_of_itself(
    empty_database_url: str, tmp_path: Path
) -> None:
    source = write_migrations(
        tmp_path,
        "CREATE TABLE good (n int);",
        "CREATE TABLE bad (n int);\nSELECT 1 / 0;",
        "CREATE TABLE later (n int);",
    )
    with pytest.raises(AmpError, match="division by zero") as failed:
        migrate(empty_database_url, source=source)
    assert failed.value.code == ErrorCode.METADATA_DB_MIGRATION_FAILED
    assert "migration 0002" in failed.value.message
    assert "Applied before it: 0001" in failed.value.message
    assert {"good"} == tables_in(empty_database_url) & {"good", "bad", "later"}
    assert pending_migrations(empty_database_url, source=source) == ["0002", "0003"]


def test_a_migration_that_cannot_be_noted_as_done_is_undone(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_note(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("the connection is gone")

    source = write_migrations(tmp_path, "CREATE TABLE done (n int);")
    with monkeypatch.context() as patch:
        patch.setattr(BACKEND.MigrationBackend, "mark_one", no_note)
        with pytest.raises(AmpError, match="the connection is gone"):
            migrate(empty_database_url, source=source)
    assert "done" not in tables_in(empty_database_url)
    assert migrate(empty_database_url, source=source) == ["0001"]


def test_a_migration_outside_transactions_works_too(empty_database_url: str, tmp_path: Path) -> None:
    write_migrations(tmp_path, "CREATE TABLE t (n int);")
    (tmp_path / "0002.sql").write_text(
        "-- depends: 0001\n-- transactional: false\n\nCREATE INDEX CONCURRENTLY t_n ON t (n);\n"
    )
    assert migrate(empty_database_url, source=str(tmp_path)) == ["0001", "0002"]
    assert pending_migrations(empty_database_url, source=str(tmp_path)) == []


def test_a_lock_row_left_by_yoyo_itself_stops_nobody(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE yoyo_lock (locked int PRIMARY KEY, ctime timestamp, pid int)")
        connection.execute("INSERT INTO yoyo_lock VALUES (1, now(), 1)")
    assert FIRST in migrate(empty_database_url)


def test_a_table_that_somebody_holds_is_an_error_and_no_hang(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BACKEND, "WAIT_FOR_TABLE_SECONDS", 0.1)
    source = write_migrations(tmp_path, "ALTER TABLE held ADD COLUMN m int;")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE held (n int)")
        connection.commit()
        connection.execute("SELECT * FROM held")
        with pytest.raises(AmpError, match="lock timeout") as failed:
            migrate(empty_database_url, source=source)
    assert failed.value.code == ErrorCode.METADATA_DB_MIGRATION_FAILED


def test_a_database_of_a_newer_ampd_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc) "
            "VALUES ('x', '9999_from_the_future', now())"
        )
    for call in (migrate, pending_migrations, require_migrated):
        with pytest.raises(AmpError, match=r"newer ampd.*9999_from_the_future") as refused:
            call(database_url)
        assert refused.value.code == ErrorCode.METADATA_DB_UNSUPPORTED


def test_a_server_older_than_we_need_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "OLDEST_SERVER", 99)
    with pytest.raises(AmpError, match="runs PostgreSQL 18; ampd needs PostgreSQL 99 or newer") as refused:
        migrate(database_url)
    assert refused.value.code == ErrorCode.METADATA_DB_UNSUPPORTED


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    url = "postgresql://ampd:topsecret@127.0.0.1:1/ampd?password=alsosecret"
    for call in (migrate, pending_migrations, require_migrated):
        with pytest.raises(AmpError) as refused:
            call(url)
        assert refused.value.code == ErrorCode.METADATA_DB_UNREACHABLE
        assert redact(url) in refused.value.message
        assert "secret" not in refused.value.message


def test_passwords_and_names_with_special_characters_are_understood(
    postgres_server: EmbeddedPostgres, empty_database_url: str
) -> None:
    user, password = f"o'brien@{os.getpid()}", "p@ss:w/o?r#d %41&x=y"
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(sql.Identifier(user), sql.Literal(password))
        )
    account = f"{quote(user, safe='')}:{quote(password, safe='')}"
    url = urlsplit(empty_database_url)._replace(netloc=f"{account}@").geturl()
    try:
        assert FIRST in migrate(url)
    finally:
        _end_role(postgres_server.url, empty_database_url, user)


def _end_role(server_url: str, database_url: str, user: str) -> None:
    for url in (database_url, server_url):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("REASSIGN OWNED BY {} TO postgres").format(sql.Identifier(user)))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))
