"""When a delivery that failed is tried again. Pure."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0
# Standard Webhooks: the first try at once, then after these times; three days in all.
DELAYS: Final = (
    *(5.0, 5 * MINUTE, 30 * MINUTE),
    *(2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR),
)
MOST_ATTEMPTS: Final = len(DELAYS) + 1
# Chance adds up to this share of a delay: what failed together does not come back all at once.
JITTER: Final = 0.2
LONGEST_RETRY_AFTER_SECONDS: Final = DAY


def delay_after(attempts: int, *, retry_after: float | None = None, chance: float | None = None) -> float | None:
    """Return the seconds until the next try after ``attempts`` that failed; None: give up.

    A receiver may ask for more time (``retry_after`` seconds, a day at most), not for less. ``chance`` is between 0
    and 1, a new one unless given.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    share = random.random() if chance is None else chance  # noqa: S311 - nobody gains by guessing it
    delay = DELAYS[attempts - 1] * (1 + JITTER * share)
    return max(delay, min(retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS))


def parse_retry_after(text: str | None, *, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for: a number, or a time, against ``now`` (seconds since
    1970); None when it says nothing that can be read.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), LONGEST_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.fromtimestamp(now, UTC)).total_seconds(), 0.0), LONGEST_RETRY_AFTER_SECONDS)
