"""Every command of ampctl but those of `ampctl job`, as somebody types it."""

from __future__ import annotations

from ampctl_steps import ANY, BULK, CRON, DATE, DELIVERY, FAR, JOB, REVISION, SECRET_LINES, WEBHOOK, WORKER, Step, lines

OTHER_STORIES: dict[str, list[Step]] = {
    "manifest": [
        Step(
            "manifest generate --kind evm-rpc --network mainnet --start-block 17 --finalized-blocks-only "
            "--out %tmp%/a.json",
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
            lines(
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
            lines(
                *("Namespace: ethereum", "Name: mainnet", r"Revision: 1\.0\.0", "Kind: evm-rpc"),
                *("Manifest Hash: %mainnet_hash%", r"Start Block: \d+", "Finalized Blocks Only: false"),
                "Tables: blocks, .*",
            ),
            {"namespace": "", "name": "", "revision": "", "manifest_hash": "", "kind": "", "start_block": 1},
        ),
        Step("dataset get %mainnet_name%", r"Namespace: ethereum\n" + ANY, {"name": "mainnet"}),
        Step(
            "dataset versions %mainnet_name%",
            lines(
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
            r"ID    Status     Created              Tables\n"
            r"%done%\s+COMPLETED  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  blocks, .*",
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
            lines(
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
            lines(
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
            lines(r"✓ Webhook (?P<webhook>\d+) created", *SECRET_LINES),
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
            lines(
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
            lines("✓ Webhook %webhook% has a new secret", *SECRET_LINES, "→ The old secret signs, too, until %Z%"),
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
            lines(
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
    "events": [
        Step(
            "events tail --after start --no-follow --type sync.completed --dataset %mainnet_name% --table blocks "
            "--job %done%",
            r"%Z%  COMPLETED  ethereum/mainnet blocks  job %done%  to block \d+ in \S+",
            {"event_type": "sync.completed"},
        ),
        Step(
            "event tail --after start --no-follow --namespace own",
            r"(%Z%  (STARTED  |PROGRESS |COMPLETED)  .*\n?)+",
            {"id": 1},
        ),
        Step("events tail --after 99999999 --follow", r"✗ failed to follow the events\n  → .*" + ANY, code=1),
    ],
    "schema": [
        Step(
            "schema 'SELECT block_num, hash FROM eth.blocks' --dependency eth=%mainnet% --table tall",
            lines(
                *("tall:", "  _block_num  UInt64 not null", "  block_num   UInt64 not null"),
                r"  hash        FixedSizeBinary\(32\) not null",
            ),
            {"schemas": {}},
        ),
        Step(
            "schema 'SELECT hash FROM eth.blocks' -d eth=%mainnet_name%", r"query:\n  _block_num" + ANY, {"schemas": {}}
        ),
        Step("schema --file %schema_file%", r"hashes:\n" + ANY, {"schemas": {}}),
        Step("schema -f %schema_file% -d eth=%mainnet%", r"✗ failed to infer a schema\n  → .*" + ANY, code=2),
        Step(
            "schema 'SELECT nothing FROM eth.blocks' -d eth=%mainnet%",
            r"✗ failed to infer a schema\n  → .*nothing" + ANY,
            code=1,
        ),
    ],
    "completion": [Step("completion bash", r"# Bash completion for ampctl\n" + ANY)],
}
