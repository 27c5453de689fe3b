"""Migrations of the metadata database: numbered SQL files, applied by yoyo (design sections 3 and 6).

Two habits of yoyo do not suit daemons that may be killed at any moment, and a small backend mends both:

- its lock is a row that stays behind when a process is killed; ours is a PostgreSQL advisory lock, which dies
  with its session;
- it applies a migration in one transaction and notes it in a second one; ours does both in one, so that a
  kill leaves either everything of a migration or nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import yoyo
from psycopg.errors import InvalidParameterValue, LockNotAvailable
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend

from ampd.errors import AmpError, ErrorCode, describe_exception
from ampd.metadata_db.pool import CONNECT_TIMEOUT_SECONDS, unreachable
from ampd.telemetry import redact

MIGRATIONS = "package:ampd.metadata_db:migrations"
OLDEST_SERVER = 14
# Any constant will do, as long as every ampd uses the same one and nobody else does: the letters "ampd mig".
ADVISORY_LOCK_KEY = 0x616D7064206D6967
# Another process may be in the middle of a long migration; a table that is locked longer than this is a
# fault.
WAIT_FOR_OTHER_PROCESS = "300s"
WAIT_FOR_TABLE = "30s"
DEAD_CLIENT_CHECK = "1s"
MIGRATION_TABLE = "_yoyo_migration"
APPLIED_IDS: LiteralString = "SELECT migration_id FROM _yoyo_migration ORDER BY applied_at_utc, migration_id"


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo's backend for psycopg 3, with an advisory lock and with one transaction per migration.

    ``uri`` is the URL as the operator wrote it: libpq reads it (sockets, several hosts, special characters),
    not yoyo.
    """

    has_transactional_ddl = True

    def connect(self, uri: str) -> psycopg.Connection[Any]:
        return _connect(uri)

    @contextmanager
    def lock(self, timeout: float = 0) -> Iterator[None]:
        """Hold the lock of all migrating processes. It may be taken again inside."""
        # A server that watches for dead clients ends their statements and frees the lock. Some cannot.
        with suppress(InvalidParameterValue):
            self.execute(f"SET client_connection_check_interval = '{DEAD_CLIENT_CHECK}'")
        self.execute(f"SET lock_timeout = '{WAIT_FOR_OTHER_PROCESS}'")
        self.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK_KEY})")
        self.execute(f"SET lock_timeout = '{WAIT_FOR_TABLE}'")
        try:
            yield
        finally:
            if not self.connection.broken:
                self.execute(f"SELECT pg_advisory_unlock({ADVISORY_LOCK_KEY})")

    def list_tables(self, **_: Any) -> list[str]:
        rows = self.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema").fetchall()
        return [row[0] for row in rows]

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:
        migration.load()
        if not migration.use_transactions:
            super().apply_one(migration, force=force, mark=mark)
            return
        self.ensure_internal_schema_updated()
        with self.transaction():
            migration.process_steps(self, "apply", force=force)
            self.log_migration(migration, "apply")
            if mark:
                self.mark_one(migration, log=False)

    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:
        """Describe an operation for yoyo's log, without a look-up of names on the network as yoyo does."""
        return {
            "id": str(uuid4()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": self.connection.info.user,
            "hostname": socket.gethostname(),
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
            "operation": operation,
        }


def migrate(url: str, *, source: str = MIGRATIONS) -> list[str]:
    """Bring the database up to date and return the ids of the migrations applied now, oldest first.

    Safe to call from several processes at once: one migrates, the others wait and find nothing left to do.

    :param source: where the SQL files are, as yoyo writes it: ``package:<package>:<directory>`` or a
        directory.
    :raises AmpError: METADATA_DB_UNREACHABLE, METADATA_DB_UNSUPPORTED, METADATA_DB_MIGRATION_FAILED.
    """
    known = yoyo.read_migrations(source)
    if not _pending(url, known):
        return []
    with _connection_errors(url):
        backend = _Backend(url, MIGRATION_TABLE)
    try:
        with backend:
            return _apply(backend, known, url)
    except LockNotAvailable as error:
        raise _failed(
            url,
            f"{describe_exception(error).strip()}: another process held a lock for too long. "
            "See pg_stat_activity for who holds it, then run ampd migrate again",
        ) from error
    except (psycopg.Error, yoyo.exceptions.BadMigration) as error:
        raise _failed(url, describe_exception(error).strip()) from error


def pending_migrations(url: str, *, source: str = MIGRATIONS) -> list[str]:
    """Return the ids of the migrations that the database still lacks, oldest first. Writes nothing.

    :raises AmpError: METADATA_DB_UNREACHABLE, METADATA_DB_UNSUPPORTED.
    """
    return _pending(url, yoyo.read_migrations(source))


def require_migrated(url: str) -> None:
    """Check that the database is up to date.

    :raises AmpError: METADATA_DB_NOT_MIGRATED, METADATA_DB_UNREACHABLE, METADATA_DB_UNSUPPORTED.
    """
    missing = pending_migrations(url)
    if missing:
        raise AmpError(
            ErrorCode.METADATA_DB_NOT_MIGRATED,
            f"the metadata database at {redact(url)} lacks migrations: {', '.join(missing)}. "
            "Run: ampd --config <file> migrate (or set metadata_db.auto_migrate = true)",
        )


def _apply(backend: _Backend, known: Any, url: str) -> list[str]:
    applied: list[str] = []
    with backend.lock():
        backend.ensure_internal_schema_updated()
        todo = backend.to_apply(known)
        for migration in todo:
            try:
                backend.apply_one(migration)
            except psycopg.Error as error:
                kept = "Nothing of it was kept" if migration.use_transactions else "It may be half done"
                before = f". Applied before it: {', '.join(applied)}" if applied else ""
                said = describe_exception(error).strip()
                raise _failed(url, f"migration {migration.id}: {said}. {kept}{before}") from error
            applied.append(migration.id)
    return applied


def _pending(url: str, known: Any) -> list[str]:
    """Return the ids in ``known`` that the database lacks, once it is clear that we can use this database."""
    with _connection_errors(url), _connect(url) as connection:
        version = connection.info.server_version
        if version < OLDEST_SERVER * 10_000:
            raise _unsupported(
                url, f"runs PostgreSQL {version // 10_000}; ampd needs PostgreSQL {OLDEST_SERVER} or newer"
            )
        there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [MIGRATION_TABLE]).fetchone()
        applied = {row[0] for row in connection.execute(APPLIED_IDS)} if there and there[0] else set[str]()
    ids = [migration.id for migration in known]
    newer = sorted(applied.difference(ids))
    if newer:
        raise _unsupported(
            url,
            f"was migrated by a newer ampd (unknown here: {', '.join(newer)}). "
            "Install that version of ampd, or use another database",
        )
    return [id_ for id_ in ids if id_ not in applied]


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS, application_name="ampd migrate"
    )


@contextmanager
def _connection_errors(url: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, OSError) as error:
        raise unreachable(url, error) from None


def _unsupported(url: str, what: str) -> AmpError:
    return AmpError(ErrorCode.METADATA_DB_UNSUPPORTED, f"the metadata database at {redact(url)} {what}")


def _failed(url: str, what: str) -> AmpError:
    return AmpError(
        ErrorCode.METADATA_DB_MIGRATION_FAILED,
        f"cannot migrate the metadata database at {redact(url)}: {what}",
    )
