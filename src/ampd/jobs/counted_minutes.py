"""Minutes that are counted once, by whichever controller comes first, and kept for charts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ampd.metadata_db import MetadataDb, sql

KEPT_DAYS: Final = 8
EXPIRY_MINUTES: Final = 30
# So many minutes that nobody has counted are made up for: controllers were away.
MOST_BACK: Final = 30
# Whatever was begun so long ago has been committed, or never will be: see ampd.metadata_db.pool.TRANSACTION_SECONDS.
LATE_SECONDS: Final = 30.0
# The row of the whole cluster.
ALL: Final = "*"

Connection: TypeAlias = AsyncConnection[DictRow]
# What the statement that adds the rows of a minute is given.
Measure: TypeAlias = Callable[[Connection, datetime], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class MinuteStatements:
    """The SQL files of a ``room``: the lock of those who count, the minute that is next, its rows, and what is old."""

    room: str
    lock: str
    next_minute: str
    add: str
    expire: str


async def count_minute(db: MetadataDb, statements: MinuteStatements, measure: Measure) -> bool:
    """Count the next minute by ``measure``, if it is over for good; tell whether there may be another one to count: not
    when another process is counting.

    :raises AmpError: METADATA_DB_UNREACHABLE.
    """
    room = statements.room
    async with db.transaction() as connection:
        lock = await (await connection.execute(sql(room, statements.lock))).fetchone()
        if lock is None or not lock["taken"]:
            return False
        bounds = {"late_seconds": LATE_SECONDS, "most_back": MOST_BACK}
        row = await (await connection.execute(sql(room, statements.next_minute), bounds)).fetchone()
        if row is None or row["at"] is None:
            return False
        await connection.execute(sql(room, statements.add), await measure(connection, row["at"]))
        if row["at"].minute % EXPIRY_MINUTES == 0:  # it reads all that is kept
            await connection.execute(sql(room, statements.expire), {"kept_days": KEPT_DAYS})
    return True
