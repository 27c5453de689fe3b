"""Which processes of ampd may use the database right now, and of which version they are.

Workers are known by their heartbeats. All processes, controllers too, are known by their sessions: each carries the
version and the name of its process, so that nobody has to keep a table of them that would outlive a kill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from ampd.metadata_db.migration_files import is_older
from ampd.metadata_db.queries import sql


@dataclass(frozen=True)
class LiveProcess:
    """A process that is at work; ``version`` is None when it does not say."""

    name: str
    version: str | None

    def __str__(self) -> str:
        return f"{self.name} (ampd {self.version.removeprefix('v') if self.version else 'of an unknown version'})"


def live_processes(connection: psycopg.Connection[Any], *, lease_seconds: float) -> list[LiveProcess]:
    """Return the processes that use the database of ``connection``, by name.

    Sessions of other accounts of PostgreSQL are seen only with its role ``pg_read_all_stats``.
    """
    there = connection.execute("SELECT to_regclass('workers') IS NOT NULL").fetchone()
    rows = list(connection.execute(sql("metadata_db", "list_processes")))
    known = {row[0] for row in rows}
    if there and there[0]:
        beating = connection.execute(sql("metadata_db", "list_beating_workers"), {"lease_seconds": lease_seconds})
        rows += [row for row in beating if row[0] not in known]  # a session tells the version more exactly
    return sorted({LiveProcess(*row) for row in rows}, key=str)


def older_than(processes: list[LiveProcess], oldest_version: str) -> list[LiveProcess]:
    """Return those that do not work with what needs ``oldest_version``."""
    return [each for each in processes if is_older(each.version, oldest_version)]
