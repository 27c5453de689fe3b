"""Jobs of several kinds: who gets them, what their handlers are told and leave behind, and how they are created."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import BaseModel, SecretStr
from structlog.testing import capture_logs

from ampd.errors import AmpError, ErrorCode
from ampd.handlers import (
    FatalError,
    HandlerContext,
    JobStoppedError,
    RecoverableError,
    TypedHandler,
    kind_of,
)
from ampd.handlers.typed import MOST_RESULT_BYTES
from ampd.jobs import (
    AttemptStore,
    Completed,
    Dependency,
    Job,
    JobCreator,
    JobState,
    JobStore,
    LeasedJobs,
    NewJob,
    RetryPolicy,
    WorkerIdentity,
    WorkerSession,
    place_due_jobs,
)
from ampd.metadata_db import EmbeddedPostgres, MetadataDb
from support.databases import fresh_database
from support.engine import LEASE_SECONDS, SECONDS, Engine
from support.worker_nodes import until, worker_node


@pytest.fixture(scope="module")
def module_url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
async def db(module_url: str) -> AsyncIterator[MetadataDb]:
    """The database of this module, without jobs and workers."""
    async with MetadataDb(module_url) as db:
        await db.execute("TRUNCATE jobs, workers, job_events, job_attempts CASCADE")
        yield db


@contextmanager
def session(url: str, name: str, kinds: list[str] | None, slots: int = 10) -> Iterator[WorkerSession]:
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        worker = WorkerSession(connection, WorkerIdentity(name, uuid4()), lease_seconds=LEASE_SECONDS)
        worker.register(info={} if kinds is None else {"kinds": kinds}, slots=slots)
        yield worker


def new_job(kind: str = "report", **changes: Any) -> NewJob:
    return NewJob(**{"kind": kind, "input": {}, "request_hash": "hash"} | changes)


async def create(db: MetadataDb, new: NewJob) -> int:
    return (await JobCreator(db).create(new, actor="operator"))[0]


async def place(db: MetadataDb) -> dict[int, str]:
    return {lease.job_id: lease.worker_id for lease in await place_due_jobs(db, lease_seconds=LEASE_SECONDS)}


async def waiting_for(db: MetadataDb, job_id: int) -> str | None:
    return (await JobStore(db, lease_seconds=LEASE_SECONDS).get(job_id)).waiting_for


# --- who gets a job


async def test_a_job_goes_only_to_workers_that_run_its_kind(db: MetadataDb) -> None:
    jobs = {kind: await create(db, new_job(kind)) for kind in ("alpha", "beta", "gamma")}
    # Both are as free as each other: "a" is the first by name.
    with session(db.url, "a", ["beta", "other"]), session(db.url, "z", ["alpha"]):
        placed = await place(db)
        assert placed == {jobs["alpha"]: "z", jobs["beta"]: "a"}
        assert await waiting_for(db, jobs["gamma"]) == "handler"
        with session(db.url, "c", ["gamma"]):
            assert await waiting_for(db, jobs["gamma"]) == "slot"
            assert await place(db) == {jobs["gamma"]: "c"}


async def test_a_job_that_nobody_can_run_says_what_it_waits_for(db: MetadataDb) -> None:
    bound = await create(db, new_job("alpha", worker_selector="b*"))
    assert await waiting_for(db, bound) == "worker"
    with session(db.url, "a", ["alpha"]):
        assert await waiting_for(db, bound) == "worker"
        with session(db.url, "b1", ["beta"]):
            assert await waiting_for(db, bound) == "handler"
            assert await place(db) == {}
            with session(db.url, "b2", ["alpha"]):
                assert await waiting_for(db, bound) == "slot"
                assert await place(db) == {bound: "b2"}


async def test_a_worker_of_an_earlier_release_does_not_say_its_kinds_and_gets_any(db: MetadataDb) -> None:
    job_id = await create(db, new_job("alpha"))
    with session(db.url, "old", None):
        assert await place(db) == {job_id: "old"}


async def test_jobs_that_nobody_can_run_hold_up_no_others(db: MetadataDb) -> None:
    """More of them than one placement reads, and all of them older and as urgent."""
    await db.execute(
        "INSERT INTO jobs (kind, state, input, run_at) SELECT 'nobody', 'SCHEDULED', '{}', now() - interval '1 day'"
        " FROM generate_series(1, 50)"
    )
    urgent = await create(db, new_job("nobody", priority=5))
    job_id = await create(db, new_job("alpha"))
    with session(db.url, "a", ["alpha"], slots=2):
        assert await place(db) == {job_id: "a"}
    assert await waiting_for(db, urgent) == "handler"


# --- how jobs are created


async def test_the_same_request_with_a_key_is_the_same_job_for_as_long_as_it_is_there(db: MetadataDb) -> None:
    creator, store = JobCreator(db), JobStore(db)
    asked = new_job(input={"n": 1}, idempotency_key="once", secrets=[[["n"], 2]])
    both = await asyncio.gather(*(creator.create(asked, actor="a") for _ in range(5)))
    assert sorted(is_new for _, is_new in both) == [False] * 4 + [True]
    (job_id,) = {job_id for job_id, _ in both}
    with pytest.raises(AmpError, match=f"belongs to job {job_id}") as refused:
        await creator.create(new_job(idempotency_key="once", request_hash="other"), actor="a")
    assert refused.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    await store.request_stop(job_id, actor="a")
    assert await creator.create(asked, actor="a") == (job_id, False)  # a job that has ended does not run again
    assert (await store.get(job_id)).state is JobState.STOPPED
    await store.delete(job_id, actor="a")
    again, is_new = await creator.create(asked, actor="a")
    assert (again > job_id, is_new) == (True, True)


async def test_jobs_without_a_key_are_as_many_as_were_asked_for(db: MetadataDb) -> None:
    assert await create(db, new_job()) != await create(db, new_job())


async def test_a_job_with_a_time_waits_for_it_and_one_of_the_past_has_no_advantage(db: MetadataDb) -> None:
    first = await create(db, new_job())
    late = await create(db, new_job(start_at=datetime.now(UTC) + timedelta(hours=1)))
    past = await create(db, new_job(start_at=datetime(2001, 1, 1, tzinfo=UTC)))
    assert await waiting_for(db, late) == "run_at"
    with session(db.url, "a", ["report"]):
        assert list(await place(db)) == [first, past]


async def test_a_created_job_waits_for_others(db: MetadataDb) -> None:
    first = await create(db, new_job())
    second = await create(db, new_job(depends_on=(Dependency(str(first), job_id=first),)))
    assert await waiting_for(db, second) == "dependency"
    with pytest.raises(AmpError) as refused:
        await create(db, new_job(depends_on=(Dependency("77", job_id=777_777),)))
    assert refused.value.code is ErrorCode.DEPENDENCY_NOT_FOUND


# --- what handlers are told, and leave behind


@pytest.fixture
async def engine(db: MetadataDb) -> AsyncIterator[Engine]:
    with session(db.url, "w1", None, slots=1000) as worker:
        yield Engine(db, worker, RetryPolicy(initial_delay=0.0))


async def test_the_result_is_kept_with_its_execution_in_the_transaction_that_completes_it(engine: Engine) -> None:
    first = await engine.deploy("first")
    others = [await engine.deploy(f"other {n}") for n in range(3)]
    leases = await engine.start(first.id, *(job.id for job in others))
    results: list[Any] = [{"n": 1, "nul": "a\x00b"}, [1], None, "text"]
    gave = zip(leases, results, strict=True)
    assert all(await asyncio.gather(*(engine.leased.complete(lease, Completed(value)) for lease, value in gave)))
    kept = [(await engine.store.get(job.id)).result for job in (first, *others)]
    assert kept == [{"n": 1, "nul": "a\ufffdb"}, [1], None, "text"]
    await engine.deploy("first")
    (lease,) = await engine.start(first.id)
    assert await engine.leased.complete(lease, Completed({"n": 2}))
    rows = await engine.db.fetch_all(
        "SELECT result FROM job_executions WHERE job_id = %(id)s ORDER BY number", {"id": first.id}
    )
    assert [row["result"]["n"] for row in rows] == [1, 2]
    assert (await engine.store.get(first.id)).result == {"n": 2}


async def test_an_attempt_that_was_taken_away_leaves_no_result(engine: Engine) -> None:
    job = await engine.deploy("k")
    (old,) = await engine.start(job.id)
    assert await engine.leased.hand_back(old)
    (new,) = await engine.start(job.id)
    assert not await engine.leased.complete(old, Completed("stale"))
    assert (await engine.store.get(job.id)).result is None
    current, stale = await asyncio.gather(
        engine.leased.complete(new, Completed("current")), engine.leased.complete(old, Completed("stale"))
    )
    assert (stale, current) == (False, True)
    assert (await engine.store.get(job.id)).result == "current"


async def test_a_checkpoint_is_for_the_attempts_of_its_execution_alone_and_needs_the_lease(engine: Engine) -> None:
    attempts = AttemptStore(engine.db)
    job = await engine.deploy("k")
    (first,) = await engine.start(job.id)
    assert (await attempts.describe(first)).checkpoint is None
    await attempts.save_checkpoint(first, {"next": 1})
    await attempts.save_checkpoint(first, {"next": 2})
    assert await engine.leased.hand_back(first)
    (second,) = await engine.start(job.id)
    described = await attempts.describe(second)
    assert (described.checkpoint, described.number, described.execution_number) == ({"next": 2}, 2, 1)
    for refused in (attempts.save_checkpoint(first, {"next": 1}), attempts.describe(first)):
        with pytest.raises(AmpError) as error:
            await refused
        assert error.value.code is ErrorCode.LEASE_LOST
    assert await engine.leased.complete(second)
    await engine.deploy("k")
    (third,) = await engine.start(job.id)
    described = await attempts.describe(third)
    assert (described.checkpoint, described.number, described.execution_number) == (None, 1, 2)
    await attempts.save_checkpoint(third, "other")
    assert (await attempts.describe(third)).checkpoint == "other"


async def test_a_failure_that_asks_for_time_is_not_tried_again_before_it(db: MetadataDb) -> None:
    with session(db.url, "w1", None) as worker:
        engine = Engine(db, worker, RetryPolicy(initial_delay=1.0, max_delay=60.0, jitter=0.0))
        for asked, least, most in ((None, 0, 2), (20.0, 18, 21), (3600.0, 58, 61)):
            job = await engine.deploy(f"asks {asked}", retries=1)
            (lease,) = await engine.start(job.id)
            assert await engine.leased.fail(lease, RecoverableError("busy", retry_after_seconds=asked))
            row = await db.fetch_one(
                "SELECT extract(epoch FROM run_at - updated_at)::float8 AS delay FROM jobs WHERE id = %(id)s",
                {"id": job.id},
            )
            assert row is not None
            assert least <= row["delay"] <= most, asked


# --- handlers of one's own, in a worker


class Wish(BaseModel):
    act: str
    token: SecretStr = SecretStr("")


class Probe:
    """A handler that does what its input says."""

    def __init__(self) -> None:
        self.contexts: list[HandlerContext] = []
        self.goes_on = asyncio.Event()

    async def run(self, job: Wish, context: HandlerContext) -> Any:
        self.contexts.append(context)
        return await getattr(self, f"_{job.act}")(job, context)

    async def _echo(self, job: Wish, context: HandlerContext) -> Any:
        return {"token": job.token.get_secret_value()[::-1], "key": context.idempotency_key, "labels": context.labels}

    async def _fail_once(self, job: Wish, context: HandlerContext) -> Any:
        done = context.load_checkpoint() or 0
        await context.save_checkpoint(done + 1)
        await context.progress(done=done + 1)
        if context.attempt == 1:
            raise RecoverableError("not yet", context={"done": done})
        return {"attempt": context.attempt, "done": done}

    async def _fail(self, job: Wish, context: HandlerContext) -> Any:
        raise FatalError("never", context={"n": 7})

    async def _crash(self, job: Wish, context: HandlerContext) -> Any:
        raise ValueError(f"cannot use {job.token.get_secret_value()}")

    async def _say_secret(self, job: Wish, context: HandlerContext) -> Any:
        raise FatalError(f"cannot use {job.token.get_secret_value()}")

    async def _large(self, job: Wish, context: HandlerContext) -> Any:
        return "x" * MOST_RESULT_BYTES

    async def _wait(self, job: Wish, context: HandlerContext) -> Any:
        await context.progress(step="waits")
        await context.sleep(3600)

    async def _finish_what_it_holds(self, job: Wish, context: HandlerContext) -> Any:
        await context.stop.wait()
        return {"cancelled": context.cancelled}

    async def _lie(self, job: Wish, context: HandlerContext) -> Any:
        raise JobStoppedError

    async def _many_words(self, job: Wish, context: HandlerContext) -> Any:
        for number in range(500):
            await context.progress(number=number)

    async def _long_word(self, job: Wish, context: HandlerContext) -> Any:
        await context.progress(text="x" * 20_000)

    async def _long_checkpoint(self, job: Wish, context: HandlerContext) -> Any:
        await context.save_checkpoint("x" * 70_000)


PROBE_KIND = kind_of("probe", Probe, source="test")


class Scene:
    """A worker in this process that runs jobs of kind ``probe``."""

    def __init__(self, db: MetadataDb, probe: Probe) -> None:
        self.db = db
        self.probe = probe
        self.store = JobStore(db)

    async def create(self, act: str, token: str = "", **changes: Any) -> int:
        shown, secrets = PROBE_KIND.take_apart({"act": act} | ({"token": token} if token else {}))
        job = new_job("probe", input=shown, secrets=[[list(path), value] for path, value in secrets], **changes)
        return await create(self.db, job)

    async def until_state(self, job_id: int, state: str) -> Job:
        async def there() -> Job | None:
            job = await self.store.get(job_id)
            return job if job.state == state else None

        return await until(f"job {job_id} to be {state}", there)

    async def run(self, act: str, state: str, token: str = "", **changes: Any) -> Job:
        return await self.until_state(await self.create(act, token, **changes), state)


@pytest.fixture
async def scene(db: MetadataDb) -> AsyncIterator[Scene]:
    probe = Probe()
    handler = TypedHandler(kind_of("probe", probe.run, source="test"), AttemptStore(db), LeasedJobs(db))
    policy = RetryPolicy(initial_delay=0.01)
    async with worker_node(db.url, "w1", handler, kind="probe", retry_policy=policy):
        yield Scene(db, probe)


async def test_a_handler_gets_its_input_whole_and_its_result_is_the_jobs(scene: Scene) -> None:
    job = await scene.run("echo", "COMPLETED", "s3cret", labels={"product": "p"})
    assert job.input == {"act": "echo", "token": "***"}
    assert job.result == {"token": "terc3s", "key": f"{job.id}-1", "labels": {"product": "p"}}
    (context,) = scene.probe.contexts
    assert (context.job_id, context.kind, context.attempt, context.execution_number) == (job.id, "probe", 1, 1)
    with capture_logs() as logs:
        context.log.info("hello", n=1)
    assert logs[0] | {"job_id": job.id, "attempt": 1, "execution_number": 1, "kind": "probe", "n": 1} == logs[0]


async def test_a_recoverable_error_is_tried_again_from_the_checkpoint_as_often_as_the_job_allows(scene: Scene) -> None:
    job = await scene.run("fail_once", "COMPLETED", retries=1)
    assert job.result == {"attempt": 2, "done": 1}
    assert await scene.store.last_progress(job.id) == {"done": 2}
    job = await scene.run("fail_once", "FAILED")  # jobs are not tried again unless that is asked for
    assert job.last_error == {
        "error_code": "HANDLER_FAILED",
        "error_message": "not yet",
        "error_context": {"done": 0},
    }


async def test_how_a_handler_fails_is_told_in_its_words_and_without_secrets(scene: Scene) -> None:
    job = await scene.run("fail", "FAILED", retries=3)
    assert job.last_error == {"error_code": "HANDLER_FAILED", "error_message": "never", "error_context": {"n": 7}}
    with capture_logs() as logs:
        job = await scene.run("crash", "FAILED", "hunter2!")
        assert job.last_error == {
            "error_code": "HANDLER_FAILED",
            "error_message": "the handler raised ValueError: cannot use ***",
        }
        job = await scene.run("say_secret", "FAILED", "hunter2!")
        assert job.last_error == {"error_code": "HANDLER_FAILED", "error_message": "cannot use ***"}
    assert any("ValueError" in each.get("trace", "") for each in logs)
    assert "hunter2!" not in str(logs)
    rows = await scene.db.fetch_all("SELECT to_jsonb(e)::text AS text FROM job_events e")
    rows += await scene.db.fetch_all("SELECT to_jsonb(e)::text AS text FROM job_executions e")
    rows += await scene.db.fetch_all("SELECT to_jsonb(e)::text AS text FROM jobs e")
    assert "hunter2!" not in str(rows)


@pytest.mark.parametrize(
    ("act", "code", "reason"),
    [
        ("large", "JOB_DATA_INVALID", "the result has 65538 bytes as JSON, the most is 65536"),
        ("long_word", "JOB_DATA_INVALID", "the progress has"),
        ("long_checkpoint", "JOB_DATA_INVALID", "the checkpoint has"),
        ("lie", "HANDLER_CRASHED", "though nobody stopped the job"),
    ],
)
async def test_what_a_handler_may_not_do_fails_its_job_with_a_clear_error(
    scene: Scene, act: str, code: str, reason: str
) -> None:
    job = await scene.run(act, "FAILED", retries=5)
    assert job.last_error is not None
    assert job.last_error["error_code"] == code
    assert reason in job.last_error["error_message"]
    assert len(scene.probe.contexts) == 1


async def test_an_input_that_the_workers_model_does_not_take_fails_the_job(scene: Scene) -> None:
    job_id = await create(scene.db, new_job("probe", input={"act": 5, "secret": "hunter2!"}, retries=5))
    job = await scene.until_state(job_id, "FAILED")
    assert job.last_error == {
        "error_code": "INVALID_JOB_INPUT",
        "error_message": "the input of kind 'probe' is not valid: act: Input should be a valid string",
    }
    assert scene.probe.contexts == []


async def test_a_stop_ends_a_handler_that_waits_and_the_job_is_stopped(scene: Scene) -> None:
    job_id = await scene.create("wait")

    async def has_said() -> bool:
        return await scene.store.last_progress(job_id) == {"step": "waits"}

    await until("its progress", has_said)
    await scene.store.request_stop(job_id, actor="a")
    job = await scene.until_state(job_id, "STOPPED")
    assert (job.result, job.last_error) == (None, None)


async def test_a_handler_that_finishes_although_it_was_stopped_has_completed(scene: Scene) -> None:
    job_id = await scene.create("finish_what_it_holds")
    await scene.until_state(job_id, "RUNNING")
    await scene.store.request_stop(job_id, actor="a")
    assert (await scene.until_state(job_id, "COMPLETED")).result == {"cancelled": True}


async def test_of_many_words_few_are_written_and_the_last_is_there_in_the_end(scene: Scene) -> None:
    await scene.db.execute("CREATE TABLE written AS SELECT job_id, data FROM job_progress WHERE false")
    await scene.db.execute(
        "CREATE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO written VALUES (NEW.job_id, NEW.data); RETURN NEW; END $$"
    )
    await scene.db.execute(
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON job_progress FOR EACH ROW EXECUTE FUNCTION note_written()"
    )
    try:
        job = await scene.run("many_words", "COMPLETED")
        rows = await scene.db.fetch_all("SELECT data FROM written")
    finally:
        await scene.db.execute("DROP FUNCTION note_written CASCADE")
        await scene.db.execute("DROP TABLE written")
    assert await scene.store.last_progress(job.id) == {"number": 499}
    numbers = [row["data"]["number"] for row in rows]
    assert (numbers[0], numbers[-1]) == (0, 499)
    assert len(numbers) < 50


async def test_a_worker_that_leaves_gives_its_job_to_another_which_goes_on_from_the_checkpoint(db: MetadataDb) -> None:
    first, second = Walker(), Walker()
    walk = lambda walker: TypedHandler(kind_of("walk", walker.run, source="test"), AttemptStore(db), LeasedJobs(db))  # noqa: E731
    async with worker_node(db.url, "w1", walk(first), kind="walk") as node:
        job_id = await create(db, new_job("walk", input={"act": "go"}))
        async with asyncio.timeout(SECONDS):
            await first.is_far.wait()
        async with worker_node(db.url, "w2", walk(second), kind="walk"):
            await node.end()
            second.may_end.set()
            job = await Scene(db, Probe()).until_state(job_id, "COMPLETED")
    assert job.result == {"came_from": 3}


class Walker:
    """Goes three steps, and waits there until it may end."""

    def __init__(self) -> None:
        self.is_far, self.may_end = asyncio.Event(), asyncio.Event()

    async def run(self, job: Wish, context: HandlerContext) -> dict[str, Any]:
        came_from = context.load_checkpoint()
        for step in range(came_from or 0, 3):
            await context.save_checkpoint(step + 1)
        self.is_far.set()
        while not self.may_end.is_set():
            await context.sleep(0.01)
        return {"came_from": came_from}
