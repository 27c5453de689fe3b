"""Arithmetic of block ranges. A range is a pair (start, end), both ends included. Pure."""

from __future__ import annotations

from collections.abc import Iterable

BlockRange = tuple[int, int]


def merge(ranges: Iterable[BlockRange]) -> list[BlockRange]:
    """Return the same blocks as sorted ranges that neither overlap nor touch."""
    merged: list[BlockRange] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def subtract(wanted: BlockRange, present: Iterable[BlockRange]) -> list[BlockRange]:
    """Return the parts of ``wanted`` that ``present`` does not cover, ascending."""
    missing: list[BlockRange] = []
    position, last = wanted
    for start, end in merge(present):
        if start > last:
            break
        if start > position:
            missing.append((position, start - 1))
        position = max(position, end + 1)
    if position <= last:
        missing.append((position, last))
    return missing


def intersect(left: Iterable[BlockRange], right: Iterable[BlockRange]) -> list[BlockRange]:
    """Return the blocks that both cover."""
    others = merge(right)
    common = []
    for start, end in merge(left):
        common += [
            (max(start, other[0]), min(end, other[1])) for other in others if other[0] <= end and other[1] >= start
        ]
    return common
