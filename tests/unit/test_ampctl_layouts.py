from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from ampd.cli.ctl import job_output, output
from ampd.cli.ctl.output import size
from ampd.cli.ctl.schedule import read_interval
from ampd.cli.ctl.times import duration, interval
from ampd.client import (
    BulkResult,
    DatasetSummary,
    DatasetVersions,
    Event,
    Job,
    JobHistory,
    JobPage,
    JobStats,
    ManifestSummary,
    Progress,
    Worker,
)

HASH = "a1b2c3d" + "0" * 57
JOB: dict[str, Any] = {
    "id": 12,
    "status": "RUNNING",
    "lifecycle": "running",
    "kind": "extraction",
    "dataset": {"namespace": "ns", "name": "eth", "version": "1.0.0"},
    "manifest_hash": HASH,
    "worker_id": "worker-01",
    "node_id": "worker-01",
    "descriptor": {"kind": "materialize-raw", "end_block": None},
    "end_block": None,
    "parallelism": 1,
    "priority": 0,
    "run_at": "2025-01-01T00:00:00Z",
    "labels": {},
    "execution_number": 1,
    "retries": None,
    "retry_count": 0,
    "depends_on": [],
    "last_error": None,
    "waiting_for": None,
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2025-01-01T00:00:01Z",
}
FAILURE = {
    "error_code": "RESOLVE_END_BLOCK",
    "error_message": "the chain is shorter",
    "error_context": {"attempt_index": 3, "stack_trace": ["source 1", "source 2"]},
}


def page(*changes: dict[str, Any], next_cursor: int | None = None) -> JobPage:
    """Return a page of jobs that differ from JOB."""
    data: dict[str, Any] = {"jobs": [JOB | change for change in changes]}
    return JobPage.from_json(data | ({"next_cursor": next_cursor} if next_cursor else {}))


def test_the_job_list_shows_a_line_per_job_its_dataset_and_the_cursor() -> None:
    waiting = {"id": 11, "status": "SCHEDULED", "worker_id": None, "waiting_for": "worker"}
    assert output.job_list(page({}, waiting, next_cursor=11)) == (
        "Jobs:\n"
        "  12 - RUNNING (worker-01)\n"
        "    Dataset: ns/eth@1.0.0 (a1b2c3d)\n"
        "  11 - SCHEDULED (no worker)\n"
        "    Dataset: ns/eth@1.0.0 (a1b2c3d)\n"
        "    Waiting for: a live worker\n"
        "\n"
        "Next cursor: 11"
    )
    assert output.job_list(page()) == "No jobs found"


def test_a_job_that_retries_says_when_and_why() -> None:
    change = {"status": "SCHEDULED", "worker_id": None, "waiting_for": "retry", "retry_count": 2, "last_error": FAILURE}
    text = output.job_details(Job.from_json(JOB | change))
    assert "\nWorker: none\nWaiting for: retry 2, 2025-01-01T00:00:00Z\n" in text
    assert "✖ the chain is shorter\n\n  Error Code    : RESOLVE_END_BLOCK\n  Attempt Index : 3\n" in text
    assert "  Stack Trace:\n    • source 1\n    • source 2\n" in text


def test_a_job_is_shown_with_its_times_and_its_descriptor() -> None:
    assert output.job_details(Job.from_json(JOB)) == (
        "Job ID: 12\n"
        "Status: RUNNING\n"
        "Dataset: ns/eth@1.0.0\n"
        "Worker: worker-01\n"
        "Created: 2024-01-15T10:30:00Z\n"
        "Updated: 2025-01-01T00:00:01Z\n"
        "\n"
        "Descriptor:\n"
        '{\n  "kind": "materialize-raw",\n  "end_block": null\n}'
    )


def test_the_table_of_a_datasets_jobs_is_the_seeds_to_the_letter() -> None:
    jobs = page({"id": 42, "tables": ["blocks", "transactions", "logs"]}).jobs
    assert output.dataset_jobs(jobs) == (
        "ID    Status    Created              Tables\n42    RUNNING   2024-01-15 10:30:00  blocks, transactions, logs"
    )
    assert output.dataset_jobs(()) == "No jobs found"


def test_the_table_of_a_datasets_jobs_grows_with_what_it_holds() -> None:
    lines = output.dataset_jobs(page({"id": 1234567, "status": "STOP_REQUESTED"}, {}).jobs).splitlines()
    assert lines == [
        "ID       Status          Created              Tables",
        "1234567  STOP_REQUESTED  2024-01-15 10:30:00",
        "12       RUNNING         2024-01-15 10:30:00",
    ]


PROGRESS: dict[str, Any] = {
    "job_id": 12,
    "job_status": "RUNNING",
    "tables": {
        "transactions": {
            "current_block": None,
            "start_block": None,
            "files_count": 0,
            "total_size_bytes": 0,
            "row_count": 0,
        },
        "blocks": {
            "current_block": 950000,
            "start_block": 0,
            "files_count": 47,
            "total_size_bytes": 2147483648,
            "row_count": 950001,
        },
    },
    "end_block": 1000000,
    "blocks_per_second": 215.47,
    "eta_seconds": 2320,
    "gaps": {"blocks": [[960000, 960009], [970000, 970000], [980000, 980000], [990000, 990000]]},
    "gaps_truncated": False,
    "last_error": None,
}


def test_progress_shows_pace_and_tables_by_name() -> None:
    assert output.progress_details(Progress.from_json(PROGRESS)) == (
        "Job ID: 12\n"
        "Status: RUNNING\n"
        "End block: 1000000\n"
        "Speed: 215.5 blocks/s\n"
        "Time left: 38m 40s\n"
        "\n"
        "Tables:\n"
        "  blocks:\n"
        "    Block range: 0 - 950000\n"
        "    Files: 47\n"
        "    Size: 2.0 GB\n"
        "    Rows: 950001\n"
        "    Gaps: 960000-960009, 970000-970000, 980000-980000 and 1 more\n"
        "  transactions:\n"
        "    Block range: (no data)\n"
        "    Files: 0\n"
        "    Size: 0 B\n"
        "    Rows: 0"
    )


def test_progress_of_a_failed_job_without_tables_shows_the_error() -> None:
    data = PROGRESS | {"job_status": "FAILED", "tables": {}, "gaps": {}, "last_error": FAILURE}
    text = output.progress_details(Progress.from_json(data))
    assert "\n\n✖ the chain is shorter\n\n" in text
    assert text.endswith("\n\nNo tables written yet.")


def test_progress_on_one_line_has_all_tables_and_the_pace() -> None:
    assert output.progress_line(Progress.from_json(PROGRESS)) == (
        "12 RUNNING  blocks 0-950000 (47 files)  transactions - (0 files)  "
        "end block 1000000  speed 215.5 blocks/s  time left 38m 40s"
    )


def event(**changes: Any) -> Event:
    """Return an event of job 12."""
    data = {
        "id": 1,
        "job_id": 12,
        "created_at": "2025-01-01T00:00:00Z",
        "event_type": "RUNNING",
        "node_id": "worker-01",
        "actor": "worker:worker-01",
        "from_state": "SCHEDULED",
        "execution_number": 1,
        "lease_epoch": 1,
        "detail": None,
    }
    return Event.from_json(data | changes)


def test_events_name_the_worker_or_else_who_did_it_and_what_went_wrong() -> None:
    scheduled = event(event_type="SCHEDULED", node_id="", actor="admin-api")
    failed = event(id=2, event_type="FAILED", detail=FAILURE)
    assert output.event_list(12, [scheduled, failed]) == (
        "Job ID: 12\n"
        "\n"
        "Events:\n"
        "  [1] 2025-01-01T00:00:00Z - SCHEDULED (by: admin-api)\n"
        "  [2] 2025-01-01T00:00:00Z - FAILED (node: worker-01)\n"
        "      RESOLVE_END_BLOCK: the chain is shorter"
    )
    assert output.event_list(12, []) == "Job ID: 12\n\nNo events recorded."


def test_one_event_is_shown_with_its_detail() -> None:
    assert output.event_details(
        event(event_type="SCHEDULED", detail={"kind": "materialize-raw", "max_writers": 1})
    ) == (
        "Event ID:   1\n"
        "Job ID:     12\n"
        "Created At: 2025-01-01T00:00:00Z\n"
        "Node ID:    worker-01\n"
        "Actor:      worker:worker-01\n"
        "Event Type: SCHEDULED\n"
        "\n"
        "Descriptor\n"
        "──────────\n"
        "Kind        : materialize-raw\n"
        "Max Writers : 1"
    )
    assert "✖ the chain is shorter" in output.event_details(event(event_type="FAILED", detail=FAILURE))


WORKER = Worker.from_json(
    {
        "node_id": "worker-01h2xcejqtf2nbrexx3vqjhp41",
        "live": True,
        "draining": False,
        "slots": 4,
        "running_jobs": 0,
        "info": {
            "version": "v0.0.22-15-g8b065bde",
            "commit_sha": "8b065bde9c1a2f3e4d5c6b7a8e9f0a1b2c3d4e5f",
            "commit_timestamp": "2025-01-15T14:30:00Z",
            "build_date": "2025-01-15T15:45:30Z",
        },
        "created_at": "2025-01-01T12:00:00Z",
        "registered_at": "2025-01-15T16:45:30Z",
        "heartbeat_at": "2025-01-15T17:20:15Z",
    }
)


def test_workers_look_as_in_the_seed() -> None:
    assert output.worker_list([WORKER]) == "worker-01h2xcejqtf2nbrexx3vqjhp41 (last heartbeat: 2025-01-15T17:20:15Z)"
    assert output.worker_list([]) == "No workers found"
    assert output.worker_details(WORKER) == (
        "Node ID: worker-01h2xcejqtf2nbrexx3vqjhp41\n"
        "Created: 2025-01-01T12:00:00Z\n"
        "Registered: 2025-01-15T16:45:30Z\n"
        "Heartbeat: 2025-01-15T17:20:15Z\n"
        "\n"
        "Worker Info:\n"
        "  Version: v0.0.22-15-g8b065bde\n"
        "  Commit: 8b065bde9c1a2f3e4d5c6b7a8e9f0a1b2c3d4e5f\n"
        "  Commit Timestamp: 2025-01-15T14:30:00Z\n"
        "  Build Date: 2025-01-15T15:45:30Z"
    )


def test_datasets_versions_and_manifests_have_their_lists() -> None:
    datasets = [
        DatasetSummary.from_json({"namespace": "ns", "name": "eth", "latest_version": "1.0.0", "versions": ["1.0.0"]}),
        DatasetSummary.from_json({"namespace": "ns", "name": "new", "versions": []}),
    ]
    assert output.dataset_list(datasets) == "Datasets:\n  ns/eth - 1 version(s)\n  ns/new - no versions"
    assert output.dataset_list([]) == "No datasets found"
    manifests = [
        ManifestSummary.from_json({"hash": HASH, "kind": "evm-rpc", "dataset_count": count}) for count in (1, 2)
    ]
    assert output.manifest_list(manifests) == f"Manifests:\n  {HASH} - 1 dataset\n  {HASH} - 2 datasets"
    times = {"created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-02T00:00:00Z"}
    versions = DatasetVersions.from_json(
        {
            "namespace": "ns",
            "name": "eth",
            "versions": [{"version": "1.0.0", "manifest_hash": HASH} | times],
            "special_tags": {"latest": "1.0.0", "dev": HASH},
        }
    )
    assert output.dataset_versions(versions) == (
        "Dataset: ns/eth\n\nLatest version: 1.0.0\n\n"
        f"Dev hash: {HASH}\n\nVersions:\n  1.0.0 ({HASH})\n"
        "    Created: 2025-01-01T00:00:00Z\n    Updated: 2025-01-02T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (1536, "1.5 KB"),
        (137970286592, "128.5 GB"),
        (2**60, "1024.0 PB"),
    ],
)
def test_sizes_go_in_steps_of_1024(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (3661, "1h 1m"), (90061, "1d 1h")])
def test_durations_show_their_two_largest_units(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_no_text_from_outside_can_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({}, "a\x1b[2J\x07b\r\x9bc\nd\te", as_json=False)
    assert capsys.readouterr().out == "a�[2J�b��c\nd\te\n"


def test_json_is_one_line_and_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": "é\n", "b": [1, None]}
    output.emit(value, "unused", as_json=True)
    text = capsys.readouterr().out
    assert text == '{"a":"é\\n","b":[1,null]}\n'
    assert json.loads(text) == value


def test_inspect_is_json_for_programs_and_text_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert output.wants_json(False) is True
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert output.wants_json(False) is False
    assert output.wants_json(True) is True


RECURRING = {
    "recurring": True,
    "cron": "0 9 * * *",
    "tz": "America/New_York",
    "limit": 5,
    "end_date_ms": 1_893_456_000_000,
    "next_run_at_ms": 1_772_632_800_000,
    "execution_count": 2,
    "product": "my-app",
    "status": "PAUSED",
    "lifecycle": "paused",
    "labels": {"product": "my-app", "env": "prd", "other": "x"},
    "stop_reason": "maintenance",
}


def test_a_job_with_a_timetable_says_when_it_runs() -> None:
    when = [
        "Schedule: 0 9 * * * (America/New_York), 5 times, until 2030-01-01T00:00:00Z",
        "Next run: 2026-03-04T14:00:00Z",
    ]
    details = output.job_details(Job.from_json(JOB | RECURRING)).splitlines()
    assert details[3:10] == [
        *("Worker: worker-01", "Product: my-app", "Env: prd", *when),
        *("Executions: 2", "Reason: maintenance"),
    ]
    assert output.job_list(page(RECURRING)).splitlines()[-2:] == [f"    {line}" for line in when]
    every = RECURRING | {"cron": None, "every_ms": 5_400_000, "limit": None, "end_date_ms": None}
    assert "Schedule: every 1h30m\n" in output.job_details(Job.from_json(JOB | every))


def test_an_operation_on_a_job_says_where_it_stands_and_when_it_runs_next() -> None:
    assert job_output.operated(Job.from_json(JOB | RECURRING), "paused").splitlines()[:2] == [
        "✓ Job 12 paused",
        "→ Status: PAUSED",
    ]
    later = {"status": "SCHEDULED", "lifecycle": "scheduled", "scheduled_at": "2026-03-04T14:00:00Z"}
    assert job_output.created(Job.from_json(JOB | later)) == (
        "✓ Job created\n→ Job ID: 12\n→ Runs: 2026-03-04T14:00:00Z"
    )
    ended = RECURRING | {"status": "STOPPED", "lifecycle": "cancelled"}
    assert job_output.operated(Job.from_json(JOB | ended), "cancelled") == "✓ Job 12 cancelled\n→ Status: STOPPED"


def test_an_operation_on_many_jobs_counts_them() -> None:
    result = BulkResult.from_json({"matched": 3, "changed": 2, "skipped": 1, "count": 2, "dry_run": True})
    assert job_output.bulk(result, "cancelled") == (
        "✓ 2 jobs would be cancelled\n→ Matched: 3\n→ Skipped: 1, which were so already or cannot be"
    )


def test_the_history_shows_a_line_per_execution_and_its_error() -> None:
    done = {
        "number": 2,
        "started_at": "2026-03-04T10:00:00Z",
        "completed_at": "2026-03-04T10:00:01Z",
        "duration_ms": 1250,
        "status": "completed",
        "error": None,
        "error_detail": None,
        "result": None,
        "attempt_count": 2,
        "attempts": [],
    }
    failed = {"number": 1, "status": "failed", "error": "x", "error_detail": FAILURE, "attempt_count": 1}
    unbegun = {"number": 3, "status": "cancelled", "started_at": None, "completed_at": None, "duration_ms": None}
    counts = {"job_id": 12, "total_executions": 2, "successful_executions": 1, "failed_executions": 1}
    history = JobHistory.from_json(counts | {"executions": [done | unbegun, done, done | failed]})
    assert job_output.history(history) == (
        "Job ID: 12\n"
        "Executions: 2 (1 completed, 1 failed)\n"
        "\n"
        "  [3] not begun - cancelled, 2 tries\n"
        "  [2] 2026-03-04T10:00:00Z - completed, 1250 ms, 2 tries\n"
        "  [1] 2026-03-04T10:00:00Z - failed, 1250 ms\n"
        "      RESOLVE_END_BLOCK: the chain is shorter"
    )
    assert job_output.history(JobHistory.from_json(counts | {"executions": []})).endswith("1 failed)")


def test_statistics_are_a_line_per_status_and_the_success_rate() -> None:
    names = ("total", "scheduled", "queued", "running", "paused", "completed", "cancelled", "failed")
    rest = {"completed_first_try": 4, "completed_after_retry": 2, "success_rate": 0.75, "avg_retry_count": 0.5}
    stats = JobStats.from_json({name: number for number, name in enumerate(names, 1)} | rest)
    lines = job_output.stats(stats).splitlines()
    assert lines[0] == "Total: 1"
    assert lines[5] == "Completed: 6 (2 after a retry)"
    assert lines[-1] == "Success rate: 75.0%"
    none = JobStats.from_json(dict.fromkeys(names, 0) | dict.fromkeys(rest, 0) | {"success_rate": None})
    assert job_output.stats(none).splitlines()[-1] == "Success rate: none ended"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(90_000, "1m30s"), (129_600_000, "1d12h"), (1500, "1500ms"), (0, "0s"), (3_600_000, "1h")],
)
def test_an_interval_is_shown_as_it_can_be_typed(milliseconds: int, text: str) -> None:
    assert interval(milliseconds) == text
    if milliseconds:
        assert read_interval(text) == milliseconds
