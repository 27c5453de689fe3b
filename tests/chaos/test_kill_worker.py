"""Workers die and freeze in the middle of an extraction: the lake ends as if nothing had happened."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from oracle.recorded import names_of_all, recorded
from support.chain import (
    FIRST_BLOCK,
    Lake,
    ProgressWatch,
    current_block,
    deploy,
    lake_of,
    register,
    replay_node,
    wait_for_completion,
)
from support.daemons import Cluster, Process, wait_for

pytestmark = pytest.mark.chaos

LENGTH = 200
LAST_BLOCK = FIRST_BLOCK + LENGTH - 1
LEASE_SECONDS = 2.0
TAKEOVER_SECONDS = 10.0
# Small segments: many commits to die in.
SETTINGS = f"""
[worker]
lease_secs = {LEASE_SECONDS}
heartbeat_interval_secs = 0.5
[writer]
max_range_blocks = 4
"""

Tables = dict[str, pa.Table]


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, module_database_url: str) -> Tables:
    """The rows of a run in which nothing happens."""
    worker = cluster.start_worker("calm")
    with replay_node(cluster.directory, "--length", str(LENGTH)) as (url, _):
        reference = register(cluster.admin_url, url, dataset="chaos/calm", network="calm", start_block=FIRST_BLOCK)
        wait_for_completion(cluster, deploy(cluster.admin_url, reference, LAST_BLOCK))
    assert worker.end() == 0
    lake = lake_of(cluster, module_database_url, "chaos/calm")
    lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)
    tables = lake.tables()
    assert_counts(tables)
    return tables


def assert_counts(tables: Tables) -> None:
    """Compare the numbers of rows with those of the recorded blocks that the node repeats."""
    blocks = [recorded(name) for name in names_of_all() if name.startswith("ethereum-17686110-17686132/")]
    served = [blocks[at % len(blocks)] for at in range(LENGTH)]
    assert tables["blocks"].num_rows == LENGTH
    assert tables["transactions"].num_rows == sum(len(one.block["transactions"]) for one in served)
    assert tables["logs"].num_rows == sum(len(receipt["logs"]) for one in served for receipt in one.receipts)
    assert tables["withdrawals"].num_rows == sum(len(one.block.get("withdrawals", [])) for one in served)


class Extraction:
    """A running extraction from a node that takes its time."""

    def __init__(self, cluster: Cluster, database_url: str, name: str, node_url: str, node: Process) -> None:
        self.cluster = cluster
        self.node = node
        self.lake: Lake = lake_of(cluster, database_url, f"chaos/{name}")
        self._database_url = database_url
        reference = register(
            cluster.admin_url, node_url, dataset=f"chaos/{name}", network=name, start_block=FIRST_BLOCK
        )
        self.job_id = deploy(cluster.admin_url, reference, LAST_BLOCK)

    def wait_for_new_commits(self, count: int = 2) -> None:
        before = len(self.lake.segments("blocks"))
        wait_for("commits", lambda: len(self.lake.segments("blocks")) >= before + count)
        assert self.cluster.job(self.job_id)["status"] == "RUNNING", "it was too quick to be disturbed"

    def worker(self) -> str:
        """Return the name of the worker that runs the job."""
        name: str = wait_for("a worker", self._running_on)
        return name

    def _running_on(self) -> str | None:
        job = self.cluster.job(self.job_id)
        return job["worker_id"] if job["status"] == "RUNNING" else None

    @contextmanager
    def frozen_node(self) -> Iterator[None]:
        """Let the node stop in the middle of its answers, and wait until the worker can only wait for it."""
        self.node.signal(signal.SIGSTOP)
        try:
            wait_for("all that was fetched to be committed", lambda: not self.lake.orphans())
            yield
        finally:
            self.node.signal(signal.SIGCONT)

    @contextmanager
    def commit_held_up(self) -> Iterator[None]:
        """Hold the worker up in the middle of a commit: files written, their rows not yet."""
        with psycopg.connect(self._database_url) as connection:
            connection.execute("LOCK TABLE files IN SHARE MODE")
            wait_for("a commit that waits for us", self._commit_waits)
            yield

    def _commit_waits(self) -> bool:
        with psycopg.connect(self._database_url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND query LIKE '%INSERT INTO files%'"
            ).fetchone()
        return bool(row and row[0])

    def events(self) -> list[tuple[str, str, datetime]]:
        """Return the states that the job entered, with the worker and the database's time."""
        with psycopg.connect(self._database_url) as connection:
            return connection.execute(
                "SELECT event_type, node_id, created_at FROM job_events WHERE job_id = %s ORDER BY id", (self.job_id,)
            ).fetchall()

    def assert_as_undisturbed(self, undisturbed: Tables) -> None:
        wait_for_completion(self.cluster, self.job_id, timeout=120)
        assert current_block(self.cluster, self.job_id) == LAST_BLOCK
        self.lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)
        self.lake.assert_equals(undisturbed)


@pytest.fixture
def extraction(
    request: pytest.FixtureRequest, cluster: Cluster, module_database_url: str, undisturbed: Tables, tmp_path: Path
) -> Iterator[Extraction]:
    """An extraction that no worker runs yet. The workers of the test end with it."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:30].strip("-")
    kept = len(cluster.processes)
    with replay_node(tmp_path, "--length", str(LENGTH), "--latency", "0.15") as (url, node):
        yield Extraction(cluster, module_database_url, name.replace("-", "_"), url, node)
        for process in cluster.processes[kept:]:
            process.signal(signal.SIGCONT)
            process.end()


def kill(worker: Process) -> None:
    worker.signal(signal.SIGKILL)
    worker.wait()


def test_a_worker_killed_again_and_again_goes_on_where_it_was(
    cluster: Cluster, extraction: Extraction, undisturbed: Tables
) -> None:
    with ProgressWatch(cluster.admin_url, extraction.job_id) as watch:
        worker = cluster.start_worker("phoenix")
        extraction.wait_for_new_commits()
        with extraction.frozen_node():
            kill(worker)  # it was fetching

        worker = cluster.start_worker("phoenix")
        extraction.wait_for_new_commits()
        with extraction.commit_held_up():
            assert extraction.lake.orphans()
            kill(worker)  # it was committing
        orphans = wait_for("orphans", extraction.lake.orphans)

        worker = cluster.start_worker("phoenix")
        extraction.wait_for_new_commits()
        assert not orphans & extraction.lake.orphans(), "what the dead worker left is still there"
        wait_for("a file that does not count yet", extraction.lake.orphans)
        kill(worker)  # it was writing

        worker = cluster.start_worker("phoenix")
        extraction.wait_for_new_commits(3)
        kill(worker)  # wherever it was

        cluster.start_worker("phoenix")
        extraction.assert_as_undisturbed(undisturbed)
    watch.assert_never_went_back()
    assert [event for event, _, _ in extraction.events()].count("RUNNING") == 5


@pytest.mark.long
def test_another_worker_takes_over_by_itself(cluster: Cluster, extraction: Extraction, undisturbed: Tables) -> None:
    with ProgressWatch(cluster.admin_url, extraction.job_id) as watch:
        workers = {name: cluster.start_worker(name) for name in ("first", "second")}
        for _ in range(2):
            victim = extraction.worker()
            extraction.wait_for_new_commits()
            kill(workers[victim])
            heir = wait_for(
                "another worker", lambda victim=victim: (name := extraction.worker()) != victim and name, timeout=20
            )
            workers[victim] = cluster.start_worker(victim)
            assert heir in workers
        extraction.assert_as_undisturbed(undisturbed)
    watch.assert_never_went_back()


@pytest.mark.long
def test_a_worker_that_freezes_for_longer_than_its_lease_changes_nothing_later(
    cluster: Cluster, extraction: Extraction, undisturbed: Tables
) -> None:
    frozen = cluster.start_worker("frozen")
    extraction.wait_for_new_commits()
    wait_for("a file that does not count yet", extraction.lake.orphans)
    frozen.signal(signal.SIGSTOP)
    cluster.start_worker("waking")
    extraction.assert_as_undisturbed(undisturbed)
    segments = extraction.lake.segments("blocks")
    events = extraction.events()

    frozen.signal(signal.SIGCONT)
    assert_lives_or_ends_well(cluster, frozen)
    assert extraction.lake.segments("blocks") == segments
    assert extraction.events() == events
    assert cluster.job(extraction.job_id)["status"] == "COMPLETED"
    extraction.lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)
    extraction.lake.assert_equals(undisturbed)


def assert_lives_or_ends_well(cluster: Cluster, worker: Process) -> None:
    """Wait until the woken worker beats again, and has let go of its job; ending with exit code 0 is as good."""

    def settled() -> bool:
        if worker.popen.poll() is not None:
            assert worker.popen.returncode == 0, worker.text()
            return True
        return "job.lease_lost" in worker.text() or '"job.left"' in worker.text()

    wait_for("the woken worker to let go of its job", settled)
    assert "Traceback" not in worker.text()


def test_a_worker_that_freezes_in_the_middle_of_its_commit_does_not_keep_the_job(
    cluster: Cluster, extraction: Extraction, undisturbed: Tables
) -> None:
    frozen = cluster.start_worker("halfway")
    extraction.wait_for_new_commits()
    with extraction.commit_held_up():
        frozen.signal(signal.SIGSTOP)
    # Its transaction is open now, and holds the job's row.
    cluster.start_worker("passing")
    wait_for("another worker", lambda: cluster.job(extraction.job_id)["worker_id"] == "passing", TAKEOVER_SECONDS)
    extraction.assert_as_undisturbed(undisturbed)
    frozen.signal(signal.SIGCONT)
    assert_lives_or_ends_well(cluster, frozen)
    extraction.lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)
    extraction.lake.assert_equals(undisturbed)
