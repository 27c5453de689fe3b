"""A consumer of another library reads the topic of a cluster whose workers, controllers and broker die and come back:
it sees everything that happened, in order, and nothing that did not. So does ampctl, which knows no Kafka.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from ampd.client import Ampd
from ampd.replay_node import Fault, HttpAnswer, RpcCall, load_recorded_chain
from support import nodes
from support.chain import FIRST_BLOCK, lake_of, register, replay_node
from support.daemons import Cluster, Process, wait_for
from support.faults import kill
from support.kafka import MockKafka, Record, consumer, mock_kafka
from support.promises import launch_worker

pytestmark = pytest.mark.chaos

TABLES = ("blocks", "logs", "transactions")
SETTINGS = """
[worker]
lease_secs = 2.0
heartbeat_interval_secs = 0.5
[writer]
target_range_secs = 0.3
[worker_events]
enabled = true
progress_interval_secs = 0.1
kafka.brokers = ["{broker}"]
"""


class Storm:
    """A cluster that sends to ``kafka``; processes of it die when a test says so."""

    def __init__(self, cluster: Cluster, kafka: MockKafka, database_url: str) -> None:
        self.cluster = cluster
        self.kafka = kafka
        self.url = database_url
        self.controller = cluster.start_controller()
        self.worker = cluster.start_worker("one")

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def deploy(self, node_url: str, name: str, end_block: int | None, **options: Any) -> int:
        reference = register(
            self.cluster.admin_url, node_url, dataset=f"stormy/{name}", network=name, start_block=FIRST_BLOCK
        )
        with Ampd(self.cluster.admin_url) as client:
            return client.datasets.deploy(reference, end_block=end_block, parallelism=2, **options)

    def wait_for_more(self, job_id: int, blocks: int) -> None:
        """Wait until the tables of a job have so many blocks more."""
        before = self.blocks(job_id)
        wait_for("more blocks", lambda: self.blocks(job_id) >= before + blocks, timeout=60)

    def blocks(self, job_id: int) -> int:
        query = """SELECT coalesce(min(blocks), 0) AS n FROM (
                       SELECT sum(b.end_block - b.start_block + 1) AS blocks FROM table_revisions r
                       LEFT JOIN block_runs b ON b.revision_id = r.id WHERE r.writer_job_id = %s GROUP BY r.id) each"""
        return int(self.rows(query, job_id)[0]["n"] or 0)

    def kill_worker(self) -> None:
        kill(self.worker)
        self.worker = launch_worker(self.cluster, "one")

    def kill_controller(self) -> None:
        kill(self.controller)
        # What the dead one had the right to: its time is over sooner here.
        self.rows("UPDATE worker_event_sender SET leased_until = now() - interval '1 second'")
        self.controller = self.cluster.start_controller()

    def log(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM worker_events ORDER BY id")


@pytest.fixture
def storm(tmp_path: Path, database_url: str) -> Iterator[Storm]:
    with mock_kafka() as kafka:
        cluster = Cluster(tmp_path, database_url, SETTINGS.format(broker=kafka.address))
        try:
            yield Storm(cluster, kafka, database_url)
        finally:
            cluster.end()


async def consumed(storm: Storm) -> list[Record]:
    """Return what a consumer finds when the broker has taken the whole log: each event once, in the order in which they
    came first.
    """
    wait_for("all to be sent", lambda: _is_sent(storm), timeout=60)
    ids = {str(row["event_id"]) for row in storm.log()}
    async with consumer(storm.kafka.address) as reader:
        await reader.until(lambda records: ids <= {each.event_id for each in records})
        assert {each.event_id for each in reader.records} == ids
        return reader.once()


def _is_sent(storm: Storm) -> bool:
    query = """SELECT (SELECT max(id) FROM worker_events) = (SELECT sent_to FROM worker_event_sender)
                      AND NOT EXISTS (SELECT FROM worker_event_outbox) AS done"""
    return bool(storm.rows(query)[0]["done"])


def check_table(records: list[Record], *, begins: int, last_block: int, ends_with: str) -> None:
    """Check what was told of one table of one job: ``begins`` is how many attempts have begun to write it."""
    types = [each.type.removeprefix("sync.") for each in records]
    assert types[0] == "started"
    assert types.count("started") == begins
    assert types[-1] == ends_with
    assert set(types[:-1]) <= {"started", "progress"}
    blocks = [each.payload.progress.current_block for each in records if each.type == "sync.progress"]
    assert blocks == sorted(set(blocks)), "progress went back, or was told twice"
    assert not blocks or blocks[-1] <= last_block
    if ends_with == "completed":
        assert records[-1].payload.final_block == last_block
    assert len({(each.partition, each.key) for each in records}) == 1


def begun(storm: Storm, job_id: int) -> int:
    """Return how many attempts have begun their tables, by the log; at most as many as there were."""
    attempts = storm.rows("SELECT count(*) AS n FROM job_attempts WHERE job_id = %s", job_id)[0]["n"]
    told = storm.rows(
        """SELECT count(*) AS n FROM worker_events
           WHERE job_id = %s AND event_type = 'sync.started' AND table_name = 'blocks'""",
        job_id,
    )[0]["n"]
    assert 1 <= told <= attempts
    return int(told)


def of(records: list[Record], job_id: int, table: str) -> list[Record]:
    return [each for each in records if each.payload.job_id == job_id and each.payload.table_name == table]


@contextmanager
def standing_still(node: Process) -> Iterator[None]:
    """Let the node answer nothing: however long the block takes, the job does not end meanwhile."""
    node.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        node.signal(signal.SIGCONT)


def ride_out(storm: Storm, node: Process, job_id: int, rounds: int) -> None:
    """Kill the worker, the controller, and the broker for a while; again and again."""
    for _ in range(rounds):
        storm.wait_for_more(job_id, 5)
        with standing_still(node):
            storm.kafka.go_away()
            storm.kill_worker()
        storm.wait_for_more(job_id, 5)
        with standing_still(node):
            storm.kill_controller()
            storm.kafka.come_back()


class Doorkeeper:
    """Lets everybody in, and nobody any more from the moment on when it is told so."""

    refuses = False

    def __call__(self, call: RpcCall) -> Fault | None:
        return HttpAnswer(401, "no") if self.refuses else None


def fail_without_broker(storm: Storm) -> int:
    """Let a job fail in the middle of its tables while the broker is away; return the job."""
    doorkeeper = Doorkeeper()
    with nodes.on_thread(nodes.replay_node(load_recorded_chain(nodes.MAINNET), doorkeeper)) as url:
        job_id = storm.deploy(url, "broken", None)
        storm.wait_for_more(job_id, 5)
        storm.kafka.go_away()
        doorkeeper.refuses = True
        storm.cluster.wait_for_status(job_id, "FAILED", timeout=60)
        storm.kafka.come_back()
    return job_id


def run_through(storm: Storm, *, rounds: int, length: int) -> None:
    last = FIRST_BLOCK + length - 1
    with (
        tail_of(storm) as tail,
        replay_node(storm.cluster.directory, "--length", str(length), "--latency", "0.1") as (url, node),
    ):
        broken = fail_without_broker(storm)
        job_id = storm.deploy(url, "whole", last)
        ride_out(storm, node, job_id, rounds)
        storm.cluster.wait_for_status(job_id, "COMPLETED", timeout=120)
        check_tail(storm, tail)
    lake_of(storm.cluster, storm.url, "stormy/whole").assert_whole(FIRST_BLOCK, last)
    records = asyncio.run(consumed(storm))
    for table in TABLES:
        check_table(of(records, job_id, table), begins=begun(storm, job_id), last_block=last, ends_with="completed")
        assert any(each.type == "sync.progress" for each in of(records, job_id, table))
        check_table(of(records, broken, table), begins=1, last_block=2**62, ends_with="failed")
        assert of(records, broken, table)[-1].payload.error_type == "NODE_REFUSED_ACCESS"


def test_nothing_is_lost_or_out_of_order_when_worker_controller_and_broker_die_in_a_run(storm: Storm) -> None:
    run_through(storm, rounds=1, length=100)


@pytest.mark.long
def test_nothing_is_lost_or_out_of_order_in_a_long_storm(storm: Storm) -> None:
    run_through(storm, rounds=8, length=600)


@pytest.mark.long
def test_a_failure_in_the_middle_of_a_run_is_told_of_every_table(storm: Storm) -> None:
    with replay_node(storm.cluster.directory, "--length", "200", "--latency", "0.1") as (url, node):
        job_id = storm.deploy(url, "broken", FIRST_BLOCK + 199, retries=0)
        storm.wait_for_more(job_id, 5)
        storm.kill_controller()
        kill(node)
        storm.cluster.wait_for_status(job_id, "FAILED", timeout=60)
    records = asyncio.run(consumed(storm))
    code = storm.cluster.job(job_id)["last_error"]["error_code"]
    for table in TABLES:
        check_table(of(records, job_id, table), begins=1, last_block=FIRST_BLOCK + 199, ends_with="failed")
        assert of(records, job_id, table)[-1].payload.error_type == code


@contextmanager
def tail_of(storm: Storm) -> Iterator[Process]:
    """Run ``ampctl events tail`` over all that happens."""
    tail = Process(
        [sys.executable, "-m", "ampd.cli.ampctl", "events", "tail", "--json", "--after", "start"],
        log=storm.cluster.directory / "tail.log",
        environment={"AMP_ADMIN_URL": storm.cluster.admin_url},
    )
    try:
        yield tail
    finally:
        tail.end()


def check_tail(storm: Storm, tail: Process) -> None:
    """Check that ampctl prints everything, once, in the order of the log, also over the death of its controller."""
    wait_for("all to be in the log", lambda: not storm.rows("SELECT id FROM worker_event_outbox"))
    ids = [str(row["event_id"]) for row in storm.log()]
    wait_for("all lines of ampctl", lambda: len(_told(tail)) >= len(ids))
    assert [each["event_id"] for each in _told(tail)] == ids
    assert "still trying" in tail.text()


def _told(tail: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tail.text().splitlines(keepends=True) if line[:1] == "{" and line[-1:] == "\n"]
