from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import (
    Deployment,
    JobFilter,
    JobState,
    JobStore,
    Lease,
    LeasedJobs,
    WorkerIdentity,
    WorkerSession,
    WorkerStore,
    hold_lease,
    note_success,
    place_due_jobs,
    rescue_jobs_of_lost_workers,
)
from ampd.metadata_db import MetadataDb

LEASE_SECONDS = 5.0


def _deployment(**changes: object) -> Deployment:
    return Deployment(**{"kind": "noop", "idempotency_key": "k", "input": {"end_block": "10"}} | changes)  # type: ignore[arg-type]


@pytest.fixture
def session(database_url: str) -> Iterator[WorkerSession]:
    """A registered, beating worker named w1 with two slots."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        worker = WorkerSession(connection, WorkerIdentity("w1", uuid4()), lease_seconds=LEASE_SECONDS)
        worker.register(info={"version": "1"}, slots=2)
        yield worker


async def _run_to_start(db: MetadataDb, session: WorkerSession) -> Lease:
    assert len(await place_due_jobs(db, lease_seconds=LEASE_SECONDS)) == 1
    (wanted,) = session.beat().wanted
    assert wanted.state is JobState.SCHEDULED
    lease = wanted.lease(session._identity)
    started = await LeasedJobs(db).start(lease)
    assert started is not None
    assert started.input == {"end_block": "10"}
    return lease


async def test_a_job_goes_from_deploy_to_completion_and_its_events_tell_it(
    metadata_db: MetadataDb, session: WorkerSession
) -> None:
    store = JobStore(metadata_db)
    job = await store.deploy(_deployment(), actor="operator")
    assert (job.state, job.lifecycle, job.waiting_for, job.worker_id) == (JobState.SCHEDULED, "queued", "slot", None)
    lease = await _run_to_start(metadata_db, session)
    assert (await store.get(job.id)).worker_id == "w1"
    assert await LeasedJobs(metadata_db).complete(lease)
    done = await store.get(job.id)
    assert (done.state, done.lifecycle, done.worker_id) == (JobState.COMPLETED, "completed", "w1")
    events, _ = await store.events(job.id)
    assert [(event.from_state, event.event_type, event.actor) for event in events] == [
        (None, "SCHEDULED", "operator"),
        ("SCHEDULED", "RUNNING", "worker:w1"),
        ("RUNNING", "COMPLETED", "worker:w1"),
    ]
    assert session.beat().wanted == []


async def test_deploying_again_answers_the_same_job_refuses_other_options_and_reruns_a_finished_one(
    metadata_db: MetadataDb, session: WorkerSession
) -> None:
    store = JobStore(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    assert (await store.deploy(_deployment(), actor="b")).id == job.id
    with pytest.raises(AmpError) as conflict:
        await store.deploy(_deployment(input={"end_block": "11"}), actor="b")
    assert conflict.value.code is ErrorCode.ACTIVE_JOB_CONFLICT
    with pytest.raises(AmpError):
        await store.deploy(_deployment(retries=3), actor="b")
    lease = await _run_to_start(metadata_db, session)
    assert await LeasedJobs(metadata_db).report_progress(lease, {"end_block": 10})
    assert await LeasedJobs(metadata_db).complete(lease)
    assert not await LeasedJobs(metadata_db).report_progress(lease, {"end_block": 11})
    again = await store.deploy(_deployment(), actor="c")
    assert (again.id, again.state, again.execution_number) == (job.id, JobState.SCHEDULED, 2)
    assert await metadata_db.fetch_all("SELECT * FROM job_progress") == []


async def test_ten_clients_that_deploy_at_once_get_one_job(metadata_db: MetadataDb) -> None:
    store = JobStore(metadata_db)
    jobs = await asyncio.gather(*(store.deploy(_deployment(), actor=str(n)) for n in range(10)))
    assert len({job.id for job in jobs}) == 1
    assert len((await store.events(jobs[0].id))[0]) == 1


async def test_a_stale_lease_changes_nothing(metadata_db: MetadataDb, session: WorkerSession) -> None:
    store, leased = JobStore(metadata_db), LeasedJobs(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    lease = await _run_to_start(metadata_db, session)
    for stale in (
        Lease(job.id, lease.lease_epoch - 1, "w1", lease.incarnation),
        Lease(job.id, lease.lease_epoch, "w1", uuid4()),
    ):
        assert not await leased.complete(stale)
        assert not await leased.fail(stale, AmpError(ErrorCode.INTERNAL_ERROR, "no"))
        assert not await leased.hand_back(stale)
        with pytest.raises(AmpError, match="no longer belongs"):
            async with metadata_db.transaction() as connection:
                await hold_lease(connection, stale)
    assert (await store.get(job.id)).state is JobState.RUNNING
    assert len((await store.events(job.id))[0]) == 2


async def test_the_jobs_of_a_replaced_process_wait_again_and_its_late_writes_are_refused(
    metadata_db: MetadataDb, session: WorkerSession, database_url: str
) -> None:
    store, leased = JobStore(metadata_db), LeasedJobs(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    lease = await _run_to_start(metadata_db, session)
    session._connection.close()  # the process dies: its session and the lock on its name end with it
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        successor = WorkerSession(connection, WorkerIdentity("w1", uuid4()), lease_seconds=LEASE_SECONDS)
        successor.register(info={}, slots=2)
        assert await rescue_jobs_of_lost_workers(metadata_db, lease_seconds=LEASE_SECONDS, actor="rescue") == [job.id]
        assert (await store.get(job.id)).state is JobState.SCHEDULED
        assert not await leased.complete(lease)
        second = await _run_to_start(metadata_db, successor)
        assert second.lease_epoch > lease.lease_epoch
        assert not await leased.complete(lease)
        assert await leased.complete(second)


def test_a_second_process_with_a_live_name_is_refused(session: WorkerSession, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        second = WorkerSession(connection, WorkerIdentity("w1", uuid4()), lease_seconds=LEASE_SECONDS)
        with pytest.raises(AmpError) as refused:
            second.register(info={}, slots=1)
    assert refused.value.code is ErrorCode.NODE_ID_IN_USE
    assert session.beat().wanted == []


async def test_a_stop_before_the_start_ends_the_job_at_once_and_the_worker_cannot_start_it(
    metadata_db: MetadataDb, session: WorkerSession
) -> None:
    store = JobStore(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    await place_due_jobs(metadata_db, lease_seconds=LEASE_SECONDS)
    (wanted,) = session.beat().wanted
    assert (await store.request_stop(job.id, actor="a")).state is JobState.STOPPED
    assert await LeasedJobs(metadata_db).start(wanted.lease(session._identity)) is None
    assert (await store.request_stop(job.id, actor="a")).state is JobState.STOPPED


async def test_a_stop_of_a_running_job_passes_through_its_states(
    metadata_db: MetadataDb, session: WorkerSession
) -> None:
    store, leased = JobStore(metadata_db), LeasedJobs(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    lease = await _run_to_start(metadata_db, session)
    assert (await store.request_stop(job.id, actor="a")).state is JobState.STOP_REQUESTED
    assert [wanted.state for wanted in session.beat().wanted] == [JobState.STOP_REQUESTED]
    assert await leased.acknowledge_stop(lease)
    assert await leased.stop(lease)
    assert [event.event_type for event in (await store.events(job.id))[0]] == [
        "SCHEDULED",
        "RUNNING",
        "STOP_REQUESTED",
        "STOPPING",
        "STOPPED",
    ]


async def test_a_recoverable_failure_waits_for_its_backoff_and_a_fatal_one_ends_the_job(
    metadata_db: MetadataDb, session: WorkerSession
) -> None:
    store, leased = JobStore(metadata_db), LeasedJobs(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    lease = await _run_to_start(metadata_db, session)
    assert await leased.fail(lease, AmpError(ErrorCode.NODE_UNREACHABLE, "gone", recoverable=True))
    waiting = await store.get(job.id)
    assert (waiting.state, waiting.retry_count, waiting.waiting_for) == (JobState.SCHEDULED, 1, "retry")
    assert waiting.last_error == {"error_code": "NODE_UNREACHABLE", "error_message": "gone"}
    assert len(await place_due_jobs(metadata_db, lease_seconds=LEASE_SECONDS)) == 0
    await metadata_db.fetch_all("UPDATE jobs SET run_at = now() RETURNING id")
    lease = await _run_to_start(metadata_db, session)
    assert await leased.fail(lease, AmpError(ErrorCode.NETWORK_MISMATCH, "other chain"))
    failed = await store.get(job.id)
    assert failed.state is JobState.FAILED
    assert failed.last_error is not None
    assert failed.last_error["error_code"] == "NETWORK_MISMATCH"


async def test_slots_and_selectors_bind_and_waiting_says_why(metadata_db: MetadataDb, session: WorkerSession) -> None:
    store = JobStore(metadata_db)
    for number in range(3):
        await store.deploy(_deployment(idempotency_key=f"k{number}"), actor="a")
    other = await store.deploy(_deployment(idempotency_key="other", worker_selector="eu-*"), actor="a")
    assert len(await place_due_jobs(metadata_db, lease_seconds=LEASE_SECONDS)) == 2
    jobs, more = await store.list_page(JobFilter(), limit=10)
    assert not more
    assert [job.waiting_for for job in jobs] == ["worker", "slot", "start", "start"]
    assert jobs[0].id == other.id


async def test_pages_run_newest_first_and_tell_whether_there_is_more(metadata_db: MetadataDb) -> None:
    store = JobStore(metadata_db)
    ids = [(await store.deploy(_deployment(idempotency_key=str(n)), actor="a")).id for n in range(5)]
    first, more = await store.list_page(JobFilter(), limit=3)
    assert ([job.id for job in first], more) == (ids[:1:-1], True)
    second, more = await store.list_page(JobFilter(before_id=first[-1].id), limit=3)
    assert ([job.id for job in second], more) == (ids[1::-1], False)


async def test_only_ended_jobs_are_deleted_and_their_history_stays(
    metadata_db: MetadataDb, session: WorkerSession
) -> None:
    store = JobStore(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    with pytest.raises(AmpError, match="cannot be deleted from current state: SCHEDULED"):
        await store.delete(job.id, actor="a")
    assert not await store.delete(job.id + 1, actor="a")
    await store.request_stop(job.id, actor="a")
    assert await store.delete_in_states({JobState.COMPLETED}, actor="a") == 0
    assert await store.delete_in_states({JobState.STOPPED}, actor="a") == 1
    with pytest.raises(AmpError, match=f"job '{job.id}' not found"):
        await store.get(job.id)
    assert [event.event_type for event in (await store.events(job.id))[0]] == ["SCHEDULED", "STOPPED", "DELETED"]


async def test_a_job_that_outlives_five_workers_is_failed_as_poisonous(
    metadata_db: MetadataDb, database_url: str
) -> None:
    store = JobStore(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    for _ in range(5):
        with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
            worker = WorkerSession(connection, WorkerIdentity("w1", uuid4()), lease_seconds=LEASE_SECONDS)
            worker.register(info={}, slots=1)
            await rescue_jobs_of_lost_workers(metadata_db, lease_seconds=LEASE_SECONDS, actor="rescue")
            await _run_to_start(metadata_db, worker)
            worker.retire()
    await rescue_jobs_of_lost_workers(metadata_db, lease_seconds=LEASE_SECONDS, actor="rescue")
    failed = await store.get(job.id)
    assert failed.state is JobState.FAILED
    assert failed.last_error is not None
    assert failed.last_error["error_code"] == "POISONOUS_JOB"


async def test_workers_are_shown_with_their_life_signs(metadata_db: MetadataDb, session: WorkerSession) -> None:
    workers = WorkerStore(metadata_db)
    (worker,) = await workers.list_all()
    assert (worker.node_id, worker.live, worker.slots, worker.info) == ("w1", True, 2, {"version": "1"})
    session.retire()
    assert not (await workers.get("w1")).live
    with pytest.raises(AmpError, match="worker 'nobody' not found"):
        await workers.get("nobody")


async def test_a_job_that_gets_on_starts_counting_its_failures_from_nothing(
    metadata_db: MetadataDb, session: WorkerSession
) -> None:
    store, leased = JobStore(metadata_db), LeasedJobs(metadata_db)
    job = await store.deploy(_deployment(), actor="a")
    lease = await _run_to_start(metadata_db, session)
    await leased.fail(lease, AmpError(ErrorCode.NODE_UNREACHABLE, "gone", recoverable=True))
    await metadata_db.fetch_all("UPDATE jobs SET run_at = now(), lost_worker_count = 4 RETURNING id")
    lease = await _run_to_start(metadata_db, session)
    assert (await store.get(job.id)).retry_count == 1
    async with metadata_db.transaction() as connection:
        await hold_lease(connection, lease)
        await note_success(connection, lease)
    running = await store.get(job.id)
    assert (running.retry_count, running.last_error) == (0, None)
    assert await metadata_db.fetch_one("SELECT lost_worker_count FROM jobs") == {"lost_worker_count": 0}
