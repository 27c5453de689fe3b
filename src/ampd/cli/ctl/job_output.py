"""How the results of operations on jobs look for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ampd.cli.ctl.output import success
from ampd.cli.ctl.times import instant, timetable_lines
from ampd.client import BulkResult, FireTimes, Job, JobExecution, JobHistory, JobStats


def created(job: Job) -> str:
    """Return the outcome of `job create`."""
    return success("Job created", f"Job ID: {job.id}", *_when(job))


def operated(job: Job, done: str) -> str:
    """Return the outcome of an operation on one job."""
    return success(f"Job {job.id} {done}", f"Status: {job.state}", *_when(job))


def _when(job: Job) -> Iterable[str]:
    """Give the lines that say when a job runs that has not ended."""
    if not job.is_terminal:
        yield from timetable_lines(job)
    if job.status == "scheduled" and not job.recurring:
        yield f"Runs: {instant(job.scheduled_at.datetime)}"


def bulk(result: BulkResult, done: str) -> str:
    """Return the outcome of an operation on many jobs."""
    jobs = "1 job" if result.changed == 1 else f"{result.changed} jobs"
    details = [f"Matched: {result.matched}"]
    if result.skipped:
        details.append(f"Skipped: {result.skipped}, which were so already or cannot be")
    return success(f"{jobs} would be {done}" if result.dry_run else f"{jobs} {done}", *details)


def history(found: JobHistory) -> str:
    """Return the layout of `job history`."""
    lines = [
        f"Job ID: {found.job_id}",
        f"Executions: {found.total_executions} ({found.successful_executions} completed, "
        f"{found.failed_executions} failed)",
    ]
    if found.executions:
        lines += ["", *(line for execution in found.executions for line in _execution_lines(execution))]
    return "\n".join(lines)


def _execution_lines(execution: JobExecution) -> Iterable[str]:
    started = "not begun" if execution.started_at is None else instant(execution.started_at.datetime)
    took = "" if execution.duration_ms is None else f", {execution.duration_ms} ms"
    tries = "" if execution.attempt_count <= 1 else f", {execution.attempt_count} tries"
    yield f"  [{execution.number}] {started} - {execution.status}{took}{tries}"
    if execution.error is not None:
        yield f"      {execution.error.code}: {execution.error}"


def stats(found: JobStats) -> str:
    """Return the layout of `job stats`."""
    counts: Mapping[str, str] = {
        "Total": str(found.total),
        "Scheduled": str(found.scheduled),
        "Queued": str(found.queued),
        "Running": str(found.running),
        "Paused": str(found.paused),
        "Completed": f"{found.completed}{_tries(found)}",
        "Cancelled": str(found.cancelled),
        "Failed": str(found.failed),
        "Success rate": "none ended" if found.success_rate is None else f"{found.success_rate:.1%}",
    }
    return "\n".join(f"{name}: {value}" for name, value in counts.items())


def _tries(found: JobStats) -> str:
    return f" ({found.completed_after_retry} after a retry)" if found.completed_after_retry else ""


def fire_times(found: FireTimes) -> str:
    """Return the layout of `job next`."""
    if not found.times:
        return "It does not run again."
    lines = [f"  {instant(time.at.datetime)}  ({time.local})" for time in found.times]
    return "\n".join([f"Next runs, {found.tz}:", *lines])
