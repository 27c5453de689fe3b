"""Every command of ampctl, with its aliases and flags, as somebody types it; and those of the reference system.

A new command, alias or flag needs a step here: a test compares them with ampctl.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """A command, run once for people and once with --json.

    ``%name%`` stands for something that the scene has made, or that a step before has shown: in a group of its
    ``text``. ``text`` is a pattern of all that is printed, None: it is run with --json only. ``json`` has the shape of
    what --json prints, None: it is run for people only. Their exit code is ``code``; ``typed`` answers a question.
    """

    line: str
    text: str | None = None
    json: Any = None
    code: int = 0
    typed: str = ""


def _lines(*lines: str) -> str:
    return "\n".join(lines)


DATE = "2026-03-04T10:00:00Z"
ANY = r"[\s\S]*"
FAR = "--start-at 2100-01-01T00:00:00Z"
CRON = (
    f"--cron '0 9 * * *' --tz Europe/Berlin {FAR} --limit 9 --end-date 2101-01-01 --overlap queue --catch-up skip "
    "--pause-on-failure"
)
WHICH = (
    f"--kind compaction --product shop --env prd --recurring --dataset %mainnet_name% --worker worker-01 "
    f"--label team=data --created-after {DATE} --created-before 2100-01-01"
)
JOB = {
    "id": 1,
    "status": "RUNNING",
    "lifecycle": "running",
    "kind": "compaction",
    "created_at": "2026-03-04T10:00:00Z",
    "updated_at": "2026-03-04T10:00:00Z",
}
BULK = {"matched": 0, "changed": 0, "skipped": 0, "count": 0}
JOB_LINES = r"  \d+ - [A-Z_]+ \((worker-01|no worker)\)\n(    [A-Z][a-z ]+: .*\n?)+"
REVISION = {"id": 1, "path": "", "active": True, "metadata": {"dataset_namespace": "", "table_name": ""}}
WORKER = {"node_id": "worker-01", "heartbeat_at": DATE, "created_at": DATE, "info": {"version": ""}}
WEBHOOK = {"id": 1, "url": "", "events": [""], "enabled": True}
DELIVERY = {"id": 1, "event": "", "status": ""}
TABLE_PROGRESS = {"current_block": 1, "start_block": 1, "files_count": 1, "total_size_bytes": 1}
SECRET_LINES = (r"→ Secret: whsec_\S+", r"→ It is not shown again: .*")


def _operation(done: str, status: str) -> str:
    return rf"✓ Job \d+ {done}\n→ Status: {status}(\n→ (Schedule|Next run|Runs): .*)*"


STORIES: dict[str, list[Step]] = {
    "manifest": [
        Step(
            "manifest generate --kind evm-rpc --network mainnet --start-block 17 --finalized-blocks-only --out %tmp%/a.json",
            r"✓ Manifest written to %tmp%/a\.json",
        ),
        Step("manifests gen --kind evm-rpc --network mainnet -o %tmp%/b.json", "✓ Manifest written to %tmp%/b.json"),
        Step("manifest generate --kind evm-rpc --network mainnet", r"\{\n  \"kind\": \"evm-rpc\",\n" + ANY),
        Step(
            "manifest register %tmp%/a.json",
            r"✓ Manifest registered successfully\n→ Hash: (?P<hash>[0-9a-f]{64})",
            {"hash": ""},
        ),
        Step(
            "manifest reg %tmp%/b.json",
            r"✓ Manifest registered successfully\n→ Hash: (?P<other_hash>[0-9a-f]{64})",
            {"hash": ""},
        ),
        Step(
            "manifest list",
            r"Manifests:(\n  [0-9a-f]{64} - (1 dataset|(0|[2-9]) datasets))+",
            {"manifests": [{"hash": "", "kind": "", "dataset_count": 0}]},
        ),
        Step("manifests ls", r"Manifests:\n" + ANY, {"manifests": [{"hash": ""}]}),
        Step("manifest inspect %hash%", r"\{\n  \"kind\": \"evm-rpc\",\n" + ANY, {"kind": "", "start_block": 17}),
        Step("manifest get %hash%", r"\{\n  \"kind\"" + ANY, {"kind": ""}),
        Step(
            "manifest datasets %mainnet_hash%",
            r"Datasets:\n  %mainnet_name%@1\.0\.0\n  %mainnet_name%@dev\n  %mainnet_name%@latest",
            {"hash": "", "datasets": [{"namespace": "", "name": "", "version": ""}]},
        ),
        Step("manifest rm %hash%", "✓ Manifest %hash% removed", {"hash": ""}),
        Step("manifest remove %hash%", "✓ Manifest %hash% removed", {"hash": ""}),
        Step("manifest rm %mainnet_hash%", r"✗ failed to remove manifest %mainnet_hash%\n  → .* is needed: .*", code=1),
        Step("manifest prune", r"✓ Pruned 1 orphaned manifest\(s\)", {"deleted_count": 0}),
    ],
    "provider": [
        Step(
            "provider register other %provider_file%",
            r"✓ Provider registered successfully\n→ Name: other\n→ Kind: evm-rpc",
            {"name": "other"},
        ),
        Step("providers reg other %provider_file%", r"✓ Provider registered successfully\n" + ANY, {"name": "other"}),
        Step(
            "provider list",
            r"Providers:\n  mainnet \(evm-rpc\)\n  other \(evm-rpc\)",
            {"providers": [{"name": "", "kind": ""}]},
        ),
        Step("provider ls", r"Providers:\n" + ANY, {"providers": [{"name": ""}]}),
        Step(
            "provider inspect %provider%", r"\{\n  \"name\": \"mainnet\",\n" + ANY, {"name": "", "kind": "", "url": ""}
        ),
        Step("provider get other", r"\{\n" + ANY, {"name": "other"}),
        Step("provider rm other", "✓ Provider other removed", {"name": "other"}),
        Step("provider remove %provider_of_nobody%", "✓ Provider %provider_of_nobody% removed", {"name": ""}),
    ],
    "dataset": [
        Step(
            "dataset register cmd/all %manifest_file% -t 1.0.0",
            _lines(
                "✓ Dataset registered successfully",
                *(
                    "→ Namespace: cmd",
                    "→ Name: all",
                    r"→ Version: 1\.0\.0",
                    "→ Hash: %mainnet_hash%",
                    "→ Kind: evm-rpc",
                ),
                *(r"→ Start block: \d+", "→ Finalized only: false", "→ Tables: blocks, .*"),
            ),
            {"namespace": "cmd", "name": "all", "version": "1.0.0", "manifest_hash": "", "kind": "", "tables": [""]},
        ),
        Step("datasets reg cmd/all %manifest_file% --tag 1.1.0", r"✓ Dataset registered" + ANY, {"version": "1.1.0"}),
        Step(
            "dataset reg cmd/plain %manifest_file%",
            r"✓ Dataset registered(.*\n)*→ Version: none .*\n" + ANY,
            {"name": ""},
        ),
        Step(
            "dataset list",
            r"Datasets:(\n  \w+/\w+ - (\d+ version\(s\)|no versions))+",
            {"datasets": [{"namespace": "", "name": "", "versions": ["1.0.0"]}]},
        ),
        Step("dataset ls", r"Datasets:\n" + ANY, {"datasets": [{"name": ""}]}),
        Step(
            "dataset inspect %mainnet%",
            _lines(
                *("Namespace: ethereum", "Name: mainnet", r"Revision: 1\.0\.0", "Kind: evm-rpc"),
                *("Manifest Hash: %mainnet_hash%", r"Start Block: \d+", "Finalized Blocks Only: false"),
                "Tables: blocks, .*",
            ),
            {"namespace": "", "name": "", "revision": "", "manifest_hash": "", "kind": "", "start_block": 1},
        ),
        Step("dataset get %mainnet_name%", r"Namespace: ethereum\n" + ANY, {"name": "mainnet"}),
        Step(
            "dataset versions %mainnet_name%",
            _lines(
                "Dataset: ethereum/mainnet",
                "",
                r"Latest version: 1\.0\.0",
                *("", "Dev hash: %mainnet_hash%", "", "Versions:", r"  1\.0\.0 \(%mainnet_hash%\)"),
                *("    Created: %Z%", "    Updated: %Z%"),
            ),
            {"namespace": "", "name": "", "versions": [{"version": "", "manifest_hash": ""}], "special_tags": {}},
        ),
        Step("dataset manifest %mainnet%", r"\{\n  \"kind\": \"evm-rpc\"" + ANY, {"kind": "", "tables": {}}),
        Step(
            "dataset deploy cmd/all@1.0.0 --end-block latest --parallelism 2 --worker-id worker-* --verify full "
            f"--priority 3 --depends-on %done% --retries 4 {CRON}",
            r"✓ Dataset deployed successfully\n→ Job ID: (?P<job>\d+)",
            {"job_id": 1},
        ),
        Step(
            "dataset dep cmd/plain@dev --every 1h --verify " + FAR,
            r"✓ Dataset deployed .*\n→ Job ID: \d+",
            {"job_id": 1},
        ),
        Step(
            "dataset deploy cmd/all@1.0.0 --end-block 99999999",
            r"✗ failed to deploy dataset cmd/all@1\.0\.0\n  → .*stop it first.*",
            code=1,
        ),
        Step(
            "dataset jobs %mainnet%",
            r"ID    Status     Created              Tables\n%done%\s+COMPLETED  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  blocks, .*",
            {"jobs": [JOB]},
        ),
        Step(
            "dataset restore %mainnet%",
            r"✓ Dataset restored successfully\n→ Restored 4 table\(s\):(\n  • \w+ \(location_id: \d+, url: file://\S+\)){4}",
            {"tables": [{"table_name": "", "location_id": 1, "url": ""}]},
        ),
        Step(
            "dataset restore %mainnet% --table blocks --location-id %revision%",
            r"✓ Table 'blocks' restored successfully\n→ Activated location_id: %revision%",
            {"table": "", "location_id": 1},
        ),
        Step(
            "dataset restore %mainnet% --location-id %revision%",
            r"✗ --location-id needs --table: .*\n  → ampctl .*--help tells more",
            code=2,
        ),
        Step("job cancel --dataset cmd/all", r"✓ 1 job cancelled\n→ Matched: 1", BULK),
        Step("job cancel --dataset cmd/plain", r"✓ 1 job cancelled\n→ Matched: 1", BULK),
        Step("dataset rm cmd/all@1.1.0", r"✗ failed to remove dataset cmd/all@1\.1\.0\n  → .* its latest.*", code=1),
        Step("dataset rm cmd/all@1.0.0", r"✓ Dataset cmd/all@1\.0\.0 removed", {"dataset": "", "version": ""}),
        Step("dataset rm %dataset_of_nobody%", "✓ Dataset %dataset_of_nobody% removed", {"dataset": ""}),
        Step("dataset remove cmd/all", "✓ Dataset cmd/all removed", {"dataset": "cmd/all"}),
    ],
    "table": [
        Step(
            "table list --active true --limit 4 --after 99999999 --dataset %mainnet_name% --table blocks",
            r"Revisions \(1\):\n  %revision% - ethereum/mainnet blocks \[active\]",
            {"revisions": [REVISION]},
        ),
        Step("tables ls -a false", "No revisions found", {"revisions": [REVISION]}),
        Step("table ls -l 1", r"Revisions \(1\):\n  \d+ - .* \[active\]", {"revisions": [REVISION]}),
        Step(
            "table get %revision%",
            _lines(
                "→ Revision %revision%",
                *(r"  Path     : ethereum/mainnet/blocks/\S+", "  Active   : true", "  Writer   : %done%"),
                *("  Dataset  : ethereum/mainnet", "  Manifest : %mainnet_hash%", "  Table    : blocks"),
                *(r"  Files    : \d+", "  Size     : .* .?B"),
            ),
            REVISION | {"writer": 1},
        ),
        Step("table inspect %revision%", r"→ Revision %revision%\n" + ANY, REVISION),
        Step(
            "table files %revision% --limit 1 --after 17686109",
            r"Files:\n  (?P<file>\d+) - blocks 17686110-\d+, \d+ rows, .* KB\n    file://\S+(\n\nNext cursor: \d+)?",
            {"files": [{"id": 1, "location_id": 1, "file_name": "", "url": ""}]},
        ),
        Step("table files %revision% -l 1 -a 17686132", "No files found", {"files": [{}]}),
        Step(
            "table file %file%",
            r"→ File %file% - blocks 17686110-\d+, \d+ rows, .*\n  Revision : %revision%\n  URL      : file://\S+\n\nMetadata:\n\{\n"
            + ANY,
            {"id": 1, "location_id": 1, "file_name": "", "url": "", "metadata": {}},
        ),
        Step(
            "table register %own_name% blocks %directory_1%",
            r"✓ Revision registered for table blocks in dataset %own_name% \(location_id: (?P<first>\d+)\)",
            {"location_id": 1, "dataset": "", "table_name": "", "path": ""},
        ),
        Step(
            "table reg %own_name% blocks %directory_2%",
            r"✓ Revision registered .*\(location_id: (?P<second>\d+)\)",
            {"location_id": 1},
        ),
        Step(
            "table reg %own_name% blocks %directory_3%",
            r"✓ Revision registered .*\(location_id: (?P<third>\d+)\)",
            {"location_id": 1},
        ),
        Step(
            "table reg %own_name% blocks %directory_4%",
            r"✓ Revision registered .*\(location_id: (?P<fourth>\d+)\)",
            {"location_id": 1},
        ),
        Step(
            "table deactivate %own_name% blocks",
            "✓ Revisions deactivated for table blocks in dataset %own_name%",
            {"dataset": "", "table_name": ""},
        ),
        Step(
            "table activate %own_name% blocks %own_revision%",
            "✓ Revision %own_revision% activated for table blocks in dataset %own_name%",
            {"dataset": "", "table_name": "", "location_id": 1},
        ),
        Step(
            "table restore %own_revision%",
            r"✓ Revision %own_revision% restored \(1 files\)",
            {"location_id": 1, "total_files": 1},
        ),
        Step(
            "table prune %own_revision% --before-block 5 --gc-delay 60 --force",
            r"✓ Revision %own_revision% pruned \(0 non-canonical segment files ending before block 5 scheduled for GC, "
            r"deletion in 60s\)",
            {"location_id": 1, "files_scheduled": 0, "gc_delay_secs": 60, "before_block": 5},
        ),
        Step(
            "table prune %own_revision% -f",
            r"✓ Revision %own_revision% pruned \(0 non-canonical segment files scheduled for GC, deletion in 3600s\)",
            {"gc_delay_secs": 3600},
        ),
        Step("table delete %own_revision% -f", r"✗ failed to delete revision .*\n  → .* is the active one.*", code=1),
        Step(
            "table delete %first%", r"✗ failed to delete revision %first%\n  → not confirmed; .*", code=1, typed="n\n"
        ),
        Step("table delete %first%", "✓ Revision %first% deleted", typed="y\n"),
        Step("table rm %second% --force", json={"location_id": 1}),
        Step("table truncate %third%", r"✓ Revision %third% truncated \(0 files deleted\)", typed="yes\n"),
        Step("table truncate %fourth% --force --concurrency 3", json={"location_id": 1, "files_deleted": 0}),
        Step(
            "table truncate %fourth% -f", r"✗ failed to truncate revision %fourth%\n  → .*not found.*\n" + ANY, code=1
        ),
    ],
    "token": [
        Step(
            "token create --role viewer --name reader-%n% --namespace ethereum --expires 30d",
            _lines(
                r"✓ Token (?P<token>\d+) created",
                *(r"→ Name: reader-\d+", "→ Role: viewer", "→ Namespaces: ethereum", "→ Expires: %Z%"),
                *(r"→ Token: amp_\S+", "→ It is not shown again: .*"),
            ),
            {"id": 1, "name": "", "role": "viewer", "token": "", "namespaces": [""]},
        ),
        Step(
            "token list",
            r"Tokens:(\n  \d+ - \S+ \(\w+, amp_\w+…\)\n    role: \w+, namespaces: .*, expires: .*\n    Last used: .*)+",
            {"tokens": [{"id": 1, "name": "", "role": "", "status": ""}]},
        ),
        Step("tokens ls", r"Tokens:\n" + ANY, {"tokens": [{"id": 1}]}),
        Step("token revoke %token%", "✓ Token %token% revoked", {"token_id": 1}),
        Step("token rm %token%", "✓ Token %token% revoked", {"token_id": 1}),
        Step("token remove %token%", "✓ Token %token% revoked", {"token_id": 1}),
    ],
    "webhook": [
        Step(
            "webhook create http://127.0.0.1:9/%n% --event job.failed --kind compaction --product shop --env prd "
            "--dataset-namespace ethereum --description pager --secret-file %secret_file%",
            _lines(r"✓ Webhook (?P<webhook>\d+) created", *SECRET_LINES),
            WEBHOOK | {"secret": ""},
        ),
        Step(
            "webhook list",
            r"Webhooks:(\n  \d+ - http\S+ \(enabled\)\n    Events: job\.failed)+",
            {"webhooks": [WEBHOOK]},
        ),
        Step("webhooks ls", r"Webhooks:\n" + ANY, {"webhooks": [WEBHOOK]}),
        Step(
            "webhook inspect %webhook%",
            _lines(
                *("Webhook ID: %webhook%", r"URL: http://127\.0\.0\.1:9/\d+", "Description: pager", "Enabled: yes"),
                *(
                    r"Events: job\.failed",
                    "Kinds: compaction",
                    "Products: shop",
                    "Envs: prd",
                    "Dataset namespaces: ethereum",
                ),
                *("Waiting: 0", "Created: %Z%", "Updated: %Z%"),
            ),
            WEBHOOK,
        ),
        Step("webhook get %webhook%", r"Webhook ID: %webhook%\n" + ANY, WEBHOOK),
        Step(
            "webhook rotate %webhook% --overlap-secs 60 --secret-file %secret_file%",
            _lines("✓ Webhook %webhook% has a new secret", *SECRET_LINES, "→ The old secret signs, too, until %Z%"),
            WEBHOOK | {"secret": ""},
        ),
        Step(
            "webhook test %webhook%",
            r"✓ Test message (?P<delivery>\d+) is on its way\n→ ampctl webhook deliveries %webhook% --delivery-id \d+",
            DELIVERY,
        ),
        Step(
            "webhook deliveries %webhook% --status pending --limit 1 --after 99999999",
            r"Deliveries:\n  \[\d+\] %Z% - .*: PENDING(\n      .*)*\n\nNext cursor: \d+",
            {"deliveries": [DELIVERY]},
        ),
        Step("webhook deliveries %webhook% -s delivered -l 1 -a 99999999", "No deliveries found", {"deliveries": [{}]}),
        Step(
            "webhook deliveries %webhook% --delivery-id %delivery%",
            r"  \[%delivery%\] .*\n(.*\n)*Message ID: \S+\nSequence: \d+\n(.*\n)*\nPayload:\n\{\n" + ANY,
            DELIVERY,
        ),
        Step("webhook replay %webhook% %delivery%", "✓ Delivery %delivery% is sent again", DELIVERY),
        Step(f"webhook replay %webhook% --failed-since {DATE}", r"✓ Sent again: \d+", {"replayed": 0}),
        Step(
            "webhook replay %webhook%", r"✗ failed to replay .*\n  → name either a delivery or --failed-since", code=2
        ),
        Step("webhook disable %webhook%", "✓ Webhook %webhook% disabled", WEBHOOK | {"enabled": False}),
        Step("webhook enable %webhook%", r"✓ Webhook %webhook% enabled\n→ Waiting: \d+", WEBHOOK),
        Step("webhook rm %webhook%", "✓ Webhook %webhook% removed", {"webhook_id": 1}),
        Step("webhook remove %webhook%", "✓ Webhook %webhook% removed", {"webhook_id": 1}),
    ],
    "worker": [
        Step("worker list", r"worker-01 \(last heartbeat: %Z%\)", {"workers": [WORKER]}),
        Step("workers ls", r"worker-01 \(last heartbeat: %Z%\)", {"workers": [WORKER]}),
        Step(
            "worker inspect %worker%",
            _lines(
                *("Node ID: worker-01", "Created: %Z%", "Registered: %Z%", "Heartbeat: %Z%", "", "Worker Info:"),
                *(r"  Version: v\S+", r"  Commit: \S+", r"  Commit Timestamp: \S+", r"  Build Date: \S+"),
            ),
            WORKER | {"registered_at": DATE},
        ),
        Step("worker get %worker%", r"Node ID: worker-01\n" + ANY, WORKER),
        Step(
            "worker drain %worker%",
            r"✓ Worker worker-01 gets no new work\n→ Jobs in hand: \d+\n→ ampctl worker undrain worker-01",
            WORKER | {"draining": True},
        ),
        Step("worker undrain %worker%", "✓ Worker worker-01 gets work again", WORKER | {"draining": False}),
    ],
    "verify": [
        Step(
            "verify %mainnet% --interval 0.1",
            r"→ Job ID: \d+ .*\n(\d+ [A-Z]+.*\n)*✓ %mainnet% verifies: 23 blocks, \d+ to \d+\n?" + ANY,
            {"job_id": 1, "job_status": "COMPLETED"},
        ),
        Step(
            "verify --dataset %mainnet% --start-block 17686111 --end-block 17686112 --worker-id worker-* --detach",
            r"✓ Verification started\n→ Job ID: \d+",
            {"job_id": 1},
        ),
    ],
    "completion": [Step("completion bash", r"# Bash completion for ampctl\n" + ANY)],
    # The last one: it removes jobs that others look at.
    "job": [
        Step(
            "job create compaction %input% --label team=data --product shop --env prd --retries 3 --priority 7 "
            f"--depends-on %done% --worker-id worker-* --idempotency-key key-1 {CRON}",
            r"✓ Job created\n→ Job ID: (?P<job>\d+)\n→ Schedule: 0 9 \* \* \* \(Europe/Berlin\), .*\n→ Next run: %Z%",
            JOB | {"labels": {"team": "", "product": "", "env": ""}, "priority": 7},
        ),
        Step(
            f"jobs create compaction %input% --every 2h {FAR}", r"✓ Job created\n→ Job ID: (?P<second>\d+)\n" + ANY, JOB
        ),
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
            _lines(
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
            _lines(
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
        Step("job pause %job% --reason maintenance", _operation("pause requested", "PAUSED"), JOB),
        Step(f"job pause -s scheduled {WHICH} --reason maintenance --dry-run", r"✓ 0 jobs would be paused\n→ .*", BULK),
        Step("job pause --status paused --no-recurring", r"✓ 0 jobs paused\n→ Matched: 0", BULK),
        Step("job pause --all --dry-run", r"✓ \d jobs would be paused\n→ Matched: \d(\n→ Skipped: .*)?", BULK),
        Step("job resume %job%", _operation("resumed", "SCHEDULED"), JOB),
        Step("job resume %done%", r"✗ failed to resume job %done%\n  → .*COMPLETED.*", code=1),
        Step(f"job resume -s paused {WHICH} --dry-run", r"✓ 0 jobs would be resumed\n→ .*", BULK),
        Step("job resume --status paused --no-recurring --all", r"✓ 0 jobs resumed\n→ .*", BULK),
        Step(f"job reschedule %job% {CRON.replace('0 9', '0 10')}", _operation("rescheduled", "SCHEDULED"), JOB),
        Step("job reschedule %job% --every 3h --drop limit", _operation("rescheduled", "SCHEDULED"), JOB),
        Step("job reschedule %job%", r"✗ failed to reschedule job %job%\n  → say what to change: .*", code=2),
        Step("job cancel %job% --reason 'Campaign ended early'", _operation("cancel requested", "STOPPED"), JOB),
        Step(f"job cancel -s scheduled {WHICH} --reason no --dry-run", r"✓ 0 jobs would be cancelled\n→ .*", BULK),
        Step("job cancel --status scheduled --no-recurring --product once", r"✓ [12] jobs? cancelled\n→ .*", BULK),
        Step("job cancel --all --dry-run", r"✓ \d jobs would be cancelled\n→ .*" + ANY, BULK),
        Step("job cancel", r"✗ failed to cancel jobs\n  → name a job, or say which .*", code=2),
        Step("job retry %once% --delay 30d", _operation("retried", "SCHEDULED"), JOB),
        Step(f"job retry -s failed {WHICH} --delay 1h --dry-run", r"✓ 0 jobs would be retried\n→ .*", BULK),
        Step("job retry --status failed --no-recurring --all", r"✓ 0 jobs retried\n→ .*", BULK),
        Step("job stop %once%", "✓ Job %once% stop requested", {"job_id": 1}),
        Step("job stop %once%", "✓ Job %once% stop requested", {"job_id": 1}),
        Step("job rm %second%", r"✗ failed to remove job %second%\n  → .*ampctl job stop %second%.*", code=1),
        Step("job rm %once%", "✓ Job %once% removed", {"job_id": 1}),
        Step("job remove %once%", "✓ Job %once% removed", {"job_id": 1}),
        Step(
            "job prune --status error", r"✓ Jobs with status \"error\" pruned\n→ Removed: 0", {"status_filter": "error"}
        ),
        Step(
            "job prune -s stopped", r"✓ Jobs with status \"stopped\" pruned\n→ Removed: [1-9]\d*", {"deleted_count": 1}
        ),
        Step("job prune -s running", r"✗ failed to prune jobs\n  → .*expected one of: terminal.*", code=1),
        Step("job prune", r"✓ Terminal jobs pruned\n→ Removed: [1-9]\d*", {"status_filter": None, "deleted_count": 1}),
        Step("job list --status terminal", "No jobs found", {"jobs": [{}]}),
    ],
}

# What stands for something in a line, and what is in its place when that shall not exist.
NOWHERE = {
    **dict.fromkeys(
        (
            "job",
            "second",
            "once",
            "done",
            "revision",
            "file",
            "first",
            "third",
            "own_revision",
            "token",
            "webhook",
            "delivery",
        ),
        str(2**50),
    ),
    **dict.fromkeys(("hash", "other_hash", "mainnet_hash"), "0" * 64),
    **dict.fromkeys(("mainnet", "mainnet_name", "own_name"), "nowhere/nothing"),
    "dataset_of_nobody": "nowhere/nothing",
    "worker": "nobody",
    "provider": "nobody",
    "provider_of_nobody": "nobody",
}
# Commands that succeed when there is nothing: what they shall bring about is so already.
CONTENT_WITH_NOTHING = {
    *("job rm", "dataset rm", "manifest rm", "provider rm", "token revoke", "webhook rm"),
    *("job list", "job stats", "table list"),
}

# What control-plane.md section 6 has: the names of each command, and its flags.
_REFERENCE = """
manifest(s) generate --kind --network -o/--out --start-block --finalized-blocks-only
manifest(s) register
manifest(s) list/ls
manifest(s) inspect/get
manifest(s) rm/remove
manifest(s) prune
provider(s) register
provider(s) list/ls
provider(s) inspect/get
provider(s) rm/remove
job(s) list/ls -l/--limit -a/--after -s/--status
job(s) inspect/get
job(s) progress
job(s) events --event-id
job(s) stop
job(s) rm/remove
job(s) prune -s/--status
dataset(s) deploy/dep --end-block --parallelism --worker-id --verify
dataset(s) register/reg -t/--tag
dataset(s) list/ls
dataset(s) inspect/get
dataset(s) versions
dataset(s) manifest
dataset(s) restore --table --location-id
table(s) list/ls -a/--active -l/--limit
table(s) get
table(s) register
table(s) activate
table(s) deactivate
table(s) restore
table(s) delete/rm -f
table(s) truncate -f --concurrency
table(s) prune --before-block --gc-delay -f
worker(s) list/ls
worker(s) inspect/get
verify --dataset --start-block --end-block
"""
# Its `verify` reads rows over a query server, and compares them with a node; ours reads the files, and needs neither:
# it has no --amp-url, --amp-auth, --rpc-url, and runs on workers instead of --parallelism.


@dataclass(frozen=True)
class Reference:
    """A command of the reference system: all ways to call it, and its flags."""

    calls: tuple[str, ...]
    flags: tuple[str, ...]


def reference_commands() -> list[Reference]:
    """Return the commands of the reference system."""
    return [_reference(*line.split()) for line in _REFERENCE.strip().splitlines()]


def _reference(noun: str, *words: str) -> Reference:
    nouns = (noun.removesuffix("(s)"), noun.replace("(s)", "s")) if noun.endswith("(s)") else (noun,)
    verbs = words[0].split("/") if words and not words[0].startswith("-") else [""]
    flags = tuple(name for word in words if word.startswith("-") for name in word.split("/"))
    return Reference(tuple(f"{noun} {verb}".strip() for noun in nouns for verb in verbs), flags)
