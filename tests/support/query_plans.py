"""What the statements of the job engine read. Each is explained just as the engine's own code sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from ampd.jobs import JobStore, LeasedJobs, Notifier
from ampd.metadata_db import MetadataDb
from ampd.metadata_db.pool import SESSION_OPTIONS
from support.many_jobs import BIG_TABLES

# The workers of many_jobs beat once, when the database is filled.
LEASE_SECONDS = 86_400.0

_ALSO_BIG = ("files", "uncounted_files", "worker_events", "worker_event_outbox")
_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "


@dataclass(frozen=True)
class Plan:
    """How a statement was executed.

    ``rows`` are those that its scans gave or passed over, the scans of common table expressions too; ``pages`` those
    that it looked at, of which an entry of an index that is passed over is seen in nothing else; ``scanned`` the big
    tables that were read from their first row to the last.
    """

    operation: str
    rows: int
    pages: int
    scanned: list[str]
    shape: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.rows} rows, {self.pages} pages\n{self.shape}"


def plan_of(query: str, tree: dict[str, Any]) -> Plan:
    """Read what EXPLAIN says of ``query``."""
    nodes = list(_nodes(tree))
    return Plan(
        operation=(operations() | operations("data_store") | operations("worker_events"))[query.splitlines()[0]],
        rows=round(sum(_rows(node) for _, node in nodes)),
        pages=tree["Shared Hit Blocks"] + tree["Shared Read Blocks"],
        scanned=[
            node["Relation Name"]
            for _, node in nodes
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in (*BIG_TABLES, *_ALSO_BIG)
        ],
        shape="\n".join(f"{'  ' * depth}{_line(node)}" for depth, node in nodes),
    )


def _nodes(node: dict[str, Any], depth: int = 1) -> Iterator[tuple[int, dict[str, Any]]]:
    yield depth, node
    for child in node.get("Plans", []):
        yield from _nodes(child, depth + 1)


def _rows(node: dict[str, Any]) -> float:
    if not node["Node Type"].endswith("Scan"):
        return 0
    passed_over = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float(node["Actual Loops"] * (node["Actual Rows"] + passed_over))


def _line(node: dict[str, Any]) -> str:
    of = node.get("Index Name") or node.get("CTE Name") or node.get("Relation Name") or ""
    removed = node.get("Rows Removed by Filter", 0)
    return f"{node['Node Type']} {of} rows={node['Actual Rows']} removed={removed} loops={node['Actual Loops']}"


@cache
def operations(room: str = "jobs") -> dict[str, str]:
    """Return the statements of a room, that of the job engine by default: the first line of each, and the name of its
    file.
    """
    directory = files(f"ampd.{room}").joinpath("sql")
    texts = {path.name.removesuffix(".sql"): path.read_text() for path in directory.iterdir()}
    by_line = {text.splitlines()[0]: name for name, text in texts.items()}
    assert len(by_line) == len(texts), "two statements begin with the same comment"
    return by_line


class ExplainedConnection(psycopg.AsyncConnection[DictRow]):
    """A connection that explains each statement, takes back what that did, and then executes it.

    ``plans`` None: it only executes.
    """

    plans: list[Plan] | None = None

    async def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.AsyncCursor[DictRow]:
        if self.plans is not None:
            async with self.transaction(force_rollback=True):
                explained = await super().execute(_EXPLAIN + query, params, prepare=False)
                self.plans.append(plan_of(query, (await explained.fetchall())[0]["QUERY PLAN"][0]["Plan"]))
        return await super().execute(query, params, **options)

    async def run(self, query: str, *parameters: Any) -> list[DictRow]:
        """Execute a statement of the test itself: it is not explained."""
        cursor = await super().execute(query.encode(), parameters or None, prepare=False)
        return await cursor.fetchall() if cursor.description else []


class ExplainedSession(psycopg.Connection[DictRow]):
    """The same for the session of a worker's heartbeat."""

    plans: list[Plan] | None = None

    def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.Cursor[DictRow]:
        if self.plans is not None:
            with self.transaction(force_rollback=True):
                explained = super().execute(_EXPLAIN + query, params, prepare=False)
                self.plans.append(plan_of(query, explained.fetchall()[0]["QUERY PLAN"][0]["Plan"]))
        return super().execute(query, params, **options)


class _OneTransaction(MetadataDb):
    """Everything that is done to it is done in the transaction of one connection."""

    def __init__(self, url: str, connection: ExplainedConnection) -> None:
        super().__init__(url)
        self._connection = connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ExplainedConnection]:
        async with self._connection.transaction():
            yield self._connection

    for_one_statement = transaction


@dataclass(frozen=True)
class Engine:
    """The job engine in one transaction, which is rolled back at the end. Its hints go out by other connections."""

    connection: ExplainedConnection
    db: MetadataDb
    notifier: Notifier
    plans: list[Plan] = field(default_factory=list)

    @property
    def store(self) -> JobStore:
        return JobStore(self.db, lease_seconds=LEASE_SECONDS, notifier=self.notifier)

    @property
    def leased(self) -> LeasedJobs:
        return LeasedJobs(self.db, notifier=self.notifier)

    async def rows_read(self) -> int:
        """Return how many rows of the big tables this session has read, triggers included."""
        query = (
            "SELECT sum(seq_tup_read + idx_tup_fetch) AS rows FROM pg_stat_xact_user_tables WHERE relname = ANY (%s)"
        )
        return int((await self.connection.run(query, list(BIG_TABLES)))[0]["rows"] or 0)

    async def scanned_tables(self) -> list[str]:
        """Return the big tables that this session has read from the first row to the last, triggers included."""
        query = "SELECT relname FROM pg_stat_xact_user_tables WHERE seq_scan > 0 AND relname = ANY (%s)"
        return [row["relname"] for row in await self.connection.run(query, list(BIG_TABLES))]


@asynccontextmanager
async def engine_in_one_transaction(url: str, *, explains: bool = True) -> AsyncIterator[Engine]:
    """Give the engine on a new connection, with the session options of MetadataDb."""
    async with (
        MetadataDb(url) as outside,
        await ExplainedConnection.connect(url, row_factory=dict_row, options=SESSION_OPTIONS) as connection,
        connection.transaction(force_rollback=True),
    ):
        engine = Engine(connection, _OneTransaction(url, connection), Notifier(outside))
        if explains:
            connection.plans = engine.plans
        yield engine
