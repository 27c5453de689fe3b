"""Bodies of answers, as the specification shows them; those about jobs are in job_models.py. Timestamps are text: RFC
3339, UTC, ``Z``, whole seconds.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

HASH = "cb2f6c5d8e21c6b1b43e0c0a0fd0fd1b1f8d4dbd2a7a7c5e6b1f0c9d8e7f6a5b"
INSTANT = "2026-03-04T10:00:00Z"
LATER = "2026-03-04T11:30:00Z"

Timestamp = Annotated[str, Field(examples=[INSTANT], json_schema_extra={"format": "date-time"})]
JsonObject = dict[str, Any]


def example(value: JsonObject) -> ConfigDict:
    """Return the model settings that show ``value`` as an example."""
    return ConfigDict(json_schema_extra={"examples": [value]})


class ErrorBody(BaseModel):
    """Every error: a code for programs, a message for people."""

    model_config = example({"error_code": "JOB_NOT_FOUND", "error_message": "job '99' not found"})

    error_code: str
    error_message: str


class TableProgressBody(BaseModel):
    """How far one table is: its contiguous canonical range from the dataset's start; nulls while there is none."""

    current_block: int | None
    start_block: int | None
    files_count: int
    total_size_bytes: int
    row_count: int


_PROGRESS_EXAMPLE: JsonObject = {
    "job_id": 42,
    "job_status": "RUNNING",
    "tables": {
        "blocks": {
            "current_block": 21500000,
            "start_block": 0,
            "files_count": 1247,
            "total_size_bytes": 137970286592,
            "row_count": 21500001,
        }
    },
    "end_block": 22000000,
    "blocks_per_second": 215.5,
    "eta_seconds": 2320,
    "gaps": {"blocks": [[21600000, 21600999]]},
    "gaps_truncated": False,
    "last_error": None,
}


class NotCheckedBody(BaseModel):
    """What could not be recomputed, why, and of how many blocks."""

    commitment: str
    reason: str
    blocks: int


class VerificationBody(BaseModel):
    """What a verification has found in the blocks before ``next_block``."""

    model_config = example(
        {
            "start_block": 17686110,
            "end_block": 17686132,
            "next_block": 17686133,
            "verified_blocks": 23,
            "broken_blocks": 0,
            "skipped_blocks": 0,
            "violation_count": 0,
            "violations": [],
            "not_checked": [
                {"commitment": "withdrawals_root", "reason": "the node left the withdrawals out", "blocks": 23}
            ],
        }
    )

    start_block: int
    end_block: int
    next_block: int
    verified_blocks: int
    broken_blocks: int
    skipped_blocks: int = Field(description="blocks that could not be read: a file is missing or damaged")
    violation_count: int
    violations: list[JsonObject] = Field(
        description="the first 20: block, commitment, detail and, where known, row, stated, computed, table, file"
    )
    not_checked: list[NotCheckedBody]


class ProgressBody(BaseModel):
    """How far a job is. ``detail`` repeats ``last_error`` for a FAILED job and is absent otherwise.

    ``verification`` is there for jobs of that kind, once they have begun. ``progress`` is there for all kinds but
    extraction and verification: what their handler said last, in its own words.
    """

    model_config = example(_PROGRESS_EXAMPLE)

    job_id: int
    job_status: str
    tables: dict[str, TableProgressBody]
    end_block: int | None
    blocks_per_second: float | None
    eta_seconds: int | None
    gaps: dict[str, list[tuple[int, int]]] = Field(description="missing ranges [from, to] per table, the lowest first")
    gaps_truncated: bool = Field(description="true when a table has more gaps than the 100 that are shown")
    last_error: JsonObject | None
    detail: JsonObject | None = None
    verification: VerificationBody | None = None
    progress: JsonObject | None = None


class JobEventBody(BaseModel):
    """One entry of a job's history. ``node_id`` is an empty text when no worker had part in it."""

    model_config = example(
        {
            "id": 7,
            "job_id": 42,
            "created_at": INSTANT,
            "created_at_ms": 1_772_618_400_000,
            "event_type": "RUNNING",
            "node_id": "worker-01",
            "actor": "worker-01",
            "from_state": "SCHEDULED",
            "execution_number": 1,
            "lease_epoch": 1,
            "detail": None,
        }
    )

    id: int
    job_id: int
    created_at: Timestamp
    created_at_ms: int = Field(description="the same, in milliseconds since the epoch")
    event_type: str = Field(description="the state that the job entered")
    node_id: str
    actor: str
    from_state: str | None
    execution_number: int
    lease_epoch: int
    detail: JsonObject | None


class JobEventListBody(BaseModel):
    """A page of the history of a job. ``next_cursor`` is there only when there is a next page."""

    job_id: int
    events: list[JobEventBody]
    next_cursor: int = 0


class WorkerInfoBody(BaseModel):
    """The build of a worker; ``unknown`` where it does not tell."""

    version: str = "unknown"
    commit_sha: str = "unknown"
    commit_timestamp: str = "unknown"
    build_date: str = "unknown"


WORKER_EXAMPLE: JsonObject = {
    "node_id": "worker-01",
    "live": True,
    "draining": False,
    "slots": 4,
    "running_jobs": 1,
    "info": {
        "version": "0.1.0",
        "commit_sha": "8b065bde9c1a2f3e4d5c6b7a8e9f0a1b2c3d4e5f",
        "commit_timestamp": INSTANT,
        "build_date": INSTANT,
    },
    "created_at": INSTANT,
    "registered_at": INSTANT,
    "heartbeat_at": LATER,
    "kinds": ["compaction", "extraction", "http", "verification"],
}


class WorkerBody(BaseModel):
    """A worker. ``live``: its last heartbeat is younger than a lease. ``draining``: it gets no new work."""

    model_config = example(WORKER_EXAMPLE)

    node_id: str
    live: bool
    draining: bool
    slots: int
    running_jobs: int
    info: WorkerInfoBody
    created_at: Timestamp
    registered_at: Timestamp
    heartbeat_at: Timestamp
    kinds: list[str] = Field(description="the kinds of jobs that it runs; empty for a worker that does not say")


class WorkerListBody(BaseModel):
    """All workers that ever registered, the newest registration first."""

    workers: list[WorkerBody]


class DatasetSummaryBody(BaseModel):
    """A dataset and its semantic versions, the highest first. ``latest_version`` is absent when there is none."""

    model_config = example(
        {"namespace": "ethereum", "name": "mainnet", "latest_version": "1.10.0", "versions": ["1.10.0", "1.9.0"]}
    )

    namespace: str
    name: str
    latest_version: str = ""
    versions: list[str]


class DatasetListBody(BaseModel):
    """All datasets."""

    datasets: list[DatasetSummaryBody]


class RegisteredDatasetBody(BaseModel):
    """What POST /datasets has registered."""

    namespace: str
    name: str
    version: str | None
    manifest_hash: str
    kind: str
    start_block: int
    finalized_blocks_only: bool
    tables: list[str]


class DatasetRevisionBody(BaseModel):
    """One revision of a dataset: a version, a tag or a manifest hash, and what it stands for."""

    namespace: str
    name: str
    revision: str
    manifest_hash: str
    kind: str
    start_block: int
    finalized_blocks_only: bool
    tables: list[str]


class DatasetVersionBody(BaseModel):
    """A semantic version of a dataset."""

    version: str
    manifest_hash: str
    created_at: Timestamp
    updated_at: Timestamp


class SpecialTagsBody(BaseModel):
    """The tags that move: ``latest`` is a version, ``dev`` a manifest hash; absent when not set."""

    latest: str = ""
    dev: str = ""


class DatasetVersionsBody(BaseModel):
    """All versions of a dataset, the highest first."""

    namespace: str
    name: str
    versions: list[DatasetVersionBody]
    special_tags: SpecialTagsBody


class DeployedBody(BaseModel):
    """The job that a deploy has started, or found at work with the same options."""

    model_config = example({"job_id": 42})

    job_id: int


class ManifestHashBody(BaseModel):
    """A registered manifest: the SHA-256 of its canonical JSON."""

    model_config = example({"hash": HASH})

    hash: str


class ManifestSummaryBody(BaseModel):
    """A manifest and how many datasets use it."""

    hash: str
    kind: str
    dataset_count: int


class ManifestListBody(BaseModel):
    """All manifests, by hash."""

    manifests: list[ManifestSummaryBody]


class ProviderBody(BaseModel):
    """A provider: its name, kind and network, and its other settings with the secrets replaced."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "name": "mainnet",
                    "kind": "evm-rpc",
                    "network": "mainnet",
                    "url": "https://rpc.example.com/…",
                }
            ]
        },
    )

    name: str
    kind: str
    network: str


class ProviderListBody(BaseModel):
    """All providers, by name."""

    providers: list[ProviderBody]
