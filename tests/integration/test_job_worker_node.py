"""A worker node against what may come to it: texts that are no notifications, errors that the database cannot keep,
stops that are forced, and a job that comes back while its last attempt has not ended.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import dict_row

from ampd.errors import AmpError, ErrorCode
from ampd.jobs import Job, JobContext, JobState, JobStore, WorkerStore, force_overdue_stops
from ampd.metadata_db import MetadataDb
from ampd.worker import WorkerNode
from support.engine import LEASE_SECONDS, deployment, on_key
from support.worker_nodes import Handler, Node, until, worker_node


async def _until_state(db: MetadataDb, job_id: int, state: JobState) -> Job:
    async def there() -> Job | None:
        job = await JobStore(db).get(job_id)
        return job if job.state is state else None

    return await until(f"job {job_id} to be {state}", there)


# --- what anyone on the database may send

STRANGE = {
    "words": "hello",
    "a list for a name": '{"node_id":["w1"],"payload":{"job_id":1,"action":"START"}}',
    "an object for a name": '{"node_id":{},"payload":{"job_id":1,"action":"START"}}',
    "a deep list": "[" * 7999,
    "a deep name": '{"node_id":' + "[" * 1000 + "]" * 1000 + ',"payload":{"job_id":1,"action":"START"}}',
    "a long number": "9" * 7999,
}


@pytest.mark.parametrize("payload", STRANGE.values(), ids=STRANGE)
async def test_a_worker_goes_on_whatever_is_notified(metadata_db: MetadataDb, payload: str) -> None:
    handler = Handler()
    async with worker_node(metadata_db.url, "w1", handler) as node:
        first = await JobStore(metadata_db).deploy(deployment("first"), actor="a")
        await handler.next_run()  # it listens by now: a hint brought the job, or soon a beat
        await metadata_db.execute("SELECT pg_notify('job_actions', %(payload)s)", {"payload": payload})
        # Hints arrive in the order of their commits: what this one brings comes after the strange one.
        second = await JobStore(metadata_db).deploy(deployment("second"), actor="a")

        async def goes_on_or_has_ended() -> bool:
            return len(handler.runs) > 1 or node.task.done()

        await until("the worker to go on", goes_on_or_has_ended)
        assert not node.task.done(), "the worker has ended"
        assert {run.job_id for run in handler.runs} == {first.id, second.id}
        await JobStore(metadata_db).request_stop(first.id, actor="a")
        await _until_state(metadata_db, first.id, JobState.STOPPED)
        assert not node.task.done()


# --- errors that the database cannot keep


class Failing:
    """A handler whose every attempt ends with an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.runs = 0

    async def run(self, context: JobContext) -> bool:
        self.runs += 1
        raise self._error


UNKEEPABLE = {"a NUL": "the node said \x00", "half of a pair": "the node said \ud800"}


@pytest.mark.parametrize("text", UNKEEPABLE.values(), ids=UNKEEPABLE)
@pytest.mark.parametrize("crash", [False, True])
async def test_an_error_whose_text_the_database_cannot_keep_ends_the_job_as_any_other(
    metadata_db: MetadataDb, text: str, crash: bool
) -> None:
    """A node's answer may hold anything, and its words come into the error."""
    error = RuntimeError(text) if crash else AmpError(ErrorCode.NODE_ANSWERED_ERROR, text, context={"answer": text})
    handler = Failing(error)
    async with worker_node(metadata_db.url, "w1", handler):
        job = await JobStore(metadata_db).deploy(deployment(retries=0), actor="a")
        failed = await _until_state(metadata_db, job.id, JobState.FAILED)
    assert handler.runs == 1
    assert failed.last_error is not None
    assert "the node said" in failed.last_error["error_message"]


async def test_an_error_that_the_database_cannot_keep_does_not_keep_others_from_failing(
    metadata_db: MetadataDb,
) -> None:
    handler = Failing(AmpError(ErrorCode.NODE_ANSWERED_ERROR, "plain"))
    async with worker_node(metadata_db.url, "w1", handler):
        jobs = [await JobStore(metadata_db).deploy(deployment(str(n), retries=0), actor="a") for n in range(4)]
        for job in jobs:
            failed = await _until_state(metadata_db, job.id, JobState.FAILED)
            assert failed.last_error == {"error_code": "NODE_ANSWERED_ERROR", "error_message": "plain"}


# --- stops that are forced


async def _running(metadata_db: MetadataDb, handler: Handler) -> Job:
    job = await JobStore(metadata_db).deploy(deployment(), actor="a")
    await handler.next_run()
    return await _until_state(metadata_db, job.id, JobState.RUNNING)


async def _stop_and_force(metadata_db: MetadataDb, job: Job) -> None:
    await JobStore(metadata_db, stop_seconds=0).request_stop(job.id, actor="operator")

    async def is_forced() -> bool:
        """A job that the worker is writing to in this moment is forced at the next look."""
        await force_overdue_stops(metadata_db, actor="controller")
        return (await JobStore(metadata_db).get(job.id)).state is JobState.STOPPED

    await until("the stop to be forced", is_forced)


async def _is_idle(metadata_db: MetadataDb, node: WorkerNode) -> bool:
    (worker,) = await WorkerStore(metadata_db, lease_seconds=LEASE_SECONDS).list_all()
    return len(node._runner) == 0 and worker.running_jobs == 0 and worker.live


async def test_a_worker_lets_go_of_a_job_whose_stop_was_forced_and_its_slot_is_free_again(
    metadata_db: MetadataDb,
) -> None:
    deaf = Handler(ignores_stop=True)
    async with worker_node(metadata_db.url, "w1", deaf, slots=1) as node:
        job = await _running(metadata_db, deaf)
        waiting = await JobStore(metadata_db).deploy(deployment("waiting"), actor="a")
        await _stop_and_force(metadata_db, job)
        second = await deaf.next_run(2)
        assert second.job_id == waiting.id
        assert deaf.runs[0].was_cancelled
        second.finish.set()
        await _until_state(metadata_db, waiting.id, JobState.COMPLETED)
        await until("the worker to be idle", lambda: _is_idle(metadata_db, node.node))
    events = (await JobStore(metadata_db).events(job.id))[0]
    states = [event.event_type for event in events if event.event_type != "STOPPING"]
    assert states == ["SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPED"]
    assert (events[-1].actor, events[-1].node_id) == ("controller", "w1")
    assert events[-1].detail == {"forced": True, "worker": "w1"}


async def test_a_worker_forces_the_stops_of_others_when_no_controller_is_there(metadata_db: MetadataDb) -> None:
    """As it looks for jobs of lost workers: at its start, then every reconcile interval."""
    deaf = Handler(ignores_stop=True)
    async with worker_node(metadata_db.url, "w1", deaf):
        job = await _running(metadata_db, deaf)
        await JobStore(metadata_db, stop_seconds=0).request_stop(job.id, actor="operator")
        async with worker_node(metadata_db.url, "w2", Handler()):
            await _until_state(metadata_db, job.id, JobState.STOPPED)
        async with asyncio.timeout(20):
            await deaf.runs[0].has_ended.wait()
    last = (await JobStore(metadata_db).events(job.id))[0][-1]
    assert (last.actor, last.detail) == ("worker:w2", {"forced": True, "worker": "w1"})


@contextmanager
def _beats_held_up(url: str) -> Iterator[None]:
    """Hold the worker's beats: it goes on, but nobody tells it what it has lost."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        connection.execute("SELECT FROM worker_heartbeats FOR UPDATE")
        yield


async def test_an_attempt_that_was_taken_away_ends_also_when_the_same_worker_has_the_job_again(
    metadata_db: MetadataDb,
) -> None:
    """The stop is forced and the job is deployed again before the next beat: two attempts of one job in one process,
    and only the newer one is its own.
    """
    deaf = Handler(ignores_stop=True)
    async with worker_node(metadata_db.url, "w1", deaf, slots=2) as node:
        job = await _running(metadata_db, deaf)
        with _beats_held_up(metadata_db.url):
            await _stop_and_force(metadata_db, job)
            await JobStore(metadata_db).deploy(deployment(), actor="operator")
            second = await deaf.next_run(2)
            async with asyncio.timeout(5):  # at once: no beat tells of it
                await deaf.runs[0].has_ended.wait()
        first = deaf.runs[0]
        assert second.context.lease.lease_epoch > first.context.lease.lease_epoch
        try:
            async with asyncio.timeout(5):
                await first.has_ended.wait()
        except TimeoutError:
            pytest.fail("the attempt that was taken away goes on beside its successor, and nobody knows of it")
        assert first.was_cancelled
        assert not second.has_ended.is_set()
        second.finish.set()
        await _until_state(metadata_db, job.id, JobState.COMPLETED)
        await until("the worker to be idle", lambda: _is_idle(metadata_db, node.node))


class CleansUp:
    """A handler that needs a while to clean up when it is cut off; counts how often that was disturbed."""

    def __init__(self) -> None:
        self.begun, self.cut_off, self.may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.disturbed = 0

    async def run(self, context: JobContext) -> bool:
        self.begun.set()
        try:
            return await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cut_off.set()
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.disturbed += 1
            raise


async def test_a_handler_that_is_cut_off_can_clean_up_without_being_cut_off_again(metadata_db: MetadataDb) -> None:
    """Every beat says once more that the job is not here any more. A handler that closes a request and removes a file
    meanwhile must not be torn out of that.
    """
    handler = CleansUp()
    async with worker_node(metadata_db.url, "w1", handler):
        job = await JobStore(metadata_db).deploy(deployment(), actor="a")
        async with asyncio.timeout(20):
            await handler.begun.wait()
            await _stop_and_force(metadata_db, await _until_state(metadata_db, job.id, JobState.RUNNING))
            await handler.cut_off.wait()
        for _ in range(3):
            await _next_beat(metadata_db)
        handler.may_end.set()
        await _next_beat(metadata_db)
    assert handler.disturbed == 0


async def _next_beat(metadata_db: MetadataDb) -> None:
    query = "SELECT heartbeat_at FROM worker_heartbeats"
    seen = await metadata_db.fetch_one(query)

    async def is_there() -> bool:
        return await metadata_db.fetch_one(query) != seen

    await until("a beat", is_there)


async def test_a_hint_for_another_worker_changes_nothing_here(metadata_db: MetadataDb) -> None:
    handler = Handler()
    async with worker_node(metadata_db.url, "w1", handler) as node:
        await _running(metadata_db, handler)
        for name in ("w2", "W1", "w1 "):
            hint = json.dumps({"node_id": name, "payload": {"job_id": 1, "action": "STOP"}})
            await metadata_db.execute("SELECT pg_notify('job_actions', %(payload)s)", {"payload": hint})
        await _hint_that_is_heard(metadata_db, handler)
        assert not handler.runs[0].context.stop.is_set()
        assert not node.task.done()


async def _hint_that_is_heard(metadata_db: MetadataDb, handler: Handler) -> None:
    begun = len(handler.runs)
    await JobStore(metadata_db).deploy(deployment("after"), actor="a")
    await handler.next_run(begun + 1)


async def test_a_false_hint_to_stop_stops_nothing(metadata_db: MetadataDb) -> None:
    """A hint says only that there may be something to do."""
    handler = Handler()
    async with worker_node(metadata_db.url, "w1", handler):
        job = await _running(metadata_db, handler)
        hint = json.dumps({"node_id": "w1", "payload": {"job_id": job.id, "action": "STOP"}})
        await metadata_db.execute("SELECT pg_notify('job_actions', %(payload)s)", {"payload": hint})
        await _hint_that_is_heard(metadata_db, handler)
        assert not handler.runs[0].context.stop.is_set()
        assert (await JobStore(metadata_db).get(job.id)).state is JobState.RUNNING


async def test_a_node_that_ends_frees_its_name_and_its_jobs(metadata_db: MetadataDb) -> None:
    handler, successor = Handler(), Handler()
    async with worker_node(metadata_db.url, "w1", handler) as node:
        job = await _running(metadata_db, handler)
        await node.end()
        assert not (await WorkerStore(metadata_db, lease_seconds=LEASE_SECONDS).get("w1")).live
        async with worker_node(metadata_db.url, "w1", successor) as again:
            assert isinstance(again, Node)
            assert (await successor.next_run()).job_id == job.id


async def test_a_worker_alone_lets_a_job_go_that_waits_for_nothing_any_more(metadata_db: MetadataDb) -> None:
    """Jobs go on while no controller lives: workers have its last net too, for what released nobody."""
    store, handler = JobStore(metadata_db), Handler()
    first = await store.deploy(deployment("a"), actor="a")
    job = await store.deploy(deployment("b", depends_on=(on_key("a"),)), actor="a")
    await metadata_db.execute("UPDATE jobs SET state = 'COMPLETED' WHERE id = %(id)s", {"id": first.id})
    async with worker_node(metadata_db.url, "w1", handler):
        run = await handler.next_run()
        assert run.job_id == job.id
