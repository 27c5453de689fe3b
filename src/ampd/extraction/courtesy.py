"""When a range is left to a worker that has fewer of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Everybody looks once in one look: who has not come in two cannot, or will not.
_LOOKS: Final = 2
_FIRST_REST_LOOKS: Final = 4
_LONGEST_REST_LOOKS: Final = 60


@dataclass
class _Offer:
    """Made ``since`` then; not made again for ``rest`` when nobody comes (seconds)."""

    since: float
    rest: float


class Courtesy:
    """Leaves ranges to others, by job: for two looks, of ``look_seconds``. When nobody has come by then, whoever has
    fewer ranges seems to be unable to help: the next offers are made ever more rarely. Times are monotonic seconds.
    """

    def __init__(self, look_seconds: float) -> None:
        self._look_seconds = look_seconds
        self._offers: dict[int, _Offer] = {}

    def leaves(self, job_id: int, *, now: float) -> bool:
        """Tell whether a range of a job, of which another worker has fewer, is left to that now."""
        offer = self._offers.setdefault(job_id, _Offer(now, _FIRST_REST_LOOKS * self._look_seconds))
        over = offer.since + _LOOKS * self._look_seconds
        if now >= over + offer.rest:
            longest = _LONGEST_REST_LOOKS * self._look_seconds
            self._offers[job_id] = _Offer(now, min(2 * offer.rest, longest))
            return True
        return now < over

    def forget(self, job_id: int) -> None:
        """Nobody has fewer ranges of a job, or it has none to be had: the next offer is a new one."""
        self._offers.pop(job_id, None)
