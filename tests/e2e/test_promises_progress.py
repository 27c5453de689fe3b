"""What the wanted document on job progress promises, sentence by sentence (tests/promises.toml has the sentences)."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.daemons import Cluster, wait_for
from support.deploy import deploy, register_dataset, register_provider
from support.faults import slow_job
from support.lake import files_on_disk, registered_ranges
from support.nodes import FIRST_BLOCK, LAST_BLOCK
from support.promises import (
    TABLES,
    ampctl_json,
    cluster_in,
    deploy_new,
    execute,
    launch_worker,
    rows,
    stop_and_wait,
    wait_for_block,
)

ROOT = Path(__file__).parents[2]
# 23 blocks are six files of each table.
SETTINGS = "poll_interval_secs = 0.2\n[writer]\nmax_range_blocks = 4\n[worker]\nslots = 32\n"


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, recorded_node: str
) -> Iterator[Cluster]:
    """A controller and worker-01; the network `mainnet` has 23 blocks."""
    with cluster_in(tmp_path_factory.mktemp("cluster"), module_database_url, SETTINGS) as cluster:
        worker = launch_worker(cluster, "worker-01")
        cluster.start_controller()
        register_provider(cluster, "mainnet", "mainnet", recorded_node)
        worker.wait_for_text("worker.registered")
        yield cluster


@pytest.fixture(scope="module")
def job_id(cluster: Cluster) -> int:
    """A job that has all blocks of its dataset, sync/whole."""
    job_id = deploy_new(cluster, "sync/whole", end_block="latest")
    cluster.wait_for_status(job_id, "COMPLETED")
    return job_id


def on_disk(cluster: Cluster, table: str, dataset: str = "sync/whole") -> set[Path]:
    return files_on_disk(cluster.directory / "data", table, dataset)


def change_files(database_url: str, dataset: str, change: str, condition: str = "true") -> int:
    """Change rows of the files of a dataset that count; return how many."""
    return execute(
        database_url,
        f"UPDATE files f SET {change} FROM table_revisions r JOIN physical_tables t ON t.active_revision_id = r.id"
        " WHERE r.id = f.revision_id AND t.dataset_namespace || '/' || t.dataset_name = %s"
        f" AND {condition}",
        dataset,
    )


class TestProgress:
    def test_gives_visibility_into_the_sync_state_of_a_job_for_all_tables_written_by_it(
        self, cluster: Cluster, job_id: int
    ) -> None:
        progress = cluster.progress(job_id)
        assert (progress["job_id"], progress["job_status"]) == (job_id, "COMPLETED")
        assert set(progress["tables"]) == set(TABLES)
        statistics = {"start_block", "current_block", "files_count", "total_size_bytes"}
        assert all(statistics <= set(table) for table in progress["tables"].values())

    def test_is_the_same_over_the_restful_api_and_the_administration_cli(self, cluster: Cluster, job_id: int) -> None:
        assert ampctl_json(cluster, "job", "progress", str(job_id)) == cluster.progress(job_id)

    def test_includes_the_range_of_synced_blocks_and_the_number_of_files_produced(
        self, cluster: Cluster, job_id: int
    ) -> None:
        for table in cluster.progress(job_id)["tables"].values():
            assert (table["start_block"], table["current_block"], table["files_count"]) == (FIRST_BLOCK, LAST_BLOCK, 6)

    def test_current_block_is_the_highest_block_in_the_contiguous_synced_range(
        self, cluster: Cluster, module_database_url: str, job_id: int
    ) -> None:
        for name, table in cluster.progress(job_id)["tables"].items():
            ranges = registered_ranges(module_database_url, name, "sync/whole")
            assert all(after[0] == before[1] + 1 for before, after in pairwise(ranges))
            assert table["current_block"] == max(end for _, end in ranges) == LAST_BLOCK

    def test_start_block_is_the_lowest_block_in_the_synced_range(self, cluster: Cluster) -> None:
        later = FIRST_BLOCK + 15
        job_id = deploy_new(cluster, "sync/later", start=later, end_block="latest")
        cluster.wait_for_status(job_id, "COMPLETED")
        assert {table["start_block"] for table in cluster.progress(job_id)["tables"].values()} == {later}

    def test_files_count_is_the_number_of_parquet_files_written(self, cluster: Cluster, job_id: int) -> None:
        for name, table in cluster.progress(job_id)["tables"].items():
            assert table["files_count"] == len(on_disk(cluster, name)) == 6

    def test_total_size_bytes_is_the_total_data_size_in_bytes(self, cluster: Cluster, job_id: int) -> None:
        for name, table in cluster.progress(job_id)["tables"].items():
            assert table["total_size_bytes"] == sum(file.stat().st_size for file in on_disk(cluster, name)) > 0

    def test_job_status_is_running_failed_or_completed(self, cluster: Cluster, job_id: int) -> None:
        running = deploy_new(cluster, "sync/running")
        failed = deploy_new(cluster, "sync/failed", end_block=f"-{LAST_BLOCK}")
        cluster.wait_for_status(running, "RUNNING")
        cluster.wait_for_status(failed, "FAILED")
        found = [cluster.progress(job)["job_status"] for job in (running, failed, job_id)]
        assert found == ["RUNNING", "FAILED", "COMPLETED"]
        stop_and_wait(cluster, running)

    def test_is_calculated_on_demand_from_table_snapshots_rather_than_persisted_separately(
        self, cluster: Cluster, module_database_url: str, job_id: int
    ) -> None:
        before = cluster.progress(job_id)["tables"]
        for sign in ("+", "-"):
            assert change_files(module_database_url, "sync/whole", f"object_size = object_size {sign} 1000") == 24
            now = cluster.progress(job_id)["tables"]
            grown = 6000 if sign == "+" else 0
            assert all(now[name]["total_size_bytes"] == before[name]["total_size_bytes"] + grown for name in TABLES)

    def test_uses_postgres_metadata_alone(self, cluster: Cluster, job_id: int) -> None:
        before = cluster.progress(job_id)
        lake, aside = cluster.directory / "data" / "sync" / "whole", cluster.directory / "aside"
        lake.rename(aside)
        try:
            assert cluster.progress(job_id) == before
        finally:
            aside.rename(lake)

    def test_returns_the_current_state_at_query_time(self, cluster: Cluster) -> None:
        register_dataset(cluster, "sync/steps", "mainnet", start_block=FIRST_BLOCK)
        for end_block in (FIRST_BLOCK + 3, FIRST_BLOCK + 9, LAST_BLOCK):
            job_id = deploy(cluster, "sync/steps", end_block=end_block)
            wait_for_block(cluster, job_id, end_block)
            cluster.wait_for_status(job_id, "COMPLETED")
            assert {table["current_block"] for table in cluster.progress(job_id)["tables"].values()} == {end_block}

    def test_finds_the_tables_written_by_a_specific_job(
        self, cluster: Cluster, module_database_url: str, job_id: int
    ) -> None:
        other = deploy_new(cluster, "sync/other", start=LAST_BLOCK - 1, end_block="latest")
        cluster.wait_for_status(other, "COMPLETED")
        assert {table["files_count"] for table in cluster.progress(job_id)["tables"].values()} == {6}
        assert {table["files_count"] for table in cluster.progress(other)["tables"].values()} == {1}
        query = "SELECT path FROM table_revisions WHERE writer_job_id = %s"
        written = {row["path"].rpartition("/")[0] for row in rows(module_database_url, query, other)}
        assert written == {f"sync/other/{table}" for table in cluster.progress(other)["tables"]}

    def test_table_keys_are_the_table_names_and_unique_within_the_response(self, cluster: Cluster, job_id: int) -> None:
        def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            assert len({key for key, _ in pairs}) == len(pairs), pairs
            return dict(pairs)

        answer = httpx.get(f"{cluster.admin_url}/jobs/{job_id}/progress").text
        progress = json.loads(answer, object_pairs_hook=without_duplicates)
        revision = httpx.get(f"{cluster.admin_url}/datasets/sync/whole/versions/1.0.0").json()
        assert set(progress["tables"]) == set(revision["tables"])

    def test_takes_the_job_id_from_the_path_and_verifies_that_the_job_exists(self, cluster: Cluster) -> None:
        answers = [httpx.get(f"{cluster.admin_url}/jobs/{job}/progress") for job in ("first", "987654321")]
        assert [answer.status_code for answer in answers] == [400, 404]
        assert [answer.json()["error_code"] for answer in answers] == ["INVALID_JOB_ID", "JOB_NOT_FOUND"]


class TestTheCanonicalChain:
    def test_gaps_are_excluded_so_that_current_block_is_verified_queryable_data(
        self, cluster: Cluster, module_database_url: str
    ) -> None:
        job_id = deploy_new(cluster, "chain/gap", end_block="latest")
        cluster.wait_for_status(job_id, "COMPLETED")
        gap = (FIRST_BLOCK + 8, FIRST_BLOCK + 11)
        assert registered_ranges(module_database_url, "blocks", "chain/gap")[2] == gap
        lost = "DELETE FROM files f USING table_revisions r WHERE r.id = f.revision_id AND r.writer_job_id = %s"
        assert execute(module_database_url, f"{lost} AND f.start_block = %s", job_id, gap[0]) == len(TABLES)

        progress = cluster.progress(job_id)
        for name, table in progress["tables"].items():
            assert (table["start_block"], table["current_block"]) == (FIRST_BLOCK, gap[0] - 1)
            assert (table["files_count"], progress["gaps"][name]) == (2, [list(gap)])

        # Deploying again brings what is missing, and then all of it is contiguous.
        assert deploy(cluster, "chain/gap", end_block="latest") == job_id
        wait_for_block(cluster, job_id, LAST_BLOCK)
        cluster.wait_for_status(job_id, "COMPLETED")
        assert set(map(tuple, cluster.progress(job_id)["gaps"].values())) == {()}

    def test_only_files_that_form_a_valid_chain_are_considered_and_orphaned_segments_are_excluded(
        self, cluster: Cluster, module_database_url: str, job_id: int
    ) -> None:
        """The last segment hangs on a block of another fork: it is an orphan."""
        orphan = f"f.end_block = {LAST_BLOCK}"
        flipped = "start_parent_hash = set_byte(f.start_parent_hash, 0, 255 - get_byte(f.start_parent_hash, 0))"
        whole = cluster.progress(job_id)["tables"]
        assert change_files(module_database_url, "sync/whole", flipped, orphan) == len(TABLES)
        try:
            for name, table in cluster.progress(job_id)["tables"].items():
                last = registered_ranges(module_database_url, name, "sync/whole")[-1]
                assert (table["current_block"], table["files_count"]) == (last[0] - 1, 5)
        finally:
            change_files(module_database_url, "sync/whole", flipped, orphan)
        assert cluster.progress(job_id)["tables"] == whole

    def test_the_synced_range_spans_from_the_first_to_the_last_canonical_segment(
        self, cluster: Cluster, module_database_url: str, job_id: int
    ) -> None:
        for name, table in cluster.progress(job_id)["tables"].items():
            segments = registered_ranges(module_database_url, name, "sync/whole")
            assert (table["start_block"], table["current_block"]) == (segments[0][0], segments[-1][1])
            assert len(segments) == 6

    def test_progress_is_a_ground_truth_unaffected_by_incomplete_writes(
        self, cluster: Cluster, module_database_url: str
    ) -> None:
        """Files of a commit that has not happened are on the disk, and nobody sees them."""
        with slow_job(cluster, module_database_url, "incomplete", end_block=None) as job:
            job.wait_for_commits(1)
            with job.commit_held_up():
                incomplete = job.lake.orphans()
                assert len(incomplete) == len(TABLES)
                for name, table in cluster.progress(job.id)["tables"].items():
                    written = on_disk(cluster, name, "chaos/incomplete") - incomplete
                    assert table["files_count"] == len(written)
                    assert table["total_size_bytes"] == sum(file.stat().st_size for file in written)
                    assert table["current_block"] == job.lake.segments(name)[-1][1]
            wait_for("the commit", lambda: not incomplete & job.lake.orphans())
            assert {len(on_disk(cluster, name, "chaos/incomplete") & incomplete) for name in TABLES} == {1}
            stop_and_wait(cluster, job.id)


def test_admin_api_handlers_do_not_interact_with_the_metadata_db_directly() -> None:
    modules = sorted((ROOT / "src" / "ampd" / "admin_api").rglob("*.py"))
    assert len(modules) > 10
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            direct = [name for name in names if name.split(".")[0] == "psycopg" or name.startswith("ampd.metadata_db")]
            assert direct == [], f"{module.name} talks to the database itself"


def test_datasets_manage_revisions_and_jobs_their_execution_state(cluster: Cluster) -> None:
    """What looks at a job or changes it is under /jobs; a dataset begins jobs and lists them."""
    paths = httpx.get(f"{cluster.admin_url}/openapi.json").json()["paths"]
    of_jobs = {path for path in paths for word in ("job", "progress", "stop") if word in path}
    assert {path for path in of_jobs if not path.startswith("/jobs")} == {
        "/datasets/{namespace}/{name}/versions/{revision}/jobs"
    }
    assert set(paths["/datasets/{namespace}/{name}/versions/{revision}/jobs"]) == {"get"}
