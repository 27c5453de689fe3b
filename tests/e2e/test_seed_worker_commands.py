"""Every command, jq line and sample of the wanted document on workers, run in a shell.

The texts are those of the document; only the port is replaced by that of the test's Admin API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from support.daemons import Cluster, wait_for
from support.shell import MISSING_TOOLS, TIMESTAMP, Operator

pytestmark = pytest.mark.skipif(bool(MISSING_TOOLS), reason=f"the document's commands need {', '.join(MISSING_TOOLS)}")


@pytest.fixture(scope="module")
def operator(module_cluster: Cluster) -> Operator:
    """Workers worker-01, indexer-node-1 and problematic-worker, which has gone."""
    module_cluster.start_controller()
    gone = module_cluster.start_worker("problematic-worker")
    assert gone.end() == 0
    module_cluster.start_worker("indexer-node-1")
    module_cluster.start_worker("worker-01")
    return Operator(module_cluster)


WORKER_LINE = re.compile(rf"\S+ \(last heartbeat: {TIMESTAMP}\)")


class TestWorkerList:
    @pytest.mark.parametrize("command", ["ampctl worker list", "ampctl worker ls  # alias"])
    def test_lists_all_registered_workers_with_their_last_heartbeat(self, operator: Operator, command: str) -> None:
        lines = operator.sh(command).stdout.splitlines()
        assert all(WORKER_LINE.fullmatch(line) for line in lines), lines
        assert {line.split()[0] for line in lines} == {"worker-01", "indexer-node-1", "problematic-worker"}

    def test_is_the_same_text_on_a_terminal(self, operator: Operator) -> None:
        assert all(WORKER_LINE.fullmatch(line) for line in operator.on_terminal("ampctl worker list"))

    def test_as_json_lets_jq_extract_worker_ids_and_heartbeat_times(self, operator: Operator) -> None:
        lines = operator.sh(
            r"""ampctl worker list --json | jq -r '.workers[] | "\(.node_id): \(.heartbeat_at)"'"""
        ).stdout.splitlines()
        assert len(lines) == 3
        assert all(re.fullmatch(rf"\S+: {TIMESTAMP}", line) for line in lines), lines

    @pytest.mark.parametrize(
        "command",
        [
            "ampctl worker list --json | jq '.workers[] | select(\n  (now - (.heartbeat_at | fromdateiso8601)) > 5\n)'",
            "ampctl worker list --json | jq '.workers[] | \n  select((now - (.heartbeat_at | fromdateiso8601)) > 10)'",
        ],
        ids=["older than 5 seconds", "older than 10 seconds"],
    )
    def test_finds_workers_with_stale_heartbeats(self, operator: Operator, command: str) -> None:
        found = wait_for("the worker that has gone to be stale", lambda: operator.sh(command).stdout)
        assert json.loads(found)["node_id"] == "problematic-worker"

    def test_lists_all_workers_with_version_information(self, operator: Operator) -> None:
        loop = """for worker in $(ampctl worker list --json | jq -r '.workers[].node_id'); do
  echo "$worker: $(ampctl worker inspect $worker --json | jq -r '.info.version')"
done"""
        lines = operator.sh(loop).stdout.splitlines()
        assert len(lines) == 3
        assert all(re.fullmatch(r"\S+: v\d+\.\d+\.\d+\S*", line) for line in lines), lines

    def test_compares_worker_versions_across_the_fleet(self, operator: Operator) -> None:
        lines = operator.sh(
            "ampctl worker list --json | jq -r '.workers[] | \n"
            """  "\\(.node_id): \\(if .info then .info.version else "unknown" end)"'"""
        ).stdout.splitlines()
        assert len(lines) == 3
        assert all(re.fullmatch(r"\S+: v\d+\.\d+\.\d+\S*", line) for line in lines), lines

    def test_counts_active_workers(self, operator: Operator) -> None:
        assert operator.sh("ampctl worker list --json | jq '.workers | length'").stdout == "3\n"

    def test_lists_workers_by_creation_date(self, operator: Operator) -> None:
        lines = operator.sh(
            "ampctl worker list --json | jq -r '.workers[] | \n" r"""  "\(.created_at) - \(.node_id)"' | sort"""
        ).stdout.splitlines()
        created = {node_id: time for time, node_id in (line.split(" - ") for line in lines)}
        assert created["problematic-worker"] == min(created.values())  # others may have come in the same second
        assert lines == sorted(lines)
        assert all(re.fullmatch(rf"{TIMESTAMP} - \S+", line) for line in lines), lines


class TestWorkerInspect:
    @pytest.mark.parametrize("command", ["ampctl worker inspect worker-01", "ampctl worker get worker-01  # alias"])
    def test_shows_node_id_timestamps_and_build_information_on_a_terminal(
        self, operator: Operator, command: str
    ) -> None:
        sample = [
            r"Node ID: worker-01",
            rf"Created: {TIMESTAMP}",
            rf"Registered: {TIMESTAMP}",
            rf"Heartbeat: {TIMESTAMP}",
            r"",
            r"Worker Info:",
            r"  Version: v\d+\.\d+\.\d+\S*",
            r"  Commit: ([0-9a-f]{40}|unknown)",
            rf"  Commit Timestamp: ({TIMESTAMP}|unknown)",
            rf"  Build Date: ({TIMESTAMP}|unknown)",
        ]
        lines = operator.on_terminal(command)
        assert len(lines) == len(sample), lines
        assert all(map(re.fullmatch, sample, lines)), lines

    @pytest.mark.parametrize(
        ("command", "pattern"),
        [
            ("ampctl worker inspect worker-01 --json | jq -r '.info.version'", r"v\d+\.\d+\.\d+\S*"),
            ("ampctl worker inspect worker-01 --json | jq -r '.heartbeat_at'", TIMESTAMP),
            ("ampctl worker get worker-01 | jq -r '.node_id'", "worker-01"),
        ],
    )
    def test_as_json_lets_jq_extract_specific_fields(self, operator: Operator, command: str, pattern: str) -> None:
        assert re.fullmatch(pattern, operator.sh(command).stdout.rstrip("\n"))

    @pytest.mark.parametrize("command", ["ampctl worker inspect worker-01 --json", "ampctl worker list --json"])
    def test_and_list_print_one_line_of_json(self, operator: Operator, command: str) -> None:
        text = operator.sh(command).stdout
        assert text.count("\n") == 1
        assert "worker-01" in text
        assert json.loads(text)

    def test_shows_when_a_worker_was_last_seen(self, operator: Operator) -> None:
        lines = operator.on_terminal("ampctl worker inspect problematic-worker")
        assert re.fullmatch(rf"Heartbeat: {TIMESTAMP}", lines[3])

    def test_verifies_that_the_heartbeat_is_recent(self, operator: Operator) -> None:
        age = operator.sh(
            "ampctl worker inspect worker-01 --json | jq -r 'now - (.heartbeat_at | fromdateiso8601)'"
        ).stdout
        assert float(age) < 5


class TestWorkerEndpoints:
    @pytest.mark.parametrize(
        ("command", "check"),
        [
            ("curl http://localhost:1610/workers", lambda answer: len(answer["workers"]) == 3),
            ("curl http://localhost:1610/workers/worker-01", lambda answer: answer["node_id"] == "worker-01"),
            ("curl http://localhost:1610/workers | jq", lambda answer: len(answer["workers"]) == 3),
        ],
    )
    def test_answer_direct_api_access_with_curl(
        self, operator: Operator, command: str, check: Callable[[Any], bool]
    ) -> None:
        assert check(json.loads(operator.sh(command).stdout))

    @pytest.mark.parametrize("node_id", ["1-worker", "worker@01", "worker%2301"])
    def test_refuse_invalid_ids(self, operator: Operator, node_id: str) -> None:
        answer = json.loads(operator.sh(f"curl -s http://localhost:1610/workers/{node_id}").stdout)
        assert answer["error_code"] == "INVALID_WORKER_ID"

    @pytest.mark.parametrize("node_id", ["worker-02", "indexer-node-2", "eu_west_1a_worker", "worker.production.01"])
    def test_take_valid_ids(self, operator: Operator, node_id: str) -> None:
        answer = json.loads(operator.sh(f"curl -s http://localhost:1610/workers/{node_id}").stdout)
        assert answer["error_code"] == "WORKER_NOT_FOUND"
