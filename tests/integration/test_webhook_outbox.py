"""What the outbox takes: in the transaction of the event, what an endpoint asked for, and nothing when nobody asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.states import JobState
from ampd.metadata_db import EmbeddedPostgres, MetadataDb, sql
from ampd.webhooks import DeliveryStatus, Outcome, WebhookFilters, expire_deliveries, finish_delivery
from ampd.webhooks.outbox import claim_deliveries
from support.databases import empty, fresh_database
from support.engine import FATAL, TRANSIENT, Engine, row_holder, worker_session
from support.webhook_scene import DAY, Scene

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
URL = "https://example.com/hooks"


@pytest.fixture(scope="module")
def shared_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
def database_url(shared_url: str) -> str:
    empty(shared_url)
    return shared_url


@pytest.fixture
def scene(metadata_db: MetadataDb, database_url: str) -> Iterator[Scene]:
    with worker_session(database_url) as worker:
        yield Scene(metadata_db, Engine(metadata_db, worker))


async def rows(scene: Scene) -> int:
    found = await scene.db.fetch_one("SELECT count(*) AS n FROM webhook_deliveries")
    assert found is not None
    return int(found["n"])


async def test_every_entry_of_a_history_has_the_events_that_receivers_know(metadata_db: MetadataDb) -> None:
    async def events(state: str, before: str | None, detail: dict[str, Any] | None = None) -> list[str]:
        query = "SELECT webhook_events(%(state)s, %(before)s, %(detail)s) AS events"
        parameters = {"state": state, "before": before, "detail": None if detail is None else Jsonb(detail)}
        row = await metadata_db.fetch_one(query, parameters)
        assert row is not None
        return list(row["events"])

    plain = {"COMPLETED": "job.completed", "FAILED": "job.failed", "STOPPED": "job.cancelled", "PAUSED": "job.paused"}
    for state, event in plain.items():
        assert await events(state, "RUNNING", {"error_code": "X"}) == [event]
    assert await events("RUNNING", "SCHEDULED") == ["job.started"]
    for before in (None, "COMPLETED", "STOPPED", "FAILED", "SCHEDULED"):
        assert await events("SCHEDULED", before) == ["job.scheduled"]
    assert await events("SCHEDULED", "PAUSED") == ["job.resumed"]
    for state, before in (("SCHEDULED", "RUNNING"), ("SCHEDULED", "STOPPING"), ("STOP_REQUESTED", "RUNNING")):
        assert await events(state, before) == []
    assert await events("SCHEDULED", "SCHEDULED", {"hastened": True}) == []
    assert await events("DELETED", "COMPLETED") == []
    # An execution of a recurring job has ended; the job goes on, ends, or is set aside.
    for outcome, event in (("COMPLETED", "job.completed"), ("FAILED", "job.failed")):
        detail = {"execution_outcome": outcome}
        for state in ("SCHEDULED", "COMPLETED", "FAILED"):
            assert await events(state, "RUNNING", detail) == [event]
        assert await events("PAUSED", "RUNNING", detail) == [event, "job.paused"]
    assert await events("SCHEDULED", "STOPPING", {"execution_outcome": "STOPPED"}) == []
    assert set(plain) < set(JobState)


async def test_a_life_is_told_once_with_what_the_job_was_at_each_moment(scene: Scene) -> None:
    webhook = await scene.webhook(URL)
    labels = {"product": "my-app", "env": "prd"}
    job_id = await scene.job(labels=labels, input={"dataset_namespace": "ethereum", "dataset_name": "mainnet"})
    (lease,) = await scene.engine.start(job_id)
    assert await scene.engine.leased.fail(lease, FATAL)
    await scene.job(labels=labels, input={})  # deployed again

    log = await scene.log(webhook)
    assert [each.event for each in log] == ["job.scheduled", "job.started", "job.failed", "job.scheduled"]
    events, _ = await scene.engine.store.events(job_id)
    assert [each.event_id for each in log] == [event.id for event in events]
    assert [each.sequence for each in log] == sorted({each.sequence for each in log})
    for each, event in zip(log, events, strict=True):
        assert each.payload["timestamp"] == (event.created_at - EPOCH) // timedelta(milliseconds=1)
        told = each.payload["job"]
        assert (told["id"], told["namespace"], told["product"], told["env"]) == (str(job_id), "noop", "my-app", "prd")
    assert [each.payload["job"]["execution_count"] for each in log] == [1, 1, 1, 2]
    assert log[2].payload["job"]["error"] == FATAL.message
    assert log[0].payload["job"]["dataset"] == {"namespace": "ethereum", "name": "mainnet"}
    assert "dataset" not in log[3].payload["job"]


async def test_a_retry_that_waits_and_a_lost_worker_tell_nobody(scene: Scene) -> None:
    webhook = await scene.webhook(URL)
    job_id = await scene.job()
    (lease,) = await scene.engine.start(job_id)
    assert await scene.engine.leased.fail(lease, TRANSIENT)
    assert [each.event for each in await scene.log(webhook)] == ["job.scheduled", "job.started"]


async def test_a_transaction_that_is_rolled_back_tells_nothing(scene: Scene) -> None:
    await scene.webhook(URL)
    insert = """INSERT INTO job_events (job_id, actor, event_type, execution_number, lease_epoch)
                VALUES (%s, 'test', 'COMPLETED', 1, 1)"""
    job_id = await scene.job()
    before = await rows(scene)
    with pytest.raises(RuntimeError):
        async with scene.db.transaction() as connection:
            await connection.execute(insert, [job_id])
            raise RuntimeError
    assert await rows(scene) == before
    await scene.engine.change(insert, job_id)
    assert await rows(scene) == before + 1


async def test_nobody_who_did_not_ask_is_told(scene: Scene) -> None:
    await scene.job("before")  # there is no endpoint yet
    assert await rows(scene) == 0
    await scene.webhook(URL, enabled=False)
    ends = await scene.webhook(URL + "/ends", events=["job.completed", "job.failed"])
    await scene.live(await scene.job("k"))
    assert await rows(scene) == 1
    assert [each.event for each in await scene.log(ends)] == ["job.completed"]


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        (WebhookFilters(), {"a", "b", "c"}),
        (WebhookFilters(kinds=("noop",)), {"a", "b"}),
        (WebhookFilters(products=("shop",)), {"a"}),
        (WebhookFilters(products=("shop", "bank")), {"a", "b"}),
        (WebhookFilters(envs=("prd",), products=("bank",)), set()),
        (WebhookFilters(envs=("prd",)), {"a", "c"}),
        (WebhookFilters(dataset_namespaces=("ethereum",)), {"c"}),
    ],
)
async def test_filters_that_are_given_together_must_all_fit(
    scene: Scene, filters: WebhookFilters, keys: set[str]
) -> None:
    webhook = await scene.webhook(URL, filters=filters)
    jobs = {
        await scene.job("a", labels={"product": "shop", "env": "prd"}): "a",
        await scene.job("b", labels={"product": "bank", "env": "dev"}): "b",
        await scene.job("c", kind="extraction", labels={"env": "prd"}, input={"dataset_namespace": "ethereum"}): "c",
    }
    assert {jobs[each.job_id] for each in await scene.log(webhook) if each.job_id} == keys


async def test_strange_jobs_never_keep_a_transition_from_happening(scene: Scene) -> None:
    webhook = await scene.webhook(URL)
    job_id = await scene.job(input={"dataset_namespace": {"a": [1]}}, labels={"product": ""})
    await scene.engine.change("UPDATE jobs SET last_error = '[1]', input = '[]' WHERE id = %s", job_id)
    (lease,) = await scene.engine.start(job_id)
    long = AmpError(ErrorCode.NETWORK_MISMATCH, "x" * 100_000)
    assert await scene.engine.leased.fail(lease, long)
    assert len((await scene.log(webhook))[-1].payload["job"]["error"]) == 2000


async def test_the_log_is_kept_for_its_time_and_what_waits_is_never_too_old_while_it_can_be_sent(scene: Scene) -> None:
    on, off = await scene.webhook(URL), await scene.webhook(URL + "/off")
    gone = await scene.webhook(URL + "/gone")
    await scene.job("a")
    await scene.engine.change("UPDATE webhooks SET enabled = false, disabled_reason = 'OPERATOR', disabled_at = now() "
                              "WHERE id = %s", off.id)  # fmt: skip
    await scene.engine.change(
        "INSERT INTO webhook_deliveries (webhook_id, sequence, event, occurred_at, job, status, finished_at) "
        "SELECT %s, 0, 'webhook.test', now(), '{}', status, now() FROM unnest('{DELIVERED,FAILED}'::text[]) status",
        on.id,
    )
    assert await expire_deliveries(scene.db, days=30, batch=2) == 0
    await scene.store.delete(gone.id)
    assert await expire_deliveries(scene.db, days=0, batch=2) == 1  # of the endpoint that is gone
    await scene.pass_time(29.9 * DAY)
    assert await expire_deliveries(scene.db, days=30, batch=2) == 0
    await scene.pass_time(0.2 * DAY)
    assert await expire_deliveries(scene.db, days=0) == 0
    assert await expire_deliveries(scene.db, days=30, batch=2) == 3
    left = await scene.db.fetch_all("SELECT webhook_id, status FROM webhook_deliveries")
    assert left == [{"webhook_id": on.id, "status": "PENDING"}]


async def test_a_claim_passes_over_what_stands_behind_others_and_does_not_look_at_it_again(scene: Scene) -> None:
    webhook = await scene.webhook(URL)
    await scene.engine.change(
        "INSERT INTO webhook_deliveries (webhook_id, job_id, sequence, event, occurred_at, job) "
        "SELECT %s, 1, n, 'job.started', now(), jsonb_build_object('id', 1, 'kind', 'k', 'run_at_ms', 0, "
        "'execution_count', 1) FROM generate_series(1, 1200) n",
        webhook.id,
    )
    first = await claim_deliveries(scene.db, limit=100, per_endpoint=100)
    assert ([each.attempts for each in first.deliveries], first.look_again) == ([0], True)
    looks = 0
    while (await claim_deliveries(scene.db, limit=100, per_endpoint=100)).look_again:
        looks += 1
    assert looks <= 3
    waiting = await scene.db.fetch_one(
        "SELECT count(*) AS n FROM webhook_deliveries WHERE status = 'PENDING' AND next_attempt_at > now()"
    )
    assert waiting == {"n": 1200}


async def test_what_is_put_off_in_the_moment_in_which_its_predecessor_ends_is_not_forgotten(
    scene: Scene, database_url: str
) -> None:
    webhook = await scene.webhook(URL)
    await scene.live(await scene.job())
    (first,) = (await claim_deliveries(scene.db, limit=9, per_endpoint=9)).deliveries
    async with await psycopg.AsyncConnection.connect(database_url) as other, row_holder(database_url) as watcher:
        # A claim of another controller has begun: it has seen that the first one is on its way.
        await other.execute(sql("webhooks", "lock_endpoint"), {"webhook_id": webhook.id})
        ending = asyncio.create_task(finish_delivery(scene.db, first, Outcome(DeliveryStatus.DELIVERED, 1)))
        await watcher.until_waiting(ending)
        await other.execute(
            "UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 hour' WHERE id > %s", [first.id]
        )
        await other.commit()
        await ending
    (second,) = (await claim_deliveries(scene.db, limit=9, per_endpoint=9)).deliveries
    assert second.id == (await scene.log(webhook))[1].id
