"""Instants on the wire."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(instant: datetime) -> str:
    """Return ``instant`` as RFC 3339 in UTC with ``Z`` and whole seconds.

    jq's ``fromdateiso8601`` takes nothing else (design section 5.1).
    """
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
