"""Every command of `ampctl job`, as somebody types it."""

from __future__ import annotations

from ampctl_steps import ANY, BULK, CRON, DATE, FAR, JOB, JOB_LINES, TABLE_PROGRESS, WHICH, Step, lines, operation

JOB_STORY = [
    Step(
        "job create compaction %input% --label team=data --product shop --env prd --retries 3 --priority 7 "
        f"--depends-on %done% --worker-id worker-* --idempotency-key key-1 {CRON}",
        r"✓ Job created\n→ Job ID: (?P<job>\d+)\n→ Schedule: 0 9 \* \* \* \(Europe/Berlin\), .*\n→ Next run: %Z%",
        JOB | {"labels": {"team": "", "product": "", "env": ""}, "priority": 7},
    ),
    Step(f"jobs create compaction %input% --every 2h {FAR}", r"✓ Job created\n→ Job ID: (?P<second>\d+)\n" + ANY, JOB),
    Step(
        f"job create compaction %input% {FAR} --product once",
        r"✓ Job created\n→ Job ID: (?P<once>\d+)\n" + ANY,
        JOB,
    ),
    Step("job create laundry", r"✗ failed to create a job of kind laundry\n  → .*compaction.*", code=1),
    Step(
        f"job list --limit 5 --after 99999999 --status scheduled,running {WHICH.replace('--worker worker-01', '')}",
        r"Jobs:\n  %job% - SCHEDULED \(no worker\)\n    Kind: compaction\n(    [A-Z][a-z ]+: .*\n?)+",
        {"jobs": [JOB]},
    ),
    Step(f"job list {WHICH}", "No jobs found", {"jobs": [JOB]}),
    Step(
        "job ls -l 1 -a 99999999 -s all --no-recurring",
        rf"Jobs:\n{JOB_LINES}\n\nNext cursor: \d+",
        {"next_cursor": 1},
    ),
    Step("jobs ls -s sleeping", r"✗ failed to list jobs\n  → unknown status 'sleeping'.*", code=1),
    Step(
        "job inspect %done%",
        lines(
            *("Job ID: %done%", "Status: COMPLETED", "Dataset: %mainnet%", "Worker: worker-01"),
            *("Created: %Z%", "Updated: %Z%", "", "Descriptor:", r"\{(\n  .*)+\n\}"),
        ),
        JOB | {"worker_id": "", "node_id": "", "manifest_hash": "", "end_block": "latest", "parallelism": 1},
    ),
    Step("job get %job%", r"Job ID: %job%\nStatus: SCHEDULED\nKind: compaction\n" + ANY, JOB),
    Step(
        "job progress %done%",
        r"Job ID: %done%\nStatus: COMPLETED\n"
        + ANY
        + r"\n\nTables:(\n  \w+:\n    Block range: \d+ - \d+\n    Files: \d+\n    Size: .* [KM]?B\n    Rows: \d+){4}",
        {"job_id": 1, "job_status": "", "tables": {"blocks": TABLE_PROGRESS}},
    ),
    Step(
        "job progress %done% --watch --interval 0.1",
        "%done% COMPLETED  blocks .*",
        {"job_id": 1, "job_status": "COMPLETED"},
    ),
    Step(
        "job events %done%",
        r"Job ID: %done%\n\nEvents:\n  \[(?P<event>\d+)\] %Z% - SCHEDULED \(by: .*\)"
        r"\n  \[\d+\] %Z% - RUNNING \(node: worker-01\)\n  \[\d+\] %Z% - COMPLETED \(node: worker-01\)",
        {"job_id": 1, "events": [{"id": 1, "created_at": DATE, "event_type": "SCHEDULED"}]},
    ),
    Step(
        "job events %done% --limit 1 --after %event%",
        r"Job ID: %done%\n" + ANY + r"\nNext cursor: \d+",
        {"events": [{}]},
    ),
    Step("job events %done% -l 1 -a %event%", r"Job ID: %done%\n" + ANY, {"next_cursor": 1}),
    Step(
        "job events %done% --event-id %event%",
        lines(
            *("Event ID:   %event%", "Job ID:     %done%", "Created At: %Z%", "Node ID:    .*", "Actor:      .*"),
            *("Event Type: SCHEDULED", "", "Descriptor", "──────────", r"(\w[\w ]+ : .*\n?)+"),
        ),
        {"id": 1, "job_id": 1, "created_at": DATE, "event_type": "", "detail": {}},
    ),
    Step(
        "job history %done% --limit 5",
        r"Job ID: %done%\nExecutions: 1 \(1 completed, 0 failed\)\n\n  \[1\] %Z% - completed, \d+ ms",
        {"job_id": 1, "total_executions": 1, "executions": [{}]},
    ),
    Step("job history %job% -l 5", r"Job ID: %job%\nExecutions: 0 .*", {"job_id": 1}),
    Step(
        f"job stats --status all {WHICH}",
        r"Total: 0\nScheduled: 0\nQueued: 0\n(\w.*: .*\n?)+",
        {"total": 0, "scheduled": 0, "running": 0, "completed": 0, "failed": 0},
    ),
    Step("job stats -s all --no-recurring", r"Total: \d+\n" + ANY, {"total": 0}),
    Step(
        "job next %job% --count 2",
        r"Next runs, Europe/Berlin:(\n  2100-01-0\dT08:00:00Z  \(2100-01-0\dT09:00:00\+01:00\)){2}",
        {"tz": "", "times": [{}]},
    ),
    Step(f"job next -n 1 --from {DATE} {CRON}", r"Next runs, Europe/Berlin:\n  2100-.*", {"times": [{}]}),
    Step(f"job next --every 1h --from {DATE}", r"Next runs, UTC:(\n  .*){10}", {"times": [{}]}),
    Step("job next", r"✗ failed to tell when a schedule runs\n  → name either a job, or a schedule .*", code=2),
    Step("job pause %job% --reason maintenance", operation("pause requested", "PAUSED"), JOB),
    Step(f"job pause -s scheduled {WHICH} --reason maintenance --dry-run", r"✓ 0 jobs would be paused\n→ .*", BULK),
    Step("job pause --status paused --no-recurring", r"✓ 0 jobs paused\n→ Matched: 0", BULK),
    Step("job pause --all --dry-run", r"✓ \d jobs would be paused\n→ Matched: \d(\n→ Skipped: .*)?", BULK),
    Step("job resume %job%", operation("resumed", "SCHEDULED"), JOB),
    Step("job resume %done%", r"✗ failed to resume job %done%\n  → .*COMPLETED.*", code=1),
    Step(f"job resume -s paused {WHICH} --dry-run", r"✓ 0 jobs would be resumed\n→ .*", BULK),
    Step("job resume --status paused --no-recurring --all", r"✓ 0 jobs resumed\n→ .*", BULK),
    Step(f"job reschedule %job% {CRON.replace('0 9', '0 10')}", operation("rescheduled", "SCHEDULED"), JOB),
    Step("job reschedule %job% --every 3h --drop limit", operation("rescheduled", "SCHEDULED"), JOB),
    Step("job reschedule %job%", r"✗ failed to reschedule job %job%\n  → say what to change: .*", code=2),
    Step("job cancel %job% --reason 'Campaign ended early'", operation("cancel requested", "STOPPED"), JOB),
    Step(f"job cancel -s scheduled {WHICH} --reason no --dry-run", r"✓ 0 jobs would be cancelled\n→ .*", BULK),
    Step("job cancel --status scheduled --no-recurring --product once", r"✓ [12] jobs? cancelled\n→ .*", BULK),
    Step("job cancel --all --dry-run", r"✓ \d jobs would be cancelled\n→ .*" + ANY, BULK),
    Step("job cancel", r"✗ failed to cancel jobs\n  → name a job, or say which .*", code=2),
    Step("job retry %once% --delay 30d", operation("retried", "SCHEDULED"), JOB),
    Step(f"job retry -s failed {WHICH} --delay 1h --dry-run", r"✓ 0 jobs would be retried\n→ .*", BULK),
    Step("job retry --status failed --no-recurring --all", r"✓ 0 jobs retried\n→ .*", BULK),
    Step("job stop %once%", "✓ Job %once% stop requested", {"job_id": 1}),
    Step("job stop %once%", "✓ Job %once% stop requested", {"job_id": 1}),
    Step("job rm %second%", r"✗ failed to remove job %second%\n  → .*ampctl job stop %second%.*", code=1),
    Step("job rm %once%", "✓ Job %once% removed", {"job_id": 1}),
    Step("job remove %once%", "✓ Job %once% removed", {"job_id": 1}),
    Step("job prune --status error", r"✓ Jobs with status \"error\" pruned\n→ Removed: 0", {"status_filter": "error"}),
    Step("job prune -s stopped", r"✓ Jobs with status \"stopped\" pruned\n→ Removed: [1-9]\d*", {"deleted_count": 1}),
    Step("job prune -s running", r"✗ failed to prune jobs\n  → .*expected one of: terminal.*", code=1),
    Step("job prune", r"✓ Terminal jobs pruned\n→ Removed: [1-9]\d*", {"status_filter": None, "deleted_count": 1}),
    Step("job list --status terminal", "No jobs found", {"jobs": [{}]}),
]
