"""Cases of query plans are written down here: what is done, and the most rows that each of its statements may read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from support.many_jobs import (
    HELD,
    SLOTS,
    WORKERS,
)
from support.query_plans import Engine

FREE = WORKERS * SLOTS - HELD
PAGE = 51  # 50 jobs, and one to know whether there are more

# Rows read for each job, lease or event that a statement is about: the row itself, what is given, and each look at
# what the parts of the statement hand on to each other.
TRANSITION = 18  # the rows of the transition table too, of which stops have the most
ASSIGN = 7
UNASSIGN = 8
STARTED = 3  # the job, its execution, its attempts
DELETE = 8
RETRY = 10
# Workers and heartbeats are read whole, and what each worker has: entries of an index, and rows.
WORKERS_AND_HELD = 2 * HELD + 4 * WORKERS
# A job of a list, its few dependencies with the jobs that they name, and live workers until one fits.
LISTED = 4 * PAGE + WORKERS


@dataclass(frozen=True)
class Case:
    act: Callable[[Engine], Awaitable[Any]]
    most_rows: dict[str, int]


CASES: dict[str, Case] = {}


def reads(**most_rows: int) -> Callable[[Callable[[Engine], Awaitable[Any]]], Callable[[Engine], Awaitable[Any]]]:
    """Make a case of what is decorated: its statements, and the most rows that each may read."""

    def register(act: Callable[[Engine], Awaitable[Any]]) -> Callable[[Engine], Awaitable[Any]]:
        CASES[act.__name__.replace("_", " ")] = Case(act, most_rows)
        return act

    return register
