"""A real controller removes what is too old, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import Cluster, wait_for
from support.deploy import deploy, register_dataset, register_provider
from support.promises import ampctl, cluster_in, events, execute, rows

# About a quarter of an hour, so that nothing grows old while a test runs.
SETTINGS = "[retention]\nevent_days = 0.01\nterminal_job_days = 0.01\n"
OLD_JOB = """
WITH job AS (
    INSERT INTO jobs (kind, idempotency_key, state, input, updated_at)
    VALUES ('extraction', %s, %s, '{}', now() - make_interval(mins => %s)) RETURNING id, state, updated_at
)
INSERT INTO job_events (job_id, created_at, actor, event_type, execution_number, lease_epoch)
SELECT id, updated_at, 'test', state, 1, 0 FROM job
"""


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    with cluster_in(tmp_path, database_url, SETTINGS) as made:
        yield made


def test_a_controller_removes_old_jobs_and_old_events_and_keeps_the_rest(cluster: Cluster, database_url: str) -> None:
    old = {"ended": ("STOPPED", 60), "failed": ("FAILED", 16), "paused": ("PAUSED", 60), "young": ("STOPPED", 5)}
    for key, (state, minutes) in old.items():
        execute(database_url, OLD_JOB, key, state, minutes)
    cluster.start_controller()

    def left() -> list[str]:
        return [row["idempotency_key"] for row in rows(database_url, "SELECT idempotency_key FROM jobs ORDER BY id")]

    wait_for("the old jobs to go", lambda: left() == ["paused", "young"])
    told = "SELECT event_type, actor FROM job_events ORDER BY id"
    kept = [("STOPPED", "test"), ("DELETED", "retention"), ("DELETED", "retention")]
    wait_for("the old events to go", lambda: [tuple(row.values()) for row in rows(database_url, told)] == kept)
    assert "No jobs found" in ampctl(cluster, "job", "list", "--status", "failed")
    register_provider(cluster, "mainnet", "mainnet", "http://127.0.0.1:1")
    register_dataset(cluster, "a/x", "mainnet")
    job_id = deploy(cluster, "a/x")
    assert [event["event_type"] for event in events(cluster, job_id)] == ["SCHEDULED"]
