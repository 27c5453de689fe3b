"""Two at once on the job engine: real connections, in tasks and in threads.

Where the moment matters it is made, not waited for: a third session holds the job's row until PostgreSQL says that the
others wait for it, or a cursor keeps the time between a statement's snapshot and its row locks open.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from itertools import product
from typing import Any, Final, LiteralString, TypeVar
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    HELD_STATES,
    Deployment,
    JobFilter,
    JobState,
    JobStore,
    Lease,
    LeasedJobs,
    Transition,
    WorkerIdentity,
    WorkerSession,
    hold_lease,
    place_due_jobs,
    rescue_jobs_of_lost_workers,
)
from ampd.jobs.placement import assign_due_jobs
from ampd.jobs.states import TRANSITIONS, Standing, StopIntent
from ampd.jobs.transition import Change, apply_transition
from ampd.metadata_db import MetadataDb
from ampd.worker.heartbeat import Heartbeat, HeartbeatSettings

LEASE_SECONDS: Final = 60.0
SECONDS: Final = 20.0  # no wait here lasts longer
UNFINISHED: Final = """
SELECT (SELECT count(*) FROM job_attempts a JOIN jobs j ON j.id = a.job_id
        WHERE a.finished_at IS NULL AND (j.worker_incarnation IS NULL OR a.lease_epoch < j.lease_epoch)) AS attempts,
       (SELECT count(*) FROM job_executions e JOIN jobs j ON j.id = e.job_id
        WHERE (e.finished_at IS NULL) <> (e.number = j.execution_number AND j.state IN
              ('SCHEDULED', 'RUNNING', 'STOP_REQUESTED', 'STOPPING', 'PAUSED'))) AS executions
"""
Answer = TypeVar("Answer")
Session = psycopg.AsyncConnection[dict[str, Any]]


def _deployment(key: str = "k", **changes: Any) -> Deployment:
    return Deployment(**{"kind": "noop", "idempotency_key": key, "input": {}} | changes)


@contextmanager
def _worker(url: str, name: str, *, slots: int) -> Iterator[WorkerSession]:
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        session = WorkerSession(connection, WorkerIdentity(name, uuid4()), lease_seconds=LEASE_SECONDS)
        session.register(info={}, slots=slots)
        yield session


@pytest.fixture
def worker(database_url: str) -> Iterator[WorkerSession]:
    """A living worker named w1 that has room for everything."""
    with _worker(database_url, "w1", slots=1000) as session:
        yield session


@asynccontextmanager
async def _session(url: str) -> AsyncIterator[Session]:
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row, autocommit=True) as connection:
        yield connection


class RowHolder:
    """Holds the row of a job against all others, and tells when so many sessions wait for it."""

    def __init__(self, holder: Session, watcher: Session) -> None:
        self._holder, self._watcher = holder, watcher

    @asynccontextmanager
    async def held(self, job_id: int) -> AsyncIterator[None]:
        async with self._holder.transaction():
            await self._holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [job_id])
            yield

    async def until_waiting(self, *tasks: asyncio.Task[Any]) -> None:
        """Return when every task waits for a lock, or is done: it saw at once that it had nothing to do."""
        async with asyncio.timeout(SECONDS):
            while await self._waiting() < sum(not task.done() for task in tasks):
                pass

    async def _waiting(self) -> int:
        query = """SELECT count(*) AS n FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()"""
        row = await (await self._watcher.execute(query)).fetchone()
        assert row is not None
        return int(row["n"])


@pytest.fixture
async def row(database_url: str) -> AsyncIterator[RowHolder]:
    async with _session(database_url) as holder, _session(database_url) as watcher:
        yield RowHolder(holder, watcher)


async def _assigned(db: MetadataDb, worker: WorkerSession, keys: list[str]) -> list[Lease]:
    """Deploy a job per key and place them all."""
    for key in keys:
        await JobStore(db).deploy(_deployment(key), actor="a")
    assert len(await place_due_jobs(db, lease_seconds=LEASE_SECONDS)) == len(keys)
    return [wanted.lease(worker._identity) for wanted in worker.beat().wanted if wanted.state is JobState.SCHEDULED]


async def _running(db: MetadataDb, worker: WorkerSession, keys: list[str]) -> list[Lease]:
    leases = await _assigned(db, worker, keys)
    for lease in leases:
        assert await LeasedJobs(db).start(lease) is not None
    return leases


async def _rescue(db: MetadataDb) -> list[int]:
    return await rescue_jobs_of_lost_workers(db, lease_seconds=LEASE_SECONDS, actor="rescue")


async def _nothing_is_left_unfinished(db: MetadataDb) -> None:
    assert await db.fetch_one(UNFINISHED) == {"attempts": 0, "executions": 0}


async def _path(db: MetadataDb, job_id: int) -> list[str]:
    return [event.event_type for event in (await JobStore(db).events(job_id))[0]]


# --- a stop against what a worker does


async def test_two_hundred_stops_meet_two_hundred_completions_and_every_job_is_completed(
    metadata_db: MetadataDb, worker: WorkerSession
) -> None:
    store, leased = JobStore(metadata_db), LeasedJobs(metadata_db)
    leases = await _running(metadata_db, worker, [str(n) for n in range(200)])
    for number, lease in enumerate(leases):
        stop, complete = store.request_stop(lease.job_id, actor="operator"), leased.complete(lease)
        if number % 2:
            completed, seen = await asyncio.gather(complete, stop)
        else:
            seen, completed = await asyncio.gather(stop, complete)
        assert completed
        assert seen.state in {JobState.STOP_REQUESTED, JobState.COMPLETED}
        path = await _path(metadata_db, lease.job_id)
        assert path[:2] + path[-1:] == ["SCHEDULED", "RUNNING", "COMPLETED"]
        assert path[2:-1] in ([], ["STOP_REQUESTED"])
    jobs, _ = await store.list_page(JobFilter(), limit=300)
    assert {job.state for job in jobs} == {JobState.COMPLETED}
    await _nothing_is_left_unfinished(metadata_db)


PAIRED: Final = {
    "start": Transition.START,
    "complete": Transition.COMPLETE,
    "hand_back": Transition.HAND_BACK,
    "acknowledge_stop": Transition.ACKNOWLEDGE_STOP,
    "stop": Transition.STOP,
    "retry": Transition.RETRY,
    "fail": Transition.FAIL,
    "request_stop": Transition.REQUEST_STOP,
    "pause": Transition.REQUEST_PAUSE,
    "resume": Transition.RESUME,
    "retry_by_operator": Transition.RETRY_BY_OPERATOR,
    "deploy": Transition.DEPLOY,
}
OF_OPERATORS: Final = ("request_stop", "pause", "resume", "retry_by_operator", "deploy")
LEADS_TO: Final[dict[Standing, list[str]]] = {
    Standing(JobState.SCHEDULED): [],
    Standing(JobState.RUNNING): ["start"],
    Standing(JobState.STOP_REQUESTED, StopIntent.STOP): ["start", "request_stop"],
    Standing(JobState.STOP_REQUESTED, StopIntent.PAUSE): ["start", "pause"],
    Standing(JobState.STOPPING, StopIntent.STOP): ["start", "request_stop", "acknowledge_stop"],
    Standing(JobState.STOPPING, StopIntent.PAUSE): ["start", "pause", "acknowledge_stop"],
    Standing(JobState.PAUSED): ["pause"],
    Standing(JobState.STOPPED): ["request_stop"],
    Standing(JobState.COMPLETED): ["start", "complete"],
}


async def _do(db: MetadataDb, lease: Lease, key: str, event: str) -> object:
    if event == "request_stop":
        return await JobStore(db).request_stop(lease.job_id, actor="operator")
    if event in ("pause", "resume", "retry_by_operator"):
        operation = getattr(JobStore(db), event.removesuffix("_by_operator"))
        try:
            return await operation(lease.job_id, actor="operator")
        except AmpError as error:
            assert error.code is ErrorCode.JOB_CONFLICT
            return None
    if event == "deploy":
        return await JobStore(db).deploy(_deployment(key), actor="operator")
    if event in ("retry", "fail"):
        return await LeasedJobs(db).fail(lease, AmpError(ErrorCode.NODE_UNREACHABLE, "x", recoverable=event == "retry"))
    return await getattr(LeasedJobs(db), event)(lease)


def _in_turn(at: Standing, events: Iterable[str]) -> list[str]:
    """The states that are entered when the events come one after the other, as the table has it."""
    entered, has_lease, waits_to_retry = list[str](), at.state in {JobState.SCHEDULED, *HELD_STATES}, False
    for event in events:
        if waits_to_retry and event == "retry_by_operator":
            entered.append("SCHEDULED")  # sooner
        to = TRANSITIONS.get((at, PAIRED[event]))
        if to is not None and (has_lease or event in OF_OPERATORS):
            entered.append(str(to.state))
            at, has_lease = to, to.state in HELD_STATES
            waits_to_retry = event == "retry" and to.state is JobState.SCHEDULED
    return entered


@pytest.mark.parametrize("at", LEADS_TO, ids=lambda at: "-".join(filter(None, at)))
async def test_any_two_events_at_once_end_as_if_one_had_come_after_the_other(
    metadata_db: MetadataDb, worker: WorkerSession, row: RowHolder, at: Standing
) -> None:
    store = JobStore(metadata_db)
    for pair in (pair for pair in product(PAIRED, repeat=2) if (at, PAIRED[pair[0]]) in TRANSITIONS):
        if at.intent is StopIntent.PAUSE and not {*pair} & {*OF_OPERATORS}:
            continue  # the same as of a stop
        key = "-".join(pair)
        (lease,) = await _assigned(metadata_db, worker, [key])
        for event in LEADS_TO[at]:
            assert await _do(metadata_db, lease, key, event)
        before = await _path(metadata_db, lease.job_id)
        async with asyncio.TaskGroup() as group, row.held(lease.job_id):
            first = group.create_task(_do(metadata_db, lease, key, pair[0]))
            await row.until_waiting(first)
            second = group.create_task(_do(metadata_db, lease, key, pair[1]))
            await row.until_waiting(first, second)
        entered = (await _path(metadata_db, lease.job_id))[len(before) :]
        assert entered in (_in_turn(at, pair), _in_turn(at, reversed(pair))), f"{at}: {pair}"
        await _nothing_is_left_unfinished(metadata_db)
        await store.request_stop(lease.job_id, actor="tidy")


@pytest.mark.parametrize("asked", ["request_stop", "pause"])
async def test_a_stop_or_a_pause_that_meets_the_placement_of_its_job_ends_the_attempt_too(
    metadata_db: MetadataDb, worker: WorkerSession, row: RowHolder, asked: str
) -> None:
    """The placement has the row and the stop waits for it: the stop must see the attempt that the placement made."""
    store = JobStore(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    async with asyncio.TaskGroup() as group, metadata_db.transaction() as placing:
        assert len(await assign_due_jobs(placing, lease_seconds=LEASE_SECONDS)) == 1
        stopping = group.create_task(getattr(store, asked)(job.id, actor="operator"))
        await row.until_waiting(stopping)
    assert (await stopping).state is (JobState.STOPPED if asked == "request_stop" else JobState.PAUSED)
    await _nothing_is_left_unfinished(metadata_db)


# --- placement and rescue


def _in_threads(url: str, count: int, act: Callable[[MetadataDb], Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Run ``act`` in so many threads at once, each with an event loop and connections of its own."""
    barrier = threading.Barrier(count, timeout=SECONDS)

    async def alone() -> Answer:
        async with MetadataDb(url, max_connections=2) as db:
            barrier.wait()
            return await act(db)

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(lambda: asyncio.run(alone())) for _ in range(count)]]


def test_placers_at_once_never_overfill_a_worker_nor_give_one_job_twice(database_url: str) -> None:
    with _worker(database_url, "a", slots=3), _worker(database_url, "b", slots=9), _connection(database_url) as admin:
        asyncio.run(_deploy_many(database_url, 20))
        for _ in range(6):
            admin.execute("UPDATE jobs SET worker_id = NULL, worker_incarnation = NULL")
            before = _epochs(admin)
            placed = _in_threads(database_url, 4, lambda db: place_due_jobs(db, lease_seconds=LEASE_SECONDS))
            assert sum(map(len, placed)) == 12
            held = admin.execute("SELECT worker_id, count(*) AS n FROM jobs GROUP BY 1 ORDER BY 1").fetchall()
            assert [(row["worker_id"], row["n"]) for row in held] == [("a", 3), ("b", 9), (None, 8)]
            raised = [epoch - before[job_id] for job_id, epoch in _epochs(admin).items()]
            assert sorted(raised) == [0] * 8 + [1] * 12


def _connection(url: str) -> psycopg.Connection[dict[str, Any]]:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


def _epochs(admin: psycopg.Connection[dict[str, Any]]) -> dict[int, int]:
    return {row["id"]: row["lease_epoch"] for row in admin.execute("SELECT id, lease_epoch FROM jobs").fetchall()}


async def _deploy_many(url: str, count: int) -> None:
    async with MetadataDb(url) as db:
        for number in range(count):
            await JobStore(db).deploy(_deployment(str(number)), actor="a")


async def test_rescuers_at_once_take_each_lost_job_back_once(
    metadata_db: MetadataDb, worker: WorkerSession, database_url: str
) -> None:
    leases = await _running(metadata_db, worker, [str(n) for n in range(60)])
    worker.retire()
    rescued = await asyncio.to_thread(_in_threads, database_url, 4, _rescue)
    assert sorted(id for ids in rescued for id in ids) == sorted(lease.job_id for lease in leases)
    counts = await metadata_db.fetch_all("SELECT DISTINCT state, lost_worker_count, lease_epoch FROM jobs")
    assert counts == [{"state": "SCHEDULED", "lost_worker_count": 1, "lease_epoch": 1}]
    assert await metadata_db.fetch_one("SELECT count(*) AS n FROM job_events WHERE actor = 'rescue'") == {"n": 60}
    await _nothing_is_left_unfinished(metadata_db)


async def test_a_rescue_that_meets_completions_leaves_those_alone_that_came_first(
    metadata_db: MetadataDb, worker: WorkerSession
) -> None:
    leases = await _running(metadata_db, worker, [str(n) for n in range(60)])
    worker.retire()
    leased = LeasedJobs(metadata_db)
    completions = [leased.complete(lease) for lease in leases]
    answers = await asyncio.gather(*completions[:30], _rescue(metadata_db), *completions[30:])
    rescued = answers.pop(30)
    assert isinstance(rescued, list)
    for lease, completed in zip(leases, answers, strict=True):
        assert completed is not (lease.job_id in rescued)
        end = "COMPLETED" if completed else "SCHEDULED"
        assert await _path(metadata_db, lease.job_id) == ["SCHEDULED", "RUNNING", end]
    await _nothing_is_left_unfinished(metadata_db)


class SlowToLock(MetadataDb):
    """Runs ``meanwhile`` between snapshot and row locks: a cursor takes the one when declared, the others when read."""

    def __init__(self, url: str, meanwhile: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__(url, max_connections=1)
        self._meanwhile, self.has_waited = meanwhile, False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with super().transaction() as connection:
            self._connection = connection
            yield self

    async def execute(self, query: LiteralString, parameters: dict[str, Any]) -> Any:
        if not query.rstrip().endswith("SKIP LOCKED"):
            return await self._connection.execute(query, parameters)
        declaration = psycopg.AsyncClientCursor(self._connection)
        await declaration.execute(f"DECLARE slow CURSOR FOR {query}".encode(), parameters)
        await self._meanwhile()
        self.has_waited = True
        return await self._connection.execute("FETCH ALL FROM slow")


async def _rescue_while(url: str, meanwhile: Callable[[], Coroutine[Any, Any, None]]) -> list[int]:
    slow = SlowToLock(url, meanwhile)
    async with slow:
        rescued = await _rescue(slow)
    assert slow.has_waited
    return rescued


async def test_a_job_that_completes_while_a_rescue_looks_for_it_is_left_alone(
    metadata_db: MetadataDb, worker: WorkerSession, database_url: str
) -> None:
    (lease,) = await _running(metadata_db, worker, ["k"])
    worker.retire()

    async def complete() -> None:
        assert await LeasedJobs(metadata_db).complete(lease)

    assert await _rescue_while(database_url, complete) == []
    assert await _path(metadata_db, lease.job_id) == ["SCHEDULED", "RUNNING", "COMPLETED"]


async def test_a_job_that_a_living_worker_got_while_a_rescue_looks_for_it_is_left_alone(
    metadata_db: MetadataDb, worker: WorkerSession, database_url: str
) -> None:
    """Another rescue was quicker and a living worker runs the job already."""
    (lease,) = await _running(metadata_db, worker, ["k"])
    worker.retire()
    with _worker(database_url, "w2", slots=1) as living:

        async def another_takes_it() -> None:
            assert await _rescue(metadata_db) == [lease.job_id]
            assert len(await place_due_jobs(metadata_db, lease_seconds=LEASE_SECONDS)) == 1
            (wanted,) = living.beat().wanted
            assert await LeasedJobs(metadata_db).start(wanted.lease(living._identity)) is not None

        assert await _rescue_while(database_url, another_takes_it) == []
    job = await JobStore(metadata_db).get(lease.job_id)
    assert (job.state, job.worker_id) == (JobState.RUNNING, "w2")


async def test_what_holds_its_lease_is_not_rescued_or_stopped_before_its_transaction_ends(
    metadata_db: MetadataDb, worker: WorkerSession, row: RowHolder
) -> None:
    store = JobStore(metadata_db)
    (lease,) = await _running(metadata_db, worker, ["k"])
    worker.retire()
    async with asyncio.TaskGroup() as group, metadata_db.transaction() as registering_a_file:
        await hold_lease(registering_a_file, lease)
        assert await _rescue(metadata_db) == []
        stopping = group.create_task(store.request_stop(lease.job_id, actor="operator"))
        await row.until_waiting(stopping)
        assert not stopping.done()
    assert (await stopping).state is JobState.STOP_REQUESTED
    assert await _rescue(metadata_db) == [lease.job_id]
    assert (await store.get(lease.job_id)).state is JobState.STOPPED
    with pytest.raises(AmpError, match="no longer belongs"):
        async with metadata_db.transaction() as connection:
            await hold_lease(connection, lease)


# --- operators


async def test_a_deploy_that_meets_a_completion_finds_the_job_active_or_runs_it_again(
    metadata_db: MetadataDb, worker: WorkerSession
) -> None:
    store, leased = JobStore(metadata_db), LeasedJobs(metadata_db)
    for number, lease in enumerate(await _running(metadata_db, worker, [str(n) for n in range(50)])):
        acts = [leased.complete(lease), store.deploy(_deployment(str(number)), actor="operator")]
        await asyncio.gather(*(acts if number % 2 else reversed(acts)))
        job, path = await store.get(lease.job_id), await _path(metadata_db, lease.job_id)
        again = ["SCHEDULED"] if job.execution_number == 2 else []
        assert path == ["SCHEDULED", "RUNNING", "COMPLETED", *again]
        assert job.state == path[-1]
    await _nothing_is_left_unfinished(metadata_db)


async def test_ten_deploys_at_once_of_an_ended_job_are_one_new_execution(
    metadata_db: MetadataDb, worker: WorkerSession, row: RowHolder
) -> None:
    (lease,) = await _running(metadata_db, worker, ["k"])
    assert await LeasedJobs(metadata_db).complete(lease)
    store = JobStore(metadata_db)
    async with asyncio.TaskGroup() as group, row.held(lease.job_id):
        deploys = [group.create_task(store.deploy(_deployment(), actor=str(n))) for n in range(9)]
        await row.until_waiting(*deploys)
    await store.deploy(_deployment(), actor="9")
    assert {(deploy.result().id, deploy.result().execution_number) for deploy in deploys} == {(lease.job_id, 2)}
    assert await metadata_db.fetch_one("SELECT count(*) AS n FROM job_executions") == {"n": 2}
    assert await _path(metadata_db, lease.job_id) == ["SCHEDULED", "RUNNING", "COMPLETED", "SCHEDULED"]


async def test_a_stop_that_meets_a_new_execution_ends_that_execution_too(
    metadata_db: MetadataDb, worker: WorkerSession, row: RowHolder
) -> None:
    """The job ends and is deployed again between the snapshot and the row lock of the stop."""
    store = JobStore(metadata_db)
    (lease,) = await _running(metadata_db, worker, ["k"])
    async with asyncio.TaskGroup() as group, metadata_db.transaction() as connection:
        await apply_transition(connection, Transition.COMPLETE, Change(lease.job_id, "w1", lease))
        stopping = group.create_task(store.request_stop(lease.job_id, actor="operator"))
        await row.until_waiting(stopping)
        await store._redeploy(connection, _deployment(), _redeploy_parameters())
    assert (await stopping).state in {JobState.STOPPED, JobState.SCHEDULED}
    await _nothing_is_left_unfinished(metadata_db)


def _redeploy_parameters() -> dict[str, Any]:
    plain = {"idempotency_key": "k", "worker_selector": None, "priority": 0, "retries": None, "actor": "a"}
    json = {"input": Jsonb({}), "labels": Jsonb({}), "retry_policy": Jsonb({}), "dependencies_met": True}
    once = {"schedule": None, "recurring": False, "next_run_at": None, "run_at": None}
    return plain | json | once


async def test_a_delete_that_meets_another_session_on_the_row_of_an_ended_job_waits_for_it(
    metadata_db: MetadataDb, row: RowHolder
) -> None:
    """The operator must not be told to stop a job that has ended."""
    store = JobStore(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    await store.request_stop(job.id, actor="a")
    async with asyncio.TaskGroup() as group, row.held(job.id):
        deleting = group.create_task(store.delete(job.id, actor="a"))
        await row.until_waiting(deleting)
    assert await deleting


# --- names


async def test_a_worker_that_took_over_a_frozen_ones_name_keeps_it_when_that_one_dies(
    metadata_db: MetadataDb, database_url: str
) -> None:
    """The frozen process holds the name's lock. Its end must not let a third process push the living one out."""
    beats, ends = threading.Semaphore(0), list[AmpError]()
    settings = HeartbeatSettings(interval_seconds=0.05, lease_seconds=LEASE_SECONDS)
    with _worker(database_url, "w1", slots=1) as frozen:
        await metadata_db.fetch_all("UPDATE worker_heartbeats SET heartbeat_at = now() - interval '1 day' RETURNING 1")
        successor = Heartbeat(
            database_url, WorkerIdentity("w1", uuid4()), info={}, slots=1, settings=settings,
            on_beat=lambda wanted: beats.release(), on_end=ends.append,
        )  # fmt: skip
        await asyncio.to_thread(successor.start)
    del frozen  # its session has ended
    try:
        while beats.acquire(blocking=False):
            pass
        for _ in range(3):
            assert await asyncio.to_thread(beats.acquire, timeout=SECONDS)
        refused = await asyncio.to_thread(_register_a_third, database_url)
        assert (refused, ends) == (ErrorCode.NODE_ID_IN_USE, [])
    finally:
        await asyncio.to_thread(successor.stop)


def _register_a_third(url: str) -> ErrorCode | None:
    try:
        with _worker(url, "w1", slots=1):
            return None
    except AmpError as error:
        return error.code
