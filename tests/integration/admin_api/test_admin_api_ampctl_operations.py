"""ampctl creates jobs, operates one and many, and tells what became of them, against a served Admin API."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from admin_api_cluster import Cluster

from ampd.cli.ctl import output
from support.ampctl import run

CREATE = "job create compaction {file} --product my-app --env prd"
FAR = "--start-at 2100-01-01T00:00:00Z"
Ampctl = Callable[..., str]


@pytest.fixture
async def file(cluster: Cluster, tmp_path: Path) -> Path:
    """A file with the input of a job."""
    await cluster.register("a/b")
    path = tmp_path / "input.json"
    path.write_text('{"dataset": "a/b"}')
    return path


@pytest.fixture
def ampctl(capsys: pytest.CaptureFixture[str], admin_url: str, file: Path) -> Ampctl:
    """Run a command and give what it wrote: stdout, or stderr when an error is wanted."""

    def typed(command: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run([*shlex.split(command.format(file=file)), "--admin-url", admin_url]) == code, capsys.readouterr()
        written = capsys.readouterr()
        assert "Traceback" not in written.err
        return written.err if code else written.out

    return typed


def told(text: str) -> Any:
    return json.loads(text)


async def test_a_job_is_created_with_all_that_is_said_of_it(ampctl: Ampctl) -> None:
    options = "--label team=data --retries unlimited --priority 7 --worker-id eth-* --idempotency-key k1"
    job = told(ampctl(f"{CREATE} {options} --json"))
    assert job["labels"].items() >= {"team": "data", "product": "my-app", "env": "prd"}.items()
    assert (job["kind"], job["retries"], job["priority"], job["lifecycle"]) == ("compaction", None, 7, "queued")
    assert told(ampctl(f"{CREATE} {options} --json"))["id"] == job["id"]
    assert "k1" in ampctl(f"{CREATE} --idempotency-key k1", code=1)
    done, named, runs = ampctl(f"{CREATE} {FAR} --depends-on {job['id']}").splitlines()
    assert (done, runs) == ("✓ Job created", "→ Runs: 2100-01-01T00:00:00Z")
    waiting = told(ampctl(f"job inspect {named.removeprefix('→ Job ID: ')}"))
    assert waiting["depends_on"][0]["job_id"] == job["id"]


async def test_what_is_wrong_with_a_new_job_is_said(ampctl: Ampctl) -> None:
    unknown = ampctl("job create laundry", code=1)
    assert unknown.startswith("✗ failed to create a job of kind laundry\n  → ")
    assert "compaction" in unknown
    assert "the field 'dataset' is missing" in ampctl("job create compaction", code=1)
    assert "--label x: want key=value" in ampctl(f"{CREATE} --label x", code=1)


async def test_one_job_is_paused_resumed_rescheduled_and_cancelled(ampctl: Ampctl) -> None:
    job_id = told(ampctl(f"{CREATE} --cron '0 9 * * *' --tz America/New_York --limit 9 --json"))["id"]
    assert ampctl(f"job pause {job_id} --reason maintenance").splitlines()[:3] == [
        f"✓ Job {job_id} pause requested",
        "→ Status: PAUSED",
        "→ Schedule: 0 9 * * * (America/New_York), 9 times",
    ]
    assert told(ampctl(f"job inspect {job_id} --json"))["stop_reason"] == "maintenance"
    resumed = ampctl(f"job resume {job_id}").splitlines()
    assert resumed[:2] == [f"✓ Job {job_id} resumed", "→ Status: SCHEDULED"]
    assert resumed[3].startswith("→ Next run: ")
    rescheduled = told(ampctl(f"job reschedule {job_id} --cron '0 10 * * *' --drop limit --json"))
    assert (rescheduled["cron"], rescheduled["tz"], rescheduled["limit"]) == ("0 10 * * *", "America/New_York", None)
    assert told(ampctl(f"job reschedule {job_id} --every 2h --json"))["every_ms"] == 7_200_000
    assert "    Schedule: every 2h\n    Next run: " in ampctl("job list --recurring")
    cancelled = ampctl(f"job cancel {job_id} --reason 'Campaign ended early'").splitlines()
    assert cancelled == [f"✓ Job {job_id} cancel requested", "→ Status: STOPPED"]
    assert told(ampctl(f"job inspect {job_id}"))["stop_reason"] == "Campaign ended early"
    refused = ampctl(f"job pause {job_id}", code=1)
    assert refused.startswith(f"✗ failed to pause job {job_id}\n  → ")
    assert "job '99' not found" in ampctl("job cancel 99", code=1)


async def test_many_jobs_are_chosen_by_options_and_tried_first(ampctl: Ampctl) -> None:
    for product in ("my-app", "other"):
        for env in ("prd", "dev"):
            ampctl(f"job create compaction {{file}} --product {product} --env {env} {FAR}")
    mine = "--product my-app --env prd"
    assert ampctl(f"job pause {mine} --dry-run") == "✓ 1 job would be paused\n→ Matched: 1\n"
    assert told(ampctl(f"job pause {mine} --json"))["count"] == 1
    assert ampctl("job pause --product my-app --reason later").splitlines() == [
        "✓ 1 job paused",
        "→ Matched: 2",
        "→ Skipped: 1, which were so already or cannot be",
    ]
    assert ampctl("job resume --product my-app --status paused") == "✓ 2 jobs resumed\n→ Matched: 2\n"
    assert ampctl("job cancel --product other --created-before 2020-01-01") == "✓ 0 jobs cancelled\n→ Matched: 0\n"
    assert told(ampctl("job cancel --all --json"))["changed"] == 4
    assert ampctl("job retry --status cancelled --label env=dev --delay 1h") == "✓ 2 jobs retried\n→ Matched: 2\n"
    assert "unknown status 'nonsense'" in ampctl("job cancel --status nonsense", code=1)


async def test_history_and_statistics_tell_what_became_of_jobs(
    ampctl: Ampctl, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = await cluster.job_in_state("COMPLETED", "a/done")
    await cluster.job_in_state("SCHEDULED", "a/waits")
    assert told(ampctl(f"job history {done}"))["total_executions"] == 1
    assert told(ampctl("job stats"))["total"] == 2
    monkeypatch.setattr(output, "wants_json", lambda flag: flag)
    lines = ampctl(f"job history {done} --limit 5").splitlines()
    assert lines[:3] == [f"Job ID: {done}", "Executions: 1 (1 completed, 0 failed)", ""]
    assert lines[3].startswith("  [1] 20")
    assert " - completed, " in lines[3]
    assert ampctl("job stats --kind extraction --status all").splitlines() == [
        *("Total: 2", "Scheduled: 0", "Queued: 1", "Running: 0", "Paused: 0"),
        *("Completed: 1", "Cancelled: 0", "Failed: 0", "Success rate: 100.0%"),
    ]
    assert "limit" in ampctl(f"job history {done} --limit 0", code=1)


async def test_next_shows_fire_times_of_a_job_and_of_a_schedule(
    ampctl: Ampctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = "--cron '30 2 * * *' --tz America/New_York --from 2026-03-07T12:00:00Z -n 2"
    assert [time["local"] for time in told(ampctl(f"job next {gap}"))["times"]] == [
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:30:00-04:00",
    ]
    job_id = told(ampctl(f"{CREATE} --cron @hourly --json"))["id"]
    assert len(told(ampctl(f"job next {job_id} --count 3"))["times"]) == 3
    monkeypatch.setattr(output, "wants_json", lambda flag: flag)
    assert ampctl(f"job next {gap}").splitlines() == [
        "Next runs, America/New_York:",
        "  2026-03-08T07:00:00Z  (2026-03-08T03:00:00-04:00)",
        "  2026-03-09T06:30:00Z  (2026-03-09T02:30:00-04:00)",
    ]
    ampctl(f"job cancel {job_id}")
    assert ampctl(f"job next {job_id}") == "It does not run again.\n"
