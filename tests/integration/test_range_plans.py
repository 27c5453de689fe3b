"""What planning, leasing, committing and progress read where a dataset has 100,000 files: as much as where it has few.
Their speed hangs on that; no time is measured.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from psycopg.rows import dict_row

from ampd.data_store import PlannedRange, RangeStore, TableStore, WrittenSegment
from ampd.metadata_db import EmbeddedPostgres, MetadataDb
from ampd.metadata_db.pool import SESSION_OPTIONS
from support.databases import fresh_database
from support.query_plans import ExplainedConnection, Plan, _OneTransaction
from support.ranges import COST, Ranges, fill_lake, running_extraction, segment

FILES_OF_A_TABLE = 50_000
BLOCKS = 20 * FILES_OF_A_TABLE
# A few rows of each of the small tables, and those that a statement is about.
MOST_ROWS, MOST_PAGES = 40, 200


@pytest.fixture(scope="module")
def filled_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


class Measured:
    """The scene of ``support.ranges``, in one transaction in which every statement is explained."""

    def __init__(self, ranges: Ranges, connection: ExplainedConnection) -> None:
        self.db: MetadataDb = _OneTransaction(ranges.db.url, connection)
        self.ranges = ranges
        self.connection = connection
        self.store = RangeStore(self.db, lease_seconds=60.0)
        self.tables = TableStore(self.db)

    async def rows_read(self) -> int:
        """Return how many rows this session has read so far, triggers included."""
        query = "SELECT sum(seq_tup_read + idx_tup_fetch) AS rows FROM pg_stat_xact_user_tables"
        return int((await self.connection.run(query))[0]["rows"] or 0)

    async def check(self, what: str, act: Callable[[], Awaitable[object]]) -> None:
        plans: list[Plan] = []
        before = await self.rows_read()
        self.connection.plans = plans
        try:
            await act()
        finally:
            self.connection.plans = None
        read = await self.rows_read() - before
        assert plans, f"{what}: nothing was executed"
        wrong = [
            str(plan) for plan in plans if "files" in plan.scanned or plan.rows > MOST_ROWS or plan.pages > MOST_PAGES
        ]
        assert not wrong, f"{what}\n" + "\n".join(wrong)
        # Explaining executes each statement once more.
        assert read <= 2 * MOST_ROWS * len(plans), f"{what}: {read} rows"


@asynccontextmanager
async def _measured(url: str) -> AsyncIterator[Measured]:
    async with (
        MetadataDb(url) as db,
        running_extraction(db) as ranges,
        await ExplainedConnection.connect(url, row_factory=dict_row, options=SESSION_OPTIONS) as connection,
    ):
        fill_lake(url, segments=FILES_OF_A_TABLE, blocks_each=20)
        async with connection.transaction(force_rollback=True):
            yield Measured(ranges, connection)


async def test_nothing_reads_more_than_a_few_rows_beside_a_hundred_thousand_files(filled_url: str) -> None:
    async with _measured(filled_url) as measured:
        ranges, store, lease = measured.ranges, measured.store, measured.ranges.lease
        revisions = list(ranges.revisions.values())
        await measured.check("begin", lambda: store.begin_plan(lease, 4))
        more = [PlannedRange(start, start + 19) for start in range(BLOCKS, BLOCKS + 100, 20)]
        await measured.check("plan", lambda: store.plan_more(lease, more, done=[7]))
        await measured.check("view", lambda: store.view(lease.job_id, revisions))
        worker = ranges.workers["holder"]
        await measured.check("open plans", lambda: store.open_plans(worker))
        await measured.check("lease", lambda: store.lease_next(lease.job_id, worker))
        taken = await store.lease_next(lease.job_id, worker)
        assert taken is not None
        written = segment(taken.start_block, taken.end_block)
        ranges.store = store
        await measured.check("held", lambda: store.held_by(worker.incarnation))
        await measured.check("free", store.free_lost)
        files = await ranges.write(taken, written)
        await measured.check("commit", lambda: store.commit(taken, [WrittenSegment(written, files)], COST))
        await measured.check("progress", lambda: measured.tables.progress_of_job(lease.job_id))
        job = await ranges.jobs.get(lease.job_id)
        await measured.check("summary", lambda: measured.tables.progress_summary(job))
