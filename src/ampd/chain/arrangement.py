"""Tables put in order for verification: rows to their blocks, logs to their transactions, in runs of blocks.

Tables that are as they should be are only looked at. Of others every disorder is reported, and the rows are put right
as far as they can be, so that the remaining checks say what else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.block_rows import BlockRows, Numbers, Rows, one_batch
from ampd.chain.byte_columns import Integers
from ampd.chain.commitments import Commitment, Findings, more_rows
from ampd.chain.tables import TABLES

# Enough for columns to pay off, few enough to stay in the processor's caches.
_RUN_BLOCKS: Final = 32

# Which check names rows that are not in the order of their blocks.
_ORDER: Final = {
    "transactions": Commitment.TRANSACTION_INDEX,
    "logs": Commitment.LOG_INDEX,
    "withdrawals": Commitment.WITHDRAWALS_ROOT,
}


def normal_tables(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Return the tables with the columns of :mod:`ampd.chain.tables`, in their order and types.

    Raises ``ValueError`` when there is no table ``blocks``, or a table lacks a column or has one of another kind.
    """
    if "blocks" not in tables:
        raise ValueError("verification needs the table blocks")
    return {name: _normal(name, tables[name]) for name in TABLES if tables.get(name) is not None}


def _normal(name: str, table: pa.Table) -> pa.Table:
    schema = TABLES[name]
    if table.schema.equals(schema) and not table.column("block_num").null_count:
        return table
    present = set(table.schema.names)
    missing = [column for column in schema.names if column not in present]
    if missing:
        raise ValueError(f"the table {name} has no column {missing[0]}")
    normal = table.select(schema.names)
    if normal.schema.types != schema.types:
        try:
            # Nulls where none should be are for the checks to find.
            normal = normal.cast(pa.schema([field.with_nullable(True) for field in schema]))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise ValueError(f"the table {name} has a column of another kind: {error}") from None
    if normal.column("block_num").null_count:
        raise ValueError(f"the table {name} has a row without block_num")
    return normal


def only_blocks(table: pa.Table, numbers: Numbers) -> pa.Table:
    """Return the rows of these blocks."""
    return table.filter(pc.is_in(table.column("block_num"), value_set=pa.array(numbers)))


def block_numbers(table: pa.Table) -> Numbers:
    """Return the column ``block_num``."""
    return np.asarray(table.column("block_num").to_numpy()).astype(np.uint64)


def order_blocks(table: pa.Table, findings: Findings) -> pa.Table:
    """Return the blocks ascending and each once; report those that are not so in ``table``."""
    numbers = block_numbers(table)
    wrong = np.flatnonzero(numbers[1:] <= numbers[:-1])
    if not len(wrong):
        return table
    for place in wrong.tolist():
        number, before = int(numbers[place + 1]), int(numbers[place])
        findings.broken(number, Commitment.BLOCK_ORDER, f"its row follows that of block {before}")
    _, firsts = np.unique(numbers, return_index=True)
    return table.take(pa.array(firsts))


def runs_of_blocks(tables: Mapping[str, pa.Table], findings: Findings) -> Iterator[BlockRows]:
    """Give the blocks in runs, with the rows of each. The table blocks must be in order already."""
    headers = tables["blocks"]
    numbers = block_numbers(headers)
    owned = {
        name: _rows_of_blocks(name, tables[name], numbers, findings)
        for name in ("transactions", "logs", "withdrawals")
        if name in tables
    }
    for start in range(0, len(numbers), _RUN_BLOCKS):
        end = min(start + _RUN_BLOCKS, len(numbers))
        rows = {name: _rows_between(table, positions, start, end) for name, (table, positions) in owned.items()}
        blocks = BlockRows(
            numbers=numbers[start:end],
            headers=one_batch(headers.slice(start, end - start)),
            transactions=rows.get("transactions"),
            logs=rows.get("logs"),
            withdrawals=rows.get("withdrawals"),
            findings=findings,
        )
        yield _follow_transactions(blocks)


def _rows_of_blocks(name: str, table: pa.Table, numbers: Numbers, findings: Findings) -> tuple[pa.Table, Integers]:
    """Return the rows of ``table`` that belong to the blocks, in the order of the blocks, and each one's block.

    Rows of other blocks and rows out of order are reported.
    """
    own = block_numbers(table)
    positions = np.searchsorted(numbers, own)
    known = positions < len(numbers)
    known[known] = numbers[positions[known]] == own[known]
    if not known.all():
        strangers, counts = np.unique(own[~known], return_counts=True)
        for number, count in zip(strangers.tolist(), counts.tolist(), strict=True):
            what = f"{name} has {count} rows of this block, blocks has no row of it"
            findings.broken(number, Commitment.ROW_LINKS, what)
        table, positions = table.filter(pa.array(known)), positions[known]
    wrong = np.flatnonzero(positions[1:] < positions[:-1])
    if len(wrong):
        place = int(wrong[0])
        after, number = (int(numbers[positions[at]]) for at in (place, place + 1))
        findings.broken(number, _ORDER[name], f"a row of {name} follows one of block {after}" + more_rows(len(wrong)))
        order = np.argsort(positions, kind="stable")
        table, positions = table.take(pa.array(order)), positions[order]
    return table, positions.astype(np.int64)


def _rows_between(table: pa.Table, positions: Integers, start: int, end: int) -> Rows:
    first, last = np.searchsorted(positions, [start, end]).tolist()
    block = positions[first:last] - start
    return Rows(one_batch(table.slice(first, last - first)), block, _starts(block, end - start))


def _starts(block: Integers, blocks: int) -> Integers:
    return np.searchsorted(block, np.arange(blocks + 1)).astype(np.int64)


def _follow_transactions(blocks: BlockRows) -> BlockRows:
    """Return ``blocks`` with logs in the order of their transactions; report logs that are not, or have none."""
    logs, transactions = blocks.logs, blocks.transactions
    if logs is None or transactions is None:
        return blocks
    indices = logs.numbers("tx_index")
    lost = indices >= transactions.counts[logs.block].astype(np.uint64)
    out_of_order = np.zeros(len(logs), dtype=np.bool_)
    out_of_order[1:] = (indices[1:] < indices[:-1]) & (logs.block[1:] == logs.block[:-1])
    if not lost.any() and not out_of_order.any():
        return blocks

    def of_no_transaction(row: int) -> str:
        return f"log {logs.within[row]} is of transaction {indices[row]}, which the block does not have"

    def before_another(row: int) -> str:
        return f"log {logs.within[row]} is of transaction {indices[row]}, the log before it of {indices[row - 1]}"

    blocks.note(logs, lost, Commitment.ROW_LINKS, of_no_transaction)
    blocks.note(logs, out_of_order, Commitment.LOG_INDEX, before_another)
    order = np.lexsort((indices, logs.block))
    order = order[~lost[order]]
    block = logs.block[order]
    in_order = Rows(logs.batch.take(pa.array(order)), block, _starts(block, len(blocks.numbers)))
    return replace(blocks, logs=in_order)
