"""How many bytes of rows the ranges of one worker have in memory, from their reading to their commit."""

from __future__ import annotations

from collections import Counter

# More than two ranges of the usual largest size have, so that one slot alone is never held up: one of its ranges is
# written while the next one is read.
MOST_BYTES = 320 * 1024 * 1024


class Collected:
    """Tells when a range should be written before it is complete, because all ranges together have ``most_bytes``."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes: Counter[object] = Counter()

    def add(self, reading: object, size: int) -> bool:
        """Take note that a range has so many bytes more; True when it should be written now: there is too much, and it
        has its share of that. Small ranges are left to grow, for the sake of the files.
        """
        self._bytes[reading] += size
        is_too_much = self._bytes.total() > self._most_bytes
        return is_too_much and self._bytes[reading] * 2 * len(self._bytes) >= self._most_bytes

    def forget(self, reading: object) -> None:
        """Take note that what a range had has been written, or dropped."""
        del self._bytes[reading]
