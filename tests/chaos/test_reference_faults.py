"""The faults 1, 2, 3, 4, 6 and 7 of the reference system, one by one: we do not have them.

Fault 1: jobs of a dead worker never move. Fault 2: a stop that nobody finishes lasts for ever. Fault 3: a worker ends
on a conflict that means nothing. Fault 4: the same deploy again is refused. Fault 6: two workers run one job. Fault 7:
a lost query, session or hint ends a worker, or makes it deaf. (5, 8 and 9: test_reference_faults_5_8_9.py.)
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
from support.faults import kill
from support.hints import flood, hint, send_hints
from support.load import Load
from support.scene import BLOCK, FATAL, RECOVERABLE, WORKERS, Scene, held_up, scene, waits_to_enter

pytestmark = pytest.mark.chaos


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


def given_to_frozen(stage: Scene, name: str, **options: Any) -> int:
    """Freeze a worker and return a job that is assigned to it, of which it has not heard."""
    for _ in range(10):
        stage.workers[name].signal(signal.SIGSTOP)
        job_id = stage.deploy(**options)
        job = wait_for("its placement, or the end of the lease", lambda job_id=job_id: placed(stage, job_id))
        if (job["waiting_for"], job["worker_id"]) == ("start", name):
            return job_id
        # It was too late: the lease had ended.
        stage.workers[name].signal(signal.SIGCONT)
        stage.stop(job_id)
        wait_for("the worker", lambda: stage.is_live(name))
    raise AssertionError(f"no job was ever given to {name}")


def placed(stage: Scene, job_id: int) -> Any:
    job = stage.job(job_id)
    return job if job["status"] != "SCHEDULED" or job["waiting_for"] in {"start", "worker"} else None


class TestAJobOfADeadWorker:
    def test_that_was_given_and_not_begun_runs_on_another_one_and_never_on_both(self, stage: Scene) -> None:
        """Fault 1: what was assigned to a worker when it died stayed with it. Fault 6: a START that was heard late made
        a second worker run the job.
        """
        stage.running(worker_id="right")  # now the left one has more room
        job_id = given_to_frozen(stage, "left")
        wait_for("the other worker", lambda: stage.runs(job_id) == ["right"])
        stage.workers["left"].signal(signal.SIGCONT)
        send_hints(stage.database_url, hint("left", job_id, "START"))
        stage.complete("left")
        assert stage.runs(job_id) == ["right"]
        assert stage.job(job_id)["worker_id"] == "right"
        assert [attempt["worker_id"] for attempt in stage.attempts(job_id)] == ["left", "right"]


class TestAStop:
    def test_ends_though_its_worker_dies_before_the_last_word_and_the_job_can_be_removed(self, stage: Scene) -> None:
        """Fault 2: STOPPING for ever, and not to be deleted, when the worker died before STOPPED."""
        job_id = stage.running()
        with held_up(stage.database_url, "STOPPED"):
            stage.stop(job_id)
            wait_for("the worker's last word", lambda: waits_to_enter(stage.database_url))
            assert stage.job(job_id)["status"] == "STOPPING"
            kill(stage.workers[stage.runs(job_id)[0]])
        stage.wait_for(job_id, "STOPPED")
        assert stage.states(job_id) == ["SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPING", "STOPPED"]
        stage.remove(job_id)

    def test_ends_though_its_worker_is_killed_before_it_hears_and_comes_back(self, stage: Scene) -> None:
        """Fault 2: after a restart of the worker STOP_REQUESTED became STOPPING, for ever."""
        job_id = stage.running(worker_id="left")
        stage.workers["left"].signal(signal.SIGSTOP)
        assert stage.stop(job_id) == "STOP_REQUESTED"
        kill(stage.workers["left"])
        stage.start_worker("left")
        stage.wait_for(job_id, "STOPPED")
        stage.complete("left")
        assert stage.states(job_id) == ["SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPED"]
        stage.remove(job_id)

    def test_that_a_living_worker_does_not_finish_in_time_is_forced(self, stage: Scene) -> None:
        """Fault 2: nothing but the worker's own word ended a stop."""
        stage.node.signal(signal.SIGSTOP)
        job_id = stage.running()  # it waits for the first answer of the node
        stage.stop(job_id, url=stage.hasty_url)
        stage.wait_for(job_id, "STOPPED")
        assert not stage.events(job_id)[-1]["actor"].startswith("worker")
        stage.node.signal(signal.SIGCONT)
        stage.complete(*WORKERS)
        assert stage.states(job_id) == ["SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPING", "STOPPED"]
        stage.remove(job_id)

    def test_is_not_undone_by_a_deploy_before_it_has_ended(self, stage: Scene) -> None:
        """Fault 2: the only way out of a stop was a deploy, which took the job from whoever held it."""
        name = stage.dataset()
        job_id = stage.running(name, worker_id="left")
        stage.workers["left"].signal(signal.SIGSTOP)
        assert stage.stop(job_id) == "STOP_REQUESTED"
        assert stage.deploy(name, worker_id="left") == job_id
        other = httpx.post(f"{stage.url}/datasets/{name}/versions/1.0.0/deploy", json={"worker_id": "right"})
        assert (other.status_code, other.json()["error_code"]) == (409, "ACTIVE_JOB_CONFLICT")
        stage.workers["left"].signal(signal.SIGCONT)
        stage.wait_for(job_id, "STOPPED")
        assert stage.states(job_id).count("SCHEDULED") == 1


class TestAConflictThatMeansNothing:
    def test_a_start_that_comes_after_the_stop_leaves_the_worker_and_its_other_job_alone(self, stage: Scene) -> None:
        """Fault 2: the stop of a job that a silent worker had not begun waited for that worker. Fault 3: the START that
        it heard then ended it, and with it all its jobs.
        """
        other = stage.running(worker_id="left")
        job_id = given_to_frozen(stage, "left", worker_id="left")
        assert stage.stop(job_id) == "STOPPED"
        stage.workers["left"].signal(signal.SIGCONT)
        send_hints(stage.database_url, hint("left", job_id, "START"))
        stage.complete("left")
        assert stage.states(job_id) == ["SCHEDULED", "STOPPED"]
        # On a busy machine the worker may have been frozen for longer than its lease: then it has the job again.
        stage.wait_for(other, "RUNNING")

    def test_hints_that_come_twice_too_late_or_untrue_change_no_job_and_end_no_worker(self, stage: Scene) -> None:
        """Fault 3: a second START, or a STOP that the reconcile had heard before, ended the worker."""
        running = {name: stage.running(worker_id=name) for name in WORKERS}
        ended = stage.deploy(end_block=BLOCK)
        stage.wait_for(ended, "COMPLETED")
        before = {job_id: stage.states(job_id) for job_id in (*running.values(), ended)}
        job_ids = (*before, 10**12)
        hints = [hint(name, job_id, action) for name in WORKERS for job_id in job_ids for action in ("START", "STOP")]
        send_hints(stage.database_url, *hints * 10)
        stage.complete(*WORKERS)
        assert {job_id: stage.states(job_id) for job_id in before} == before
        for name, job_id in running.items():
            stage.stop(job_id)
            send_hints(stage.database_url, *[hint(name, job_id, "STOP")] * 10)
            stage.wait_for(job_id, "STOPPED")
            assert len(stage.attempts(job_id)) == 1

    @pytest.mark.parametrize(("mood", "ends"), [(RECOVERABLE, {"STOPPED"}), (FATAL, {"STOPPED", "FAILED"})])
    def test_a_stop_that_meets_a_failure_ends_the_job_and_no_worker(
        self, stage: Scene, mood: Any, ends: set[str]
    ) -> None:
        """Fault 3: a failure that was written after the STOP was committed ended the worker."""
        stage.moody.mood = mood
        urls = [stage.url, stage.hasty_url]
        load = Load(stage.cluster, stage.database_url, stage.moody_url, f"fails_{len(ends)}", datasets=4, urls=urls)
        # On a busy machine the failure comes first for long: until the stop has come first as well.
        for _ in range(10):
            load.race(5)
            if set(load.ends) >= ends:
                break
        assert set(load.ends) == ends
        stage.moody.mood = None
        load.finish()
        load.assert_sound()


OPTIONS = {
    "end_block": str(BLOCK + 3),
    "parallelism": 2,
    "worker_id": "nobody-*",
    "priority": 7,
    "retries": 5,
    "retry": {"initial_delay_secs": 2, "multiplier": 3, "max_delay_secs": 60, "jitter": 0.5},
}


class TestTheSameDeployAgain:
    def test_is_the_same_job_however_it_is_written_and_needs_no_worker(self, stage: Scene) -> None:
        """Fault 4: the text was compared, so that every one was a conflict; and a worker was chosen first."""
        url = f"{stage.url}/datasets/{stage.dataset()}/versions/1.0.0/deploy"
        turned = dict(reversed(OPTIONS.items())) | {"end_block": BLOCK + 3, "verify": "sample"}
        answers = [httpx.post(url, json=options) for options in (OPTIONS, turned, OPTIONS)]
        assert [answer.status_code for answer in answers] == [202] * 3
        (job_id,) = {answer.json()["job_id"] for answer in answers}
        assert (stage.states(job_id), stage.job(job_id)["waiting_for"]) == (["SCHEDULED"], "worker")

    @pytest.mark.parametrize(
        "changed",
        [
            {"end_block": BLOCK + 4},
            {"parallelism": 3},
            {"worker_id": "nobody-1"},
            {"priority": 8},
            {"retries": None},
            {"retry": {}},
            {"verify": False},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_with_one_other_option_is_a_conflict(self, stage: Scene, changed: dict[str, Any]) -> None:
        """Fault 4: the other half: what is not the same is told, and changes nothing."""
        name = stage.dataset()
        job_id = stage.deploy(name, **OPTIONS)
        answer = httpx.post(f"{stage.url}/datasets/{name}/versions/1.0.0/deploy", json=OPTIONS | changed)
        assert (answer.status_code, answer.json()["error_code"]) == (409, "ACTIVE_JOB_CONFLICT")
        assert stage.states(job_id) == ["SCHEDULED"]

    def test_is_the_same_job_while_it_runs_and_when_its_worker_counts_as_dead(self, stage: Scene) -> None:
        """Fault 4: the deploy of a job whose worker was dead was an error of the server."""
        name = stage.dataset()
        job_id = stage.running(name, worker_id="left")
        assert stage.deploy(name, worker_id="left") == job_id
        stage.workers["left"].signal(signal.SIGSTOP)
        wait_for("the job to be taken back", lambda: stage.job(job_id)["waiting_for"] == "worker")
        assert stage.deploy(name, worker_id="left") == job_id
        assert stage.states(job_id) == ["SCHEDULED", "RUNNING", "SCHEDULED"]


class TestAJobHasOneWorker:
    def test_that_another_one_is_told_to_start_it_changes_nothing(self, stage: Scene) -> None:
        """Fault 6: whoever got a START ran the job, without a look at whose it was."""
        running = {name: stage.running(worker_id=name) for name in WORKERS}
        waiting = stage.deploy(worker_id="nobody")
        for mine, other in (WORKERS, WORKERS[::-1]):
            send_hints(stage.database_url, *[hint(mine, job_id, "START") for job_id in (running[other], waiting)] * 5)
        stage.complete(*WORKERS)
        for name, job_id in running.items():
            assert [attempt["worker_id"] for attempt in stage.attempts(job_id)] == [name]
        assert stage.attempts(waiting) == []


MALFORMED = {
    "no_json": ["", "START job 1", '{"node_id":"left","payload":{"job_id":1,', "x" * 7900],
    "other_shapes": [
        *("null", "7", "[1, 2]", '"left"', "{}", '{"node_id":"left"}', '{"node_id":"left","payload":null}'),
        *('{"node_id":"left","payload":["job_id","action"]}', '{"node_id":"left","payload":{"job_id":1}}'),
    ],
    "other_values": [
        *(hint("left", 1, None), hint("left", 1, "DANCE"), hint("left", 1, {"START": "STOP"})),
        *(
            hint("left", "one", "START"),
            hint("left", {}, "START"),
            hint("left", -1, "START"),
            hint("left", 1e300, "STOP"),
        ),
        *(hint("left", 10**30, "START"), hint("left", 0, "START").replace("0", "9" * 7000), hint("left", 1, "\u202e")),
        *(hint(1, 1, "START"), hint("left\x00\ud800", 1, "START"), hint("left", float("nan"), "START")),
    ],
    "node_is_a_list": [hint(["left"], 1, "START")],
    "node_is_an_object": [hint({"left": "right"}, 1, "START")],
    "deep": ["[" * 7900, '{"a":' * 1500],
}


class TestAWorkerLivesOn:
    @pytest.mark.parametrize("payloads", MALFORMED.values(), ids=MALFORMED)
    def test_when_hints_cannot_be_read(self, stage: Scene, payloads: list[str]) -> None:
        """Fault 7: a malformed hint ended every worker of the cluster."""
        job_id = stage.running()
        before = listeners(stage)
        send_hints(stage.database_url, *payloads)
        stage.complete(*WORKERS)
        assert listeners(stage) == before, "somebody lost the session that listens"
        assert stage.states(job_id) == ["SCHEDULED", "RUNNING"]

    def test_and_hears_the_other_things_while_hints_pour_down(self, stage: Scene) -> None:
        """Fault 7: what came through one branch of the loop starved the others, signals and results among them."""
        with flood(stage.database_url) as sent:
            job_id = stage.running(worker_id="left")
            stage.complete(*WORKERS)
            stage.stop(job_id)
            stage.wait_for(job_id, "STOPPED")
            left = stage.workers["left"]
            left.signal(signal.SIGTERM)
            assert left.wait() == 0
            wait_for("a hundred hints", lambda: sent() >= 100)
        assert "Traceback" not in left.text()


def listeners(stage: Scene) -> set[int]:
    """Return the sessions that listen for hints."""
    rows = stage.sql(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'ampd listen' AND datname = current_database()"
    )
    return {row["pid"] for row in rows}
