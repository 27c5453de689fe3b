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
