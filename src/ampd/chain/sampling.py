"""How much of what comes in is verified, and which blocks a sample takes. Pure."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Any, Final

# Of each batch the sample takes the first block, the last one, and one in so many of those between, by chance.
_ONE_IN: Final = 16
# A call of `verify_blocks` costs as much as two blocks: of so few there is nothing to be saved.
_WHOLE: Final = 4


class VerifyMode(StrEnum):
    """Which blocks of an extraction are verified."""

    OFF = "off"
    SAMPLE = "sample"
    """The ends of each batch and a random share; all blocks of small batches, as they come at the chain's tip."""
    FULL = "full"

    @classmethod
    def parse(cls, value: Any) -> VerifyMode:
        """Read a mode, or the booleans of the reference system's clients: true is full, false is off.

        :raises ValueError: for anything else.
        """
        if isinstance(value, bool):
            return cls.FULL if value else cls.OFF
        if isinstance(value, str) and value in tuple(cls):
            return cls(value)
        raise ValueError("want off, sample or full (or false for off, true for full)")


DEFAULT_MODE: Final = VerifyMode.SAMPLE


def sampled_blocks(start_block: int, end_block: int, chance: random.Random) -> list[int]:
    """Return the blocks of a sample of the batch, ascending; both ends are in the batch and in the sample."""
    inner = range(start_block + 1, end_block)
    if len(inner) + 2 <= _WHOLE:
        return list(range(start_block, end_block + 1))
    chosen = chance.sample(inner, -(-len(inner) // _ONE_IN))
    return sorted([start_block, end_block, *chosen])
