"""Objects of several blocks, flattened into one array, and which block each belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from ampd.chain.hex_columns import decode_data, decode_uint64, decode_uint64s
from ampd.sources.arrays import Indices

# What is decoded together (:meth:`Rows.decode_uint64s`).
TRANSACTION_NUMBERS = ("transactionIndex", "type", "nonce", "gas", "v", "yParity", "chainId")
RECEIPT_NUMBERS = ("transactionIndex", "status", "gasUsed", "cumulativeGasUsed", "blobGasUsed")


@dataclass(frozen=True)
class Rows:
    """``objects`` in the order of their blocks; ``block`` gives the position of each one's block.

    Decoded keys are kept: what a check has decoded becomes a column without being decoded again.
    """

    objects: pa.StructArray
    block: Indices
    _decoded: dict[str, pa.Array] = field(default_factory=dict, repr=False, compare=False)

    def field(self, name: str) -> pa.Array:
        """Return one key of all objects, as text."""
        return self.objects.field(name)

    def decode_uint64s(self, *names: str) -> None:
        """Decode keys that :meth:`uint64` will be asked for, in one go."""
        self._decoded.update(zip(names, decode_uint64s(*map(self.field, names)), strict=True))

    def uint64(self, name: str) -> pa.UInt64Array:
        """Return a key that is QUANTITY below 2^64."""
        if name not in self._decoded:
            self._decoded[name] = decode_uint64(self.field(name))
        return self._decoded[name]

    def hashes(self, name: str) -> pa.FixedSizeBinaryArray:
        """Return a key that is DATA of 32 bytes."""
        if name not in self._decoded:
            self._decoded[name] = decode_data(self.field(name), 32)
        return self._decoded[name]

    def know(self, name: str, values: pa.Array) -> None:
        """Remember the values of a key that were decoded elsewhere, where the same text stands."""
        self._decoded[name] = values

    def __len__(self) -> int:
        return len(self.objects)
