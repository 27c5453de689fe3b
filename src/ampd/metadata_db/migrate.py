"""Migrations of the metadata database: numbered SQL files, applied by yoyo in two phases (design sections 3 and 6).

A new version's pre migrations are applied while processes of the version before are at work, and these go on working;
its post migrations when no such process is left (docs/decisions/0024-two-phases.md). The database remembers of each
migration in which phase it belongs and which version it needs: that is how an ampd tells whether it can work with a
database that a newer one has migrated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import yoyo
from psycopg.errors import LockNotAvailable

import ampd
from ampd.errors import AmpError, ErrorCode, describe_exception
from ampd.metadata_db.live_processes import LiveProcess, live_processes, older_than
from ampd.metadata_db.migration_backend import MIGRATION_TABLE, MigrationBackend, connect
from ampd.metadata_db.migration_files import MigrationFile, Phase, is_older, read_migration_files
from ampd.metadata_db.pool import unreachable
from ampd.telemetry import redact

MIGRATIONS = "package:ampd.metadata_db:migrations"
OLDEST_SERVER = 14
DEFAULT_LEASE_SECONDS = 5.0
# The columns of ours are not there before the first migration that has a phase.
_APPLIED: LiteralString = """
SELECT migration_id, to_jsonb(m) ->> 'phase' AS phase, to_jsonb(m) ->> 'oldest_version' AS oldest_version
FROM _yoyo_migration m ORDER BY applied_at_utc, migration_id
"""


@dataclass(frozen=True)
class Applied:
    """A migration that the database has had. ``phase`` is None when it does not say."""

    id: str
    phase: Phase | None
    oldest_version: str | None


@dataclass(frozen=True)
class Status:
    """What a database has had, what it lacks, and which processes keep what it lacks from being applied."""

    applied: list[Applied]
    pending: list[MigrationFile]
    older_processes: list[LiveProcess]


@dataclass(frozen=True)
class Migrated:
    """What has been applied now, what waits, and for whose end."""

    applied: list[str]
    waiting: list[str]
    older_processes: list[LiveProcess]


def migrate(
    url: str,
    *,
    source: str = MIGRATIONS,
    phase: Phase | None = None,
    force: bool = False,
    lease_seconds: float = DEFAULT_LEASE_SECONDS,
) -> list[str]:
    """Bring the database up to date and return the ids of the migrations applied now, in their order.

    Safe to call from several processes at once: one migrates, the others wait and find nothing left to do.

    :param source: where the SQL files are, as yoyo writes it: ``package:<package>:<directory>`` or a directory.
    :param phase: only the migrations of this phase; None: all.
    :param force: whatever processes of older versions are at work: they will fail.
    :param lease_seconds: for how long a worker counts as living after a beat.
    :raises AmpError: METADATA_DB_UNREACHABLE, METADATA_DB_UNSUPPORTED, METADATA_DB_MIGRATION_FAILED,
        METADATA_DB_IN_USE when a migration would break processes that are at work; those before it are kept.
    """
    done = _migrate(url, source, phase, force, lease_seconds)
    if done.waiting:
        kept = f" Applied before: {', '.join(done.applied)}." if done.applied else ""
        raise AmpError(
            ErrorCode.METADATA_DB_IN_USE,
            f"migration {done.waiting[0]} takes away what processes need that are at work on the metadata database at "
            f"{redact(url)}: {', '.join(map(str, done.older_processes))}.{kept} Restart them with this version, then "
            "run ampd migrate --phase post; or use --force, and they will fail",
            context={"waiting": done.waiting, "older_processes": [str(each) for each in done.older_processes]},
        )
    return done.applied


def migrate_at_start(url: str, *, source: str = MIGRATIONS, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> Migrated:
    """Do what a process does before it works: apply all that no other process minds, and leave the rest for later.

    :raises AmpError: as for :func:`migrate`; METADATA_DB_IN_USE when something is left that this process needs.
    """
    done = _migrate(url, source, None, False, lease_seconds)
    if done.waiting and {file.id for file in read_migration_files(source) if not file.is_post} & set(done.waiting):
        raise AmpError(
            ErrorCode.METADATA_DB_IN_USE,
            f"the metadata database at {redact(url)} is used by processes that are too old to work beside this one "
            f"(ampd {ampd.__version__}): {', '.join(map(str, done.older_processes))}. Upgrade them to a version in "
            "between first, or stop them all",
        )
    return done


def pending_migrations(url: str, *, source: str = MIGRATIONS) -> list[str]:
    """Return the ids of the migrations that the database still lacks, in their order. Writes nothing.

    :raises AmpError: METADATA_DB_UNREACHABLE, METADATA_DB_UNSUPPORTED.
    """
    return [file.id for file in _look(url, source).pending]


def migration_status(url: str, *, source: str = MIGRATIONS, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> Status:
    """Return what the database has had and what it lacks. Writes nothing.

    :raises AmpError: METADATA_DB_UNREACHABLE, METADATA_DB_UNSUPPORTED.
    """
    return _look(url, source, lease_seconds)


def require_migrated(url: str) -> None:
    """Check that the database has all that this ampd needs; what it only takes away may be there still.

    :raises AmpError: METADATA_DB_NOT_MIGRATED, METADATA_DB_UNREACHABLE, METADATA_DB_UNSUPPORTED.
    """
    missing = [file.id for file in _look(url, MIGRATIONS).pending if not file.is_post]
    if missing:
        raise AmpError(
            ErrorCode.METADATA_DB_NOT_MIGRATED,
            f"the metadata database at {redact(url)} lacks migrations: {', '.join(missing)}. "
            "Run: ampd --config <file> migrate --phase pre (or set metadata_db.auto_migrate = true)",
        )


class _StillInUseError(Exception):
    """A migration waits for the end of these processes."""

    def __init__(self, processes: list[LiveProcess]) -> None:
        super().__init__()
        self.processes = processes


def _migrate(url: str, source: str, phase: Phase | None, force: bool, lease_seconds: float) -> Migrated:
    if not _of_phase(url, _look(url, source).pending, phase):
        return Migrated([], [], [])
    with _connection_errors(url):
        backend = MigrationBackend(url, MIGRATION_TABLE)
    try:
        with backend, backend.lock():
            backend.prepare()
            # Another process may have migrated meanwhile.
            todo = _of_phase(url, _look(url, source).pending, phase)
            return _apply(backend, todo, url, None if force else lease_seconds)
    except LockNotAvailable as error:
        raise _failed(
            url,
            f"{describe_exception(error).strip()}: another process held a lock for too long. "
            "See pg_stat_activity for who holds it, then run ampd migrate again",
        ) from error
    except (psycopg.Error, yoyo.exceptions.BadMigration) as error:
        raise _failed(url, describe_exception(error).strip()) from error


def _of_phase(url: str, pending: list[MigrationFile], phase: Phase | None) -> list[MigrationFile]:
    """Return the migrations of a phase.

    :raises AmpError: METADATA_DB_NOT_MIGRATED for the phase post while those of the phase pre are missing.
    """
    before = [file.id for file in pending if not file.is_post]
    if phase is Phase.POST and before:
        raise AmpError(
            ErrorCode.METADATA_DB_NOT_MIGRATED,
            f"the metadata database at {redact(url)} lacks migrations that come first: {', '.join(before)}. "
            "Run: ampd --config <file> migrate --phase pre, and restart all processes with this version",
        )
    return [file for file in pending if phase is None or file.is_post == (phase is Phase.POST)]


def _apply(backend: MigrationBackend, todo: list[MigrationFile], url: str, lease_seconds: float | None) -> Migrated:
    """Apply ``todo``; ``lease_seconds`` None: without asking who is at work."""
    applied: list[str] = []
    for file in todo:

        def check(file: MigrationFile = file) -> None:
            _require_nobody_older(backend, file, lease_seconds)

        try:
            backend.apply(file, check)
        except _StillInUseError as error:
            return Migrated(applied, [each.id for each in todo[len(applied) :]], error.processes)
        except psycopg.Error as error:
            kept = "Nothing of it was kept" if file.yoyo.use_transactions else "It may be half done"
            before = f". Applied before it: {', '.join(applied)}" if applied else ""
            said = describe_exception(error).strip()
            raise _failed(url, f"migration {file.id}: {said}. {kept}{before}") from error
        applied.append(file.id)
    return Migrated(applied, [], [])


def _require_nobody_older(backend: MigrationBackend, file: MigrationFile, lease_seconds: float | None) -> None:
    if file.oldest_version is None or lease_seconds is None:
        return
    older = older_than(live_processes(backend.connection, lease_seconds=lease_seconds), file.oldest_version)
    if older:
        raise _StillInUseError(older)


def _look(url: str, source: str, lease_seconds: float | None = None) -> Status:
    """Return what there is and what is missing, once it is clear that we can use this database."""
    files = read_migration_files(source)
    with _connection_errors(url), connect(url) as connection:
        version = connection.info.server_version
        if version < OLDEST_SERVER * 10_000:
            raise _unsupported(
                url, f"runs PostgreSQL {version // 10_000}; ampd needs PostgreSQL {OLDEST_SERVER} or newer"
            )
        applied = _applied(connection)
        live = [] if lease_seconds is None else live_processes(connection, lease_seconds=lease_seconds)
    _require_known_or_harmless(url, applied, {file.id for file in files})
    had = {each.id for each in applied}
    pending = [file for file in files if file.id not in had]
    oldest = [file.oldest_version for file in pending if file.oldest_version is not None]
    older = [each for each in live if any(is_older(each.version, version) for version in oldest)]
    return Status(applied, pending, older)


def _applied(connection: psycopg.Connection[Any]) -> list[Applied]:
    there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [MIGRATION_TABLE]).fetchone()
    if not there or not there[0]:
        return []
    rows = connection.execute(_APPLIED).fetchall()
    return [Applied(id_, Phase(phase) if phase in list(Phase) else None, oldest) for id_, phase, oldest in rows]


def _require_known_or_harmless(url: str, applied: list[Applied], known: set[str]) -> None:
    """Refuse a database from which a newer ampd has taken what this one needs.

    :raises AmpError: METADATA_DB_UNSUPPORTED.
    """
    for each in applied:
        if each.id in known or (each.phase is Phase.PRE and each.oldest_version is None):
            continue
        if each.oldest_version is None:
            needs = "Install the version of ampd that did it"
        elif is_older(ampd.__version__, each.oldest_version):
            needs = f"Install ampd {each.oldest_version} or newer"
        else:
            continue
        raise _unsupported(
            url,
            f"was migrated by a newer ampd (unknown here: {each.id}), and this one, ampd {ampd.__version__}, does not "
            f"work with it. {needs}, or use another database",
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
