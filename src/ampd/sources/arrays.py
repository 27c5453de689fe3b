"""What every source does with rows of several blocks, flattened into arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Indices = npt.NDArray[np.int64]


def first_true(flags: npt.NDArray[np.bool_]) -> int | None:
    """Return the first position where ``flags`` holds."""
    return int(np.argmax(flags)) if flags.any() else None


def positions_within(groups: Indices) -> Indices:
    """Return each element's position within its group; the groups ascend."""
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[starts, len(groups)])
    return np.arange(len(groups)) - np.repeat(starts, lengths)


def or_zeros(column: pa.FixedSizeBinaryArray) -> pa.FixedSizeBinaryArray:
    """Return ``column`` with zero bytes for null."""
    return column.fill_null(bytes(column.type.byte_width)) if column.null_count else column


def spread_topics(topics: pa.Array, lengths: npt.NDArray[np.integer]) -> dict[str, pa.Array]:
    """Spread up to four topics of each log over the columns ``topic0`` to ``topic3``.

    ``topics`` are those of all logs (``fixed_size_binary(32)``), one log after the other; ``lengths`` says how many
    each log has.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    columns = {}
    for place in range(4):
        indices = pa.array(starts + place, mask=lengths <= place)
        columns[f"topic{place}"] = topics.take(indices) if len(topics) else pa.nulls(len(lengths), pa.binary(32))
    return columns
