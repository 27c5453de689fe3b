"""Every command, jq line and JSON sample of the wanted documents on jobs, job progress and workers, run in a shell.

The texts are those of the documents; only ids are replaced by real ones, and the port by that of the test's Admin API.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.daemons import Cluster, wait_for
from support.nodes import FIRST_BLOCK, LAST_BLOCK

ROOT = Path(__file__).parents[2]
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
Ran = subprocess.CompletedProcess[str]

pytestmark = pytest.mark.skipif(
    missing := [tool for tool in ("bash", "jq", "curl", "script") if shutil.which(tool) is None],
    reason=f"the documents' commands need {', '.join(missing)}",
)


@dataclass(frozen=True)
class Operator:
    """Somebody at a shell, with ampctl on the PATH."""

    cluster: Cluster
    running: int
    names: count[int]

    def sh(self, command: str, *, directory: Path = ROOT) -> Ran:
        """Run a command of the documents; the address of its Admin API is replaced by ours."""
        done = self.sh_unchecked(command, directory=directory)
        assert done.returncode == 0, done.stderr
        return done

    def sh_unchecked(self, command: str, *, directory: Path = ROOT) -> Ran:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AMP_")}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "AMP_ADMIN_URL": self.cluster.admin_url,
            "TERM": "xterm",
        }
        command = command.replace("http://localhost:1610", self.cluster.admin_url)
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=directory,
            timeout=60,
            check=False,
        )

    def on_terminal(self, command: str) -> list[str]:
        """Run a command as on a terminal and return its lines."""
        done = self.sh(f"script -qec '{command}' /dev/null </dev/null")
        return done.stdout.replace("\r", "").rstrip("\n").split("\n")

    def ended_job(self, status: str) -> int:
        """Make a job that is COMPLETED, FAILED or STOPPED."""
        name = f"job_{next(self.names)}"
        url = self.cluster.admin_url
        manifest = httpx.get(f"{url}/datasets/ethereum/mainnet/versions/1.0.0/manifest").json()
        body = {"namespace": "ended", "name": name, "version": "1.0.0", "manifest": manifest}
        assert httpx.post(f"{url}/datasets", json=body).status_code == 201
        end_block = {"COMPLETED": "latest", "FAILED": "-17686000", "STOPPED": None}[status]
        deploy = httpx.post(f"{url}/datasets/ended/{name}/versions/1.0.0/deploy", json={"end_block": end_block})
        job_id = int(deploy.json()["job_id"])
        if status == "STOPPED":
            httpx.put(f"{url}/jobs/{job_id}/stop")
        self.cluster.wait_for_status(job_id, status, timeout=30)
        return job_id

    def exists(self, job_id: int) -> bool:
        return httpx.get(f"{self.cluster.admin_url}/jobs/{job_id}").status_code == 200


@pytest.fixture(scope="module")
def operator(module_cluster: Cluster, recorded_node: str) -> Operator:
    """Workers worker-01, indexer-node-1 and problematic-worker, which has gone; a job that follows ethereum/mainnet."""
    cluster = module_cluster
    cluster.start_controller()
    gone = cluster.start_worker("problematic-worker")
    assert gone.end() == 0
    cluster.start_worker("indexer-node-1")
    cluster.start_worker("worker-01")
    cluster.register(recorded_node, start_block=FIRST_BLOCK)
    tagged = cluster.ampctl(
        "dataset", "register", "ethereum/mainnet", str(cluster.directory / "manifest.json"), "--tag", "0.0.0"
    )
    assert tagged.returncode == 0, tagged.stderr
    running = cluster.deploy("ethereum/mainnet@1.0.0", "--worker-id", "worker-01")

    def has_all_blocks() -> bool:
        tables = cluster.progress(running)["tables"]
        return bool(tables) and all(table["current_block"] == LAST_BLOCK for table in tables.values())

    wait_for("the recorded blocks", has_all_blocks)
    return Operator(cluster, running, count(1))


def assert_has_shape(answer: Any, sample: Any, where: str = "") -> None:
    """Everything in ``sample`` is in ``answer``, with values of the same type."""
    if isinstance(sample, dict):
        assert isinstance(answer, dict), where
        for key, value in sample.items():
            assert key in answer, f"{where}.{key} is missing"
            assert_has_shape(answer[key], value, f"{where}.{key}")
    elif isinstance(sample, list):
        assert isinstance(answer, list), where
        for item in answer:
            assert_has_shape(item, sample[0], f"{where}[]")
    elif isinstance(sample, str) and sample.endswith("Z"):
        assert re.fullmatch(TIMESTAMP, answer), f"{where}: {answer}"
    else:
        assert type(answer) is type(sample), f"{where}: {answer!r}"


JOB = {
    "id": 12345,
    "status": "RUNNING",
    "dataset": {"namespace": "ethereum", "name": "mainnet", "version": "1.0.0"},
    "manifest_hash": "abc123...",
    "worker_id": "worker-01",
    "created_at": "2026-03-04T10:00:00Z",
    "updated_at": "2026-03-04T11:30:00Z",
}
TABLE = {"current_block": 21500000, "start_block": 0, "files_count": 1247, "total_size_bytes": 137970286592}
PROGRESS = {"job_id": 123, "job_status": "RUNNING", "tables": {"blocks": TABLE, "transactions": TABLE}}


class TestJobList:
    @pytest.mark.parametrize(
        "command",
        [
            "ampctl job list",
            "ampctl job ls  # alias",
            "ampctl job list --limit 100",
            "ampctl job list --status all",
            "ampctl job list --status scheduled,running",
        ],
    )
    def test_shows_the_running_job(self, operator: Operator, command: str) -> None:
        lines = operator.sh(command).stdout.splitlines()
        assert f"  {operator.running} - RUNNING (worker-01)" in lines

    @pytest.mark.parametrize("command", ["ampctl job list --after 1234", "ampctl job list -l 20 -a 500"])
    def test_goes_on_after_an_id(self, operator: Operator, command: str) -> None:
        older = operator.sh(re.sub("1234|500", str(operator.running), command)).stdout
        newer = operator.sh(re.sub("1234|500", str(operator.running + 1), command)).stdout
        assert f"  {operator.running} - " not in older
        assert f"  {operator.running} - " in newer

    def test_filters_by_status(self, operator: Operator) -> None:
        completed = operator.ended_job("COMPLETED")
        shown = operator.sh("ampctl job list -s completed").stdout
        assert f"  {completed} - COMPLETED (" in shown
        assert f"  {operator.running} - " not in shown

    @pytest.mark.parametrize(
        "word", ["scheduled,running,completed,stopped,error", "active", "all", "Scheduled,StopRequested"]
    )
    def test_takes_the_documents_filter_words(self, operator: Operator, word: str) -> None:
        operator.sh(f"ampctl job list --status {word}")

    def test_shows_active_jobs_unless_asked_for_others(self, operator: Operator) -> None:
        completed = operator.ended_job("COMPLETED")
        assert f"  {completed} - " not in operator.sh("ampctl job list").stdout
        assert f"  {completed} - COMPLETED (" in operator.sh("ampctl job list --status all").stdout

    def test_as_json_has_the_documents_shape(self, operator: Operator) -> None:
        page = json.loads(operator.sh("ampctl job list --json").stdout)
        assert_has_shape(page, {"jobs": [JOB]})
        [job] = [job for job in page["jobs"] if job["id"] == operator.running]
        assert job["dataset"] == JOB["dataset"]
        assert job["worker_id"] == "worker-01"
        assert "next_cursor" not in page, "there is no next page"

    def test_gives_a_cursor_when_there_is_a_next_page(self, operator: Operator) -> None:
        operator.ended_job("COMPLETED")
        page = json.loads(operator.sh("ampctl job list --limit 1 --status all --json").stdout)
        assert_has_shape(page, {"jobs": [{"id": 12345}], "next_cursor": 12346})
        cursor = page["next_cursor"]
        following = json.loads(operator.sh(f"ampctl job list --after {cursor} --status all --json").stdout)
        assert all(job["id"] < cursor for job in following["jobs"])
        assert operator.running in [job["id"] for job in following["jobs"]]


class TestJobInspect:
    def test_gives_all_details(self, operator: Operator) -> None:
        job = json.loads(operator.sh(f"ampctl job inspect {operator.running} --json").stdout)
        assert_has_shape(job, {**JOB, "end_block": None, "parallelism": 1})
        assert job["status"] == "RUNNING"

    def test_has_the_alias_get(self, operator: Operator) -> None:
        by_alias = operator.sh("ampctl job get 12345  # alias".replace("12345", str(operator.running)))
        assert json.loads(by_alias.stdout)["id"] == operator.running

    def test_is_json_when_jq_reads_it(self, operator: Operator) -> None:
        status = operator.sh(f"ampctl job inspect {operator.running} | jq '.status'")
        assert status.stdout == '"RUNNING"\n'

    def test_is_text_on_a_terminal(self, operator: Operator) -> None:
        lines = operator.on_terminal(f"ampctl job inspect {operator.running}")
        assert lines[:2] == [f"Job ID: {operator.running}", "Status: RUNNING"]


class TestJobProgress:
    def test_shows_every_table(self, operator: Operator) -> None:
        text = operator.sh(f"ampctl job progress {operator.running}").stdout
        assert text.startswith(f"Job ID: {operator.running}\nStatus: RUNNING\n")
        assert f"Block range: {FIRST_BLOCK} - {LAST_BLOCK}" in text

    def test_as_json_has_the_documents_shape(self, operator: Operator) -> None:
        progress = json.loads(operator.sh(f"ampctl job progress {operator.running} --json").stdout)
        assert_has_shape(progress, PROGRESS)
        blocks = progress["tables"]["blocks"]
        assert (blocks["start_block"], blocks["current_block"]) == (FIRST_BLOCK, LAST_BLOCK)

    def test_answers_curl(self, operator: Operator) -> None:
        answer = operator.sh(f"curl http://localhost:1610/jobs/{operator.running}/progress")
        assert_has_shape(json.loads(answer.stdout), PROGRESS)

    def test_current_block_of_a_table_comes_out_of_jq(self, operator: Operator) -> None:
        command = "curl http://localhost:1610/jobs/42/progress | jq '.tables[\"blocks\"].current_block'"
        assert operator.sh(command.replace("42", str(operator.running))).stdout == f"{LAST_BLOCK}\n"

    def test_is_in_the_specification(self, operator: Operator) -> None:
        query = "jq '.paths[\"/jobs/{id}/progress\"]' "
        from_file = json.loads(operator.sh(f"{query} docs/reference/openapi.json").stdout)
        served = json.loads(operator.sh(f"curl -s http://localhost:1610/openapi.json | {query}").stdout)
        assert from_file["get"]["operationId"] == "get_job_progress"
        assert served == from_file

    @pytest.mark.skipif(shutil.which("watch") is None, reason="watch is not installed")
    def test_can_be_watched(self, operator: Operator) -> None:
        watch = f"watch -n 5 'ampctl job progress {operator.running}'"
        done = operator.sh_unchecked(f'timeout 4 script -qec "{watch}" /dev/null </dev/null')
        assert f"Job ID: {operator.running}" in done.stdout
        assert "Status: RUNNING" in done.stdout


class TestDatasetJobs:
    def test_lists_the_jobs_of_a_dataset(self, operator: Operator) -> None:
        lines = operator.sh("ampctl dataset jobs ethereum/mainnet@0.0.0").stdout.splitlines()
        assert lines[0] == "ID    Status    Created              Tables"
        assert re.fullmatch(
            rf"{operator.running:<4}  RUNNING   \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  blocks, .*transactions.*", lines[1]
        )
        assert len(lines) == 2

    def test_leads_from_the_dataset_to_the_progress_of_its_job(self, operator: Operator) -> None:
        url = "http://localhost:1610/datasets/ethereum/mainnet/versions/0.0.0/jobs"
        job_id = operator.sh(f"curl {url} | jq '.jobs[0].id'").stdout.strip()
        answer = operator.sh(f"curl http://localhost:1610/jobs/{job_id}/progress")
        assert json.loads(answer.stdout)["job_status"] == "RUNNING"


class TestJobStop:
    def test_ends_a_running_job_and_is_a_success_again(self, operator: Operator) -> None:
        cluster = operator.cluster
        done = cluster.ampctl(
            "dataset", "register", "stop/me", str(cluster.directory / "manifest.json"), "--tag", "1.0.0"
        )
        assert done.returncode == 0, done.stderr
        job_id = cluster.deploy("stop/me@1.0.0")
        cluster.wait_for_status(job_id, "RUNNING")
        stop = "ampctl job stop 12345".replace("12345", str(job_id))
        operator.sh(stop)
        cluster.wait_for_status(job_id, "STOPPED", timeout=15)
        assert json.loads(operator.sh(f"ampctl job inspect {job_id}").stdout)["status"] == "STOPPED"
        operator.sh(stop)
        assert cluster.job(job_id)["status"] == "STOPPED"


class TestJobRemove:
    @pytest.mark.parametrize(
        ("command", "status"),
        [
            ("ampctl job rm 123", "COMPLETED"),
            ("ampctl job remove 123  # alias", "STOPPED"),
            ("ampctl job rm 123", "FAILED"),
        ],
    )
    def test_removes_a_job_that_has_ended(self, operator: Operator, command: str, status: str) -> None:
        job_id = operator.ended_job(status)
        operator.sh(command.replace("123", str(job_id)))
        assert not operator.exists(job_id)
        operator.sh(command.replace("123", str(job_id)))  # "deleting non-existent job returns success (204)"

    def test_refuses_a_running_job(self, operator: Operator) -> None:
        done = operator.sh_unchecked(f"ampctl job rm {operator.running}")
        assert done.returncode == 1
        assert f"ampctl job stop {operator.running}" in done.stderr
        code = operator.sh(
            f"curl -s -o /dev/null -w '%{{http_code}}' -X DELETE http://localhost:1610/jobs/{operator.running}"
        )
        assert code.stdout == "409"
        assert operator.exists(operator.running)


class TestJobPrune:
    @pytest.mark.parametrize(
        ("command", "removed"),
        [
            ("ampctl job prune --status completed", {"COMPLETED"}),
            ("ampctl job prune --status error", {"FAILED"}),
            ("ampctl job prune --status stopped", {"STOPPED"}),
            ("ampctl job prune", {"COMPLETED", "FAILED", "STOPPED"}),
        ],
    )
    def test_removes_the_jobs_of_a_status(self, operator: Operator, command: str, removed: set[str]) -> None:
        jobs = {status: operator.ended_job(status) for status in ("COMPLETED", "FAILED", "STOPPED")}
        operator.sh(command)
        assert {status for status, job_id in jobs.items() if not operator.exists(job_id)} == removed
        assert operator.exists(operator.running)


class TestJobScripts:
    def test_find_all_running_jobs_for_a_dataset(self, operator: Operator) -> None:
        done = operator.sh(
            'ampctl job list --json | jq \'.jobs[] | \n  select(.status == "RUNNING" and .dataset.name == "mainnet")\''
        )
        assert json.loads(done.stdout)["id"] == operator.running

    def test_alert_on_failed_jobs(self, operator: Operator, tmp_path: Path) -> None:
        script = tmp_path / "alert.sh"
        script.write_text(ALERT)
        failed = operator.ended_job("FAILED")
        done = operator.sh(f"bash {script}")
        assert re.search(r"^ALERT: [1-9]\d* failed jobs detected$", done.stdout, re.MULTILINE)
        assert f"  {failed} - FAILED (" in done.stdout
        operator.sh("ampctl job prune --status error")
        assert operator.sh(f"bash {script}").stdout == ""


ALERT = """#!/bin/bash
# Check for failed jobs
failed=$(ampctl job list --status error --json | jq '.jobs | length')

if [ $failed -gt 0 ]; then
  echo "ALERT: $failed failed jobs detected"
  ampctl job list --status error
fi
"""


class TestJobEndpoints:
    @pytest.mark.parametrize(
        ("request_line", "status"),
        [
            ("-X GET http://localhost:1610/jobs", "200"),
            ("-X GET 'http://localhost:1610/jobs?limit=1000&last_job_id=5&status=scheduled,running'", "200"),
            ("-X GET 'http://localhost:1610/jobs?limit=1001'", "400"),
            ("-X DELETE 'http://localhost:1610/jobs?status=terminal'", "204"),
            ("-X DELETE 'http://localhost:1610/jobs?status=completed'", "204"),
            ("-X DELETE 'http://localhost:1610/jobs?status=stopped'", "204"),
            ("-X DELETE 'http://localhost:1610/jobs?status=error'", "204"),
            ("-X GET http://localhost:1610/jobs/12345", "200"),
            ("-X GET http://localhost:1610/jobs/12345/progress", "200"),
            ("-X DELETE http://localhost:1610/jobs/987654321", "204"),
        ],
    )
    def test_answer_as_documented(self, operator: Operator, request_line: str, status: str) -> None:
        line = request_line.replace("12345", str(operator.running))
        assert operator.sh(f"curl -s -o /dev/null -w '%{{http_code}}' {line}").stdout == status

    @pytest.mark.parametrize("method", ["PUT", "POST"])
    def test_stop_takes_put(self, operator: Operator, method: str) -> None:
        job_id = operator.ended_job("COMPLETED")
        answer = operator.sh(f"curl -s -X {method} http://localhost:1610/jobs/{job_id}/stop")
        assert json.loads(answer.stdout)["status"] == "COMPLETED"

    def test_fifty_jobs_are_listed_unless_asked_for_more(self, operator: Operator) -> None:
        specification = json.loads(operator.sh("curl -s http://localhost:1610/openapi.json").stdout)
        parameters = {each["name"]: each for each in specification["paths"]["/jobs"]["get"]["parameters"]}
        assert parameters["limit"]["schema"]["default"] == 50


WORKER_LINE = re.compile(rf"\S+ \(last heartbeat: {TIMESTAMP}\)")


class TestWorkerList:
    @pytest.mark.parametrize("command", ["ampctl worker list", "ampctl worker ls  # alias"])
    def test_shows_every_worker_and_its_last_heartbeat(self, operator: Operator, command: str) -> None:
        lines = operator.sh(command).stdout.splitlines()
        assert all(WORKER_LINE.fullmatch(line) for line in lines), lines
        assert {line.split()[0] for line in lines} == {"worker-01", "indexer-node-1", "problematic-worker"}

    def test_is_the_same_text_on_a_terminal(self, operator: Operator) -> None:
        assert all(WORKER_LINE.fullmatch(line) for line in operator.on_terminal("ampctl worker list"))

    def test_as_json_gives_ids_and_heartbeats_to_jq(self, operator: Operator) -> None:
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

    def test_shows_the_versions_of_all_workers(self, operator: Operator) -> None:
        loop = """for worker in $(ampctl worker list --json | jq -r '.workers[].node_id'); do
  echo "$worker: $(ampctl worker inspect $worker --json | jq -r '.info.version')"
done"""
        lines = operator.sh(loop).stdout.splitlines()
        assert len(lines) == 3
        assert all(re.fullmatch(r"\S+: v\d+\.\d+\.\d+\S*", line) for line in lines), lines

    def test_compares_worker_versions_across_the_fleet(self, operator: Operator) -> None:
        lines = operator.sh(
            "ampctl worker list --json | jq -r '.workers[] | \n"
            r"""  "\(.node_id): \(if .info then .info.version else "unknown" end)"' """
        ).stdout.splitlines()
        assert len(lines) == 3
        assert all(re.fullmatch(r"\S+: v\d+\.\d+\.\d+\S*", line) for line in lines), lines

    def test_counts_workers(self, operator: Operator) -> None:
        assert operator.sh("ampctl worker list --json | jq '.workers | length'").stdout == "3\n"

    def test_lists_workers_by_creation_date(self, operator: Operator) -> None:
        lines = operator.sh(
            "ampctl worker list --json | jq -r '.workers[] | \n" r"""  "\(.created_at) - \(.node_id)"' | sort"""
        ).stdout.splitlines()
        assert lines[0].split(" - ")[1] == "problematic-worker"
        assert all(re.fullmatch(rf"{TIMESTAMP} - \S+", line) for line in lines), lines


class TestWorkerInspect:
    @pytest.mark.parametrize(
        "command", ["ampctl worker inspect worker-01", "ampctl worker get worker-01", "ampctl worker inspect worker-01"]
    )
    def test_shows_the_worker_and_its_build_on_a_terminal(self, operator: Operator, command: str) -> None:
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
    def test_gives_fields_to_jq(self, operator: Operator, command: str, pattern: str) -> None:
        assert re.fullmatch(pattern, operator.sh(command).stdout.rstrip("\n"))

    def test_shows_when_a_worker_was_last_seen(self, operator: Operator) -> None:
        lines = operator.on_terminal("ampctl worker inspect problematic-worker")
        assert re.fullmatch(rf"Heartbeat: {TIMESTAMP}", lines[3])

    def test_heartbeat_of_a_live_worker_is_recent(self, operator: Operator) -> None:
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
    def test_answer_curl(self, operator: Operator, command: str, check: Callable[[Any], bool]) -> None:
        assert check(json.loads(operator.sh(command).stdout))

    @pytest.mark.parametrize("node_id", ["1-worker", "worker@01", "worker%2301"])
    def test_refuse_invalid_ids(self, operator: Operator, node_id: str) -> None:
        answer = json.loads(operator.sh(f"curl -s http://localhost:1610/workers/{node_id}").stdout)
        assert answer["error_code"] == "INVALID_WORKER_ID"

    @pytest.mark.parametrize("node_id", ["worker-02", "indexer-node-2", "eu_west_1a_worker", "worker.production.01"])
    def test_take_valid_ids(self, operator: Operator, node_id: str) -> None:
        answer = json.loads(operator.sh(f"curl -s http://localhost:1610/workers/{node_id}").stdout)
        assert answer["error_code"] == "WORKER_NOT_FOUND"
