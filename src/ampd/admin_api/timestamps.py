"""Instants on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(instant: datetime) -> str:
    """Return ``instant`` as RFC 3339 in UTC with ``Z`` and whole seconds.

    jq's ``fromdateiso8601`` takes nothing else (design section 5.1).
    """
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(instant: datetime) -> int:
    """Return ``instant`` as milliseconds since the epoch."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def both_forms(name: str, instant: datetime | None) -> dict[str, Any]:
    """Return the two fields that show ``instant``: ``name`` as text and ``name``_ms as a number, or nulls."""
    if instant is None:
        return {name: None, f"{name}_ms": None}
    return {name: rfc3339(instant), f"{name}_ms": milliseconds(instant)}
