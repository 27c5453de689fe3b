"""Rows that are new in a table whose ids ascend, however late their transactions commit.

An id is given when a row is written, and the row is seen when its transaction has committed: a smaller id may come into
sight after a larger one. So a reader looks again behind an id up to which nothing can come any more, and leaves out
what it has seen. That id is the largest one of an earlier look, once all transactions have ended that were under way
then: PostgreSQL tells the oldest that is still running. Each look takes a transaction number of its own for that. What
snapshots call xmax would not do: numbers above the last one that has ended may be at work already.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# So many rows behind the settled ones are looked at; who has written more is said to have changed everything.
MOST_ROWS: Final = 3000
# The first look begins so many before the largest id: what comes before it late is missed.
FIRST_ROWS: Final = 1000
# No transaction of ours lasts longer (see ampd.metadata_db.pool.TRANSACTION_SECONDS). Others that last for hours must
# not hold the reader up.
_SETTLED_SECONDS: Final = 35.0


@dataclass(frozen=True)
class LatePage:
    """What a look has found: the ids behind the settled one, ascending, :data:`MOST_ROWS` + 1 at most; the largest id
    of all (0: there is none); the oldest transaction that was running, and the look's own, whose number is larger than
    that of any that had written one of these ids.
    """

    ids: Sequence[int]
    newest: int
    oldest_running: int
    next_transaction: int

    @classmethod
    def of(cls, row: Mapping[str, Any], ids: Iterable[int]) -> LatePage:
        """Return what the statement of a look has given: ``ids`` in any order, the rest in the columns of its row."""
        return cls(sorted(ids), row["newest"], row["oldest_running"], row["next_transaction"])


@dataclass(frozen=True)
class _Mark:
    newest: int
    next_transaction: int
    at: float


class LateIds:
    """What one reader has seen of a table."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._settled: int | None = None
        self._seen: set[int] = set()
        self._marks: deque[_Mark] = deque()

    @property
    def bounds(self) -> dict[str, int | None]:
        """The parameters of the statement of a look."""
        return {"after_id": self._settled, "first_rows": FIRST_ROWS, "most_rows": MOST_ROWS}

    @property
    def after(self) -> int | None:
        """The id behind which to look; None at the first look: :data:`FIRST_ROWS` before the largest one."""
        return self._settled

    def take(self, page: LatePage) -> frozenset[int] | None:
        """Return the ids that are new since the last look: none at the first one; None: too many to tell."""
        first = self._settled is None
        if self._settled is None:
            self._settled = max(0, page.newest - FIRST_ROWS)
        fresh = frozenset(page.ids) - self._seen
        is_whole = len(page.ids) <= MOST_ROWS
        self._settle(page)
        self._seen = {each for each in self._seen.union(page.ids) if each > self._settled}
        if first:
            return frozenset()
        return fresh if is_whole or not fresh else None

    def _settle(self, page: LatePage) -> None:
        """Go on to the largest id of an earlier look when nothing can come before it any more.

        A row gets its id a moment before its transaction gets its number: so that look is not the last one.
        """
        now = self._clock()
        while len(self._marks) > 1 and self._is_over(self._marks[0], page, now):
            self._settled = self._marks.popleft().newest
        self._marks.append(_Mark(page.newest, page.next_transaction, now))

    def _is_over(self, mark: _Mark, page: LatePage, now: float) -> bool:
        return mark.next_transaction <= page.oldest_running or now - mark.at > _SETTLED_SECONDS
