"""Instants on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_OF_A_DAY: Final = 86_400_000


def rfc3339(instant: datetime) -> str:
    """Return ``instant`` as RFC 3339 in UTC with ``Z`` and whole seconds.

    jq's ``fromdateiso8601`` takes nothing else (design section 5.1).
    """
    # strftime does the same in ten times the time: a page of jobs has hundreds of them.
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def milliseconds(instant: datetime) -> int:
    """Return ``instant`` as milliseconds since the epoch."""
    since = instant - _EPOCH
    return since.days * _MILLISECONDS_OF_A_DAY + since.seconds * 1000 + since.microseconds // 1000


def both_forms(name: str, instant: datetime | None) -> dict[str, Any]:
    """Return the two fields that show ``instant``: ``name`` as text and ``name``_ms as a number, or nulls."""
    if instant is None:
        return {name: None, f"{name}_ms": None}
    return {name: rfc3339(instant), f"{name}_ms": milliseconds(instant)}
