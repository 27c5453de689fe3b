"""A real extraction by a real worker, watched from outside: by a scraper in its middle and at its end, by a collector
of traces, and by whoever reads its log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import promql_parser
import psycopg
import pytest

from ampd.replay_node import load_recorded_chain
from ampd.telemetry.metrics import DECLARED
from support.daemons import Cluster, free_port, wait_for
from support.monitoring import queries, selectors
from support.nodes import FIRST_BLOCK, MAINNET, on_thread
from support.telemetry import Collector, HeldNode, Scrape, url_of

SETTINGS = "poll_interval_secs = 0.2\n[writer]\ntarget_range_secs = 1.0\n[worker]\nslots = 2\n"
LAST_BLOCK = FIRST_BLOCK + 47
# The first range ends before it, whatever its size is.
HELD_BLOCK = FIRST_BLOCK + 30
DATASET = {"dataset_namespace": "watched", "dataset_name": "mainnet"}
KEY = "k3y0123456789abcdef"
PASSWORD = "hunter2hunter2"
TRACE = "0af7651916cd43dd8448eb211c80319c"
_LEASED = "SELECT count(*), bool_and(end_block >= %s) FROM block_range_leases WHERE incarnation IS NOT NULL"


@dataclass(frozen=True)
class Look:
    """What was said at one moment of a job's way."""

    worker: Scrape
    controller: Scrape
    progress: dict[str, Any]


@dataclass(frozen=True)
class Story:
    job_id: int
    middle: Look
    end: Look
    collector: Collector
    lines: list[dict[str, Any]]
    logs: str
    node_url: str


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Story]:
    """Extract 48 blocks, with a look when the node holds the 31st one back, and one when all is done."""
    node = HeldNode(load_recorded_chain(MAINNET, length=48), hold_from=HELD_BLOCK)
    collector = Collector()
    cluster = Cluster(tmp_path_factory.mktemp("watched"), module_database_url, SETTINGS)
    with ExitStack() as all_of_it:
        node_url = all_of_it.enter_context(on_thread(url_of(node)))
        trace_url = all_of_it.enter_context(on_thread(collector.served()))
        all_of_it.callback(cluster.end)
        tracing = {"AMP_CONFIG_OPENTELEMETRY__TRACE_URL": trace_url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={KEY}"}
        cluster.start_controller(environment=tracing)
        port = free_port()
        worker = cluster.start_worker(
            "watched-1", environment={**tracing, "AMP_CONFIG_WORKER__METRICS_ADDR": f"127.0.0.1:{port}"}
        )
        secret_url = f"{node_url.replace('http://', f'http://me:{PASSWORD}@')}/v3/{KEY}?apikey={KEY}"
        cluster.register(secret_url, start_block=FIRST_BLOCK, name="watched/mainnet")
        job_id = _deploy_traced(cluster)
        assert node.is_asked.wait(60)
        wait_for("the ranges before the held one", lambda: _only_held_is_leased(module_database_url))
        middle = _look(cluster, port, job_id)
        node.release()
        cluster.wait_for_status(job_id, "COMPLETED")
        # What is told of the cluster may be some seconds old.
        wait_for("figures of the end", lambda: _completed(Scrape.of(f"{cluster.admin_url}/metrics")))
        end = _look(cluster, port, job_id)
        cluster.end()  # what is left of the traces is sent
        logs = "".join(process.text() for process in cluster.processes)
        lines = [json.loads(line) for line in worker.text().splitlines()]
    yield Story(job_id, middle, end, collector, lines, logs, node_url)


def _deploy_traced(cluster: Cluster) -> int:
    answer = httpx.post(
        f"{cluster.admin_url}/datasets/watched/mainnet/versions/1.0.0/deploy",
        json={"end_block": str(LAST_BLOCK)},
        headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
    )
    assert answer.status_code == 202, answer.text
    return int(answer.json()["job_id"])


def _only_held_is_leased(database_url: str) -> bool:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(_LEASED, [HELD_BLOCK]).fetchone()
    return row == (1, True)


def _completed(scrape: Scrape) -> bool:
    return scrape.value("ampd_cluster_jobs", state="COMPLETED") == 1


def _look(cluster: Cluster, port: int, job_id: int) -> Look:
    progress = cluster.progress(job_id)

    def counted() -> Scrape | None:
        scrape = Scrape.of(f"http://127.0.0.1:{port}/metrics")
        # A segment is counted in the moment after its commit.
        commits = scrape.value("ampd_commits_total", **DATASET)
        return scrape if commits == progress["tables"]["blocks"]["files_count"] else None

    return Look(wait_for("the commits to be counted", counted), Scrape.of(f"{cluster.admin_url}/metrics"), progress)


@pytest.fixture(params=["middle", "end"])
def look(request: pytest.FixtureRequest, story: Story) -> Look:
    found: Look = getattr(story, request.param)
    return found


def test_what_a_worker_has_counted_is_what_the_progress_of_its_job_says(look: Look) -> None:
    tables = look.progress["tables"]
    assert set(tables) == {"blocks", "logs", "transactions", "withdrawals"}
    assert look.worker.by("rows_ingested_total", "table") == {n: t["row_count"] for n, t in tables.items()}
    assert look.worker.by("files_written_total", "table") == {n: t["files_count"] for n, t in tables.items()}
    assert look.worker.by("bytes_written_total", "table") == {n: t["total_size_bytes"] for n, t in tables.items()}
    assert look.worker.value("latest_block_number", **DATASET) == tables["blocks"]["current_block"]
    blocks = tables["blocks"]["current_block"] - FIRST_BLOCK + 1
    assert look.worker.value("ampd_blocks_committed_total", **DATASET) == blocks == tables["blocks"]["row_count"]
    assert look.worker.value("ampd_commits_total", **DATASET) == tables["blocks"]["files_count"]


def test_what_a_controller_tells_of_tables_is_what_the_progress_of_their_job_says(look: Look) -> None:
    tables, told = look.progress["tables"], look.controller.by
    assert told("ampd_cluster_table_front_block", "table") == {n: t["current_block"] for n, t in tables.items()}
    assert told("ampd_cluster_table_rows", "table") == {n: t["row_count"] for n, t in tables.items()}
    assert told("ampd_cluster_table_files", "table") == {n: t["files_count"] for n, t in tables.items()}
    assert told("ampd_cluster_table_bytes", "table") == {n: t["total_size_bytes"] for n, t in tables.items()}
    lag = {n: look.progress["end_block"] - t["current_block"] for n, t in tables.items()}
    assert told("ampd_cluster_table_lag_blocks", "table") == lag
    assert set(told("ampd_cluster_dataset_head_block", "dataset_name").values()) == {LAST_BLOCK}


def test_in_the_middle_there_is_a_lag_and_at_the_end_none(story: Story) -> None:
    middle, end = (
        each.controller.by("ampd_cluster_table_lag_blocks", "table")["logs"] for each in (story.middle, story.end)
    )
    assert LAST_BLOCK - HELD_BLOCK < middle < 48
    assert end == 0
    assert story.end.worker.value("ampd_blocks_committed_total", **DATASET) == 48


def test_the_states_of_jobs_and_workers_are_told_as_they_are(story: Story) -> None:
    assert story.middle.controller.value("ampd_cluster_jobs", state="RUNNING") == 1
    assert story.middle.controller.value("ampd_cluster_worker_slots_taken") == 1
    assert story.middle.worker.value("ampd_worker_jobs") == 1
    assert story.end.worker.value("ampd_worker_jobs") == 0
    assert story.end.worker.value("ampd_worker_slots") == story.end.controller.value("ampd_cluster_worker_slots") == 2
    assert story.end.controller.value("ampd_cluster_workers", status="live") == 1
    assert story.end.worker.value("ampd_job_attempts_total", kind="extraction", outcome="completed") == 1
    placed = [
        each.value("ampd_claim_latency_seconds_count", kind="extraction")
        for each in (story.end.worker, story.end.controller)
    ]
    assert sum(placed) == 1, "one of both has placed the job"


def test_an_endpoint_is_told_by_its_host_with_its_pace(story: Story) -> None:
    middle, end = story.middle.worker, story.end.worker
    labels = {"endpoint": story.node_url, "network": "mainnet"}
    assert middle.value("ampd_endpoint_concurrency_limit", **labels) == 16
    assert middle.value("ampd_endpoint_requests_in_flight", **labels) > 0
    assert not end.all("ampd_endpoint_requests_in_flight"), "nobody uses it any more"
    assert end.value("evm_rpc_requests_total", **labels, method="eth_getBlockReceipts") >= 48
    assert end.value("evm_rpc_response_bytes_total", **labels) > 1_000_000
    assert end.value("evm_rpc_request_bytes_total", **labels) > 2 * 48 * len('{"jsonrpc":"2.0"}')


def test_a_label_names_no_job_and_what_is_secret_stands_nowhere(story: Story) -> None:
    pages = [
        look.text for look in (story.middle.worker, story.middle.controller, story.end.worker, story.end.controller)
    ]
    for told in (*pages, story.logs, story.collector.raw.decode("latin-1")):
        assert KEY not in told
        assert PASSWORD not in told
    labels = {
        name for look in (story.end.worker, story.end.controller) for _, found in look.samples for name, _ in found
    }
    assert not labels & {"job_id", "range_id", "token", "url", "path", "execution", "attempt"}


def test_every_line_about_the_work_on_a_job_tells_job_execution_attempt_and_range(story: Story) -> None:
    begun = next(at for at, line in enumerate(story.lines) if line["event"] == "job.started")
    left = next(at for at, line in enumerate(story.lines) if line["event"] == "job.left")
    of_work = [
        line for line in story.lines[begun : left + 1] if not line["event"].startswith(("worker.", "heartbeat."))
    ]
    for line in of_work:
        assert (line["job_id"], line["execution"], line["attempt"]) == (story.job_id, 1, 1), line
    committed = [line for line in of_work if line["event"] == "segment.committed"]
    assert len(committed) == story.end.progress["tables"]["blocks"]["files_count"]
    assert len({line["range_id"] for line in committed}) > 1
    of_nodes = [line for line in of_work if line["event"].startswith(("node.", "block."))]
    assert of_nodes, "this node leaves withdrawals out, of which a line tells"
    assert all("range_id" in line for line in of_nodes)
    assert all("trace_id" in line for line in committed)


def test_an_attempt_its_ranges_and_their_stages_are_traced(story: Story) -> None:
    (attempt,) = story.collector.named("job.attempt")
    assert attempt.attributes["ampd.job_id"] == story.job_id
    assert (attempt.attributes["ampd.execution"], attempt.attributes["ampd.attempt"]) == (1, 1)
    ranges = story.collector.named("range")
    blocks = sum(each.attributes["ampd.end_block"] - each.attributes["ampd.start_block"] + 1 for each in ranges)
    assert blocks == 48
    for each in ranges:
        assert each.links == (attempt.span_id,), "a range names the attempt that it is of"
        assert each.trace_id != attempt.trace_id, "and is a trace of its own: an attempt may last for months"
    by_id = {each.span_id: each for each in ranges}
    for stage in ("fetch", "decode", "verify", "encode", "write", "commit"):
        spans = story.collector.named(stage)
        assert spans, stage
        for span in spans:
            assert by_id[span.parent_id].trace_id == span.trace_id, f"{stage} is not a part of a range"
        assert {span.parent_id for span in spans} == set(by_id), f"a range without {stage}"
    assert not [span for span in story.collector.spans if span.is_error]


def test_a_request_to_the_admin_api_goes_on_with_the_trace_of_its_client(story: Story) -> None:
    (deploy,) = [span for span in story.collector.spans if span.trace_id == TRACE]
    assert deploy.service == "ampd-controller"
    assert deploy.name == "POST /datasets/{namespace}/{name}/versions/{revision}/deploy"
    assert deploy.parent_id == "b7ad6b7169203331"
    assert deploy.attributes["http.response.status_code"] == 202
    assert not [span for span in story.collector.spans if "/metrics" in span.name or "/healthz" in span.name]


def test_the_headers_for_the_collector_come_from_the_environment(story: Story) -> None:
    assert {headers["x-key"] for headers in story.collector.headers} == {KEY}


def test_every_metric_of_the_dashboard_and_the_alerts_is_told_by_a_worker_or_a_controller(story: Story) -> None:
    told = story.end.worker.names() | story.end.controller.names()
    for query in queries():
        for selector in selectors(promql_parser.parse(query.text)):
            assert selector.name in told, f"{query.where}: nobody tells {selector.name}"


def test_every_metric_that_is_declared_is_told(story: Story) -> None:
    told = story.end.worker.names() | story.end.controller.names()
    for each in DECLARED:
        assert (f"{each.name}_bucket" if each.kind == "histogram" else each.name) in told, each.name
