"""What steps of ampctl are, and the shapes that many of them have."""

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


def lines(*lines: str) -> str:
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


def operation(done: str, status: str) -> str:
    return rf"✓ Job \d+ {done}\n→ Status: {status}(\n→ (Schedule|Next run|Runs): .*)*"
