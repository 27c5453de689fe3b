"""An upgrade while the cluster works: the version to come adds, all processes are restarted one after the other, then
it takes away what the present version needed. No job fails, no block comes twice, the Admin API answers all the time.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml

import ampd
from ampd.chain.tables import TABLES
from support.daemons import Cluster, Process, StartChild, ampd_starts, free_port, wait_for
from support.deploy import deploy, register
from support.lake import files_on_disk, read_table, registered_files, registered_ranges
from support.migration_rules import faults_in
from support.next_version import MIGRATIONS, PACKAGE, VERSION, NextVersion
from support.nodes import FIRST_BLOCK

COMPOSE = Path(__file__).parents[2] / "examples" / "deploy" / "compose"
DATASET = "ethereum/slow"
PRE, INDEX, POST = "9001_reported_at", "9002_index", "9003_no_updated_at"
MIGRATIONS_TO_COME = {
    PRE: """-- phase: pre

ALTER TABLE job_progress ADD COLUMN reported_at timestamptz, ALTER COLUMN updated_at DROP NOT NULL;
ALTER TABLE jobs ADD COLUMN note text NOT NULL DEFAULT '';
""",
    INDEX: """-- phase: pre
-- transactional: false

DROP INDEX CONCURRENTLY IF EXISTS files_by_start;
CREATE INDEX CONCURRENTLY files_by_start ON files (start_block);
""",
    POST: f"""-- phase: post
-- oldest-version: {VERSION}

ALTER TABLE job_progress DROP COLUMN updated_at;
""",
}


@pytest.fixture(scope="module")
def next_version(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NextVersion]:
    """It tells when progress was reported in another column, and does not know the old one any more."""
    version = NextVersion(tmp_path_factory.mktemp("next"))
    version.add_migrations(MIGRATIONS_TO_COME)
    version.replace("jobs/sql/report_progress.sql", "updated_at", "reported_at")
    version.ready()
    try:
        yield version
    finally:
        version.end()


def test_the_migrations_of_this_test_keep_the_rules(next_version: NextVersion) -> None:
    present = frozenset(path.stem for path in (PACKAGE / MIGRATIONS).glob("*.sql"))
    assert faults_in(next_version.package / MIGRATIONS, first_release=present, version=VERSION) == []


class Rolling:
    """Two controllers and two workers, each of the present version until it is restarted with the next."""

    def __init__(self, cluster: Cluster, next_version: NextVersion) -> None:
        self.cluster = cluster
        self.next_version = next_version
        self.ports = {"left": cluster.port, "right": free_port()}
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports.values()]
        self._processes: dict[str, Process] = {}

    def start(self, name: str, *, upgraded: bool = False) -> Process:
        controller = name in self.ports
        arguments = ["controller"] if controller else ["worker", "--node-id", name]
        environment = {"AMP_CONFIG_ADMIN_API_ADDR": f"127.0.0.1:{self.ports[name]}"} if controller else {}
        process = Process(
            ["--config", str(self.cluster.config), *arguments],
            log=self.cluster.directory / f"{name}-{VERSION if upgraded else ampd.__version__}.log",
            environment=environment,
            start=self._starts(upgraded),
        )
        self.cluster.processes.append(process)  # ends with the cluster
        self._processes[name] = process
        process.wait_for_text("controller.started" if controller else "worker.registered", timeout=60)
        return process

    def _starts(self, upgraded: bool) -> StartChild:
        return self.next_version.start if upgraded else ampd_starts[-1]

    def upgrade(self, name: str) -> Process:
        """Restart a process with the next version."""
        assert self._processes[name].end() == 0
        return self.start(name, upgraded=True)

    def migrate(self, *arguments: str, upgraded: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``ampd migrate`` of the next version."""
        return self.run("migrate", *arguments, upgraded=upgraded)

    def run(self, *arguments: str, upgraded: bool) -> subprocess.CompletedProcess[str]:
        log = self.cluster.directory / "command.log"
        log.unlink(missing_ok=True)
        command = [*arguments, "--config", str(self.cluster.config)]
        process = Process(command, log=log, start=self._starts(upgraded))
        return subprocess.CompletedProcess(command, process.wait(60), process.text())

    def blocks(self, job_id: int) -> int:
        """Return how many blocks count."""
        for url in self.urls:
            try:
                table = httpx.get(f"{url}/jobs/{job_id}/progress").json()["tables"].get("blocks")
            except httpx.TransportError:
                continue
            return 0 if not table or table["current_block"] is None else table["current_block"] - FIRST_BLOCK + 1
        raise AssertionError("no controller answers")

    def wait_for_more_blocks(self, job_id: int) -> None:
        before = self.blocks(job_id)
        wait_for(f"more than {before} blocks", lambda: self.blocks(job_id) > before, 60)


@contextmanager
def asked_all_the_time(urls: list[str], job_id: int) -> Iterator[list[str]]:
    """Ask the controllers in turn, as a load balancer does, and the other one when one does not answer. Give the list
    of what went wrong, which is whole when the block ends.
    """
    faults: list[str] = []
    stop = threading.Event()

    def answer(client: httpx.Client, path: str, first: str) -> httpx.Response | None:
        for url in [first, *(each for each in urls if each != first)]:
            try:
                return client.get(f"{url}{path}")
            except httpx.TransportError:
                continue
        return None

    def ask() -> None:
        paths = cycle(("/readyz", "/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/progress", "/workers"))
        with httpx.Client(timeout=20) as client:
            for path, url in zip(paths, cycle(urls), strict=False):
                if stop.wait(0.05):  # the machine is needed for others, too
                    return
                got = answer(client, path, url)
                if got is None or got.status_code != 200:
                    faults.append(f"{path}: {got.text if got is not None else 'nobody answered'}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield faults
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def rolling(cluster: Cluster, next_version: NextVersion, slow_node: str) -> Rolling:
    """A cluster of the present version, and what it needs to extract a chain for minutes."""
    rolling = Rolling(cluster, next_version)
    for name in ("left", "right", "one", "two"):
        rolling.start(name)
    register(cluster, slow_node, network="slow", start_block=FIRST_BLOCK, name=DATASET)
    return rolling


def set_auto_migrate(cluster: Cluster, value: bool) -> None:
    text = cluster.config.read_text(encoding="utf-8")
    cluster.config.write_text(f"{text}auto_migrate = {str(value).lower()}\n", encoding="utf-8")


def assert_exactly_once(rolling: Rolling, database_url: str, job_id: int) -> None:
    """The job has never failed or been lost, and each of its blocks is in exactly one file."""
    admin_url = rolling.urls[0]
    assert httpx.put(f"{admin_url}/jobs/{job_id}/stop").status_code == 200
    rolling.cluster.wait_for_status(job_id, "STOPPED")
    history = httpx.get(f"{admin_url}/jobs/{job_id}/history").json()
    attempts = [attempt for execution in history["executions"] for attempt in execution["attempts"]]
    assert {attempt["outcome"] for attempt in attempts} <= {"HANDED_BACK", "STOPPED"}, attempts
    assert [attempt["error"] for attempt in attempts if attempt["error"]] == []
    data = rolling.cluster.directory / "data"
    # Ranges are read side by side: the stop may have left one out that comes before another.
    last = max(end for _, end in registered_ranges(database_url, "blocks", DATASET))
    assert deploy(rolling.cluster, DATASET, end_block=last) == job_id
    assert rolling.cluster.wait_for_status(job_id, "COMPLETED", "FAILED")["status"] == "COMPLETED"
    blocks = read_table(database_url, data, "blocks", DATASET)["_block_num"].to_pylist()
    assert blocks == list(range(FIRST_BLOCK, last + 1))
    rolling.cluster.end()
    for name in TABLES:
        assert files_on_disk(data, name, DATASET) == {*registered_files(database_url, data, name, DATASET)}, name


def told_by(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what a migration says, without its log: that it had to wait for a lock of those who work."""
    return [line for line in done.stdout.splitlines() if '"event": "migration.waits"' not in line]


def test_a_cluster_is_upgraded_while_it_works(rolling: Rolling, database_url: str) -> None:
    set_auto_migrate(rolling.cluster, False)
    job_id = deploy(rolling.cluster, DATASET, parallelism=3)
    wait_for("the first blocks", lambda: rolling.blocks(job_id) > 0, 60)

    with asked_all_the_time(rolling.urls, job_id) as faults:
        done = rolling.migrate("--phase", "pre")
        assert (done.returncode, told_by(done)) == (
            0,
            [f"applied {PRE}", f"applied {INDEX}", "Applied 2 migration(s)."],
        )
        rolling.wait_for_more_blocks(job_id)  # the present version goes on with what the next has added
        for name in ("left", "right", "one"):
            rolling.upgrade(name)
        refused = rolling.migrate("--phase", "post")
        assert refused.returncode == 1
        assert f"{POST} takes away what processes need that are at work" in refused.stdout
        assert f": worker two (ampd {ampd.__version__})." in refused.stdout, "the only one of the present version"
        rolling.upgrade("two")

        done = rolling.migrate("--phase", "post")
        assert (done.returncode, told_by(done)) == (0, [f"applied {POST}", "Applied 1 migration(s)."])
        rolling.wait_for_more_blocks(job_id)
    assert faults == []

    old = rolling.run("worker", "--node-id", "late", upgraded=False)
    assert old.returncode == 1
    assert f"Install ampd {VERSION} or newer" in old.stdout
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT reported_at IS NOT NULL FROM job_progress").fetchone()
        assert row == (True,), "the next version reports progress in its own way"
    assert_exactly_once(rolling, database_url, job_id)


def test_the_health_check_of_the_containers_asks_what_a_controller_answers(cluster: Cluster) -> None:
    document = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    _, program, *arguments = document["services"]["controller-1"]["healthcheck"]["test"]
    assert program == "python"
    command = [sys.executable, *(argument.replace(":1610", f":{cluster.port}") for argument in arguments)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1
    cluster.start_controller()
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.long
def test_restarts_alone_upgrade_a_cluster(rolling: Rolling, database_url: str) -> None:
    job_id = deploy(rolling.cluster, DATASET, parallelism=3)
    wait_for("the first blocks", lambda: rolling.blocks(job_id) > 0, 60)
    with asked_all_the_time(rolling.urls, job_id) as faults:
        first = rolling.upgrade("one").text()
        assert "metadata_db.migrated" in first
        assert "metadata_db.migrations_wait" in first
        rolling.wait_for_more_blocks(job_id)
        for name in ("two", "left"):
            assert "metadata_db.migrations_wait" in rolling.upgrade(name).text()
        last = rolling.upgrade("right").text()
        assert POST in last
        assert "metadata_db.migrations_wait" not in last
        rolling.wait_for_more_blocks(job_id)
    assert faults == []
    assert_exactly_once(rolling, database_url, job_id)
