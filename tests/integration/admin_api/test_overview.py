"""The overview and its history: every figure against a count of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from admin_api_cluster import services_over

from ampd.access import AccessStore, NewToken, Role
from ampd.admin_api import create_app
from ampd.data_store import count_lake_minute, note_lags
from ampd.jobs import count_job_minute
from ampd.metadata_db import MetadataDb
from support.engine import FATAL, TRANSIENT, Engine, deployment, worker_session
from support.ranges import TABLES, Ranges, running_extraction, segment

MINUTE: Final = 60


@pytest.fixture
def engine(metadata_db: MetadataDb, database_url: str) -> Iterator[Engine]:
    with worker_session(database_url, "here") as worker:
        yield Engine(metadata_db, worker)


@asynccontextmanager
async def api_over(db: MetadataDb, directory: Path, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(services_over(db, directory)))
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as api:
        yield api


@pytest.fixture
async def api(metadata_db: MetadataDb, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with api_over(metadata_db, tmp_path) as client:
        yield client


async def overview(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get("/overview")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def history(api: httpx.AsyncClient, minutes: int = 60) -> dict[str, Any]:
    answer = await api.get("/overview/history", params={"minutes": minutes})
    assert answer.status_code == 200, answer.text
    found = dict(answer.json())
    lengths = {len(column) for name, column in found.items() if name != "step_seconds"}
    assert lengths == {len(found["at"])}, "all columns have the same length"
    return found


async def run(db: MetadataDb, statement: Any, **parameters: Any) -> list[dict[str, Any]]:
    async with db.transaction() as connection:
        cursor = await connection.execute(statement, parameters)
        return await cursor.fetchall() if cursor.description else []


def of_dataset(key: str, namespace: str) -> dict[str, Any]:
    job_input = {"dataset_namespace": namespace, "dataset_name": "set", "manifest_hash": "0" * 64}
    return {"kind": "extraction", "idempotency_key": key, "input": job_input}


async def test_jobs_are_counted_by_state_and_so_are_the_failures_of_a_day(
    engine: Engine, api: httpx.AsyncClient
) -> None:
    ids = [(await engine.deploy(key)).id for key in "abcdef"]
    leases = await engine.start(*ids)
    for lease in leases[:3]:
        assert await engine.leased.fail(lease, FATAL)
    assert await engine.leased.complete(leases[3])
    await engine.store.pause(ids[4], actor="operator")
    await engine.deploy("g", worker_selector="elsewhere")
    # Yesterday's failure is counted no more, but shown.
    await run(
        engine.db,
        "UPDATE job_executions SET finished_at = now() - interval '25 hours' WHERE job_id = %(id)s",
        id=ids[0],
    )
    found = await overview(api)
    rows = await run(engine.db, "SELECT state, count(*) AS n FROM jobs GROUP BY state")
    assert {state: count for state, count in found["jobs"]["by_state"].items() if count} == {
        row["state"]: row["n"] for row in rows
    }
    assert len(found["jobs"]["by_state"]) == 8
    assert found["jobs"]["failed_last_day"] == 2
    assert [each["job_id"] for each in found["failures"]] == [ids[2], ids[1], ids[0]]
    newest = found["failures"][0]
    assert (newest["error_code"], newest["error_message"]) == ("NETWORK_MISMATCH", "another chain")
    assert (newest["execution"], newest["kind"], newest["dataset"]) == (1, "noop", None)
    assert newest["at"].endswith("Z")


async def test_at_most_twenty_failures_are_shown_and_a_job_that_runs_again_has_failed_all_the_same(
    engine: Engine, api: httpx.AsyncClient
) -> None:
    job = await engine.deploy("a")
    for _ in range(2):
        (lease,) = await engine.start(job.id)
        assert await engine.leased.fail(lease, FATAL)
        await engine.store.retry(job.id, actor="operator")
    found = await overview(api)
    assert found["jobs"]["failed_last_day"] == 2
    assert [(each["job_id"], each["execution"]) for each in found["failures"]] == [(job.id, 2), (job.id, 1)]
    ids = [(await engine.deploy(f"k{number}")).id for number in range(23)]
    for lease in await engine.start(*ids):
        assert await engine.leased.fail(lease, FATAL)
    found = await overview(api)
    rows = await run(
        engine.db,
        "SELECT job_id FROM job_executions WHERE outcome = 'FAILED' ORDER BY finished_at DESC, job_id DESC LIMIT 20",
    )
    assert [each["job_id"] for each in found["failures"]] == [row["job_id"] for row in rows]
    assert found["jobs"]["failed_last_day"] == 25


async def test_workers_are_told_the_oldest_heartbeat_first(
    engine: Engine, database_url: str, api: httpx.AsyncClient
) -> None:
    await engine.start((await engine.deploy("a")).id)
    with worker_session(database_url, "drained", slots=7) as other, worker_session(database_url, "gone"):
        other.set_draining()
        await run(
            engine.db,
            "UPDATE worker_heartbeats SET heartbeat_at = now() - interval '90 seconds' WHERE node_id = 'gone'",
        )
        found = await overview(api)
    told = {each["node_id"]: each for each in found["workers"]}
    assert found["worker_count"] == 3
    assert found["workers"][0]["node_id"] == "gone"
    assert {name: each["state"] for name, each in told.items()} == {
        "gone": "dead",
        "drained": "draining",
        "here": "live",
    }
    assert 90 <= told["gone"]["heartbeat_age_seconds"] < 120
    assert (told["drained"]["slots"], told["drained"]["used_slots"]) == (7, 0)
    assert (told["here"]["slots"], told["here"]["used_slots"], told["here"]["version"]) == (1000, 1, "unknown")


async def test_at_most_fifty_workers_are_told_and_all_are_counted(engine: Engine, api: httpx.AsyncClient) -> None:
    await run(
        engine.db,
        "INSERT INTO workers (node_id, incarnation, slots) SELECT 'w' || n, gen_random_uuid(), 1 "
        "FROM generate_series(1, 60) n",
    )
    await run(
        engine.db,
        "INSERT INTO worker_heartbeats SELECT node_id, incarnation, now() - interval '1 day' FROM workers "
        "ON CONFLICT DO NOTHING",
    )
    found = await overview(api)
    assert (len(found["workers"]), found["worker_count"]) == (50, 61)
    assert "here" not in {each["node_id"] for each in found["workers"]}


async def report(ranges: Ranges, **said: Any) -> None:
    assert await ranges.leased.report_progress(ranges.lease, {"start_block": 0, **said})


async def test_throughput_is_what_was_committed_in_the_last_minute(
    metadata_db: MetadataDb, api: httpx.AsyncClient
) -> None:
    async with running_extraction(metadata_db) as ranges:
        await ranges.plan((0, 29))
        lease = await ranges.take()
        for start in (0, 10, 20):
            await ranges.commit(lease, segment(start, start + 9))
        # The first segment came before the last minute.
        await run(metadata_db, "UPDATE files SET created_at = now() - interval '61 seconds' WHERE start_block = 0")
        found = (await overview(api))["throughput"]
        (row,) = await run(
            metadata_db,
            "SELECT sum(row_count) / 60.0 AS rows, sum(object_size) / 60.0 AS bytes FROM files WHERE start_block > 0",
        )
        assert found == {
            "blocks_per_second": pytest.approx(20 / 60),
            "rows_per_second": pytest.approx(float(row["rows"])),
            "bytes_per_second": pytest.approx(float(row["bytes"])),
        }


async def test_a_dataset_is_as_far_as_its_least_complete_table(metadata_db: MetadataDb, api: httpx.AsyncClient) -> None:
    async with running_extraction(metadata_db) as ranges:
        (nothing,) = (await overview(api))["datasets"]
        assert (nothing["front_block"], nothing["head_block"], nothing["lag_blocks"]) == (None, None, None)
        await ranges.plan((0, 9), (10, 19))
        await ranges.commit(await ranges.take(), segment(0, 9))
        await ranges.commit(await ranges.take(), segment(10, 19))
        await report(ranges, end_block=None, latest_block=120)
        await run(
            metadata_db,
            "DELETE FROM files WHERE start_block = 10 AND revision_id = %(id)s",
            id=ranges.revisions["logs"].id,
        )
        (told,) = (await overview(api))["datasets"]
        assert told == {
            "dataset": "ethereum/mainnet",
            "manifest_hash": "0" * 64,
            "network": None,
            "job_id": ranges.job_id,
            "front_block": 9,
            "head_block": 120,
            "lag_blocks": 111,
        }
        await run(
            metadata_db,
            """UPDATE files SET metadata = '{"ranges": [{"network": "mainnet", "timestamp": 1}]}'""",
        )
        assert (await overview(api))["datasets"][0]["network"] == "mainnet"
        await ranges.jobs.pause(ranges.job_id, actor="operator")
        assert await ranges.leased.stop(ranges.lease)
        assert (await overview(api))["datasets"] == [], "nobody wants its blocks at the moment"


async def test_datasets_that_lag_most_come_first_and_twenty_are_told(
    metadata_db: MetadataDb, api: httpx.AsyncClient
) -> None:
    await run(metadata_db, "INSERT INTO manifests (hash, kind, path) VALUES (repeat('0', 64), 'evm-rpc', 'p')")
    lags = {f"n{number}": (number * 7) % 23 for number in range(23)}
    for name, lag in lags.items():
        (job,) = await run(
            metadata_db,
            "INSERT INTO jobs (kind, state, input) VALUES ('extraction', 'RUNNING', '{}') RETURNING id",
        )
        await run(
            metadata_db,
            """
            WITH revision AS (
                INSERT INTO table_revisions (path, writer_job_id, metadata)
                VALUES (%(name)s, %(id)s, '{"start_block": 0}') RETURNING id
            ), said AS (
                INSERT INTO job_progress VALUES (%(id)s, jsonb_build_object('latest_block', %(lag)s::int - 1), now())
            )
            INSERT INTO physical_tables (dataset_namespace, dataset_name, manifest_hash, table_name, active_revision_id)
            SELECT 'a', %(name)s, repeat('0', 64), 'blocks', id FROM revision""",
            name=name,
            id=job["id"],
            lag=lag,
        )
    told = (await overview(api))["datasets"]
    worst = sorted(lags.items(), key=lambda each: -each[1])[:20]
    assert [(each["dataset"], each["lag_blocks"]) for each in told] == [(f"a/{name}", lag) for name, lag in worst]


async def test_a_limited_token_sees_only_its_namespaces(
    engine: Engine, metadata_db: MetadataDb, tmp_path: Path
) -> None:
    mine, other, no_dataset = [
        (await engine.store.deploy(deployment(**given), actor="t")).id
        for given in (
            {"key": "a", **_without_key(of_dataset("a", "mine"))},
            {"key": "b", **_without_key(of_dataset("b", "other"))},
            {"key": "c"},
        )
    ]
    for lease in await engine.start(mine, other, no_dataset):
        assert await engine.leased.fail(lease, FATAL)
    await run(metadata_db, "UPDATE job_events SET created_at = created_at - interval '5 minutes'")
    await _make_up_minutes(metadata_db)
    _, whole = await AccessStore(metadata_db).create(NewToken(Role.ADMIN), actor="t")
    _, limited = await AccessStore(metadata_db).create(NewToken(Role.VIEWER, None, ("mine",)), actor="t")
    async with api_over(metadata_db, tmp_path, whole) as api:
        found = await overview(api)
        assert (found["jobs"]["failed_last_day"], len(found["failures"])) == (3, 3)
        assert sum(each or 0 for each in (await history(api))["failures"]) == 3
    async with api_over(metadata_db, tmp_path, limited) as api:
        found = await overview(api)
        assert found["jobs"] == {
            "by_state": {**dict.fromkeys(found["jobs"]["by_state"], 0), "FAILED": 1},
            "failed_last_day": 1,
        }
        assert [each["job_id"] for each in found["failures"]] == [mine]
        assert found["failures"][0]["dataset"] == "mine/set"
        assert sum(each or 0 for each in (await history(api))["failures"]) == 1


def _without_key(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "idempotency_key"}


# --- history


async def _make_up_minutes(db: MetadataDb) -> None:
    while await count_job_minute(db):
        pass
    while await count_lake_minute(db):
        pass


# Each moves what has happened so far into the past, for the database's clock alone is stored.
_EARLIER: Final = (
    "UPDATE job_events SET created_at = created_at - make_interval(secs => %(by)s)",
    """UPDATE job_attempts SET assigned_at = assigned_at - make_interval(secs => %(by)s),
       started_at = started_at - make_interval(secs => %(by)s),
       finished_at = finished_at - make_interval(secs => %(by)s)""",
    """UPDATE job_executions SET created_at = created_at - make_interval(secs => %(by)s),
       finished_at = finished_at - make_interval(secs => %(by)s)""",
    "UPDATE files SET created_at = created_at - make_interval(secs => %(by)s)",
)


async def earlier(db: MetadataDb, seconds: float) -> None:
    for statement in _EARLIER:
        await run(db, statement, by=seconds)


async def test_a_minute_without_anything_is_0_and_one_that_nobody_counted_is_null(
    metadata_db: MetadataDb, api: httpx.AsyncClient
) -> None:
    empty = await history(api)
    assert (len(empty["at"]), empty["step_seconds"]) == (60, 60)
    assert {
        value for name, column in empty.items() if isinstance(column, list) and name != "at" for value in column
    } == {None}
    await _make_up_minutes(metadata_db)
    counted = await history(api)
    known = [number for number, value in enumerate(counted["retries"]) if value is not None]
    # The last half hour was made up for; of the last minute or two it is too early to say anything.
    assert len(known) == 31
    assert known == list(range(known[0], known[0] + 31))
    assert known[-1] in {58, 59}
    for number in known:
        assert [counted[name][number] for name in ("blocks_per_second", "retries", "failures")] == [0, 0, 0]
        assert counted["duration_p50_seconds"][number] is None
    assert set(counted["lag_blocks"]) == {None}


async def test_what_became_of_executions_is_counted_in_the_minute_in_which_it_happened(
    engine: Engine, api: httpx.AsyncClient
) -> None:
    ids = [(await engine.deploy(key, retries=5)).id for key in "abcd"]
    leases = await engine.start(*ids)
    assert await engine.leased.fail(leases[0], TRANSIENT)
    assert await engine.leased.fail(leases[1], FATAL)
    assert await engine.leased.complete(leases[2])
    await engine.store.request_stop(ids[3], actor="operator")
    assert await engine.leased.stop(leases[3])
    await run(
        engine.db,
        "UPDATE job_attempts SET started_at = finished_at - interval '100 seconds' WHERE job_id = %(id)s",
        id=ids[1],
    )
    await run(
        engine.db,
        "UPDATE job_attempts SET started_at = finished_at - interval '7 seconds' WHERE job_id = %(id)s",
        id=ids[2],
    )
    await earlier(engine.db, 10 * MINUTE)
    (row,) = await run(
        engine.db, "SELECT extract(epoch FROM date_trunc('minute', max(created_at)))::bigint AS at FROM job_events"
    )
    await _make_up_minutes(engine.db)
    found = await history(api)
    place = found["at"].index(row["at"])
    assert found["retries"][place] == 1
    assert found["failures"][place] == 1
    assert found["duration_p50_seconds"][place] == pytest.approx(7, rel=0.05)
    assert found["duration_p95_seconds"][place] == pytest.approx(100, rel=0.05)
    assert sum(each or 0 for each in found["retries"]) == sum(each or 0 for each in found["failures"]) == 1
    assert sum(value is not None for value in found["duration_p50_seconds"]) == 1


async def test_a_duration_counts_from_the_first_attempt_of_the_execution_alone(
    engine: Engine, api: httpx.AsyncClient
) -> None:
    job = await engine.deploy("a", retries=5)
    (lease,) = await engine.start(job.id)
    assert await engine.leased.fail(lease, FATAL)
    await run(engine.db, "UPDATE job_attempts SET started_at = finished_at - interval '5000 seconds'")
    await earlier(engine.db, 20 * MINUTE)
    await engine.store.retry(job.id, actor="operator")
    (lease,) = await engine.start(job.id)
    assert await engine.leased.fail(lease, TRANSIENT)
    await run(engine.db, "UPDATE jobs SET run_at = now()")
    await run(
        engine.db,
        "UPDATE job_attempts SET started_at = finished_at - interval '300 seconds' WHERE lease_epoch = 2",
    )
    (lease,) = await engine.start(job.id)
    assert await engine.leased.complete(lease)
    await earlier(engine.db, 3 * MINUTE)
    await _make_up_minutes(engine.db)
    found = (await history(api))["duration_p95_seconds"]
    durations = [each for each in found if each is not None]
    assert durations == [pytest.approx(5000, rel=0.06), pytest.approx(300, rel=0.06)]


async def test_an_event_that_is_committed_late_is_counted_in_its_minute(engine: Engine, api: httpx.AsyncClient) -> None:
    job = await engine.deploy("a")
    (lease,) = await engine.start(job.id)
    assert await engine.leased.fail(lease, FATAL)
    # Its transaction began 15 seconds before that of an event with a lower id: ids are given when rows are written.
    await run(
        engine.db,
        "UPDATE job_events SET created_at = date_trunc('minute', now()) - interval '4 minutes' + interval '5 seconds'",
    )
    await run(
        engine.db,
        """INSERT INTO job_events (job_id, created_at, actor, event_type, from_state, execution_number, lease_epoch)
           SELECT job_id, created_at - interval '15 seconds', actor, event_type, from_state, 1, 77
           FROM job_events WHERE event_type = 'FAILED'""",
    )
    await _make_up_minutes(engine.db)
    found = [each for each in (await history(api))["failures"] if each]
    assert found == [1, 1]


async def test_throughput_and_lag_have_their_minutes(metadata_db: MetadataDb, api: httpx.AsyncClient) -> None:
    async with running_extraction(metadata_db) as ranges:
        await ranges.plan((0, 29))
        lease = await ranges.take()
        await ranges.commit(lease, segment(0, 9))
        await ranges.commit(lease, segment(10, 19))
        await run(metadata_db, "UPDATE files SET created_at = created_at - interval '5 minutes' WHERE start_block = 0")
        await earlier(metadata_db, 5 * MINUTE)
        await report(ranges, end_block=None, latest_block=50)
        await note_lags(metadata_db)
        await report(ranges, end_block=None, latest_block=5000)
        await note_lags(metadata_db)  # the minute has its figure, unless another has begun
        await _make_up_minutes(metadata_db)
    found = await history(api)
    rates = [each for each in found["blocks_per_second"] if each]
    assert rates == [pytest.approx(10 / 60), pytest.approx(10 / 60)]
    (rows,) = await run(metadata_db, "SELECT sum(row_count) AS rows, sum(object_size) AS bytes FROM files")
    assert sum(each or 0 for each in found["rows_per_second"]) == pytest.approx(float(rows["rows"]) / 60)
    assert sum(each or 0 for each in found["bytes_per_second"]) == pytest.approx(float(rows["bytes"]) / 60)
    # The present minute is not over: no chart shows it yet.
    kept = await run(metadata_db, "SELECT namespace, lag_blocks FROM lag_minutes ORDER BY at, namespace LIMIT 2")
    assert kept == [{"namespace": "*", "lag_blocks": 31}, {"namespace": "ethereum", "lag_blocks": 31}]
    await run(metadata_db, "UPDATE lag_minutes SET at = at - interval '3 minutes'")
    assert 31 in (await history(api))["lag_blocks"]
    assert len(TABLES) == 2


async def test_a_week_has_at_most_240_steps_of_whole_minutes(metadata_db: MetadataDb, api: httpx.AsyncClient) -> None:
    await run(
        metadata_db,
        """INSERT INTO lake_minutes
           SELECT date_trunc('minute', now()) - make_interval(mins => n), '*', 60, 0, 0
           FROM generate_series(1, 12000) n WHERE n %% 2 = 0""",
    )
    found = await history(api, 10_080)
    assert (len(found["at"]), found["step_seconds"]) == (240, 42 * MINUTE)
    # A step is as fast as those of its minutes that somebody counted.
    assert set(found["blocks_per_second"]) == {1.0}


async def test_two_controllers_count_each_minute_once(metadata_db: MetadataDb) -> None:
    await asyncio.gather(*(_make_up_minutes(metadata_db) for _ in range(4)))
    for table in ("job_minutes", "lake_minutes"):
        (row,) = await run(metadata_db, f"SELECT count(*) AS n, count(DISTINCT at) AS minutes FROM {table}")
        assert row["n"] == row["minutes"] >= 30


async def test_minutes_that_no_chart_shows_are_deleted(metadata_db: MetadataDb) -> None:
    for table, columns in (
        ("job_minutes", "at, namespace, retries, failures"),
        ("lake_minutes", "at, namespace, blocks, row_count, bytes"),
    ):
        rest = ", 0" * (columns.count(",") - 1)
        await run(metadata_db, f"INSERT INTO {table} ({columns}) VALUES (now() - interval '9 days', '*'{rest})")
    await run(metadata_db, "INSERT INTO lag_minutes VALUES (now() - interval '9 days', '*', 1)")
    await _make_up_minutes(metadata_db)
    for table in ("job_minutes", "lake_minutes", "lag_minutes"):
        (row,) = await run(metadata_db, f"SELECT count(*) AS n FROM {table} WHERE at < now() - interval '8 days'")
        assert row["n"] == 0


async def test_a_history_of_no_sensible_length_is_refused(api: httpx.AsyncClient) -> None:
    for minutes in ("4", "10081", "x", "5.5"):
        answer = await api.get("/overview/history", params={"minutes": minutes})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_QUERY_PARAMETERS")
