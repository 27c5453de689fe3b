"""When a failed attempt is tried again (design section 4.4). Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff: delays in seconds, ``jitter`` as a share of the delay that chance may take away."""

    initial_delay: float = 1.0
    multiplier: float = 2.0
    max_delay: float = 300.0
    jitter: float = 0.25

    def delay(self, retry_count: int, chance: float) -> float:
        """Return the seconds to wait before retry number ``retry_count`` (from 1); ``chance`` lies in [0, 1)."""
        # The exponent is bounded so that a job that fails for years cannot overflow a float.
        exponent = min(retry_count - 1, 64)
        delay = min(self.initial_delay * self.multiplier**exponent, self.max_delay)
        return delay * (1 - self.jitter * chance)

    def to_json(self) -> dict[str, Any]:
        """Return the policy as a job keeps it."""
        return asdict(self)

    def changed_by(self, changes: dict[str, Any]) -> RetryPolicy:
        """Return the policy with what a job has asked for instead."""
        return replace(self, **changes) if changes else self


def may_retry(retries: int | None, retry_count: int) -> bool:
    """Tell whether another retry is allowed after ``retry_count`` of them; ``retries`` None means without limit."""
    return retries is None or retry_count < retries
