"""Objects of several blocks, flattened into one array, and which block each belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """``objects`` in the order of their blocks; ``block`` gives the position of each one's block."""

    objects: pa.StructArray
    block: Indices

    def field(self, name: str) -> pa.Array:
        """Return one key of all objects, as text."""
        return self.objects.field(name)

    def __len__(self) -> int:
        return len(self.objects)
