"""What the statements of the job engine read where there are 1,000,000 jobs and 10,000,000 events: little more than
what they are about, and no table from its first row to the last. Their speed hangs on that; no time is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from ampd.jobs import JobFilter, JobState, LeasedJobs, WorkerSession, hold_lease, rescue_jobs_of_lost_workers
from ampd.jobs.placement import assign_due_jobs
from ampd.metadata_db import MetadataDb
from ampd.metadata_db.pool import SESSION_OPTIONS
from support import query_plan_list_cases, query_plan_overview_cases, query_plan_timetable_cases  # noqa: F401 - their cases
from support.daemons import wait_for
from support.many_jobs import (
    ASSIGNED,
    DEPENDENT,
    DUE,
    EVENTS,
    FAILED,
    FUTURE,
    HELD,
    JOBS,
    RUNNING,
    SLOTS,
    STOP_REQUESTED,
    STOPPED,
    STOPPING,
    WORKERS,
    lease_of,
    many_jobs,
    worker,
)
from support.query_plan_cases import LANES, NOT_GUARDED, SESSION, leave_one_slot
from support.query_plan_list_cases import FEW
from support.query_plan_registry import CASES, LISTED, TRANSITION
from support.query_plans import LEASE_SECONDS, ExplainedSession, Plan, engine_in_one_transaction, operations


@pytest.fixture(scope="module")
def filled_url() -> Iterator[str]:
    with many_jobs() as url:
        yield url


@pytest.fixture
def url(filled_url: str) -> str:
    """The database, without what the tests before have left: dead rows are not what is measured."""
    with psycopg.connect(filled_url, autocommit=True) as connection:
        connection.execute("VACUUM (INDEX_CLEANUP ON) jobs")
    return filled_url


def _problems(plans: list[Plan], most_rows: dict[str, int]) -> list[str]:
    """Return what is wrong with ``plans``. To read a row, or to write one, costs a few pages of each index."""
    return [
        f"may read {most_rows[plan.operation]} rows: {plan}"
        for plan in plans
        if plan.scanned or plan.rows > (most := most_rows[plan.operation]) or plan.pages > 66 + 6 * most
    ]


def test_the_database_is_as_big_as_it_says(filled_url: str) -> None:
    states = {
        JobState.FAILED: len(FAILED),
        JobState.STOPPED: len(STOPPED),
        JobState.RUNNING: len(RUNNING),
        JobState.STOP_REQUESTED: len(STOP_REQUESTED),
        JobState.STOPPING: len(STOPPING),
        JobState.SCHEDULED: len(ASSIGNED) + len(DEPENDENT) + DUE + FUTURE,
    }
    states[JobState.COMPLETED] = JOBS - sum(states.values())
    assert states[JobState.COMPLETED] == 985_000
    with psycopg.connect(filled_url) as connection:
        found = connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
        assert {JobState(state): count for state, count in found} == states
        assert connection.execute("SELECT count(*) FROM job_events").fetchone() == (EVENTS,)
        assert connection.execute("SELECT count(*) FROM job_executions").fetchone() == (JOBS,)
        assert connection.execute("SELECT count(*) FROM jobs WHERE worker_incarnation IS NOT NULL").fetchone() == (
            HELD,
        )


@pytest.mark.parametrize("name", CASES)
async def test_little_more_is_read_than_it_is_about(url: str, name: str) -> None:
    case = CASES[name]
    async with engine_in_one_transaction(url) as engine:
        await case.act(engine)
        scanned = await engine.scanned_tables()
    assert {plan.operation for plan in engine.plans} == set(case.most_rows)
    problems = _problems(engine.plans, case.most_rows)
    assert not problems, "\n".join(problems)
    # Statements that foreign keys execute are explained by nobody.
    assert scanned == []


def test_the_heartbeat_of_a_worker_reads_what_that_worker_has(url: str) -> None:
    with (
        ExplainedSession.connect(url, row_factory=dict_row, options=SESSION_OPTIONS) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.plans = []
        session = WorkerSession(connection, worker(7), lease_seconds=LEASE_SECONDS)
        session.register(info={}, slots=SLOTS)
        assert len(session.beat().wanted) == 13
        session.set_draining()
        session.retire()
    assert {plan.operation for plan in connection.plans} == set(SESSION)
    problems = _problems(connection.plans, SESSION)
    assert not problems, "\n".join(problems)


def test_every_statement_of_the_engine_is_guarded() -> None:
    guarded = set(SESSION).union(*(case.most_rows for case in CASES.values()))
    assert set(operations().values()) - guarded == NOT_GUARDED


async def test_a_statement_is_planned_for_its_values_also_after_many_executions(url: str) -> None:
    async with engine_in_one_transaction(url, explains=False) as engine:
        await leave_one_slot(engine)
        for _ in range(12):
            before = await engine.rows_read()
            (lease,) = await assign_due_jobs(engine.connection, lease_seconds=LEASE_SECONDS)
            assert await engine.leased.start(lease) is not None
            await hold_lease(engine.connection, lease)
            assert await engine.leased.report_progress(lease, {})
            assert await engine.leased.complete(lease)
            assert await rescue_jobs_of_lost_workers(engine.db, lease_seconds=LEASE_SECONDS, actor="test") == []
            await engine.store.list_page(JobFilter(states=FEW), limit=50)
            rows = await engine.rows_read() - before
        prepared = await engine.connection.run(
            "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements WHERE NOT from_sql"
        )
        assert await engine.scanned_tables() == []
    planned = {operations().get(row["statement"].splitlines()[0]): row["custom_plans"] for row in prepared}
    assert {
        "list_free_workers",
        "list_due_jobs",
        "assign_jobs",
        "transition",
        "lock_jobs_with_worker",
        "list_jobs",
    } <= {operation for operation, plans in planned.items() if plans > 5}
    assert [row["statement"] for row in prepared if row["generic_plans"] and "$1" in row["statement"]] == []
    assert rows <= 3 * HELD + LISTED + 4 * LANES + 2 * TRANSITION


# Rows that change often must not touch an index.


def _updates(url: str, table: str) -> tuple[int, int]:
    """Return how many rows of ``table`` were updated so far, and how many of them without a new entry in an index."""
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s"
    with psycopg.connect(url) as connection:
        row = connection.execute(query, (table,)).fetchone()
    assert row is not None
    return row


def _hot_share(url: str, table: str, before: tuple[int, int], count: int) -> float:
    """Wait until ``count`` updates since ``before`` are counted, and return the share of those that were heap-only."""
    wait_for(f"{count} updates of {table}", lambda: _updates(url, table)[0] - before[0] >= count)
    updated, hot = (after - earlier for after, earlier in zip(_updates(url, table), before, strict=True))
    assert updated == count
    return hot / updated


def test_heartbeats_are_heap_only_updates(url: str) -> None:
    before = _updates(url, "worker_heartbeats")
    connections = [
        psycopg.connect(url, autocommit=True, row_factory=dict_row, options=SESSION_OPTIONS) for _ in range(WORKERS)
    ]
    sessions = [
        WorkerSession(connection, worker(number), lease_seconds=LEASE_SECONDS)
        for number, connection in enumerate(connections)
    ]
    for _ in range(100):
        for session in sessions:
            session.beat()
    for connection in connections:  # a session tells what it has counted at its end
        connection.close()
    assert _hot_share(url, "worker_heartbeats", before, 100 * WORKERS) >= 0.95


async def test_reports_of_progress_are_heap_only_updates(url: str) -> None:
    before = _updates(url, "job_progress")
    async with MetadataDb(url) as db:
        leased = LeasedJobs(db)
        for end_block in range(10):
            reports = (leased.report_progress(lease_of(job_id), {"end_block": end_block}) for job_id in RUNNING[:100])
            assert all(await asyncio.gather(*reports))
    assert _hot_share(url, "job_progress", before, 1_000) >= 0.95
