"""What rows must agree with before anything is hashed: order, links between tables, the rules of the tables."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.block_rows import BlockRows, Rows
from ampd.chain.byte_columns import Bytes, Mask, matrix_of, valid_mask
from ampd.chain.commitments import Commitment, Values, hex_text
from ampd.chain.tables import TABLES

_INDEX: Final = {
    "transactions": ("tx_index", Commitment.TRANSACTION_INDEX),
    "logs": ("log_index", Commitment.LOG_INDEX),
}
_TOPICS: Final = ("topic0", "topic1", "topic2", "topic3")


def check_rows(blocks: BlockRows) -> None:
    """Check TRANSACTION_INDEX, LOG_INDEX, ROW_LINKS and COLUMN_RULES."""
    positions = np.arange(len(blocks.numbers))
    own = Rows(blocks.headers, positions, np.arange(len(blocks.numbers) + 1))
    tables = {
        "blocks": own,
        "transactions": blocks.transactions,
        "logs": blocks.logs,
        "withdrawals": blocks.withdrawals,
    }
    for name, rows in tables.items():
        if rows is None:
            continue
        _check_rules(name, blocks, rows)
        if name in _INDEX:
            _check_index(name, blocks, rows)
        if rows is not own:
            _check_block_links(name, blocks, rows)
    if blocks.logs is not None:
        _check_topics(blocks, blocks.logs)
        if blocks.transactions is not None:
            _check_transaction_links(blocks, blocks.transactions, blocks.logs)


def _check_rules(name: str, blocks: BlockRows, rows: Rows) -> None:
    """Refuse nulls where none may be, a second block number that differs, and amounts that stand in both columns."""

    def note(bad: Mask, what: str) -> None:
        blocks.note(rows, bad, Commitment.COLUMN_RULES, lambda row: f"{name} row {rows.within[row]}: {what}")

    for field in TABLES[name]:
        column = rows.column(field.name)
        if not field.nullable and column.null_count:
            note(~valid_mask(column), f"{field.name} is null")
        raw = f"{field.name}_raw"
        if raw in TABLES[name].names and rows.column(raw).null_count < len(rows):
            note(valid_mask(column) & valid_mask(rows.column(raw)), f"{field.name} and {raw} are both there")
    note(rows.numbers("_block_num") != rows.numbers("block_num"), "_block_num is not block_num")


def _check_index(name: str, blocks: BlockRows, rows: Rows) -> None:
    column, commitment = _INDEX[name]
    stated = rows.numbers(column)

    def describe(row: int) -> str:
        return f"the row at place {rows.within[row]} has {column} {stated[row]}"

    bad = stated != rows.within.astype(np.uint64)
    blocks.note(rows, bad, commitment, describe, lambda row: (stated[row], rows.within[row]))


def _check_block_links(name: str, blocks: BlockRows, rows: Rows) -> None:
    hashes = matrix_of(blocks.headers.column("hash"))[rows.block]
    stated = matrix_of(rows.column("block_hash"))

    def wrong_hash(row: int) -> str:
        return (
            f"{name} row {rows.within[row]} names block {hex_text(stated[row].tobytes())}, its block's hash is another"
        )

    bad = (hashes != stated).any(axis=1)
    blocks.note(rows, bad, Commitment.ROW_LINKS, wrong_hash, lambda row: _hex_values(stated, hashes, row))
    times = _nanoseconds(blocks.headers.column("timestamp"))[rows.block]
    own_times = _nanoseconds(rows.column("timestamp"))

    def wrong_time(row: int) -> str:
        return f"{name} row {rows.within[row]} has the time {own_times[row]} ns, its block {times[row]} ns"

    bad = times != own_times
    blocks.note(rows, bad, Commitment.ROW_LINKS, wrong_time, lambda row: (own_times[row], times[row]))


def _nanoseconds(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray(pc.fill_null(column.cast(pa.int64()), -1).to_numpy())


def _check_topics(blocks: BlockRows, logs: Rows) -> None:
    topics = [valid_mask(logs.column(name)) for name in _TOPICS]
    gaps = np.any([later & ~earlier for earlier, later in pairwise(topics)], axis=0)

    def describe(row: int) -> str:
        return f"log {logs.within[row]} has a topic after one that is null"

    blocks.note(logs, gaps, Commitment.COLUMN_RULES, describe)


def _check_transaction_links(blocks: BlockRows, transactions: Rows, logs: Rows) -> None:
    hashes = matrix_of(transactions.column("tx_hash"))[blocks.log_transactions]
    stated = matrix_of(logs.column("tx_hash"))

    def describe(row: int) -> str:
        return f"log {logs.within[row]} names {hex_text(stated[row].tobytes())}, the hash of its transaction is another"

    bad = (hashes != stated).any(axis=1)
    blocks.note(logs, bad, Commitment.ROW_LINKS, describe, lambda row: _hex_values(stated, hashes, row))


def _hex_values(stated: Bytes, computed: Bytes, row: int) -> Values:
    return hex_text(stated[row].tobytes()), hex_text(computed[row].tobytes())
