"""Races at the moment one wants: puts of the lake and commits of the database, held until the test lets them go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

import psycopg

from support.tip import Tip

Writer = Literal["compaction", "extraction"]
# Words that only the statement has with which a commit of theirs meets the lock.
_STATEMENTS: dict[Writer, tuple[str, ...]] = {
    "compaction": ("'COMPACTED'", "FOR NO KEY UPDATE"),
    "extraction": ("'ORPHANED'", "FOR SHARE"),
}


class HeldPuts:
    """Puts of one kind of writer, which wait before they are made."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.arrived = asyncio.Event()
        self._released = asyncio.Event()
        self._left: int | None = None

    def release(self, puts: int | None = None) -> None:
        """Let all puts be made, or only so many: later ones wait again."""
        self._left = puts
        self._released.set()

    async def wait(self) -> None:
        """Be one of them."""
        self.arrived.set()
        while True:
            await self._released.wait()
            if self._left is None:
                return
            if self._left > 0:
                self._left -= 1
                return
            self._released.clear()


@contextmanager
def held_puts(tip: Tip, *held: HeldPuts) -> Iterator[None]:
    """Let the lake's puts wait as ``held`` says. Who puts is told by the row that is written before the object."""
    put = tip.lake.put

    async def put_later(path: str, data: Any) -> Any:
        row = await tip.db.fetch_one("SELECT job_id FROM uncounted_files WHERE path = %(path)s", {"path": path})
        assert row is not None, f"nobody has announced {path}"
        writer: Writer = "extraction" if row["job_id"] is None else "compaction"
        for each in held:
            if each.writer == writer:
                await each.wait()
        return await put(path, data)

    tip.lake.put = put_later  # type: ignore[method-assign]
    try:
        yield
    finally:
        for each in held:
            each.release()
        tip.lake.put = put  # type: ignore[method-assign]


class HeldCommits:
    """A lock that every commit which takes files away has to wait for."""

    def __init__(self, tip: Tip, connection: psycopg.AsyncConnection[Any]) -> None:
        self._tip = tip
        self._connection = connection

    async def wait_for(self, writer: Writer) -> None:
        """Wait until a commit of this writer waits, for the lock or for another commit that does."""

        async def waits() -> bool:
            rows = await self._tip.db.fetch_all(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return any(word in row["query"] for row in rows for word in _STATEMENTS[writer])

        await self._tip.until(f"a commit of the {writer} that waits", waits)

    async def release(self) -> None:
        await self._connection.rollback()


@asynccontextmanager
async def held_commits(tip: Tip) -> AsyncIterator[HeldCommits]:
    """Let all commits wait: files may be read, and not changed."""
    async with await psycopg.AsyncConnection.connect(tip.db.url) as connection:
        await connection.execute("LOCK TABLE files IN SHARE MODE")
        yield HeldCommits(tip, connection)
