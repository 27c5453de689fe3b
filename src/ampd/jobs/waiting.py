"""What a job that is SCHEDULED waits for: said once, for all statements that tell it."""

from __future__ import annotations

from typing import LiteralString

from ampd.metadata_db import sql


def with_waiting(operation: str) -> LiteralString:
    """Return a statement of this room, with the branches of its CASE that tell what a job waits for."""
    statement = sql("jobs", operation).replace("{waits_for_time}", sql("jobs", "waits_for_time"))
    return statement.replace("{waits_for_worker}", sql("jobs", "waits_for_worker"))
