"""The named options that both clients take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypedDict

VerifyMode = Literal["off", "sample", "full"]


class JobFilterOptions(TypedDict, total=False):
    """What listed jobs have in common.

    ``status``: active, terminal, all, or states with commas between. ``dataset``: ``namespace/name``. ``labels`` must
    all be there. ``created_after`` counts itself, ``created_before`` does not; both know their time zone.
    """

    status: str | None
    kind: str | None
    dataset: str | None
    worker_id: str | None
    labels: Mapping[str, str] | None
    created_after: datetime | None
    created_before: datetime | None


class RetryOptions(TypedDict, total=False):
    """How long to wait before a failed attempt is tried again: an exponential backoff in seconds.

    ``jitter`` is the share of a delay (0 to 1) that chance may take away.
    """

    initial_delay_secs: float
    multiplier: float
    max_delay_secs: float
    jitter: float


class ScheduleOptions(TypedDict, total=False):
    """When a job runs: once, at ``start_at``; or again and again, by ``cron`` in the time zone ``tz`` (IANA; UTC unless
    given) or ``every`` so many milliseconds, counted from ``start_at`` or from now.

    ``limit`` is how often it is run at most, no time lies after ``end_date``. Moments are datetimes that know their
    time zone, or milliseconds since 1970. ``overlap`` says what becomes of a time at which an execution has not ended,
    ``catch_up`` what becomes of those at which no controller ran (``run_all`` goes back ``catch_up_window_ms``, a day
    unless given).
    """

    start_at: datetime | int | None
    cron: str | None
    tz: str | None
    every: int | None
    limit: int | None
    end_date: datetime | int | None
    overlap: Literal["skip", "queue", "cancel_running"] | None
    catch_up: Literal["skip", "run_once", "run_all"] | None
    catch_up_window_ms: int | None
    pause_on_failure: bool | None
