"""How results look: one compact line of JSON for programs, plain layouts for people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ampd.client import (
    DatasetRevision,
    DatasetSummary,
    DatasetVersions,
    Event,
    Job,
    JobPage,
    ManifestSummary,
    Progress,
    Provider,
    RegisteredDataset,
    TableProgress,
    VerificationReport,
    Worker,
)

_SHORT_HASH: Final = 7
_SHOWN_GAPS: Final = 3
# The kind that goes without saying.
_USUAL_KIND: Final = "extraction"
_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")
# Texts come from nodes and other people: none of them may steer the terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def emit(value: Any, text: str, *, as_json: bool) -> None:
    """Print ``value`` as one line of JSON, or ``text`` for people."""
    print(json.dumps(value, separators=(",", ":"), ensure_ascii=False) if as_json else clean(text))


def wants_json(json_flag: bool) -> bool:
    """Say whether `inspect` and `get` print JSON: when asked to, and whenever a program reads (design section 5.1)."""
    return json_flag or not sys.stdout.isatty()


def clean(text: str) -> str:
    """Return ``text`` without control characters, but with its line breaks and tabs."""
    return _CONTROL.sub("�", text)


def instant(moment: datetime) -> str:
    """Return ``2025-01-15T17:20:15Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(count: int) -> str:
    """Return a number of bytes in steps of 1024: ``17 B``, ``2.0 GB``."""
    value = float(count)
    unit = 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def duration(seconds: int) -> str:
    """Return ``2d 3h``, ``38m 40s`` or ``12s``: the two largest units."""
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def success(message: str, *details: str) -> str:
    """Return ``✓ message`` and its details, each on a line of its own."""
    return "\n".join([f"✓ {message}", *(f"→ {detail}" for detail in details)])


def pretty(value: Any) -> str:
    """Return JSON over many lines."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def _or_none(lines: Sequence[str], none: str, heading: str | None = None) -> str:
    if not lines:
        return none
    return "\n".join([heading, *lines] if heading else lines)


# Jobs


def job_list(page: JobPage) -> str:
    """Return the layout of `job list`."""
    lines = [line for job in page.jobs for line in _job_lines(job)]
    text = _or_none(lines, "No jobs found", "Jobs:")
    return text if page.next_cursor is None else f"{text}\n\nNext cursor: {page.next_cursor}"


def _job_lines(job: Job) -> Iterable[str]:
    yield f"  {job.id} - {job.status} ({job.worker_id or 'no worker'})"
    if job.kind != _USUAL_KIND:
        yield f"    Kind: {job.kind}"
    if job.dataset is not None:
        short = f" ({job.manifest_hash[:_SHORT_HASH]})" if job.manifest_hash else ""
        yield f"    Dataset: {job.dataset}{short}"
    if job.waiting_for is not None:
        yield f"    Waiting for: {_waiting(job)}"


def _waiting(job: Job) -> str:
    unmet = [f"{each.reference} ({each.status or 'missing'})" for each in job.depends_on if each.status != "COMPLETED"]
    reasons = {
        "dependency": f"{', '.join(unmet)} to complete",
        "failed_dependency": f"{', '.join(unmet)}, which does not complete by itself",
        "run_at": f"its time, {instant(job.run_at)}",
        "retry": f"retry {job.retry_count}, {instant(job.run_at)}",
        "worker": "a live worker",
        "handler": f"a worker that runs jobs of kind {job.kind}",
        "slot": "a free slot on a worker",
        "start": "its worker to start it",
    }
    return reasons.get(job.waiting_for or "", job.waiting_for or "")


def job_details(job: Job) -> str:
    """Return the layout of `job inspect`."""
    lines = [f"Job ID: {job.id}", f"Status: {job.status}"]
    if job.kind != _USUAL_KIND:
        lines.append(f"Kind: {job.kind}")
    if job.dataset is not None:
        lines.append(f"Dataset: {job.dataset}")
    lines.append(f"Worker: {job.worker_id or 'none'}")
    if job.waiting_for is not None:
        lines.append(f"Waiting for: {_waiting(job)}")
    lines += [f"Created: {instant(job.created_at)}", f"Updated: {instant(job.updated_at)}"]
    if job.last_error:
        lines += ["", *error_lines(job.last_error)]
    return "\n".join([*lines, "", "Descriptor:", pretty(job.raw["descriptor"])])


def error_lines(error: Mapping[str, Any]) -> list[str]:
    """Return an error of a job: its message, then its code and context with aligned colons."""
    fields: dict[str, Any] = {"Error Code": error.get("error_code", "unknown")}
    lists: dict[str, list[Any]] = {}
    for key, value in (error.get("error_context") or {}).items():
        (lists if isinstance(value, list) else fields)[_title(key)] = value
    lines = [f"✖ {error.get('error_message', 'unknown error')}", "", *(f"  {line}" for line in aligned(fields))]
    for key, values in lists.items():
        lines += [f"  {key}:", *(f"    • {_item(value)}" for value in values)]
    return lines


def _item(value: Any) -> str:
    return _violation(value) if isinstance(value, dict) and "commitment" in value else _scalar(value)


def _violation(found: Mapping[str, Any]) -> str:
    return f"block {found.get('block')}, {found['commitment']}: {found.get('detail', '')}"


def aligned(fields: Mapping[str, Any]) -> list[str]:
    """Return ``Key : value`` lines, aligned on the colon."""
    width = max(map(len, fields), default=0)
    return [f"{key:<{width}} : {_scalar(value)}" for key, value in fields.items()]


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _title(key: str) -> str:
    return key.replace("_", " ").title()


def progress_details(progress: Progress) -> str:
    """Return the layout of `job progress`."""
    lines = [f"Job ID: {progress.job_id}", f"Status: {progress.job_status}"]
    lines += [f"{name}: {value}" for name, value in _pace(progress).items()]
    if progress.last_error:
        lines += ["", *error_lines(progress.last_error)]
    if progress.verification is not None:
        return "\n".join([*lines, "", *_verification_lines(progress.verification)])
    if not progress.tables:
        return "\n".join([*lines, "", "No tables written yet."])
    lines += ["", "Tables:"]
    for name in sorted(progress.tables):
        lines += _table_lines(name, progress.tables[name], progress.gaps.get(name, ()))
    return "\n".join(lines)


def _pace(progress: Progress) -> dict[str, str]:
    pace = {}
    if progress.end_block is not None:
        pace["End block"] = str(progress.end_block)
    if progress.blocks_per_second is not None:
        pace["Speed"] = f"{progress.blocks_per_second:.1f} blocks/s"
    if progress.eta_seconds is not None:
        pace["Time left"] = duration(progress.eta_seconds)
    return pace


def _table_lines(name: str, table: TableProgress, gaps: Sequence[tuple[int, int]]) -> list[str]:
    lines = [
        f"  {name}:",
        f"    Block range: {_block_range(table, ' - ') or '(no data)'}",
        f"    Files: {table.files_count}",
        f"    Size: {size(table.total_size_bytes)}",
        f"    Rows: {table.row_count}",
    ]
    if gaps:
        shown = ", ".join(f"{first}-{last}" for first, last in gaps[:_SHOWN_GAPS])
        more = f" and {len(gaps) - _SHOWN_GAPS} more" if len(gaps) > _SHOWN_GAPS else ""
        lines.append(f"    Gaps: {shown}{more}")
    return lines


def _block_range(table: TableProgress, dash: str) -> str | None:
    if table.current_block is None:
        return None
    return f"{table.start_block}{dash}{table.current_block}"


def progress_line(progress: Progress) -> str:
    """Return a job's progress on one line, for logs and pipes."""
    tables = [
        f"{name} {_block_range(table, '-') or '-'} ({table.files_count} files)"
        for name, table in sorted(progress.tables.items())
    ]
    found = progress.verification
    if found is not None:
        of_all = f"{found.next_block - found.start_block} of {found.end_block - found.start_block + 1} blocks"
        tables.append(f"{of_all}, {found.violation_count} violations")
    pace = [f"{name.lower()} {value}" for name, value in _pace(progress).items()]
    return "  ".join([f"{progress.job_id} {progress.job_status}", *tables, *pace])


def verification_result(reference: str, progress: Progress) -> str:
    """Return the outcome of `verify`."""
    found = progress.verification
    if progress.job_status == "COMPLETED" and found is not None:
        blocks = f"{found.verified_blocks} blocks, {found.start_block} to {found.end_block}"
        return success(f"{reference} verifies: {blocks}", *_not_checked(found))
    if progress.job_status == "STOPPED":
        return f"✖ job {progress.job_id} was stopped before its end"
    return "\n".join(error_lines(progress.last_error or {}))


def _verification_lines(found: VerificationReport) -> list[str]:
    counts = {
        "Blocks": f"{found.start_block} - {found.end_block}",
        "Next block": str(found.next_block),
        "Verified": str(found.verified_blocks),
        "Broken": str(found.broken_blocks),
        "Not read": str(found.skipped_blocks),
        "Violations": str(found.violation_count),
    }
    lines = ["Verification:", *(f"  {name}: {value}" for name, value in counts.items())]
    lines += [f"    • {_violation(each)}" for each in found.violations]
    return lines + [f"  {line}" for line in _not_checked(found)]


def _not_checked(found: VerificationReport) -> list[str]:
    return [f"not checked: {what} of {blocks} blocks: {reason}" for what, reason, blocks in found.not_checked]


def event_list(job_id: int, events: Sequence[Event], next_cursor: int | None = None) -> str:
    """Return the layout of `job events`."""
    lines = [line for event in events for line in _event_lines(event)]
    text = f"Job ID: {job_id}\n\n{_or_none(lines, 'No events recorded.', 'Events:')}"
    return text if next_cursor is None else f"{text}\n\nNext cursor: {next_cursor}"


def _event_lines(event: Event) -> Iterable[str]:
    by_worker = event.actor.startswith("worker:")
    who = f"node: {event.node_id}" if by_worker else f"by: {event.actor}"
    yield f"  [{event.id}] {instant(event.created_at)} - {event.event_type} ({who})"
    if event.detail and "error_message" in event.detail:
        yield f"      {event.detail.get('error_code', 'error')}: {event.detail['error_message']}"


def event_details(event: Event) -> str:
    """Return the layout of `job events --event-id`."""
    fields = {
        "Event ID": str(event.id),
        "Job ID": str(event.job_id),
        "Created At": instant(event.created_at),
        "Node ID": event.node_id or "none",
        "Actor": event.actor,
        "Event Type": event.event_type,
    }
    lines = [f"{name + ':':<11} {value}" for name, value in fields.items()]
    if event.detail and "error_message" in event.detail:
        lines += ["", *error_lines(event.detail)]
    elif event.detail:
        heading = "Descriptor" if event.event_type == "SCHEDULED" else "Detail"
        detail = {_title(key): value for key, value in event.detail.items()}
        lines += ["", heading, "─" * len(heading), *aligned(detail)]
    return "\n".join(lines)


# Workers


def worker_list(workers: Sequence[Worker]) -> str:
    """Return the layout of `worker list`."""
    return _or_none([f"{w.node_id} (last heartbeat: {instant(w.heartbeat_at)})" for w in workers], "No workers found")


def worker_details(worker: Worker) -> str:
    """Return the layout of `worker inspect`."""
    return "\n".join(
        [
            f"Node ID: {worker.node_id}",
            f"Created: {instant(worker.created_at)}",
            f"Registered: {instant(worker.registered_at)}",
            f"Heartbeat: {instant(worker.heartbeat_at)}",
            *(["Draining: yes"] if worker.draining else []),
            "",
            "Worker Info:",
            f"  Version: {worker.info.version}",
            f"  Commit: {worker.info.commit_sha}",
            f"  Commit Timestamp: {worker.info.commit_timestamp}",
            f"  Build Date: {worker.info.build_date}",
        ]
    )


# Datasets, manifests, providers


def dataset_list(datasets: Sequence[DatasetSummary]) -> str:
    """Return the layout of `dataset list`."""
    lines = [
        f"  {d.namespace}/{d.name} - {f'{len(d.versions)} version(s)' if d.versions else 'no versions'}"
        for d in datasets
    ]
    return _or_none(lines, "No datasets found", "Datasets:")


def dataset_registered(dataset: RegisteredDataset) -> str:
    """Return the layout of `dataset register`."""
    return success(
        "Dataset registered successfully",
        f"Namespace: {dataset.namespace}",
        f"Name: {dataset.name}",
        f"Version: {dataset.version or 'none (tagged dev)'}",
        f"Hash: {dataset.manifest_hash}",
        f"Kind: {dataset.kind}",
        f"Start block: {dataset.start_block}",
        f"Finalized only: {str(dataset.finalized_blocks_only).lower()}",
        f"Tables: {', '.join(dataset.tables)}",
    )


def dataset_details(dataset: DatasetRevision) -> str:
    """Return the layout of `dataset inspect`."""
    return "\n".join(
        [
            f"Namespace: {dataset.namespace}",
            f"Name: {dataset.name}",
            f"Revision: {dataset.revision}",
            f"Kind: {dataset.kind}",
            f"Manifest Hash: {dataset.manifest_hash}",
            f"Start Block: {dataset.start_block}",
            f"Finalized Blocks Only: {str(dataset.finalized_blocks_only).lower()}",
            f"Tables: {', '.join(dataset.tables)}",
        ]
    )


def dataset_versions(versions: DatasetVersions) -> str:
    """Return the layout of `dataset versions`."""
    lines = [f"Dataset: {versions.namespace}/{versions.name}", ""]
    if versions.latest:
        lines += [f"Latest version: {versions.latest}", ""]
    if versions.dev:
        lines += [f"Dev hash: {versions.dev}", ""]
    if not versions.versions:
        return "\n".join([*lines, "No versions found"])
    lines.append("Versions:")
    for version in versions.versions:
        lines += [
            f"  {version.version} ({version.manifest_hash})",
            f"    Created: {instant(version.created_at)}",
            f"    Updated: {instant(version.updated_at)}",
        ]
    return "\n".join(lines)


def dataset_jobs(jobs: Sequence[Job]) -> str:
    """Return the table of `dataset jobs`."""
    if not jobs:
        return "No jobs found"
    rows = [("ID", "Status", "Created", "Tables")]
    for job in jobs:
        created = job.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        rows.append((str(job.id), job.status, created, ", ".join(job.tables)))
    least = (4, 8, 19)
    widths = [max(minimum, *(len(row[column]) for row in rows)) for column, minimum in enumerate(least)]
    return "\n".join(_columns(row, widths) for row in rows)


def _columns(row: tuple[str, ...], widths: Sequence[int]) -> str:
    cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
    return "  ".join([*cells, row[-1]]).rstrip()


def manifest_list(manifests: Sequence[ManifestSummary]) -> str:
    """Return the layout of `manifest list`."""
    lines = [f"  {m.hash} - {m.dataset_count} dataset{'' if m.dataset_count == 1 else 's'}" for m in manifests]
    return _or_none(lines, "No manifests found", "Manifests:")


def provider_list(providers: Sequence[Provider]) -> str:
    """Return the layout of `provider list`."""
    return _or_none([f"  {p.name} ({p.kind})" for p in providers], "No providers found", "Providers:")
