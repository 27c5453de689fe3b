"""What the table of operations is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass(frozen=True)
class Ask:
    """A request: its path, in which ``{name}`` stands for something of the scene, and its body."""

    path: str
    body: Json = None
    text: str | None = None


@dataclass(frozen=True)
class Operation:
    """An operation: how it is called, the status and the shape of its answer, and its errors by their codes. ``never``
    says why we have no use for an error.
    """

    method: str
    path: str
    status: int
    ask: Ask
    answer: Json
    errors: dict[str, tuple[int, Ask]] = field(default_factory=dict)
    never: dict[str, str] = field(default_factory=dict)
    command: str = ""


NO_ID = 2**50
ZEROS = "0" * 64
JOB = {
    "id": 1,
    "created_at": "2026-03-04T10:00:00Z",
    "updated_at": "2026-03-04T10:00:00Z",
    "node_id": "worker-01",
    "status": "RUNNING",
    "descriptor": {"kind": "", "dataset_namespace": "", "dataset_name": "", "manifest_hash": "", "verify": ""},
}
EVENT = {"id": 1, "created_at": "2026-03-04T10:00:00Z", "event_type": "SCHEDULED"}
BEAT = {"node_id": "worker-01", "heartbeat_at": "2026-03-04T10:00:00Z"}
FACTS = {"manifest_hash": "", "kind": "", "start_block": 0, "finalized_blocks_only": False, "tables": [""]}
DATASET = {"namespace": "", "name": "", **FACTS}
REVISION = {
    "id": 1,
    "path": "",
    "active": True,
    "metadata": {"dataset_namespace": "", "dataset_name": "", "manifest_hash": "", "table_name": ""},
}
TABLE = {"dataset": "ethereum/mainnet@1.0.0", "table_name": "blocks"}
NO_TABLE = {**TABLE, "table_name": "calls"}
NO_DATASET = {**TABLE, "dataset": "nowhere/nothing@1.0.0"}
# What runs names a worker first: a deploy waits for it.
INVALID = "what is wrong with a manifest is an INVALID_MANIFEST"
WAITS = "a deploy waits for its worker, and says so: 'no worker' is no error"
HOME = "/datasets/ethereum/mainnet"
NOWHERE = "/datasets/nowhere/nothing"
BAD = "/datasets/Bad-Name/x"


def bad_job(suffix: str = "") -> tuple[int, Ask]:
    return 400, Ask(f"/jobs/x{suffix}")


def no_job(suffix: str = "") -> tuple[int, Ask]:
    return 404, Ask(f"/jobs/{NO_ID}{suffix}")


def of_job(suffix: str = "") -> dict[str, tuple[int, Ask]]:
    return {"INVALID_JOB_ID": bad_job(suffix), "JOB_NOT_FOUND": no_job(suffix)}


def of_revision(suffix: str, body: Json = None) -> dict[str, tuple[int, Ask]]:
    return {"INVALID_PATH_PARAMETERS": (400, Ask(f"/revisions/x{suffix}", body))}


def no_revision(suffix: str = "") -> tuple[int, Ask]:
    return 404, Ask(f"/revisions/{NO_ID}{suffix}")
