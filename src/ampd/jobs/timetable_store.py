"""Schedules of jobs as an operator sees them: given with a job, shown, changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from psycopg.types.json import Jsonb

from ampd.errors import AmpError, ErrorCode
from ampd.jobs.models import Job
from ampd.jobs.notification import PLACE, Notifier
from ampd.jobs.recurrence import Schedule
from ampd.jobs.schedule_request import parse_schedule, refused, to_request
from ampd.jobs.states import STOP_STATES, TERMINAL_STATES, JobState
from ampd.metadata_db import Connection, MetadataDb, Row, sql

_UNTIMELY: Final = TERMINAL_STATES | STOP_STATES


async def schedule_columns(connection: Connection, schedule: Schedule | None) -> dict[str, Any]:
    """Return the columns of a new job, or of one that is deployed again, that follow from its schedule.

    :raises AmpError: INVALID_SCHEDULE when it would never run.
    """
    if schedule is None:
        return {"schedule": None, "recurring": False, "next_run_at": None, "run_at": None}
    now = await _now(connection)
    kept = schedule.anchored(now)
    if not schedule.recurring:
        run_at = max(now, schedule.start_at or now)
        return {"schedule": Jsonb(kept.to_json()), "recurring": False, "next_run_at": None, "run_at": run_at}
    first = kept.first(now)
    if first is None:
        raise never()
    return {"schedule": Jsonb(kept.to_json()), "recurring": True, "next_run_at": first, "run_at": first}


def same_schedule(kept: dict[str, Any] | None, wanted: Schedule | None) -> bool:
    """Tell whether a job's schedule is the one that somebody asks for; when it was given makes no difference."""
    return (None if kept is None else to_request(Schedule.from_json(kept))) == (
        None if wanted is None else to_request(wanted)
    )


def never() -> AmpError:
    """Return the error of a schedule without a time to come."""
    return refused("end_date", "no time of the schedule comes before it, from now on")


class TimetableStore:
    """The schedules of the jobs of one metadata database."""

    def __init__(self, db: MetadataDb, *, notifier: Notifier | None = None) -> None:
        self._db = db
        self._notifier = notifier or Notifier(db)

    async def reschedule(self, job_id: int, changes: Mapping[str, Any], *, actor: str) -> None:
        """Change the fields of a job's schedule that ``changes`` has (those of :func:`parse_schedule`; None takes a
        field away). ``cron`` and ``every`` take the place of each other. An execution that is under way, or waits for a
        worker or a retry, goes on as it is; an interval counts from now, or from the given ``start_at``.

        :raises AmpError: JOB_NOT_FOUND; JOB_CONFLICT when the job has ended, is being stopped, or runs once and has
        begun; INVALID_SCHEDULE.
        """
        async with self._db.transaction() as connection:
            row = await (await connection.execute(sql("jobs", "lock_timetable"), {"job_id": job_id})).fetchone()
            if row is None:
                raise AmpError(ErrorCode.JOB_NOT_FOUND, f"job '{job_id}' not found", context={"job_id": job_id})
            _require_timely(row)
            schedule = _changed(row, changes).anchored(row["now"])
            columns = _later_columns(row, schedule)
            parameters = {"job_id": job_id, "actor": actor, "schedule": Jsonb(schedule.to_json()), **columns}
            await connection.execute(sql("jobs", "set_timetable"), parameters)
        self._notifier.hint(PLACE)

    async def preview(self, schedule: Schedule, *, count: int, start: datetime | None = None) -> list[datetime]:
        """Return the next ``count`` fire times of ``schedule`` if it were given at ``start``; None: now."""
        async with self._db.transaction() as connection:
            start = start or await _now(connection)
        kept = schedule.anchored(start)
        if not kept.recurring:
            return [max(start, kept.start_at or start)]
        first = kept.first(start)
        most = count if kept.limit is None else min(count, kept.limit)
        return [] if first is None else [first, *islice(kept.times(first), most - 1)]

    async def next_times(self, job: Job, *, count: int) -> list[datetime]:
        """Return the next ``count`` times at which ``job`` fires; of a paused one, those after now."""
        if not job.recurring or job.schedule is None:
            waits = job.state in (JobState.SCHEDULED, JobState.PAUSED) and job.started_at is None
            return [job.run_at] if waits else []
        first = job.next_run_at
        if job.state is JobState.PAUSED:
            async with self._db.transaction() as connection:
                first = job.schedule.next(await _now(connection))
        if first is None:
            return []
        left = count if job.schedule.limit is None else job.schedule.limit - (job.execution_count or 0)
        return [first, *islice(job.schedule.times(first), min(count, left) - 1)] if left > 0 else []


def _require_timely(row: Row) -> None:
    state = JobState(row["state"])
    begun = not row["recurring"] and (state is JobState.RUNNING or row["worker_id"] is not None)
    if state in _UNTIMELY or begun:
        why = "it runs once, and has begun" if begun else "deploy or create it again with another schedule"
        message = f"job '{row['id']}' cannot be rescheduled from current state: {state}; {why}"
        raise AmpError(ErrorCode.JOB_CONFLICT, message, context={"job_id": row["id"]})


def _changed(row: Row, changes: Mapping[str, Any]) -> Schedule:
    if not changes:
        raise refused("schedule", "nothing is given that should change")
    if not row["recurring"]:
        for name in changes:
            if name != "start_at":
                raise refused(name, "this job runs once: give start_at, or create a job with a timetable")
        return parse_schedule(changes)
    kept = Schedule.from_json(row["schedule"])
    wanted = to_request(kept)
    if changes.get("cron") is not None:
        wanted.pop("every", None)
    if changes.get("every") is not None:
        wanted = {name: value for name, value in wanted.items() if name not in ("cron", "tz")}
        if kept.start_at is not None and kept.start_at <= row["now"]:
            wanted.pop("start_at")
    if "catch_up" in changes:
        wanted.pop("catch_up_window_ms", None)
    schedule = parse_schedule({**wanted, **changes})
    if schedule.limit is not None and schedule.limit <= row["execution_count"] + row["queued_firings"]:
        raise refused("limit", f"the job has run {row['execution_count']} times already; stop it to end it")
    return schedule


def _later_columns(row: Row, schedule: Schedule) -> dict[str, Any]:
    if not schedule.recurring:
        return {"next_run_at": None, "run_at": max(row["now"], schedule.start_at or row["now"])}
    next_run_at = schedule.next(row["now"])
    if next_run_at is None:
        raise never()
    return {"next_run_at": next_run_at, "run_at": next_run_at if row["rests"] else None}


async def _now(connection: Connection) -> datetime:
    row = await (await connection.execute(sql("jobs", "read_clock"))).fetchone()
    assert row is not None  # noqa: S101 - a clock always has a time
    moment: datetime = row["now"]
    return moment
