"""The rows of some blocks, and which of them belong together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ampd.chain.amounts import Amounts
from ampd.chain.byte_columns import Integers, Mask
from ampd.chain.commitments import Commitment, Findings, Values, more_rows

Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Rows:
    """Rows of one table in the order of their blocks.

    ``block`` is the position of each row's block; the rows of block ``i`` are ``starts[i]`` to ``starts[i + 1]``.
    """

    batch: pa.RecordBatch
    block: Integers
    starts: Integers

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def column(self, name: str) -> pa.Array:
        """Return a column."""
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, pa.Array]:
        return dict(zip(self.batch.schema.names, self.batch.columns, strict=True))

    def extra_of(self, row: int) -> dict[str, Any]:
        """Return what ``extra`` keeps of a row."""
        return _object(self.column("extra")[row].as_py())

    def numbers(self, name: str) -> Numbers:
        """Return a column of unsigned integers; null becomes 0."""
        column = self.column(name)
        return np.asarray((column.fill_null(0) if column.null_count else column).to_numpy()).astype(np.uint64)

    @cached_property
    def kinds(self) -> Integers:
        """The column ``type``; null becomes -1."""
        column = self.column("type")
        return np.asarray(column.fill_null(-1).to_numpy()).astype(np.int64)

    def amounts(self, name: str) -> Amounts:
        """Return the amounts of a column and its ``_raw`` column."""
        return Amounts.of(self.column(name), self.column(f"{name}_raw"))

    @cached_property
    def within(self) -> Integers:
        """The position of each row within its block."""
        return np.arange(len(self.block)) - self.starts[self.block]

    @property
    def counts(self) -> Integers:
        """How many rows each block has."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class BlockRows:
    """Some blocks, ascending, what belongs to them, and what was found. A table that is not there is None.

    A block is named by its position among them.
    """

    numbers: Numbers
    headers: pa.RecordBatch
    transactions: Rows | None
    logs: Rows | None
    withdrawals: Rows | None
    findings: Findings

    @cached_property
    def log_transactions(self) -> Integers:
        """The row in ``transactions`` of each log's transaction."""
        if self.logs is None or self.transactions is None:
            return np.zeros(0, dtype=np.int64)
        return self.transactions.starts[self.logs.block] + self.logs.numbers("tx_index").astype(np.int64)

    @cached_property
    def header_values(self) -> list[dict[str, Any]]:
        """The columns of each block as Python values, without its timestamp."""
        values: list[dict[str, Any]] = self.headers.drop_columns(["timestamp"]).to_pylist()
        return values

    @cached_property
    def extras(self) -> list[dict[str, Any]]:
        """What ``extra`` keeps of each block."""
        return [_object(values["extra"]) for values in self.header_values]

    def has_extra(self, key: str) -> Mask:
        """Tell of which blocks ``extra`` keeps something under this key."""
        return np.array([extra.get(key) is not None for extra in self.extras], dtype=np.bool_)

    def number_of(self, block: int) -> int:
        """Return the number of the block at this position."""
        return int(self.numbers[block])

    def broken(
        self, block: int, commitment: Commitment, detail: str, values: Values | None = None, *, row: int | None = None
    ) -> None:
        """Note that ``commitment`` does not hold for the block at this position."""
        self.findings.broken(self.number_of(block), commitment, detail, values, row=row)

    def unknown(self, block: int, commitment: Commitment, reason: str) -> None:
        """Note that ``commitment`` cannot be recomputed for the block at this position."""
        self.findings.unknown(self.number_of(block), commitment, reason)

    def note(
        self,
        rows: Rows,
        bad: Mask,
        commitment: Commitment,
        describe: Callable[[int], str],
        values: Callable[[int], Values] | None = None,
    ) -> None:
        """Note ``commitment`` once for each block with a bad row; ``describe`` tells of the first such row, ``values``
        what it states and what was computed.
        """
        if not bad.any():
            return
        (places,) = np.nonzero(bad)
        owners, firsts, counts = np.unique(rows.block[places], return_index=True, return_counts=True)
        for block, first, count in zip(owners.tolist(), firsts.tolist(), counts.tolist(), strict=True):
            row = int(places[first])
            both = None if values is None else values(row)
            self.broken(block, commitment, describe(row) + more_rows(count), both, row=int(rows.within[row]))


def _object(text: str | None) -> dict[str, Any]:
    """Return the JSON object that an ``extra`` column holds; empty when it is null or something else."""
    try:
        value = json.loads(text) if text else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """Return all rows as one batch."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if len(batches) == 1 else pa.RecordBatch.from_pylist(table.to_pylist(), schema=table.schema)
