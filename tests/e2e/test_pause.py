"""A real extraction by two workers is paused and resumed: it stands still in between, and nothing is read twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from ampd.client import Ampd
from support.chain import FIRST_BLOCK, Lake, lake_of, register, replay_node, wait_for_completion
from support.daemons import Cluster, wait_for
from support.promises import cluster_in, events, start_workers, states

LENGTH = 80
LAST_BLOCK = FIRST_BLOCK + LENGTH - 1
SETTINGS = "[worker]\nslots = 2\n[writer]\ntarget_range_secs = 0.4\n"


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    with cluster_in(tmp_path, database_url, SETTINGS) as made:
        made.start_controller()
        yield made


def _in_hand(database_url: str, job_id: int) -> set[str]:
    """The workers that have ranges of a job."""
    query = "SELECT DISTINCT worker_id FROM block_range_leases WHERE job_id = %s AND incarnation IS NOT NULL"
    with psycopg.connect(database_url) as connection:
        return {name for (name,) in connection.execute(query, (job_id,)).fetchall()}


def _committed(cluster: Cluster, job_id: int) -> list[tuple[int, int]]:
    """The ranges of blocks that the workers say they have committed, in order."""
    lines = [line for log in cluster.directory.glob("w*.log") for line in log.read_text().splitlines()]
    told = [json.loads(line) for line in lines if '"segment.committed"' in line]
    return sorted((each["start_block"], each["end_block"]) for each in told if each["job_id"] == job_id)


def _ask(cluster: Cluster, job_id: int, operation: str, **body: str) -> dict[str, object]:
    answer = httpx.post(f"{cluster.admin_url}/jobs/{job_id}/{operation}", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


def test_a_paused_extraction_commits_what_two_workers_hold_and_goes_on_from_there_when_it_is_resumed(
    cluster: Cluster, database_url: str
) -> None:
    start_workers(cluster, "w1", "w2")
    with (
        replay_node(cluster.directory, "--length", str(LENGTH), "--latency", "0.15") as (slow_url, _),
        replay_node(cluster.directory, "--length", "8") as (quick_url, _),
    ):
        slow = register(
            cluster.admin_url, slow_url, dataset="pause/slow", network="slow", start_block=FIRST_BLOCK,
            concurrent_request_limit=2,
        )  # fmt: skip
        quick = register(cluster.admin_url, quick_url, dataset="pause/quick", network="quick", start_block=FIRST_BLOCK)
        lake = lake_of(cluster, database_url, "pause/slow")
        with Ampd(cluster.admin_url) as client:
            job_id = client.datasets.deploy(slow, end_block=LAST_BLOCK, parallelism=4)
        wait_for(
            "both workers at it, and some blocks",
            lambda: _in_hand(database_url, job_id) == {"w1", "w2"} and _committed(cluster, job_id),
        )
        told = _ask(cluster, job_id, "pause", reason="maintenance")
        assert (told["status"], told["stop_intent"]) == ("STOP_REQUESTED", "PAUSE")
        cluster.wait_for_status(job_id, "PAUSED")
        assert states(cluster, job_id)[-3:] == ["STOP_REQUESTED", "STOPPING", "PAUSED"]
        assert events(cluster, job_id)[-1]["detail"] == {"reason": "maintenance"}
        assert _in_hand(database_url, job_id) == set()
        assert lake.orphans() == set()
        paused_at = _files(lake)
        assert 0 < lake.table("blocks").num_rows < LENGTH

        # The workers have room for other work meanwhile, and leave this one alone.
        with Ampd(cluster.admin_url) as client:
            wait_for_completion(cluster, client.datasets.deploy(quick, end_block=FIRST_BLOCK + 7))
        assert _files(lake) == paused_at
        assert _in_hand(database_url, job_id) == set()

        assert _ask(cluster, job_id, "resume")["status"] == "SCHEDULED"
        wait_for_completion(cluster, job_id, timeout=120)
    lake.assert_whole(FIRST_BLOCK, LAST_BLOCK)
    assert paused_at < _files(lake)
    committed = _committed(cluster, job_id)
    assert [start for start, _ in committed] == [FIRST_BLOCK] + [end + 1 for _, end in committed[:-1]]
    assert committed[-1][1] == LAST_BLOCK
    job = cluster.job(job_id)
    assert (job["execution_number"], job["stop_reason"], job["last_error"]) == (1, None, None)


def _files(lake: Lake) -> set[str]:
    return {row[0] for row in lake._files("blocks")}
