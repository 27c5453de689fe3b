"""Extract a dataset on a timetable: look when it runs, wait for the last time, and verify what the lake has then.

python examples/timetable.py ADMIN_URL REFERENCE END_BLOCK TIMES
"""

# ruff: noqa: T201 - a program for people prints
from __future__ import annotations

import sys

from ampd.client import Ampd, ApiError, Job, ScheduleOptions


def extract(client: Ampd, reference: str, end_block: str, times: int) -> Job:
    """Extract up to ``end_block`` every second, so many times, and return the job when it has ended."""
    schedule: ScheduleOptions = {"every": 1000, "limit": times}
    for time in client.jobs.preview(count=times, **schedule).times:
        print(f"runs at {time.local}")
    job_id = client.datasets.deploy(reference, end_block=end_block, retries=3, schedule=schedule)
    job = client.jobs.wait(job_id, timeout=600, poll_seconds=0.2)
    for execution in reversed(client.jobs.get_history(job_id, limit=times).executions):
        print(f"run {execution.number}: {execution.status} after {execution.duration_ms} ms {execution.error or ''}")
    return job


def verify(client: Ampd, reference: str) -> Job:
    """Recompute what the extracted blocks commit to, and return the job that did it."""
    job = client.jobs.wait(client.datasets.verify(reference), timeout=600, poll_seconds=0.2)
    report = client.jobs.progress(job.id).verification
    if report is not None:
        print(f"{report.verified_blocks} blocks verified, {report.violation_count} violations")
    return job


def main() -> int:
    """Run the program; return its exit code."""
    admin_url, reference, end_block, times = sys.argv[1:]
    try:
        with Ampd(admin_url) as client:
            job = extract(client, reference, end_block, int(times))
            if job.status == "completed":
                job = verify(client, reference)
    except (ApiError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{job.kind}: {job.status}" + (f": {job.last_error}" if job.last_error else ""))
    return 0 if job.status == "completed" else 1


if __name__ == "__main__":
    sys.exit(main())
