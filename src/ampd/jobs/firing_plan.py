"""What becomes of the due times of one job: which one begins an execution, which wait, which are let go. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final

from ampd.jobs.recurrence import CatchUp, Overlap, Schedule
from ampd.jobs.states import JobState
from ampd.metadata_db import Row

# A time that is looked at so late was missed: no controller was there.
GRACE: Final = timedelta(seconds=60)
# So many due times of one job are looked at in one transaction, ...
MOST_TIMES: Final = 1000
# ... and so many wait for the end of an execution (also in the SQL); while they do no other is looked at.
MOST_QUEUED: Final = 1000
_MICROSECOND = timedelta(microseconds=1)


class FiringOutcome(StrEnum):
    """What has become of a fire time."""

    FIRED = "FIRED"  # it began an execution
    QUEUED = "QUEUED"  # it will, when the one before has ended
    SKIPPED = "SKIPPED"  # an execution had not ended
    MISSED = "MISSED"  # nobody was there to fire it


@dataclass(frozen=True)
class Firing:
    """A fire time and what becomes of it; or a run of ``times`` of them, up to ``last_time``."""

    fire_time: datetime
    outcome: FiringOutcome
    last_time: datetime
    times: int = 1


@dataclass
class Plan:
    """What becomes of a job. ``begins_queued`` is a time that has waited and begins an execution now; ``cancels`` says
    that the execution under way shall end.
    """

    job_id: int
    next_run_at: datetime | None
    queued_firings: int
    firings: list[Firing] = field(default_factory=list)
    begins_queued: datetime | None = None
    cancels: bool = False


def plan_firing(row: Row, first_queued: datetime | None) -> Plan:
    """Decide about the due times of the job of a row of ``lock_due_timetables.sql``; ``first_queued`` is the time of a
    resting job that has waited longest.
    """
    schedule = Schedule.from_json(row["schedule"])
    plan = Plan(row["id"], row["next_run_at"], row["queued_firings"])
    is_free = row["rests"]
    left = None if schedule.limit is None else schedule.limit - row["execution_count"] - row["queued_firings"]
    if is_free and first_queued is not None:
        plan.begins_queued, plan.queued_firings, is_free = first_queued, plan.queued_firings - 1, False
    if row["next_run_at"] is None or row["next_run_at"] > row["now"]:
        return plan
    due, following = _due_times(schedule, row)
    chosen = _choose(schedule, due, row["now"], more=following is not None and following <= row["now"])
    let_go = [time for time in due if time not in set(chosen)]
    if let_go:
        plan.firings.append(_run_of(let_go, FiringOutcome.MISSED))
    plan.next_run_at = following
    for time in chosen:
        if left == 0:
            break
        if plan.queued_firings >= MOST_QUEUED:
            plan.next_run_at = time
            break
        outcome = FiringOutcome.FIRED if is_free else _while_busy(schedule, plan, row, time)
        is_free = False
        if outcome is not FiringOutcome.SKIPPED and left is not None:
            left -= 1
        plan.queued_firings += outcome is FiringOutcome.QUEUED
        plan.firings.append(_run_of([time], outcome))
    if left == 0:
        plan.next_run_at = None
    return plan


def _due_times(schedule: Schedule, row: Row) -> tuple[list[datetime], datetime | None]:
    """Return the times that are due, at most MOST_TIMES, and the one that follows. Paused ones are left out."""
    start = row["next_run_at"] - _MICROSECOND
    if row["fires_after"] is not None:
        start = max(start, row["fires_after"])
    times = list(islice(_until(schedule, start, row["now"]), MOST_TIMES))
    return times, schedule.next(times[-1] if times else max(start, row["now"]))


def _until(schedule: Schedule, start: datetime, end: datetime) -> Iterator[datetime]:
    for time in schedule.times(start):
        if time > end:
            return
        yield time


def _choose(schedule: Schedule, due: Sequence[datetime], now: datetime, *, more: bool) -> list[datetime]:
    """Return those of the due times that are not missed for good; ``more`` says that others are due after them."""
    if schedule.catch_up is CatchUp.RUN_ALL:
        oldest = now - timedelta(milliseconds=schedule.catch_up_window_ms)
        return [time for time in due if time >= oldest]
    if more or not due or (schedule.catch_up is CatchUp.SKIP and due[-1] < now - GRACE):
        return []
    return [due[-1]]


def _while_busy(schedule: Schedule, plan: Plan, row: Row, time: datetime) -> FiringOutcome:
    """Return what becomes of a time at which an execution has not ended."""
    if schedule.catch_up is CatchUp.RUN_ALL and time < row["now"] - GRACE:
        return FiringOutcome.QUEUED
    if schedule.overlap is Overlap.QUEUE:
        return FiringOutcome.QUEUED
    if schedule.overlap is Overlap.CANCEL_RUNNING and row["state"] == JobState.RUNNING and not plan.queued_firings:
        plan.cancels = True
        return FiringOutcome.QUEUED
    return FiringOutcome.SKIPPED


def _run_of(times: Sequence[datetime], outcome: FiringOutcome) -> Firing:
    return Firing(times[0], outcome, times[-1], len(times))
