"""The blooms of receipts and blocks: 2,048 bits, three of them set by each address and topic (yellow paper, 4.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ampd.chain.byte_columns import Bytes, Integers, matrix_of, valid_mask
from ampd.chain.keccak import keccak256

BLOOM_BYTES: Final = 256
_BITS: Final = 8 * BLOOM_BYTES
_BITS_PER_VALUE: Final = 3
# Contracts and events repeat from block to block. This many of them cost about 20 MB.
_REMEMBERED_VALUES: Final = 65_536


def log_blooms(columns: Sequence[pa.FixedSizeBinaryArray], owners: Integers, count: int) -> Bytes:
    """Return ``count`` blooms as rows (count, 256).

    ``columns`` are the addresses and topics of logs, null where a log has none; ``owners`` says to which bloom each log
    belongs.
    """
    blooms = np.zeros(count * BLOOM_BYTES, dtype=np.uint8)
    for column in columns:
        valid = valid_mask(column)
        bits = _bits_of(column.drop_null() if column.null_count else column)
        places = owners[valid][:, None] * BLOOM_BYTES + (BLOOM_BYTES - 1 - bits // 8)
        np.bitwise_or.at(blooms, places.reshape(-1), (1 << bits % 8).astype(np.uint8).reshape(-1))
    return blooms.reshape(count, BLOOM_BYTES)


def _bits_of(column: pa.FixedSizeBinaryArray) -> npt.NDArray[np.int64]:
    """Return the numbers of the bits that each value sets, (n, 3)."""
    encoded = column.dictionary_encode()
    values = matrix_of(encoded.dictionary)
    data, width = values.tobytes(), values.shape[1]
    pairs = b"".join([_leading_pairs(data[start : start + width]) for start in range(0, len(data), width)])
    bits = np.frombuffer(pairs, dtype=">u2").astype(np.int64).reshape(-1, _BITS_PER_VALUE) % _BITS
    places: Integers = encoded.indices.to_numpy()
    return bits[places]


@lru_cache(maxsize=_REMEMBERED_VALUES)
def _leading_pairs(value: bytes) -> bytes:
    return keccak256(value)[: 2 * _BITS_PER_VALUE]
