"""The named options that both clients take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypedDict

VerifyMode = Literal["off", "sample", "full"]
# A datetime that knows its time zone, milliseconds since 1970, or text: RFC 3339.
Moment = datetime | int | str


class JobCriteria(TypedDict, total=False):
    """Which jobs are meant; all that is given must hold. What is None asks for nothing.

    ``status``: scheduled, queued, running, completed, failed, cancelled, paused, a state of the Admin API, or active,
    terminal, all; several in a list, or with commas between. ``namespace`` is another word for ``kind``; ``product``
    and ``env`` are labels. ``dataset``: ``namespace/name``. ``worker_id``: that has them, or had them last. ``from_``
    and ``to`` are about the time at which a job was created: the first counts itself, the second does not.
    """

    status: str | Sequence[str] | None
    recurring: bool | None
    product: str | None
    env: str | None
    namespace: str | None
    kind: str | None
    labels: Mapping[str, str] | None
    dataset: str | None
    dataset_namespace: str | None
    worker_id: str | None
    from_: Moment | None
    to: Moment | None


class JobFilterOptions(JobCriteria, total=False):
    """Which jobs are listed: as in :class:`JobCriteria`. ``created_after`` and ``created_before`` are older names of
    ``from_`` and ``to``, and take datetimes alone.
    """

    created_after: datetime | None
    created_before: datetime | None


class JobSelection(JobCriteria, total=False):
    """Which jobs a call about many is for: as in :class:`JobCriteria`, or by their ``job_ids``.

    Without a ``status`` it is for those that it can be meant for. When nothing at all is given, ``all`` must be True.
    ``dry_run``: only tell how many there are.
    """

    job_ids: Sequence[int | str] | None
    all: bool
    dry_run: bool


class CreateOptions(TypedDict, total=False):
    """What else is said of a new job; what is left out is as the Admin API has it.

    ``product`` and ``env`` are ``labels``. ``retries``: how often a failure that may pass is tried again, None without
    limit; ``retry_policy`` says how long to wait between the tries. It runs now, unless ``start_at`` or a ``schedule``
    say when. The higher ``priority`` is placed first. ``depends_on``: ids of jobs or references of datasets that must
    have completed before. ``worker``: the id of the one that must run it, or a prefix and ``*``. The same
    ``idempotency_key`` with the same content is the same job.
    """

    labels: Mapping[str, str]
    product: str | None
    env: str | None
    retries: int | None
    retry_policy: RetryOptions | None
    schedule: ScheduleOptions | None
    start_at: Moment | None
    priority: int
    depends_on: Sequence[int | str]
    worker: str | None
    idempotency_key: str | None


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
    time zone, milliseconds since 1970, or RFC 3339. ``overlap`` says what becomes of a time at which an execution has
    not ended, ``catch_up`` what becomes of those at which no controller ran (``run_all`` goes back
    ``catch_up_window_ms``, a day unless given).
    """

    start_at: Moment | None
    cron: str | None
    tz: str | None
    every: int | None
    limit: int | None
    end_date: Moment | None
    overlap: Literal["skip", "queue", "cancel_running"] | None
    catch_up: Literal["skip", "run_once", "run_all"] | None
    catch_up_window_ms: int | None
    pause_on_failure: bool | None
