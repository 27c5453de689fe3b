"""Time, controllers, a worker and operators act on one job with a timetable in any order; after each step its rows must
agree with each other, and every time that has come must have become something, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ampd.errors import AmpError
from ampd.jobs import Lease, RetryPolicy, TimetableStore, rescue_jobs_of_lost_workers
from ampd.metadata_db import EmbeddedPostgres
from support.databases import fresh_database
from support.engine import FATAL, TRANSIENT
from support.timetables import MINUTE_MS, Timetables, timetables

Answer = TypeVar("Answer")
PROFILE: Final = settings(
    max_examples=6,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TERMINAL: Final = ("COMPLETED", "STOPPED", "FAILED")
HELD: Final = ("RUNNING", "STOP_REQUESTED", "STOPPING")


class OneTimetable(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.engine: Timetables = self._await(
            self.stack.enter_async_context(timetables(self.url, RetryPolicy(initial_delay=3600, max_delay=7200)))
        )
        self.lease: Lease | None = None
        self.job_id = 0
        self.retries_by_operator = 0

    def teardown(self) -> None:
        self._await(self.stack.aclose())
        self.loop.close()

    def _await(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(coroutine)

    @initialize(
        overlap=st.sampled_from(("skip", "queue", "cancel_running")),
        catch_up=st.sampled_from(("skip", "run_once", "run_all")),
        limit=st.sampled_from((None, None, 3)),
        pauses=st.booleans(),
    )
    def deploy(self, overlap: str, catch_up: str, limit: int | None, pauses: bool) -> None:
        schedule = {"every": MINUTE_MS, "overlap": overlap, "catch_up": catch_up, "limit": limit}
        job = self._await(self.engine.recur(schedule=schedule | {"pause_on_failure": pauses}, retries=1))
        self.job_id = job.id
        self._agree()

    # --- time and controllers

    @rule(minutes=st.sampled_from((1, 1, 1, 2, 7)))
    def time_passes(self, minutes: int) -> None:
        self._await(self.engine.pass_time(minutes=minutes))
        self._agree()

    @rule(controllers=st.sampled_from((1, 1, 3)))
    def controllers_look(self, controllers: int) -> None:
        async def look() -> None:
            await asyncio.gather(*(self.engine.fire_all() for _ in range(controllers)))

        self._await(look())
        self._agree()
        self._every_time_has_become_something()

    # --- a worker

    @precondition(lambda self: self.lease is None)
    @rule()
    def a_worker_begins(self) -> None:
        if self._await(self.engine.place()):
            lease = self.engine.lease_of(self.job_id)
            self.lease = lease if self._await(self.engine.leased.start(lease)) else None
        self._agree()

    @precondition(lambda self: self.lease is not None)
    @rule(
        how=st.sampled_from(("complete", "complete", "complete", "fail", "fail for now", "hand back", "stop", "lose"))
    )
    def the_worker_ends(self, how: str) -> None:
        lease = self.lease
        assert lease is not None
        leased = self.engine.leased
        match how:
            case "complete":
                self._await(leased.complete(lease))
            case "fail" | "fail for now":
                self._await(leased.fail(lease, FATAL if how == "fail" else TRANSIENT))
            case "hand back":
                self._await(leased.hand_back(lease))
            case "stop":
                self._await(leased.acknowledge_stop(lease))
                if not self._await(leased.stop(lease)):
                    return
            case "lose":
                self._await(rescue_jobs_of_lost_workers(self.engine.db, lease_seconds=0, actor="rescue"))
                self.engine.worker.beat()
        self.lease = None
        self._agree()

    @rule()
    def the_backoff_passes(self) -> None:
        self._await(self.engine.change("UPDATE jobs SET run_at = now() WHERE NOT rests AND state = 'SCHEDULED'"))
        self._agree()

    # --- operators

    @rule(what=st.sampled_from(("pause", "resume", "resume", "retry", "stop", "reschedule")))
    def an_operator_asks(self, what: str) -> None:
        store, before = self.engine.store, self._job()
        try:
            match what:
                case "pause":
                    self._await(store.pause(self.job_id, actor="operator"))
                case "resume":
                    self._await(store.resume(self.job_id, actor="operator"))
                case "retry":
                    self._await(store.retry(self.job_id, actor="operator"))
                    self.retries_by_operator += before["state"] in ("STOPPED", "FAILED")
                case "stop":
                    self._await(store.request_stop(self.job_id, actor="operator"))
                case _:
                    changes = {"every": MINUTE_MS}
                    self._await(
                        TimetableStore(self.engine.db, notifier=store._notifier).reschedule(
                            self.job_id, changes, actor="operator"
                        )
                    )
        except AmpError:
            assert self._job() == before, f"a refused {what} changed something"
        self._agree()

    # --- what must hold

    def _job(self) -> dict[str, Any]:
        row = self._await(self.engine.db.fetch_one("SELECT * FROM jobs WHERE id = %(id)s", {"id": self.job_id}))
        assert row is not None
        return row

    def _agree(self) -> None:
        job, firings = self._job(), self._await(self.engine.firings(self.job_id))
        outcomes = self._await(self.engine.executions(self.job_id))
        is_open = bool(outcomes) and outcomes[-1] is None
        assert None not in outcomes[:-1], "an execution began before the one before had ended"
        assert job["execution_number"] == len(outcomes)
        if job["state"] in HELD:
            assert is_open
            assert not job["rests"]
        elif job["state"] in TERMINAL:
            assert not is_open
        else:
            assert job["rests"] is not is_open
            assert job["state"] == "SCHEDULED" or job["rests"]
        fired = [row for row in firings if row["outcome"] == "FIRED"]
        numbers = [row["execution_number"] for row in fired]
        assert numbers == sorted(set(numbers)), "times were not run in their order, each by an execution of its own"
        assert len(fired) == job["execution_count"] == len(outcomes) - self.retries_by_operator
        assert sum(row["outcome"] == "QUEUED" for row in firings) == job["queued_firings"]
        limit = job["schedule"].get("limit")
        assert limit is None or job["execution_count"] + job["queued_firings"] <= limit

    def _every_time_has_become_something(self) -> None:
        """After a look no time that has come is left, unless it is not for controllers to see to."""
        job = self._job()
        if job["state"] in ("PAUSED", *TERMINAL):
            return
        now = self._await(self.engine.now())
        assert job["next_run_at"] is None or job["next_run_at"] > now - timedelta(seconds=1) or job["queued_firings"]
        assert not (job["rests"] and job["state"] == "SCHEDULED" and job["queued_firings"]), "a time waits for nothing"
        assert job["next_run_at"] is not None or not job["rests"], "a timetable without times goes on"


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    with fresh_database(postgres_server, migrated_template) as url:
        yield url


def test_whatever_happens_to_a_job_with_a_timetable_its_times_and_executions_agree(url: str) -> None:
    machine = type("OneTimetable", (OneTimetable,), {"url": url})
    run_state_machine_as_test(machine, settings=PROFILE)


@pytest.mark.long
def test_the_same_many_times(url: str) -> None:
    machine = type("OneTimetable", (OneTimetable,), {"url": url})
    run_state_machine_as_test(machine, settings=settings(PROFILE, max_examples=150, stateful_step_count=40))
