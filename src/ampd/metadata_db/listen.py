"""LISTEN on a connection of its own that is opened again whenever it is lost (design section 4.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import psycopg
import structlog
from psycopg import sql as psycopg_sql

from ampd.metadata_db.deadline import cut_after
from ampd.metadata_db.pool import CHECK_SECONDS, TCP_OPTIONS

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
# A line that is dead without a word is found by asking.
_CHECK_EVERY_SECONDS = 20.0
_LONGEST_PAUSE_SECONDS = 10.0


async def listen(url: str, channel: str) -> AsyncGenerator[str | None, None]:
    """Give the payloads sent to ``channel``, for ever; None each time that listening has begun (again).

    Between a loss and the next None anything may have been missed: the reader then looks at the tables. Because LISTEN
    comes before that look, nothing falls between the two.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                url,
                autocommit=True,
                connect_timeout=5,
                application_name="ampd listen",
                **TCP_OPTIONS,
            )
            async with connection:
                await connection.execute(psycopg_sql.SQL("LISTEN {}").format(psycopg_sql.Identifier(channel)))
                pause = _FIRST_PAUSE_SECONDS
                yield None
                while True:
                    async for notification in connection.notifies(timeout=_CHECK_EVERY_SECONDS):
                        yield notification.payload
                    with cut_after(connection, CHECK_SECONDS):
                        await connection.execute("SELECT 1")
        except (psycopg.Error, OSError) as error:
            _log.warning("listen.lost", channel=channel, error=str(error).strip(), retry_in_s=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
