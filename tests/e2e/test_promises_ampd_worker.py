"""What the wanted document on ``ampd worker`` promises of its start, its coordination with the cluster, and its work
(tests/promises.toml has the sentences). More is in test_promises_ampd_worker_jobs.py and test_daemon_config.py.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampd.config import load_config
from support.daemons import Cluster, wait_for
from support.deploy import register_provider
from support.faults import Proxy, through
from support.forked import run_daemon
from support.nodes import FIRST_BLOCK, LAST_BLOCK
from support.promises import (
    TABLES,
    CountingNode,
    cluster_in,
    counting_node,
    deploy_new,
    events,
    execute,
    follow_the_tip,
    launch_worker,
    rows,
    stop_and_wait,
)

# Nobody's lease ends, so that a worker need not beat.
SETTINGS = "poll_interval_secs = 0.2\n[writer]\nmax_range_blocks = 4\n[worker]\nslots = 7\nlease_secs = 3600\n"
SELDOM, OFTEN = "1200", "0.3"


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, recorded_node: str
) -> Iterator[Cluster]:
    """A controller and worker-01, with a config file that names no directories."""
    with cluster_in(tmp_path_factory.mktemp("etc"), module_database_url, SETTINGS) as cluster:
        worker = launch_worker(cluster, "worker-01")
        cluster.start_controller()
        register_provider(cluster, "mainnet", "mainnet", recorded_node)
        worker.wait_for_text("worker.registered")
        yield cluster


@pytest.fixture(scope="module")
def job_id(cluster: Cluster) -> int:
    """The id of a job that worker-01 has completed."""
    job_id = deploy_new(cluster, "worker/first", end_block="latest", worker_id="worker-01")
    job = cluster.wait_for_status(job_id, "COMPLETED", "FAILED")
    assert job["status"] == "COMPLETED", job["last_error"]
    return job_id


class TestAWorker:
    def test_connects_to_the_metadata_database_and_processes_dump_tasks(
        self, cluster: Cluster, module_database_url: str, job_id: int
    ) -> None:
        query = "SELECT FROM pg_stat_activity WHERE application_name = 'ampd heartbeat worker-01'"
        assert rows(module_database_url, f"{query} AND datname = current_database()")
        assert cluster.job(job_id)["worker_id"] == "worker-01"

    def test_registers_with_the_metadata_database_using_its_node_id(
        self, cluster: Cluster, module_database_url: str
    ) -> None:
        registered = rows(module_database_url, "SELECT slots, draining FROM workers WHERE node_id = 'worker-01'")
        assert registered == [{"slots": 7, "draining": False}]

    def test_inherits_its_settings_from_the_main_configuration_file(
        self, cluster: Cluster, module_database_url: str
    ) -> None:
        """The controller reads the same file."""
        assert "slots = 7" in cluster.config.read_text(encoding="utf-8")
        assert rows(module_database_url, "SELECT slots FROM workers WHERE node_id = 'worker-01'") == [{"slots": 7}]

    def test_node_id_tracks_worker_status_and_job_assignments(
        self, cluster: Cluster, module_database_url: str, job_id: int
    ) -> None:
        status = rows(module_database_url, "SELECT node_id FROM worker_heartbeats WHERE node_id = 'worker-01'")
        assigned = rows(module_database_url, "SELECT worker_id FROM job_attempts WHERE job_id = %s", job_id)
        assert (status, assigned) == ([{"node_id": "worker-01"}], [{"worker_id": "worker-01"}])

    def test_updates_the_job_status_in_the_database(self, cluster: Cluster, job_id: int) -> None:
        by_worker = [event["event_type"] for event in events(cluster, job_id) if event["actor"] == "worker:worker-01"]
        assert by_worker == ["RUNNING", "COMPLETED"]

    def test_runs_continuously_until_it_is_terminated(self, cluster: Cluster, job_id: int) -> None:
        worker = launch_worker(cluster, "long-lived")
        worker.wait_for_text("worker.registered")
        for number in range(2):  # neither work nor its absence ends it
            done = deploy_new(
                cluster, f"worker/again_{number}", start=LAST_BLOCK, end_block="latest", worker_id="long-lived"
            )
            cluster.wait_for_status(done, "COMPLETED")
            assert worker.popen.poll() is None
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0

    def test_exits_with_1_when_an_error_occurs_during_its_operation(
        self, cluster: Cluster, module_database_url: str
    ) -> None:
        worker = launch_worker(cluster, "replaced")
        worker.wait_for_text("worker.registered")
        taken = "UPDATE worker_heartbeats SET incarnation = gen_random_uuid() WHERE node_id = 'replaced'"
        assert execute(module_database_url, taken) == 1
        assert worker.wait() == 1
        assert "the node id 'replaced'" in worker.text().splitlines()[-1]

    def test_needs_the_metadata_database_url_to_be_configured(self, tmp_path: Path) -> None:
        config = tmp_path / "config.toml"
        config.touch()
        done = run_daemon("--config", str(config), "worker", "--node-id", "worker-01")
        assert done.returncode == 1
        assert "metadata_db" in done.stderr
        assert "url" in done.stderr


class TestCoordination:
    def test_heartbeats_are_a_second_and_reconciliations_60_seconds_apart(self, cluster: Cluster) -> None:
        worker = load_config(cluster.config).worker
        assert (worker.heartbeat_interval_secs, worker.reconcile_interval_secs) == (1.0, 60.0)

    def test_job_assignments_are_received_through_postgresql_listen_notify(
        self, cluster: Cluster, module_database_url: str
    ) -> None:
        """Neither heartbeat nor reconciliation comes in time: what begins and ends the job are notifications."""
        listening = (
            "SELECT FROM pg_stat_activity WHERE query = 'LISTEN \"job_actions\"' AND datname = current_database()"
        )
        before = len(rows(module_database_url, listening))
        worker = launch_worker(cluster, "notified", intervals(heartbeat=SELDOM, reconcile=SELDOM))
        worker.wait_for_text("worker.registered")
        wait_for("it to listen", lambda: len(rows(module_database_url, listening)) > before)
        job_id = follow_the_tip(cluster, "worker/notified", worker_id="notified")
        stop_and_wait(cluster, job_id)
        assert worker.end() == 0

    def test_the_worker_polls_for_available_jobs_and_executes_them(
        self, cluster: Cluster, module_database_url: str
    ) -> None:
        """No notification reaches it: it finds the job with a heartbeat."""
        with Proxy(module_database_url, drop_notifications=True) as proxy:
            worker = launch_worker(cluster, "polling", intervals(heartbeat=OFTEN, reconcile=SELDOM) | through(proxy))
            worker.wait_for_text("worker.registered")
            job_id = follow_the_tip(cluster, "worker/polled", worker_id="polling")
            stop_and_wait(cluster, job_id)
            assert worker.end() == 0
            assert proxy.dropped_notifications >= 1

    def test_the_periodic_state_reconciliation_ensures_consistency_without_any_notification(
        self, cluster: Cluster, module_database_url: str
    ) -> None:
        """Neither notification nor heartbeat tells it of the job and of its stop: the reconciliation does."""
        with Proxy(module_database_url, drop_notifications=True) as proxy:
            worker = launch_worker(cluster, "deaf", intervals(heartbeat=SELDOM, reconcile=OFTEN) | through(proxy))
            worker.wait_for_text("worker.registered")
            job_id = follow_the_tip(cluster, "worker/reconciled", worker_id="deaf")
            stop_and_wait(cluster, job_id)
            assert worker.end() == 0
            assert proxy.dropped_notifications >= 1


def intervals(*, heartbeat: str, reconcile: str) -> dict[str, str]:
    """Return the environment that sets the intervals of a worker, in seconds."""
    return {
        "AMP_CONFIG_WORKER__HEARTBEAT_INTERVAL_SECS": heartbeat,
        "AMP_CONFIG_WORKER__RECONCILE_INTERVAL_SECS": reconcile,
    }


class TestDirectories:
    def test_data_providers_and_manifests_are_beside_the_config_file_when_it_does_not_specify_them(
        self, cluster: Cluster, job_id: int
    ) -> None:
        folder = cluster.config.parent
        assert (folder / "providers" / "mainnet.toml").is_file()
        assert list((folder / "manifests").iterdir())
        for table in TABLES:
            assert list((folder / "data" / "worker" / "first" / table).rglob("*.parquet"))

    def test_that_the_config_file_specifies_are_used_directly_and_created_by_whoever_needs_them(
        self, cluster: Cluster, tmp_path: Path
    ) -> None:
        """A worker with a config file of its own: manifest and provider are found only where it says."""
        job_id = deploy_new(cluster, "worker/elsewhere", start=LAST_BLOCK, end_block="latest", worker_id="elsewhere")
        places = {name: tmp_path / "elsewhere" / name for name in ("data", "providers", "manifests")}
        config = tmp_path / "etc" / "config.toml"
        config.parent.mkdir()
        named = "".join(f'{name}_dir = "{place}"\n' for name, place in places.items())
        config.write_text(named + cluster.config.read_text(encoding="utf-8"), encoding="utf-8")
        for name in ("providers", "manifests"):
            shutil.copytree(cluster.directory / name, places[name])
            (cluster.directory / name).rename(tmp_path / name)
        try:
            worker = launch_worker(cluster, "elsewhere", config=config)
            worker.wait_for_text("worker.registered")
            job = cluster.wait_for_status(job_id, "COMPLETED", "FAILED")
            assert job["status"] == "COMPLETED", job["last_error"]
        finally:
            for name in ("providers", "manifests"):
                (tmp_path / name).rename(cluster.directory / name)
        assert len(list(places["data"].rglob("*.parquet"))) == len(TABLES)
        assert not list((cluster.directory / "data").glob("worker/elsewhere/**/*.parquet"))
        assert list(config.parent.iterdir()) == [config]
        assert worker.end() == 0


@pytest.fixture(scope="module")
def node(cluster: Cluster) -> Iterator[CountingNode]:
    """The node of the network `counted`."""
    with counting_node() as (node, url):
        register_provider(cluster, "counted", "counted", url)
        yield node


class TestDataExtraction:
    def test_connects_to_the_configured_data_source_and_extracts_the_assigned_block_range(
        self, cluster: Cluster, node: CountingNode
    ) -> None:
        first, last = FIRST_BLOCK + 5, FIRST_BLOCK + 16
        job_id = deploy_new(cluster, "worker/range", network="counted", start=first, end_block=last)
        cluster.wait_for_status(job_id, "COMPLETED")
        assert sorted(node.asked) == list(range(first, last + 1))

    def test_writes_parquet_files_to_the_configured_data_directory(self, cluster: Cluster, job_id: int) -> None:
        files = list((cluster.directory / "data" / "worker" / "first" / "blocks").rglob("*.parquet"))
        numbers = [n for file in files for n in pq.read_table(file, partitioning=None)["_block_num"].to_pylist()]
        assert sorted(numbers) == list(range(FIRST_BLOCK, LAST_BLOCK + 1))

    def test_updates_progress_in_the_metadata_database(self, cluster: Cluster, module_database_url: str) -> None:
        with counting_node(head=FIRST_BLOCK) as (growing, url):
            register_provider(cluster, "growing", "growing", url)
            job_id = deploy_new(cluster, "worker/growing", network="growing")
            query = (
                "SELECT max(f.end_block) AS reached FROM files f JOIN table_revisions r ON r.id = f.revision_id"
                " WHERE r.writer_job_id = %s"
            )
            for head in (FIRST_BLOCK, FIRST_BLOCK + 1, FIRST_BLOCK + 2):
                growing.grow(head)
                wait_for(
                    f"block {head}", lambda head=head: rows(module_database_url, query, job_id) == [{"reached": head}]
                )
            stop_and_wait(cluster, job_id)
