"""What the Admin API answers, as frozen dataclasses. Unknown keys are ignored; ``raw`` keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ampd.client._job_models import TERMINAL_STATES

Json = dict[str, Any]


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class TableProgress:
    """How far one table is: its contiguous canonical range; None, None while there is none."""

    start_block: int | None
    current_block: int | None
    files_count: int
    total_size_bytes: int
    row_count: int


@dataclass(frozen=True)
class VerificationReport:
    """What a verification has found in the blocks before ``next_block``.

    ``violations`` are the first ones (``block``, ``commitment``, ``detail``, …) of ``violation_count``;
    ``skipped_blocks`` could not be read. ``not_checked`` has (commitment, reason, number of blocks).
    """

    start_block: int
    end_block: int
    next_block: int
    verified_blocks: int
    broken_blocks: int
    skipped_blocks: int
    violation_count: int
    violations: tuple[Json, ...]
    not_checked: tuple[tuple[str, str, int], ...]

    @classmethod
    def from_json(cls, data: Json) -> VerificationReport:
        """Read ``verification`` of GET /jobs/{id}/progress."""
        counts = ("verified_blocks", "broken_blocks", "skipped_blocks", "violation_count")
        return cls(
            **{name: data[name] for name in ("start_block", "end_block", "next_block", *counts)},
            violations=tuple(data["violations"]),
            not_checked=tuple((one["commitment"], one["reason"], one["blocks"]) for one in data["not_checked"]),
        )


@dataclass(frozen=True)
class Progress:
    """How far a job is. ``gaps`` holds missing ranges (from, to) per table.

    ``verification`` is there for jobs of that kind, once they have begun.
    """

    job_id: int
    job_status: str
    tables: dict[str, TableProgress]
    end_block: int | None
    blocks_per_second: float | None
    eta_seconds: int | None
    gaps: dict[str, tuple[tuple[int, int], ...]]
    gaps_truncated: bool
    last_error: Json | None
    verification: VerificationReport | None
    raw: Json = field(repr=False, compare=False)

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.job_status in TERMINAL_STATES

    @classmethod
    def from_json(cls, data: Json) -> Progress:
        """Read the answer of GET /jobs/{id}/progress."""
        return cls(
            job_id=data["job_id"],
            job_status=data["job_status"],
            tables={name: _table_progress(table) for name, table in data["tables"].items()},
            end_block=data["end_block"],
            blocks_per_second=data["blocks_per_second"],
            eta_seconds=data["eta_seconds"],
            gaps={name: tuple((first, last) for first, last in gaps) for name, gaps in data["gaps"].items()},
            gaps_truncated=data["gaps_truncated"],
            last_error=data["last_error"],
            verification=VerificationReport.from_json(data["verification"]) if data.get("verification") else None,
            raw=data,
        )


def _table_progress(data: Json) -> TableProgress:
    return TableProgress(
        start_block=data["start_block"],
        current_block=data["current_block"],
        files_count=data["files_count"],
        total_size_bytes=data["total_size_bytes"],
        row_count=data["row_count"],
    )


@dataclass(frozen=True)
class Event:
    """One entry of a job's history: the state it entered, and who did it."""

    id: int
    job_id: int
    event_type: str
    from_state: str | None
    actor: str
    node_id: str | None
    execution_number: int
    lease_epoch: int
    detail: Json | None
    created_at: datetime
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Event:
        """Read the answer of GET /jobs/{id}/events/{event_id}."""
        return cls(
            id=data["id"],
            job_id=data["job_id"],
            event_type=data["event_type"],
            from_state=data["from_state"],
            actor=data["actor"],
            node_id=data["node_id"] or None,
            execution_number=data["execution_number"],
            lease_epoch=data["lease_epoch"],
            detail=data["detail"],
            created_at=_instant(data["created_at"]),
            raw=data,
        )


@dataclass(frozen=True)
class EventPage:
    """One page of a job's history, oldest first. ``next_cursor`` is None on the last page."""

    events: tuple[Event, ...]
    next_cursor: int | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> EventPage:
        """Read the answer of GET /jobs/{id}/events."""
        return cls(tuple(Event.from_json(event) for event in data["events"]), data.get("next_cursor"), raw=data)


@dataclass(frozen=True)
class WorkerInfo:
    """The build of a worker; ``unknown`` where it does not tell."""

    version: str
    commit_sha: str
    commit_timestamp: str
    build_date: str


@dataclass(frozen=True)
class Worker:
    """A worker. ``live``: its last heartbeat is younger than a lease. ``draining``: it gets no new work."""

    node_id: str
    live: bool
    draining: bool
    slots: int
    running_jobs: int
    info: WorkerInfo
    created_at: datetime
    registered_at: datetime
    heartbeat_at: datetime
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Worker:
        """Read the answer of GET /workers/{id}."""
        info = data["info"]
        return cls(
            node_id=data["node_id"],
            live=data["live"],
            draining=data["draining"],
            slots=data["slots"],
            running_jobs=data["running_jobs"],
            info=WorkerInfo(info["version"], info["commit_sha"], info["commit_timestamp"], info["build_date"]),
            created_at=_instant(data["created_at"]),
            registered_at=_instant(data["registered_at"]),
            heartbeat_at=_instant(data["heartbeat_at"]),
            raw=data,
        )


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset and its semantic versions, the highest first."""

    namespace: str
    name: str
    latest_version: str | None
    versions: tuple[str, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> DatasetSummary:
        """Read the answer of GET /datasets/{ns}/{name}."""
        return cls(data["namespace"], data["name"], data.get("latest_version"), tuple(data["versions"]), raw=data)


@dataclass(frozen=True)
class RegisteredDataset:
    """What a registration has stored; ``version`` is None when no version was given."""

    namespace: str
    name: str
    version: str | None
    manifest_hash: str
    kind: str
    start_block: int
    finalized_blocks_only: bool
    tables: tuple[str, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> RegisteredDataset:
        """Read the answer of POST /datasets."""
        return cls(version=data["version"], **_revision_fields(data))


@dataclass(frozen=True)
class DatasetRevision:
    """A revision of a dataset (a version, a tag or a manifest hash) and what it stands for."""

    namespace: str
    name: str
    revision: str
    manifest_hash: str
    kind: str
    start_block: int
    finalized_blocks_only: bool
    tables: tuple[str, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> DatasetRevision:
        """Read the answer of GET /datasets/{ns}/{name}/versions/{revision}."""
        return cls(revision=data["revision"], **_revision_fields(data))


def _revision_fields(data: Json) -> Json:
    return {
        "namespace": data["namespace"],
        "name": data["name"],
        "manifest_hash": data["manifest_hash"],
        "kind": data["kind"],
        "start_block": data["start_block"],
        "finalized_blocks_only": data["finalized_blocks_only"],
        "tables": tuple(data["tables"]),
        "raw": data,
    }


@dataclass(frozen=True)
class DatasetVersion:
    """A semantic version of a dataset."""

    version: str
    manifest_hash: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class DatasetVersions:
    """All versions of a dataset, the highest first. ``latest`` is a version, ``dev`` a manifest hash."""

    namespace: str
    name: str
    versions: tuple[DatasetVersion, ...]
    latest: str | None
    dev: str | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> DatasetVersions:
        """Read the answer of GET /datasets/{ns}/{name}/versions."""
        tags = data["special_tags"]
        versions = tuple(
            DatasetVersion(
                item["version"], item["manifest_hash"], _instant(item["created_at"]), _instant(item["updated_at"])
            )
            for item in data["versions"]
        )
        return cls(data["namespace"], data["name"], versions, tags.get("latest"), tags.get("dev"), raw=data)


@dataclass(frozen=True)
class ManifestSummary:
    """A manifest and how many datasets use it."""

    hash: str
    kind: str
    dataset_count: int
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> ManifestSummary:
        """Read one item of GET /manifests."""
        return cls(data["hash"], data["kind"], data["dataset_count"], raw=data)


@dataclass(frozen=True)
class Provider:
    """A provider; ``raw`` has its settings with the secrets replaced."""

    name: str
    kind: str
    network: str
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Provider:
        """Read the answer of GET /providers/{name}."""
        return cls(data["name"], data["kind"], data["network"], raw=data)
