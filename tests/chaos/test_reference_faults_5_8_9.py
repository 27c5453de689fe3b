"""The faults 5, 8 and 9 of the reference system, one by one: we do not have them.

Fault 5: retries storm, freeze, count what is no retry, and break all others. Fault 8: jobs are placed by chance, on
workers without limits. Fault 9: small defects of the command line and the API. (The others: test_reference_faults.py.)
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ampd.metadata_db import EmbeddedPostgres
from support.daemons import wait_for
from support.databases import fresh_database
from support.scene import BLOCK, RECOVERABLE, WORKERS, Scene, scene

pytestmark = pytest.mark.chaos

QUICK_RETRY = {"initial_delay_secs": 0.1, "multiplier": 1, "max_delay_secs": 0.1, "jitter": 0}
# So long that it never comes by itself in a test.
LATE_RETRY = {"initial_delay_secs": 3600, "multiplier": 2, "max_delay_secs": 7200, "jitter": 0}


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres, migrated_template: str
) -> Iterator[Scene]:
    with (
        fresh_database(postgres_server, migrated_template) as database_url,
        scene(tmp_path_factory.mktemp("scene"), database_url) as made,
    ):
        yield made


@pytest.fixture
def stage(shared: Scene) -> Iterator[Scene]:
    """The scene as it should be; and a look at it afterwards, when all has been put back."""
    yield shared
    shared.calm()
    shared.assert_sound()


def failing(stage: Scene, **options: Any) -> int:
    """Return a job that fails for now, and waits for its next try if it has one."""
    stage.moody.mood = RECOVERABLE
    job_id = stage.deploy(stage.dataset("moody"), end_block=BLOCK, **options)
    wait_for("its failure", lambda: stage.job(job_id)["last_error"])
    return job_id


def try_now(stage: Scene, job_id: int) -> None:
    """Let the pause before the next try be over."""
    stage.sql("UPDATE jobs SET run_at = now() WHERE id = %s", job_id)


def pause(stage: Scene, job_id: int) -> float:
    """Return the seconds between the last failure and the next try, as they were decided."""
    (row,) = stage.sql("SELECT extract(epoch FROM run_at - updated_at) AS pause FROM jobs WHERE id = %s", job_id)
    return float(row["pause"])


class TestARetry:
    def test_is_not_made_more_often_than_the_job_allows(self, stage: Scene) -> None:
        """Fault 5: there was no limit."""
        job_id = failing(stage, retries=2, retry=QUICK_RETRY)
        stage.wait_for(job_id, "FAILED")
        assert stage.states(job_id) == [*["SCHEDULED", "RUNNING"] * 3, "FAILED"]
        assert stage.job(job_id)["last_error"]["error_code"] == "NODE_ANSWERED_ERROR"

    def test_after_thousands_waits_no_longer_than_it_may_and_holds_up_no_other_job(self, stage: Scene) -> None:
        """Fault 5: after 44 attempts of one job the question for what is to be retried failed, for all jobs."""
        old = failing(stage, retry={"initial_delay_secs": 3600, "max_delay_secs": 5400})
        stage.sql("UPDATE jobs SET retry_count = 5000 WHERE id = %s", old)
        try_now(stage, old)
        wait_for("one more failure", lambda: stage.job(old)["retry_count"] == 5001)
        assert 3600 <= pause(stage, old) <= 5400
        young = failing(stage, retry=QUICK_RETRY)
        stage.moody.mood = None
        stage.wait_for(young, "COMPLETED")
        assert stage.job(old)["waiting_for"] == "retry"
        try_now(stage, old)
        stage.wait_for(old, "COMPLETED")
        assert stage.job(old)["retry_count"] == 0

    def test_waits_longer_each_time_but_a_deploy_is_none(self, stage: Scene) -> None:
        """Fault 5: redeploys were counted as attempts: after twenty the first pause was twelve days."""
        stage.moody.mood = RECOVERABLE
        name = stage.dataset("moody")
        retry = {"initial_delay_secs": 100, "multiplier": 2, "max_delay_secs": 1000, "jitter": 0}
        for _ in range(45):
            job_id = stage.deploy(name, worker_id="nobody")
            assert stage.stop(job_id) == "STOPPED"
        assert stage.deploy(name, retry=retry) == job_id
        for number, seconds in enumerate((100, 200, 400), start=1):
            wait_for("a failure", lambda number=number: stage.job(job_id)["retry_count"] == number)
            assert pause(stage, job_id) == seconds
            try_now(stage, job_id)
        assert stage.job(job_id)["execution_number"] == 46

    def test_is_made_once_each_though_there_are_two_controllers(self, stage: Scene) -> None:
        """Fault 5: every controller rescheduled every failed job; and only once a minute."""
        assert len(stage.controllers) == 2
        job_id = failing(stage, retry=QUICK_RETRY)
        wait_for("some retries", lambda: stage.job(job_id)["retry_count"] >= 5)
        stage.moody.mood = None
        stage.wait_for(job_id, "COMPLETED")
        attempts = stage.attempts(job_id)
        assert stage.states(job_id) == [*["SCHEDULED", "RUNNING"] * len(attempts), "COMPLETED"]
        assert [attempt["outcome"] for attempt in attempts] == [*["RETRYING"] * (len(attempts) - 1), "COMPLETED"]

    def test_is_made_by_another_worker_when_the_last_one_is_dead(self, stage: Scene) -> None:
        """Fault 5: it waited for the worker that had failed, dead or not."""
        job_id = failing(stage, retry=LATE_RETRY)
        (victim,) = stage.runs(job_id)
        stage.workers[victim].signal(signal.SIGSTOP)
        wait_for("the end of its lease", lambda: not stage.is_live(victim))
        stage.moody.mood = None
        try_now(stage, job_id)
        stage.wait_for(job_id, "COMPLETED")
        assert stage.runs(job_id) == [victim, next(name for name in WORKERS if name != victim)]

    def test_is_not_made_of_a_job_that_was_stopped_or_removed_meanwhile(self, stage: Scene) -> None:
        """Fault 5: a stop did nothing, and what was removed or deployed meanwhile could be flipped back."""
        job_id = failing(stage, retry=LATE_RETRY)
        assert stage.stop(job_id) == "STOPPED"
        try_now(stage, job_id)
        stage.moody.mood = None
        stage.complete(*WORKERS)
        assert stage.states(job_id) == ["SCHEDULED", "RUNNING", "SCHEDULED", "STOPPED"]
        stage.remove(job_id)


class TestPlacement:
    def test_gives_jobs_to_the_worker_that_has_least_to_do(self, stage: Scene) -> None:
        """Fault 8: chance chose the worker."""
        jobs = [stage.running() for _ in range(6)]
        assert sorted(str(stage.job(job_id)["worker_id"]) for job_id in jobs) == ["left"] * 3 + ["right"] * 3

    def test_keeps_to_the_slots_of_a_worker_and_to_the_priority_of_jobs(self, stage: Scene) -> None:
        """Fault 8: a worker ran all it was given; there were no priorities."""
        small = stage.start_worker("small", slots="1")
        try:
            first = stage.running(worker_id="small")
            low, high = (stage.deploy(worker_id="small", priority=priority) for priority in (1, 2))
            for running, waiting, gone in ((high, low, first), (low, None, high)):
                stage.stop(gone)
                stage.wait_for(running, "RUNNING")
                if waiting is not None:
                    assert stage.job(waiting)["waiting_for"] == "slot"
            stage.stop(low)
            stage.wait_for(low, "STOPPED")
        finally:
            del stage.workers["small"]
            assert small.end() == 0

    def test_keeps_work_from_a_worker_that_an_operator_drains(self, stage: Scene) -> None:
        """Fault 8: there was no way to take a worker out of service but to kill it."""
        mine, other = stage.running(), stage.running()
        worker = str(stage.job(mine)["worker_id"])
        assert httpx.post(f"{stage.url}/workers/{worker}/drain").json()["draining"] is True
        wait_for("the job to move", lambda: len(stage.runs(mine)) == 2)
        later = stage.running()
        bound = stage.deploy(worker_id=worker)
        assert {stage.job(job_id)["worker_id"] for job_id in (mine, other, later)} == {*WORKERS} - {worker}
        assert stage.job(bound)["waiting_for"] == "worker"
        assert httpx.post(f"{stage.url}/workers/{worker}/undrain").json()["draining"] is False
        stage.wait_for(bound, "RUNNING")


class TestTheCommandLineAndTheApi:
    def test_prune_needs_no_status_and_tells_how_many(self, stage: Scene) -> None:
        """Fault 9: `ampctl job prune` was always refused; DELETE gave no count."""
        stage.complete("left", "right")
        running = stage.running()
        ended = len(httpx.get(f"{stage.url}/jobs?status=terminal&limit=1000").json()["jobs"])
        assert stage.cluster.ampctl_json("job", "prune")["deleted_count"] == ended >= 2
        stage.complete("left")
        assert httpx.delete(f"{stage.url}/jobs").headers["X-Deleted-Count"] == "1"
        assert [job["id"] for job in httpx.get(f"{stage.url}/jobs?status=all").json()["jobs"]] == [running]

    def test_the_last_page_has_no_cursor_also_when_it_is_full(self, stage: Scene) -> None:
        """Fault 9: every page with a job on it had a cursor, which led to an empty page."""
        jobs = [stage.deploy(worker_id="nobody") for _ in range(4)]
        found, cursor = [], ""
        for is_last in (False, True):
            page = httpx.get(f"{stage.url}/jobs?limit=2{cursor}").json()
            found += [job["id"] for job in page["jobs"]]
            assert ("next_cursor" not in page) is is_last
            cursor = f"&last_job_id={page.get('next_cursor')}"
        assert found == jobs[::-1]

    @pytest.mark.parametrize("word", ["sleeping", "runing", "RUNNING,idle"])
    def test_a_status_that_nobody_knows_is_refused_with_the_known_ones(self, stage: Scene, word: str) -> None:
        """Fault 9: a filter with a typing error answered that there are no jobs."""
        answer = httpx.get(f"{stage.url}/jobs", params={"status": word})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_QUERY_PARAMETERS")
        assert all(known in answer.json()["error_message"] for known in ("running", "stopped", "error", "active"))

    def test_a_job_that_ran_often_is_once_among_the_jobs_of_its_dataset(self, stage: Scene) -> None:
        """Fault 9: a job stood there once for each of its tables' revisions; the command did not exist."""
        name = stage.dataset()
        for _ in range(3):
            job_id = stage.deploy(name, end_block=BLOCK)
            stage.wait_for(job_id, "COMPLETED")
        assert [job["id"] for job in stage.cluster.ampctl_json("dataset", "jobs", f"{name}@1.0.0")["jobs"]] == [job_id]

    def test_a_deploy_while_no_worker_lives_is_no_error(self, stage: Scene) -> None:
        """Fault 9: it was a 500."""
        for name in WORKERS:
            stage.workers[name].signal(signal.SIGSTOP)
        wait_for("the end of their leases", lambda: not any(stage.is_live(name) for name in WORKERS))
        job_id = stage.deploy(end_block=BLOCK)
        assert (stage.job(job_id)["status"], stage.job(job_id)["waiting_for"]) == ("SCHEDULED", "worker")
        for name in WORKERS:
            stage.workers[name].signal(signal.SIGCONT)
        stage.wait_for(job_id, "COMPLETED")

    def test_events_come_in_pages_and_outlive_their_job(self, stage: Scene) -> None:
        """Fault 9: all events came at once, and were lost with the job."""
        name = stage.dataset()
        for _ in range(3):
            job_id = stage.deploy(name, end_block=BLOCK)
            stage.wait_for(job_id, "COMPLETED")
        told = ["SCHEDULED", "RUNNING", "COMPLETED"] * 3
        assert pages_of_events(stage, job_id) == [told[:4], told[4:8], told[8:]]
        shown = stage.cluster.ampctl_json("job", "events", str(job_id), "--limit", "4")
        assert [event["event_type"] for event in shown["events"]] == told[:4]
        stage.remove(job_id)
        assert pages_of_events(stage, job_id) == [told[:4], told[4:8], [*told[8:], "DELETED"]]


def pages_of_events(stage: Scene, job_id: int) -> list[list[str]]:
    """Return the states on each page of four events."""
    pages, after = [], ""
    while True:
        page = httpx.get(f"{stage.url}/jobs/{job_id}/events?limit=4{after}").json()
        pages.append([str(event["event_type"]) for event in page["events"]])
        if "next_cursor" not in page:
            return pages
        after = f"&after={page['next_cursor']}"
