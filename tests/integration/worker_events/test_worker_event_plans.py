"""What the statements of worker events read where 100,000 events are in the log and 100,000 wait to enter it, beside
20,000 jobs that have ended: what they are about. Their speed hangs on that; no time is measured.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

from psycopg.rows import dict_row

from ampd.metadata_db import MetadataDb
from ampd.metadata_db.pool import SESSION_OPTIONS
from ampd.worker_events import (
    START,
    EventFilter,
    EventType,
    WorkerEventLog,
    collect_events,
    expire_events_of_log,
    give_up_sending,
    lease_sending,
    note_sent,
    read_event_figures,
    record_started,
    set_recorded,
)
from ampd.worker_events.log import WINDOW
from support.event_scene import FATAL, HOUR, EventScene, event_scene
from support.query_plans import ExplainedConnection, Plan, _OneTransaction, operations

MANY: Final = 100_000
FEW: Final = 60  # rows of small tables, and of what a statement is about
_EVENT: Final = (
    "SELECT gen_random_uuid(), 'sync.progress', now() - make_interval(secs => 200000 - n), 'w', n, 'ns' || n % 7,"
    " 'd' || n % 501, md5('m' || n) || md5('n' || n), 'blocks', 0, n, 1000000, 1, 1 FROM generate_series(1, 100000) n"
)
_COLUMNS: Final = (
    "(event_id, event_type, created_at, worker_id, job_id, dataset_namespace, dataset_name, manifest_hash, table_name,"
    " start_block, current_block, end_block, files_count, total_size_bytes)"
)
_FILL: Final = (
    f"INSERT INTO worker_events {_COLUMNS} {_EVENT}",
    f"INSERT INTO worker_event_outbox {_COLUMNS} {_EVENT}",
    "INSERT INTO jobs (kind, idempotency_key, state, input, ended_at)"
    " SELECT 'noop', 'noop:' || n, 'COMPLETED', '{}', now() FROM generate_series(1, 20000) n",
    "INSERT INTO job_progress (job_id, data, updated_at) SELECT id, '{}', now() FROM jobs WHERE kind = 'noop'",
    # Tables that nobody writes any more.
    "INSERT INTO table_revisions (path, writer_job_id, metadata)"
    " SELECT 'old/' || id, id, '{\"start_block\": 0}' FROM jobs WHERE kind = 'noop'",
    "INSERT INTO physical_tables (dataset_namespace, dataset_name, manifest_hash, table_name, active_revision_id)"
    " SELECT 'old', 'd' || r.id, (SELECT min(hash) FROM manifests), 'blocks', r.id FROM table_revisions r"
    " WHERE r.path LIKE 'old/%'",
    # Gaps: each is a run of its own.
    "INSERT INTO block_runs SELECT r.id, 1000000 + 10 * n, 1000004 + 10 * n, '\\x00', '\\x01', 1, 1, 1"
    " FROM table_revisions r, generate_series(1, 10000) n WHERE r.path NOT LIKE 'old/%'",
    "ANALYZE",
)


class Measured:
    """A job with tables, in one transaction in which every statement is explained."""

    def __init__(self, scene: EventScene, connection: ExplainedConnection) -> None:
        self.scene = scene
        self.connection = connection
        self.db: MetadataDb = _OneTransaction(scene.db.url, connection)
        self.log = WorkerEventLog(self.db)
        self.seen: set[str] = set()

    async def scanned(self) -> set[str]:
        """Return the big tables that were read from their first row to the last so far, by triggers too."""
        query = (
            "SELECT relname FROM pg_stat_xact_user_tables WHERE seq_scan > 0 AND relname IN"
            " ('worker_events', 'worker_event_outbox', 'jobs', 'job_progress', 'block_runs', 'table_revisions',"
            " 'physical_tables')"
        )
        return {row["relname"] for row in await self.connection.run(query)}

    async def check(self, act: Callable[[], Awaitable[object]], most: int = FEW) -> None:
        plans: list[Plan] = []
        self.connection.plans = plans
        try:
            await act()
        finally:
            self.connection.plans = None
        assert plans, "nothing was executed"
        self.seen |= {plan.operation for plan in plans}
        wrong = [str(plan) for plan in plans if plan.scanned or plan.rows > most or plan.pages > 200 + 8 * most]
        assert not wrong, "\n".join(wrong)
        assert await self.scanned() == set()


async def fill(scene: EventScene, *statements: str) -> None:
    async with scene.db.transaction() as connection:
        for statement in statements:
            await connection.execute(statement.encode())


async def test_no_statement_reads_more_than_it_is_about_beside_a_hundred_thousand_events(
    metadata_db: MetadataDb,
) -> None:
    async with event_scene(metadata_db) as scene:
        await scene.begin(end_block=10**9)
        await scene.extract(0, 9)
        await fill(scene, *_FILL)
        async with (
            await ExplainedConnection.connect(
                metadata_db.url, row_factory=dict_row, options=SESSION_OPTIONS
            ) as connection,
            connection.transaction(force_rollback=True),
        ):
            measured = Measured(scene, connection)
            await check_recording(measured)
            await check_reading(measured)
            await check_sending(measured)
            # The end of the job comes last: its trigger ends what is told of its tables.
            lease, leased = scene.ranges.lease, scene.ranges.leased
            leased._db = measured.db
            assert await leased.fail(lease, FATAL)
            assert await measured.scanned() == set()
            assert measured.seen == set(operations("worker_events").values())


async def check_recording(measured: Measured) -> None:
    lease = measured.scene.ranges.lease
    await measured.check(lambda: record_started(measured.connection, lease.job_id, "holder"))
    await measured.check(lambda: collect_events(measured.db, progress_interval_seconds=0.0), most=6 * 1000)
    await measured.check(lambda: set_recorded(measured.db, recorded=False))
    await measured.check(lambda: set_recorded(measured.db, recorded=True))


async def check_reading(measured: Measured) -> None:
    log, db = measured.log, measured.db
    await measured.check(log.state)
    (row,) = await measured.connection.run("SELECT event_id FROM worker_events WHERE id = 50000")
    await measured.check(lambda: log.resume_at(str(row["event_id"])))
    await measured.check(lambda: log.resume_at(START))
    await measured.check(lambda: read_event_figures(db))
    for after in (0, MANY // 2, MANY - 10):
        await measured.check(lambda: log.read(EventFilter(), after_id=after, last_id=2 * MANY), most=200)  # noqa: B023
    for rare in (
        EventFilter(job_id=7),
        EventFilter(namespace="ns3", name="d400", table_name="blocks"),
        EventFilter(event_types=(EventType.FAILED,)),
    ):
        await measured.check(lambda: log.read(rare, after_id=0, last_id=2 * MANY), most=WINDOW + FEW)  # noqa: B023


async def check_sending(measured: Measured) -> None:
    db = measured.db
    holder = uuid4()
    lease = await lease_sending(db, holder)
    assert lease is not None
    await measured.check(lambda: lease_sending(db, holder))
    await measured.check(lambda: note_sent(db, lease, MANY // 2))
    await measured.check(lambda: read_event_figures(db))
    await measured.check(lambda: give_up_sending(db, lease))
    await measured.check(
        lambda: expire_events_of_log(db, kept_seconds=53.5 * HOUR, unsent_seconds=54 * HOUR), most=8 * 5000
    )


async def test_events_that_few_want_are_found_window_by_window(scene: EventScene) -> None:
    await fill(scene, _FILL[0].replace("100000", "25000"))
    log, wanted, found, read_to = scene.log, EventFilter(job_id=24_995), [], 0
    last_id = (await log.state()).last_id
    while read_to < last_id:
        page = await log.read(wanted, after_id=read_to, last_id=last_id)
        assert read_to < page.read_to <= last_id
        found += page.events
        read_to = page.read_to
    assert [each.job_id for each in found] == [24_995]
