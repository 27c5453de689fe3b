"""Every command, jq line and JSON sample of the wanted documents on jobs and job progress, run in a shell.

The texts are those of the documents; only ids are replaced by real ones, and the port by that of the test's Admin API.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.daemons import Cluster
from support.deploy import deploy, register_dataset
from support.nodes import FIRST_BLOCK, LAST_BLOCK
from support.shell import MISSING_TOOLS, ROOT, Operator, assert_has_shape, register_mainnet
from support.terminal import on_terminal

pytestmark = pytest.mark.skipif(bool(MISSING_TOOLS), reason=f"the documents' commands need {', '.join(MISSING_TOOLS)}")


@dataclass(frozen=True)
class JobOperator(Operator):
    """An operator with a job that follows ethereum/mainnet and has all its blocks."""

    running: int = 0


@pytest.fixture(scope="module")
def operator(module_cluster: Cluster, recorded_node: str) -> JobOperator:
    module_cluster.start_controller()
    module_cluster.start_worker("worker-01")
    register_mainnet(module_cluster, recorded_node)
    running = Operator(module_cluster).follow(worker_id="worker-01")
    return JobOperator(module_cluster, running=running)


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
    def test_views_jobs_with_each_way_of_typing_the_command(self, operator: JobOperator, command: str) -> None:
        lines = operator.sh(command).stdout.splitlines()
        assert f"  {operator.running} - RUNNING (worker-01)" in lines

    @pytest.mark.parametrize("command", ["ampctl job list --after 1234", "ampctl job list -l 20 -a 500"])
    def test_paginates_to_the_next_jobs_after_an_id(self, operator: JobOperator, command: str) -> None:
        older = operator.sh(re.sub("1234|500", str(operator.running), command)).stdout
        newer = operator.sh(re.sub("1234|500", str(operator.running + 1), command)).stdout
        assert f"  {operator.running} - " not in older
        assert f"  {operator.running} - " in newer

    def test_filters_by_status(self, operator: JobOperator) -> None:
        completed = operator.ended_job("COMPLETED")
        shown = operator.sh("ampctl job list -s completed").stdout
        assert f"  {completed} - COMPLETED (" in shown
        assert f"  {operator.running} - " not in shown

    @pytest.mark.parametrize(
        "word", ["scheduled,running,completed,stopped,error", "active", "all", "Scheduled,StopRequested"]
    )
    def test_takes_active_all_and_comma_separated_values(self, operator: JobOperator, word: str) -> None:
        operator.sh(f"ampctl job list --status {word}")

    def test_shows_active_jobs_by_default_and_all_when_asked(self, operator: JobOperator) -> None:
        completed = operator.ended_job("COMPLETED")
        assert f"  {completed} - " not in operator.sh("ampctl job list").stdout
        assert f"  {completed} - COMPLETED (" in operator.sh("ampctl job list --status all").stdout

    def test_answers_in_json_as_in_the_response_of_the_document(self, operator: JobOperator) -> None:
        page = json.loads(operator.sh("ampctl job list --json").stdout)
        assert_has_shape(page, {"jobs": [JOB]})
        [job] = [job for job in page["jobs"] if job["id"] == operator.running]
        assert job["dataset"] == JOB["dataset"]
        assert job["worker_id"] == "worker-01"
        assert "next_cursor" not in page, "there is no next page"

    def test_gives_the_next_cursor_of_the_response(self, operator: JobOperator) -> None:
        operator.ended_job("COMPLETED")
        page = json.loads(operator.sh("ampctl job list --limit 1 --status all --json").stdout)
        assert_has_shape(page, {"jobs": [{"id": 12345}], "next_cursor": 12346})
        cursor = page["next_cursor"]
        following = json.loads(operator.sh(f"ampctl job list --after {cursor} --status all --json").stdout)
        assert all(job["id"] < cursor for job in following["jobs"])
        assert operator.running in [job["id"] for job in following["jobs"]]


class TestJobInspect:
    def test_gets_detailed_information_about_a_specific_job(self, operator: JobOperator) -> None:
        job = json.loads(operator.sh(f"ampctl job inspect {operator.running} --json").stdout)
        assert_has_shape(job, {**JOB, "end_block": None, "parallelism": 1})
        assert job["status"] == "RUNNING"

    def test_has_the_alias_get(self, operator: JobOperator) -> None:
        by_alias = operator.sh("ampctl job get 12345  # alias".replace("12345", str(operator.running)))
        assert json.loads(by_alias.stdout)["id"] == operator.running

    def test_lets_jq_extract_specific_fields(self, operator: JobOperator) -> None:
        status = operator.sh(f"ampctl job inspect {operator.running} | jq '.status'")
        assert status.stdout == '"RUNNING"\n'

    def test_is_text_on_a_terminal(self, operator: JobOperator) -> None:
        lines = operator.on_terminal(f"ampctl job inspect {operator.running}")
        assert lines[:2] == [f"Job ID: {operator.running}", "Status: RUNNING"]


class TestJobProgress:
    def test_views_sync_progress_for_all_tables_written_by_a_job(self, operator: JobOperator) -> None:
        text = operator.sh(f"ampctl job progress {operator.running}").stdout
        assert text.startswith(f"Job ID: {operator.running}\nStatus: RUNNING\n")
        for table in ("blocks", "logs", "transactions", "withdrawals"):
            assert f"  {table}:\n    Block range: {FIRST_BLOCK} - {LAST_BLOCK}\n    Files: " in text

    def test_answers_in_json_as_in_the_response_of_the_document(self, operator: JobOperator) -> None:
        progress = json.loads(operator.sh(f"ampctl job progress {operator.running} --json").stdout)
        assert_has_shape(progress, PROGRESS)
        blocks = progress["tables"]["blocks"]
        assert (blocks["start_block"], blocks["current_block"]) == (FIRST_BLOCK, LAST_BLOCK)

    def test_answers_curl(self, operator: JobOperator) -> None:
        answer = operator.sh(f"curl http://localhost:1610/jobs/{operator.running}/progress")
        assert_has_shape(json.loads(answer.stdout), PROGRESS)

    def test_lets_jq_extract_the_current_block_of_a_table(self, operator: JobOperator) -> None:
        command = "curl http://localhost:1610/jobs/42/progress | jq '.tables[\"blocks\"].current_block'"
        assert operator.sh(command.replace("42", str(operator.running))).stdout == f"{LAST_BLOCK}\n"

    def test_is_in_the_specification(self, operator: JobOperator, tmp_path: Path) -> None:
        (tmp_path / "docs" / "openapi-specs").mkdir(parents=True)
        query = "jq '.paths[\"/jobs/{id}/progress\"]' docs/openapi-specs/admin.spec.json"
        shutil.copy(ROOT / "docs" / "reference" / "openapi.json", tmp_path / "docs/openapi-specs/admin.spec.json")
        from_file = json.loads(operator.sh(query, directory=tmp_path).stdout)
        operator.sh(
            "curl -s http://localhost:1610/openapi.json > docs/openapi-specs/admin.spec.json", directory=tmp_path
        )
        served = json.loads(operator.sh(query, directory=tmp_path).stdout)
        assert from_file["get"]["operationId"] == "get_job_progress"
        assert served == from_file

    def test_can_be_watched_in_real_time(self, operator: JobOperator) -> None:
        watch = f"watch -n 5 'ampctl job progress {operator.running}'"
        with on_terminal(["bash", "-c", watch], operator.environment(), ROOT) as seen:
            assert f"Job ID: {operator.running}" in seen.read_until("Status: RUNNING")


class TestDatasetJobs:
    def test_lists_jobs_for_a_dataset_to_get_the_job_id(self, operator: JobOperator) -> None:
        lines = operator.sh("ampctl dataset jobs ethereum/mainnet@0.0.0").stdout.splitlines()
        assert lines[0] == "ID    Status    Created              Tables"
        assert re.fullmatch(
            rf"{operator.running:<4}  RUNNING   \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  blocks, .*transactions.*", lines[1]
        )
        assert len(lines) == 2

    def test_the_recommended_workflow_leads_from_the_dataset_over_its_job_to_the_progress(
        self, operator: JobOperator
    ) -> None:
        url = "http://localhost:1610/datasets/ethereum/mainnet/versions/0.0.0/jobs"
        job_id = operator.sh(f"curl {url} | jq '.jobs[0].id'").stdout.strip()
        answer = operator.sh(f"curl http://localhost:1610/jobs/{job_id}/progress")
        assert json.loads(answer.stdout)["job_status"] == "RUNNING"


class TestJobStop:
    def test_stops_a_running_job_verified_by_inspect_and_stopping_a_stopped_job_returns_success(
        self, operator: JobOperator
    ) -> None:
        cluster = operator.cluster
        register_dataset(cluster, "stop/me", "mainnet", start_block=LAST_BLOCK)
        job_id = deploy(cluster, "stop/me")
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
            ("ampctl job remove 456  # alias", "STOPPED"),
            ("ampctl job rm 123", "FAILED"),
        ],
    )
    def test_removes_a_job_in_a_terminal_state(self, operator: JobOperator, command: str, status: str) -> None:
        job_id = operator.ended_job(status)
        command = re.sub("123|456", str(job_id), command)
        operator.sh(command)
        assert not operator.exists(job_id)
        operator.sh(command)  # "deleting non-existent job returns success (204)"

    def test_refuses_a_running_job_which_must_be_stopped_first(self, operator: JobOperator) -> None:
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
    def test_bulk_removes_jobs_by_status_filter(self, operator: JobOperator, command: str, removed: set[str]) -> None:
        statuses = ("COMPLETED", "FAILED", "STOPPED")
        jobs = dict(zip(statuses, operator.ended_jobs(*statuses), strict=True))
        operator.sh(command)
        assert {status for status, job_id in jobs.items() if not operator.exists(job_id)} == removed
        assert operator.exists(operator.running)


class TestJobScripts:
    def test_find_running_jobs_for_a_dataset(self, operator: JobOperator) -> None:
        done = operator.sh(
            'ampctl job list --json | jq \'.jobs[] | \n  select(.status == "RUNNING" and .dataset.name == "mainnet")\''
        )
        assert json.loads(done.stdout)["id"] == operator.running

    def test_alert_on_failed_jobs(self, operator: JobOperator, tmp_path: Path) -> None:
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
    def test_answer_with_method_and_description_of_the_table(
        self, operator: JobOperator, request_line: str, status: str
    ) -> None:
        line = request_line.replace("12345", str(operator.running))
        assert operator.sh(f"curl -s -o /dev/null -w '%{{http_code}}' {line}").stdout == status

    @pytest.mark.parametrize("method", ["PUT", "POST"])
    def test_stop_takes_put_and_post(self, operator: JobOperator, method: str) -> None:
        job_id = operator.ended_job("COMPLETED")
        answer = operator.sh(f"curl -s -X {method} http://localhost:1610/jobs/{job_id}/stop")
        assert json.loads(answer.stdout)["status"] == "COMPLETED"

    def test_limit_is_50_by_default(self, operator: JobOperator) -> None:
        specification = json.loads(operator.sh("curl -s http://localhost:1610/openapi.json").stdout)
        parameters = {each["name"]: each for each in specification["paths"]["/jobs"]["get"]["parameters"]}
        assert parameters["limit"]["schema"]["default"] == 50
