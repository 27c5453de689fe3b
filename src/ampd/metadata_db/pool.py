"""Connections to the metadata database (PostgreSQL 14 or newer)."""

from __future__ import annotations

import asyncio
import math
import select
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

import ampd
from ampd.errors import AmpError, ErrorCode, describe_exception
from ampd.metadata_db.deadline import cut_after
from ampd.tasks import cancel_all
from ampd.telemetry import redact

# Every session speaks UTC and gives up on a statement or a lock that hangs: no await on the database is without an end.
# A process that freezes inside a transaction loses it, and its locks, within about a lease: it must not keep a job from
# being rescued. Our transactions never wait for anything but the database.
# Plans are made for the values of each call: a plan for all values knows neither how many ids it gets nor which states,
# and would pass over the partial indexes.
_SESSION_OPTIONS = (
    "-c timezone=UTC -c statement_timeout=30s -c idle_in_transaction_session_timeout=5s "
    "-c plan_cache_mode=force_custom_plan -c lock_timeout={lock_milliseconds}"
)
CONNECT_TIMEOUT_SECONDS = 5
# How long a statement waits for a lock.
LOCK_SECONDS = 10.0
# How long a transaction may take, with all its waits, and how long the check of a connection before its use.
TRANSACTION_SECONDS = 20.0
CHECK_SECONDS = 3.0
# A connection that has answered so shortly ago is not asked whether it answers.
FRESH_SECONDS = 1.0
# A peer that is gone is noticed by TCP too, in about as long.
TCP_OPTIONS: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
# The database is there and cannot serve us at the moment: as when it cannot be reached, a later try may succeed.
AWAY = (
    PoolTimeout,
    psycopg.OperationalError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
)
# It is there, and too busy: another session holds what is wanted, or all of our connections are in use.
BUSY = (PoolTimeout, psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)
Row = dict[str, Any]
Connection = psycopg.AsyncConnection[DictRow]


def session_options(lock_seconds: float = LOCK_SECONDS) -> str:
    """Return the options of a session in which a statement waits for a lock for so long."""
    return _SESSION_OPTIONS.format(lock_milliseconds=round(1000 * lock_seconds))


SESSION_OPTIONS = session_options()


def unreachable(url: str, error: BaseException) -> AmpError:
    """Return the error that tells an operator that PostgreSQL cannot be reached, and how to go on."""
    return AmpError(
        ErrorCode.METADATA_DB_UNREACHABLE,
        f"cannot reach the metadata database at {redact(url)}: {describe_exception(error).strip()}. "
        "Check metadata_db.url in the config file (or AMP_CONFIG_METADATA_DB__URL), "
        "and that PostgreSQL accepts connections",
        recoverable=True,
    )


def away(url: str, error: BaseException) -> AmpError:
    """Return the error of a database that does not serve us at the moment, with what can be done."""
    if not isinstance(error, BUSY):
        return unreachable(url, error)
    return AmpError(
        ErrorCode.METADATA_DB_UNREACHABLE,
        f"the metadata database is too busy to answer: {describe_exception(error).strip()}. Try again; when it lasts, "
        "look in pg_stat_activity for the session that holds the lock or runs for long, and at metadata_db.pool_size",
        recoverable=True,
    )


class _PooledConnection(psycopg.AsyncConnection[DictRow]):
    """A connection that knows when (monotonic seconds) it last did what it was asked."""

    answered_at = -math.inf


async def _check(connection: _PooledConnection) -> None:
    """Make sure that a pooled connection still answers; the pool replaces it otherwise.

    A question costs a round trip. So one that has just answered is not asked again, unless its socket has something to
    read: a server that ends, and one that ends this session, says so unasked, or closes it.
    """
    if monotonic() - connection.answered_at < FRESH_SECONDS and not _has_news(connection):
        return
    with cut_after(connection, CHECK_SECONDS):
        await AsyncConnectionPool.check_connection(connection)


def _has_news(connection: _PooledConnection) -> bool:
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    return bool(look.poll(0))


class MetadataDb:
    """A pool of connections; every connection gives rows as dicts and speaks UTC.

    ``lock_seconds`` is how long a statement waits for a lock. ``process`` names this process (``controller …``,
    ``worker eth-1``) in ``pg_stat_activity``, behind the version: an upgrade looks there for processes of older
    versions (:mod:`ampd.metadata_db.live_processes`).
    """

    def __init__(
        self, url: str, *, max_connections: int = 10, lock_seconds: float = LOCK_SECONDS, process: str = ""
    ) -> None:
        self.url = url
        self._beside: set[asyncio.Task[None]] = set()
        self._pool: AsyncConnectionPool[_PooledConnection] = AsyncConnectionPool(
            url,
            connection_class=_PooledConnection,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "options": session_options(lock_seconds),
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": f"ampd {ampd.__version__} {process}".rstrip(),
                **TCP_OPTIONS,
            },
            min_size=1,
            max_size=max_connections,
            timeout=CONNECT_TIMEOUT_SECONDS + 1,
            check=_check,
            open=False,
        )

    async def __aenter__(self) -> MetadataDb:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect once to learn whether the database answers, then open the pool, with a session in it.

        :raises AmpError: METADATA_DB_UNREACHABLE.
        """
        try:
            probe = await psycopg.AsyncConnection.connect(self.url, connect_timeout=CONNECT_TIMEOUT_SECONDS)
            await probe.close()
        except (psycopg.Error, OSError) as error:
            raise unreachable(self.url, error) from None
        try:
            await self._pool.open(wait=True, timeout=CONNECT_TIMEOUT_SECONDS + 1)
        except PoolTimeout as error:
            await self._pool.close()
            raise unreachable(self.url, error) from None

    async def close(self) -> None:
        """End what runs beside, and close all connections."""
        await cancel_all(self._beside)
        await self._pool.close()

    def run_beside(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run ``work``, which nobody waits for, at the latest until the connections are closed.

        Whoever asks the database for something and does not wait must not outlive it: a task that only the loop knows
        may be forgotten by it at any moment.
        """
        task = asyncio.create_task(work, name=name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Give a connection inside one transaction: committed at the end, rolled back when an error passes."""
        async with self.for_one_statement() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def for_one_statement(self) -> AsyncIterator[Connection]:
        """Give a connection for one statement, which is a transaction by itself. That saves the round trips for the
        transaction's beginning and its end: two thirds of what a small query costs.
        """
        try:
            async with self._pool.connection() as connection:
                with cut_after(connection, TRANSACTION_SECONDS):
                    yield connection
                connection.answered_at = monotonic()
        except AWAY as error:
            raise away(self.url, error) from error

    async def execute(self, query: LiteralString, parameters: dict[str, Any] | None = None) -> None:
        """Run one statement in its own transaction; its rows are of no interest."""
        async with self.for_one_statement() as connection:
            await connection.execute(query, parameters)

    async def fetch_all(self, query: LiteralString, parameters: dict[str, Any] | None = None) -> list[Row]:
        """Run one statement in its own transaction and return its rows."""
        async with self.for_one_statement() as connection:
            return await (await connection.execute(query, parameters)).fetchall()

    async def fetch_one(self, query: LiteralString, parameters: dict[str, Any] | None = None) -> Row | None:
        """Run one statement in its own transaction and return its first row, or None."""
        async with self.for_one_statement() as connection:
            return await (await connection.execute(query, parameters)).fetchone()
