"""From what the stores give to what the wire shows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from ampd.admin_api.bodies.job_models import (
    AttemptBody,
    BulkBody,
    DatasetJobBody,
    DependencyBody,
    ExecutionBody,
    JobBody,
    JobDataset,
    JobHistoryBody,
    JobStatsBody,
)
from ampd.admin_api.bodies.models import (
    DatasetRevisionBody,
    DatasetSummaryBody,
    DatasetVersionBody,
    DatasetVersionsBody,
    JobEventBody,
    ProgressBody,
    ProviderBody,
    RegisteredDatasetBody,
    SpecialTagsBody,
    TableProgressBody,
    VerificationBody,
    WorkerBody,
    WorkerInfoBody,
)
from ampd.admin_api.bodies.timestamps import both_forms, milliseconds, rfc3339
from ampd.admin_api.deployment import DATASET_KINDS, VERSION_LABEL
from ampd.data_store import ProgressSummary, TableProgress
from ampd.datasets import (
    DatasetSummary,
    DatasetVersions,
    EvmRpcManifest,
    Provider,
    RegisteredDataset,
    ResolvedDataset,
    redacted,
)
from ampd.jobs import (
    BulkResult,
    Execution,
    ExecutionAttempt,
    Job,
    JobEvent,
    JobHistory,
    JobState,
    JobStatistics,
    Schedule,
    Worker,
    lifecycle,
    to_request,
)

MAX_GAPS: Final = 100
_ONCE: Final = Schedule()


def job_body(job: Job) -> JobBody:
    """Return the union of the seeds' job and the reference system's job (design section 5.1)."""
    return JobBody(**_job_fields(job))


def dataset_job_body(job: Job, tables: list[str]) -> DatasetJobBody:
    """Return a job with the names of its tables."""
    return DatasetJobBody(**_job_fields(job), tables=tables)


def _job_fields(job: Job) -> dict[str, Any]:
    # Inputs of other kinds may use the same words for something else.
    of_dataset = job.input if job.kind in DATASET_KINDS else {}
    return {
        "id": job.id,
        "status": str(job.state),
        "lifecycle": job.lifecycle,
        "kind": job.kind,
        "namespace": job.kind,
        "product": job.labels.get("product"),
        "env": job.labels.get("env"),
        "dataset": _dataset_of(job) if of_dataset else None,
        "manifest_hash": of_dataset.get("manifest_hash"),
        "worker_id": job.worker_id,
        "node_id": job.worker_id or "",
        "input": job.input,
        "descriptor": job.input,
        "end_block": of_dataset.get("end_block"),
        "parallelism": of_dataset.get("max_writers", 1),
        "priority": job.priority,
        "run_at": rfc3339(job.run_at),
        **both_forms("scheduled_at", job.run_at),
        **both_forms("started_at", job.started_at),
        **both_forms("completed_at", job.ended_at),
        **_timetable_fields(job),
        "labels": job.labels,
        "execution_number": job.execution_number,
        "result": job.result,
        "retries": job.retries,
        "retry_count": job.retry_count,
        "total_retries": job.total_retries,
        "last_error": job.last_error,
        "depends_on": [
            DependencyBody(reference=each.reference, job_id=each.job_id, status=each.status) for each in job.depends_on
        ],
        "waiting_for": job.waiting_for,
        "stop_intent": job.stop_intent,
        "stop_reason": job.stop_reason,
        **both_forms("created_at", job.created_at),
        **both_forms("updated_at", job.updated_at),
    }


def _timetable_fields(job: Job) -> dict[str, Any]:
    schedule = job.schedule or _ONCE
    has_begun = job.started_at is not None
    once = job.execution_number if has_begun else job.execution_number - 1
    return {
        "recurring": job.recurring,
        "cron": schedule.cron,
        "tz": schedule.tz if schedule.cron else None,
        "every_ms": schedule.every_ms,
        **both_forms("next_run_at", job.next_run_at),
        "execution_count": once if job.execution_count is None else job.execution_count,
        "limit": schedule.limit,
        **both_forms("end_date", schedule.end_date),
        "schedule": None if job.schedule is None else schedule_body(job.schedule),
    }


def schedule_body(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as it may be asked for: what is not at its default, times in milliseconds."""
    asked = to_request(schedule)
    for name in ("start_at", "end_date"):
        if name in asked:
            asked[name] = milliseconds(getattr(schedule, name))
    return asked


def _dataset_of(job: Job) -> JobDataset | None:
    job_input = job.input
    if "dataset_name" not in job_input:
        return None
    return JobDataset(
        namespace=job_input["dataset_namespace"],
        name=job_input["dataset_name"],
        version=job.labels[VERSION_LABEL],
    )


def bulk_body(result: BulkResult, *, dry_run: bool) -> BulkBody:
    """Return what an operation on many jobs has done."""
    return BulkBody(
        matched=result.matched,
        changed=result.changed,
        skipped=result.skipped,
        count=result.changed,
        dry_run=dry_run,
    )


def history_body(job: Job, history: JobHistory) -> JobHistoryBody:
    """Return the executions of a job."""
    return JobHistoryBody(
        job_id=job.id,
        total_executions=history.total,
        successful_executions=history.successful,
        failed_executions=history.failed,
        executions=[_execution_body(job, each) for each in history.executions],
    )


def _execution_body(job: Job, execution: Execution) -> ExecutionBody:
    started, finished = execution.started_at, execution.finished_at
    # An execution that has not ended is the one that the job is at.
    status = job.lifecycle if execution.outcome is None else lifecycle(JobState(execution.outcome), due=True)
    return ExecutionBody(
        number=execution.number,
        **both_forms("started_at", started),
        **both_forms("completed_at", finished),
        duration_ms=milliseconds(finished) - milliseconds(started) if started and finished else None,
        status=status,
        error=None if execution.error is None else execution.error.get("error_message"),
        error_detail=execution.error,
        result=execution.result,
        attempt_count=execution.attempt_count,
        attempts=[_attempt_body(each) for each in execution.attempts],
    )


def _attempt_body(attempt: ExecutionAttempt) -> AttemptBody:
    return AttemptBody(
        number=attempt.number,
        worker_id=attempt.worker_id,
        **both_forms("started_at", attempt.started_at),
        **both_forms("completed_at", attempt.finished_at),
        outcome=attempt.outcome,
        error=attempt.error,
    )


def stats_body(statistics: JobStatistics) -> JobStatsBody:
    """Return how many jobs stand where."""
    return JobStatsBody(**asdict(statistics), success_rate=statistics.success_rate)


def progress_body(job: Job, tables: dict[str, TableProgress], summary: ProgressSummary) -> ProgressBody:
    """Return the seeds' progress, with rates, gaps and the last error beside it."""
    failed: dict[str, Any] = {"detail": job.last_error} if job.state is JobState.FAILED else {}
    return ProgressBody(
        job_id=job.id,
        job_status=str(job.state),
        tables={name: _table_progress_body(table) for name, table in tables.items()},
        end_block=summary.end_block,
        blocks_per_second=summary.blocks_per_second,
        eta_seconds=summary.eta_seconds,
        gaps={name: table.gaps[:MAX_GAPS] for name, table in tables.items()},
        gaps_truncated=any(len(table.gaps) > MAX_GAPS for table in tables.values()),
        last_error=job.last_error,
        **failed,
    )


def verification_progress_body(job: Job, report: dict[str, Any]) -> ProgressBody:
    """Return how far a verification is; ``report`` is what it said last, empty before it has begun."""
    rate = report.get("blocks_per_second")
    left = report["end_block"] - report["next_block"] + 1 if report else 0
    body = progress_body(job, {}, ProgressSummary(report.get("end_block"), rate, round(left / rate) if rate else None))
    if report:
        body.verification = VerificationBody.model_validate(report)
    return body


def own_progress_body(job: Job, said: dict[str, Any]) -> ProgressBody:
    """Return what the handler of a job of any other kind has said of its progress, in its own words."""
    body = progress_body(job, {}, ProgressSummary(None, None, None))
    body.progress = said
    return body


def _table_progress_body(table: TableProgress) -> TableProgressBody:
    return TableProgressBody(
        current_block=table.current_block,
        start_block=table.start_block,
        files_count=table.files_count,
        total_size_bytes=table.total_size_bytes,
        row_count=table.row_count,
    )


def event_body(event: JobEvent) -> JobEventBody:
    """Return one entry of a job's history."""
    return JobEventBody(
        id=event.id,
        job_id=event.job_id,
        **both_forms("created_at", event.created_at),
        event_type=event.event_type,
        node_id=event.node_id or "",
        actor=event.actor,
        from_state=event.from_state,
        execution_number=event.execution_number,
        lease_epoch=event.lease_epoch,
        detail=event.detail,
    )


def worker_body(worker: Worker) -> WorkerBody:
    """Return a worker; parts of its build that it does not tell are ``unknown``."""
    known = {key: value for key, value in worker.info.items() if isinstance(value, str) and value}
    return WorkerBody(
        node_id=worker.node_id,
        live=worker.live,
        draining=worker.draining,
        slots=worker.slots,
        running_jobs=worker.running_jobs,
        info=WorkerInfoBody.model_validate(known),
        created_at=rfc3339(worker.created_at),
        registered_at=rfc3339(worker.registered_at),
        heartbeat_at=rfc3339(worker.heartbeat_at),
        kinds=worker.kinds,
    )


def dataset_summary_body(dataset: DatasetSummary) -> DatasetSummaryBody:
    """Return a dataset; ``latest_version`` is absent when it has no version."""
    latest = {"latest_version": dataset.latest_version} if dataset.latest_version else {}
    return DatasetSummaryBody(namespace=dataset.namespace, name=dataset.name, versions=dataset.versions, **latest)


def dataset_versions_body(dataset: DatasetVersions) -> DatasetVersionsBody:
    """Return the versions of a dataset; tags that are not set are absent."""
    tags = {"latest": dataset.latest_version, "dev": dataset.dev_hash}
    return DatasetVersionsBody(
        namespace=dataset.namespace,
        name=dataset.name,
        versions=[
            DatasetVersionBody(
                version=tag.version,
                manifest_hash=tag.manifest_hash,
                created_at=rfc3339(tag.created_at),
                updated_at=rfc3339(tag.updated_at),
            )
            for tag in dataset.versions
        ],
        special_tags=SpecialTagsBody(**{tag: value for tag, value in tags.items() if value is not None}),
    )


def registered_dataset_body(dataset: RegisteredDataset) -> RegisteredDatasetBody:
    """Return what a registration has stored."""
    return RegisteredDatasetBody(
        namespace=dataset.namespace,
        name=dataset.name,
        version=dataset.version,
        manifest_hash=dataset.manifest_hash,
        kind=dataset.kind,
        start_block=dataset.start_block,
        finalized_blocks_only=dataset.finalized_blocks_only,
        tables=dataset.tables,
    )


def revision_body(dataset: ResolvedDataset, manifest: EvmRpcManifest) -> DatasetRevisionBody:
    """Return what a revision stands for."""
    return DatasetRevisionBody(
        namespace=dataset.namespace,
        name=dataset.name,
        revision=dataset.revision,
        manifest_hash=dataset.manifest_hash,
        kind=manifest.kind,
        start_block=manifest.start_block,
        finalized_blocks_only=manifest.finalized_blocks_only,
        tables=manifest.table_names,
    )


def provider_body(provider: Provider) -> ProviderBody:
    """Return a provider without its secrets."""
    return ProviderBody.model_validate({**redacted(provider.config), "name": provider.name})
