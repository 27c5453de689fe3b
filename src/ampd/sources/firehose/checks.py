"""Are these the blocks that were asked for, whole and in order? What can be told without hashing.

Every failure names the block and what broke. All but a foreign chain are recoverable: another server may
send it rightly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.tables import FIREHOSE_TABLES
from ampd.errors import AmpError, ErrorCode
from ampd.sources.arrays import Indices, first_true, positions_within
from ampd.sources.firehose import byte_values
from ampd.sources.firehose.columns import Context

Numbers = Sequence[int]

_MOST_TOPICS = 4
_KNOWN_STATUSES = (1, 2, 3)
_NANOSECONDS = 1_000_000_000
_FIRST_EIP155_V = 35


def _refuse(code: ErrorCode, number: int, what: str, *, recoverable: bool = True) -> NoReturn:
    raise AmpError(code, f"block {number}: {what}", recoverable=recoverable, context={"block": number})


def _first_misnumbered(index: pa.UInt32Array, block: Indices) -> tuple[int | None, int]:
    """Return the position of the first element that is not numbered 0, 1, 2, … through its block, and the number that
    it should have; None: all are.
    """
    order = positions_within(block)
    position = first_true(np.asarray(index.to_numpy()) != order)
    return position, -1 if position is None else int(order[position])


def check_headers(blocks: pa.RecordBatch, header: pa.StructArray, numbers: Numbers) -> None:
    """Refuse blocks without a header, other blocks than those that were asked for, and headers of other blocks."""
    for position, number in enumerate(numbers):
        if not header[position].is_valid:
            _refuse(ErrorCode.NODE_ANSWER_MALFORMED, number, "the server sent it without a header")
        for source in (blocks.column("number"), header.field("number")):
            if source[position].as_py() != number:
                what = f"the server sent block {source[position]} instead of it"
                _refuse(ErrorCode.BLOCK_NUMBER_MISMATCH, number, what)
        if blocks.column("hash")[position].as_py() != header.field("hash")[position].as_py():
            _refuse(ErrorCode.NODE_ANSWER_MALFORMED, number, "it and its header have different hashes")
        time = header.field("timestamp")[position]
        if not time.is_valid or time.value % _NANOSECONDS or time.value < 0:
            _refuse(ErrorCode.NODE_ANSWER_MALFORMED, number, f"its time {time} is no whole second")


def check_links(blocks: pa.Table, numbers: Numbers) -> None:
    """Refuse consecutive blocks of which one does not name the other as its parent."""
    hashes, parents = blocks.column("hash").to_pylist(), blocks.column("parent_hash").to_pylist()
    for position in range(1, len(numbers)):
        if parents[position] != hashes[position - 1]:
            what = f"its parent hash is not the hash of block {numbers[position - 1]}: the server mixed two forks"
            _refuse(ErrorCode.PARENT_HASH_MISMATCH, numbers[position], what)


def check_order(index: pa.UInt32Array, block: Indices, numbers: Numbers) -> None:
    """Refuse transactions that are not numbered 0, 1, 2, … through their block."""
    position, place = _first_misnumbered(index, block)
    if position is not None:
        what = f"the transaction at place {place} says its index is {index[position]}"
        _refuse(ErrorCode.TRANSACTION_ORDER_MISMATCH, numbers[int(block[position])], what)


def check_receipts(receipts: pa.StructArray, block: Indices, numbers: Numbers) -> None:
    """Refuse transactions without a receipt."""
    position = first_true(~np.asarray(receipts.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_))
    if position is not None:
        number = numbers[int(block[position])]
        _refuse(ErrorCode.RECEIPTS_NOT_AVAILABLE, number, "the server sent a transaction without its receipt")


def check_log_indexes(index: pa.UInt32Array, block: Indices, numbers: Numbers) -> None:
    """Refuse logs that are not numbered 0, 1, 2, … through their block."""
    position, place = _first_misnumbered(index, block)
    if position is not None:
        what = f"the log at place {place} has log index {index[position]}: logs are missing or misnumbered"
        _refuse(ErrorCode.LOG_INDEX_MISMATCH, numbers[int(block[position])], what)


def check_call_order(index: pa.UInt32Array, transaction: Indices, block: Indices, numbers: Numbers) -> None:
    """Refuse calls that are not in the order of their indexes within a transaction: files say that they are."""
    values = np.asarray(index.to_numpy()).astype(np.int64)
    position = first_true((np.diff(values) < 0) & (np.diff(transaction) == 0))
    if position is not None:
        what = f"call {index[position + 1]} of a transaction comes after call {index[position]}"
        _refuse(ErrorCode.NODE_ANSWER_MALFORMED, numbers[int(block[position])], what)


def check_topics(topics: pa.ListArray, block: Indices, numbers: Numbers) -> None:
    """Refuse logs with more topics than there can be."""
    position = first_true(np.asarray(pc.list_value_length(topics).to_numpy()) > _MOST_TOPICS)
    if position is not None:
        _refuse(ErrorCode.NODE_ANSWER_MALFORMED, numbers[int(block[position])], "a log has more than four topics")


def check_signers(context: Context, numbers: Numbers) -> None:
    """Refuse transactions that were signed for another chain, and those whose outcome is not told."""
    transactions = context.transactions
    v = byte_values.uint64(transactions.field("v"))
    legacy = np.asarray(transactions.field("type").to_numpy()) == 0
    named = legacy & (v >= _FIRST_EIP155_V)
    chain = (v - np.uint64(_FIRST_EIP155_V)) // np.uint64(2)
    position = first_true(named & (chain != np.uint64(context.chain_id)))
    if position is not None:
        what = (
            f"transaction {transactions.field('index')[position]} was signed for chain {chain[position]}, and not for "
            f"{context.chain_id}: give the provider the URL of the right chain"
        )
        _refuse(ErrorCode.NETWORK_MISMATCH, numbers[int(transactions.block[position])], what, recoverable=False)
    told = np.isin(np.asarray(transactions.field("status").to_numpy()), _KNOWN_STATUSES)
    before_byzantium = pc.greater(pc.binary_length(context.receipts.field("state_root")), 0)
    position = first_true(~(told | np.asarray(before_byzantium.to_numpy(zero_copy_only=False))))
    if position is not None:
        what = f"the status of transaction {transactions.field('index')[position]} is not known"
        _refuse(ErrorCode.NODE_ANSWER_MALFORMED, numbers[int(transactions.block[position])], what)


def check_required_columns(tables: dict[str, pa.Table]) -> None:
    """Refuse blocks that leave out what the table schema requires."""
    for name, table in tables.items():
        for field in FIREHOSE_TABLES[name]:
            column = table.column(field.name)
            if field.nullable or not column.null_count:
                continue
            position = first_true(column.is_null().to_numpy())
            number = table.column("_block_num")[position].as_py()
            what = f"the server leaves out what column {name}.{field.name} needs"
            _refuse(ErrorCode.NODE_ANSWER_MALFORMED, number, what)
