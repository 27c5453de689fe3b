"""yoyo's backend for PostgreSQL, for daemons that may be killed at any moment and for clusters that are at work.

Three habits of yoyo do not suit them:

- its lock is a row that stays behind when a process is killed; ours is a PostgreSQL advisory lock, which dies with its
  session;
- it applies a migration in one transaction and notes it in a second one; ours does both in one, so that a kill leaves
  either everything of a migration or nothing;
- it waits for a table as long as it takes, and everybody else waits behind it; ours gives up after half a second, lets
  the others through and tries again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import structlog
from psycopg.errors import InvalidParameterValue, LockNotAvailable
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend

from ampd.metadata_db.migration_files import MigrationFile
from ampd.metadata_db.pool import CONNECT_TIMEOUT_SECONDS

_log = structlog.get_logger(__name__)

# Any constant will do, as long as every ampd uses the same one and nobody else does: the letters "ampd mig".
ADVISORY_LOCK_KEY = 0x616D7064206D6967
MIGRATION_TABLE = "_yoyo_migration"
# Another process may be in the middle of a long migration.
WAIT_FOR_OTHER_PROCESS_SECONDS = 300.0
_POLL_SECONDS = 0.1
# Whoever comes after a lock that is waited for waits, too: heartbeats, for one, which must come within the lease.
TABLE_LOCK_MILLISECONDS = 500
WAIT_FOR_TABLE_SECONDS = 300.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 8.0
_DEAD_CLIENT_CHECK = "1s"
_LONGEST_TRANSACTION = """
SELECT pid, application_name, extract(epoch FROM now() - xact_start)::int FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY xact_start LIMIT 1
"""


def connect(url: str) -> psycopg.Connection[Any]:
    """Open a connection for migrations."""
    return psycopg.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS, application_name="ampd migrate"
    )


class MigrationBackend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo's backend for psycopg 3, with an advisory lock and with one transaction per migration.

    ``uri`` is the URL as the operator wrote it: libpq reads it (sockets, several hosts, special characters),
    not yoyo.
    """

    has_transactional_ddl = True

    def connect(self, uri: str) -> psycopg.Connection[Any]:
        """Open the connection."""
        return connect(uri)

    @contextmanager
    def lock(self, timeout: float = 0) -> Iterator[None]:
        """Hold the lock of all migrating processes. It may be taken again inside.

        It is asked for again and again: who waits for it inside a statement would itself be waited for by CREATE INDEX
        CONCURRENTLY.

        :raises LockNotAvailable: another process has held it for five minutes.
        """
        # A server that watches for dead clients ends their statements and frees the lock. Some cannot.
        with suppress(InvalidParameterValue):
            self.execute(f"SET client_connection_check_interval = '{_DEAD_CLIENT_CHECK}'")
        deadline = time.monotonic() + WAIT_FOR_OTHER_PROCESS_SECONDS
        while not self.execute(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK_KEY})").fetchone()[0]:
            if time.monotonic() > deadline:
                raise LockNotAvailable("another process has been migrating this database for too long")
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            if not self.connection.broken:
                self.execute(f"SELECT pg_advisory_unlock({ADVISORY_LOCK_KEY})")

    def list_tables(self, **_: Any) -> list[str]:
        """Return the tables of the schema that we work in."""
        rows = self.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema").fetchall()
        return [row[0] for row in rows]

    def prepare(self) -> None:
        """Bring the table of migrations up to date: yoyo's own columns, and what ours say of themselves."""
        self.ensure_internal_schema_updated()
        columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'phase'"
        if not self.connection.execute(columns, [MIGRATION_TABLE]).fetchone()[0]:
            add = f"ALTER TABLE {MIGRATION_TABLE} ADD COLUMN phase text, ADD COLUMN oldest_version text"
            self._retry(lambda: self.execute(add), "the table of migrations")

    def apply(self, file: MigrationFile, check: Callable[[], None]) -> None:
        """Apply a migration and note it, all or nothing.

        ``check`` comes first and may raise. For one of the phase post it is called when no process that starts can
        read which migrations there are until this one has ended: each either has its sessions already, or will see it.

        :raises LockNotAvailable: a table was held by others for five minutes.
        """
        if not file.yoyo.use_transactions:
            # Statements that others need not wait behind (CREATE INDEX CONCURRENTLY), and that have to wait themselves.
            check()
            self.execute(f"SET lock_timeout = '{WAIT_FOR_TABLE_SECONDS:.0f}s'")
            file.yoyo.process_steps(self, "apply")
            with self.transaction():
                self._note(file)
            return
        self._retry(lambda: self._apply_in_transaction(file, check), file.id)

    def _apply_in_transaction(self, file: MigrationFile, check: Callable[[], None]) -> None:
        with self.transaction():
            if file.is_post:
                self.execute(f"LOCK TABLE {MIGRATION_TABLE} IN ACCESS EXCLUSIVE MODE")
            check()
            file.yoyo.process_steps(self, "apply")
            self._note(file)

    def _note(self, file: MigrationFile) -> None:
        self.log_migration(file.yoyo, "apply")
        self.mark_one(file.yoyo, log=False)
        self.connection.execute(
            f"UPDATE {MIGRATION_TABLE} SET phase = %s, oldest_version = %s WHERE migration_id = %s",  # noqa: S608
            [file.phase, file.oldest_version, file.id],
        )

    def _retry(self, work: Callable[[], Any], name: str) -> None:
        """Do ``work`` until it gets its locks, without holding others up for longer than the moment of each try."""
        self.execute(f"SET lock_timeout = '{TABLE_LOCK_MILLISECONDS}ms'")
        deadline = time.monotonic() + WAIT_FOR_TABLE_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                work()
                return
            except LockNotAvailable:
                if time.monotonic() + pause > deadline:
                    raise
                row = self.execute(_LONGEST_TRANSACTION).fetchone()
                longest = dict(zip(("pid", "application", "seconds"), row, strict=True)) if row else None
                _log.warning("migration.waits", migration=name, longest_transaction=longest, retry_in_s=pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

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
