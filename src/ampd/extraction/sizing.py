"""How missing blocks are cut into ranges for several workers (design section 7.1). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ampd.data_store.ranges import BlockRange

# Of a chain about which nothing is known yet. From range to range the size grows at most so many times.
FIRST_BLOCKS = 16
GROWTH = 4
# What a range has cost counts for so much of what is expected of the next one.
_WEIGHT = 0.5
# Where several work at once, each range is at most this share of what would fall to each: all end together.
_SHARES = 2


@dataclass(frozen=True)
class SizeLimits:
    """What one range may cost: about so many seconds of reading, and so many bytes in memory."""

    seconds: float
    bytes: int


class RangeSizer:
    """Tells how many blocks a range should have, by what the ranges before it have cost."""

    def __init__(self, limits: SizeLimits) -> None:
        self._limits = limits
        self._seconds_per_block = 0.0
        self._bytes_per_block = 0.0
        self._most_blocks = FIRST_BLOCKS

    def learn(self, *, blocks: int, size: int, seconds: float) -> None:
        """Take in what a range of ``blocks`` has cost: ``size`` bytes in memory, ``seconds`` of reading."""
        if blocks < 1:
            return
        weight = _WEIGHT if self._seconds_per_block or self._bytes_per_block else 1.0
        self._seconds_per_block += weight * (seconds / blocks - self._seconds_per_block)
        self._bytes_per_block += weight * (size / blocks - self._bytes_per_block)
        self._most_blocks = max(self._most_blocks, GROWTH * blocks)

    def blocks(self) -> int:
        """Return how many blocks the next range should have, at least 1."""
        wanted = float(self._most_blocks)
        if self._seconds_per_block > 0:
            wanted = min(wanted, self._limits.seconds / self._seconds_per_block)
        if self._bytes_per_block > 0:
            wanted = min(wanted, self._limits.bytes / self._bytes_per_block)
        return max(1, int(wanted))


def share_of(missing: Sequence[BlockRange], parallelism: int, blocks: int) -> int:
    """Return ``blocks``, or less when so few are missing that some of ``parallelism`` workers would get none."""
    if parallelism == 1:
        return blocks
    left = sum(end - start + 1 for start, end in missing)
    return max(1, min(blocks, max(FIRST_BLOCKS, -(-left // (_SHARES * parallelism)))))


def are_outgrown(planned: Sequence[BlockRange], left: Sequence[BlockRange], blocks: int) -> bool:
    """Tell whether ranges that nobody has yet (ascending) should be planned anew, out of all that is ``left``, since
    ranges should have ``blocks`` blocks by now: the first one would become twice as large, or more.
    """
    if not planned:
        return False
    ((start, end),) = cut(left, blocks=blocks, count=1)
    return start == planned[0][0] and end - start + 1 >= 2 * (planned[0][1] - start + 1)


def cut(missing: Iterable[BlockRange], *, blocks: int, count: int) -> list[BlockRange]:
    """Return the first ``count`` ranges of about ``blocks`` blocks each out of ``missing`` (ascending).

    A rest that is smaller than a quarter of a range belongs to the range before it.
    """
    cut_ranges: list[BlockRange] = []
    for start, end in missing:
        position = start
        while position <= end:
            if len(cut_ranges) >= count:
                return cut_ranges
            last = position + blocks - 1
            if end - last < blocks / 4:
                last = end
            cut_ranges.append((position, last))
            position = last + 1
    return cut_ranges
