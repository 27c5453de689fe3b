"""Is this answer the chain's? What can be told without hashing (extraction rules 1 to 4): counts, order, links, block
hashes.

Every failure names the block and what broke. All are recoverable: another try, or another endpoint, may answer rightly;
a node that keeps answering so is shown by the job's ``last_error``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.hex_columns import decode_data, decode_uint64
from ampd.chain.tables import TABLES
from ampd.errors import AmpError, ErrorCode
from ampd.sources.arrays import Indices, first_true, positions_within
from ampd.sources.evm_rpc.rows import RECEIPT_NUMBERS, TRANSACTION_NUMBERS, Rows

Numbers = Sequence[int]

# The last second that nanoseconds in 64 bits can tell.
_LAST_TIMESTAMP = (2**63 - 1) // 1_000_000_000
_MOST_TOPICS = 4


def _refuse(code: ErrorCode, number: int, what: str) -> NoReturn:
    raise AmpError(code, f"block {number}: {what}", recoverable=True, context={"block": number})


def _differs(left: pa.Array, right: pa.Array) -> npt.NDArray[np.bool_]:
    """Tell where the columns differ; null never equals a value."""
    if not left.null_count and left.equals(right):
        return np.zeros(len(left), dtype=np.bool_)
    return np.asarray(pc.not_equal(left, right).fill_null(True).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _is_same_text(left: pa.Array, right: pa.Array) -> bool:
    """Tell whether the columns are the same, letter by letter, without a null: then nothing need be decoded to know
    that they mean the same.
    """
    return not left.null_count and bool(left.equals(right))


def _names_other_block(rows: Rows, headers: pa.StructArray) -> npt.NDArray[np.bool_]:
    """Tell which rows name another block hash than their block's."""
    named, block = rows.field("blockHash"), pa.array(rows.block)
    if _is_same_text(named, headers.field("hash").take(block)):
        return np.zeros(len(rows), dtype=np.bool_)
    return _differs(decode_data(named, 32), decode_data(headers.field("hash"), 32).take(block))


def check_answer_ids(ids: pa.ChunkedArray, numbers: Numbers) -> None:
    """Refuse an answer to another question; the id of every question is its block number."""
    answered = ids.to_pylist()
    for number, answer in zip(numbers, answered, strict=True):
        if answer != number:
            _refuse(
                ErrorCode.NODE_ANSWER_MALFORMED,
                number,
                f"the node's answer has id {answer}, the request had id {number}",
            )


def check_all_present(headers: pa.StructArray, numbers: Numbers) -> None:
    """Refuse ``null`` where a block should be."""
    position = first_true(headers.is_null().to_numpy(zero_copy_only=False))
    if position is not None:
        _refuse(
            ErrorCode.BLOCK_NOT_AVAILABLE,
            numbers[position],
            "the node answered null: it does not have this block (yet)",
        )


def check_receipts_present(lists: pa.ListArray, numbers: Numbers) -> None:
    """Refuse ``null`` where a list of receipts should be."""
    position = first_true(lists.is_null().to_numpy(zero_copy_only=False))
    if position is not None:
        _refuse(
            ErrorCode.RECEIPTS_NOT_AVAILABLE,
            numbers[position],
            "the node answered null to eth_getBlockReceipts: it does not have the receipts of this block (yet)",
        )


def refuse_error(error: object, number: int) -> NoReturn:
    """Say that the node answered with a JSON-RPC error object."""
    text = error.get("message", error) if isinstance(error, dict) else error
    _refuse(ErrorCode.NODE_ANSWERED_ERROR, number, f"the node answered with an error: {str(text)[:300]}")


def check_no_nulls(column: pa.Array, name: str, numbers: Numbers, block_of_row: Indices | None = None) -> None:
    """Refuse a block that leaves out the key ``name``, or of which a row does."""
    row = first_true(column.is_null().to_numpy(zero_copy_only=False))
    if row is not None:
        position = row if block_of_row is None else int(block_of_row[row])
        _refuse(ErrorCode.NODE_ANSWER_MALFORMED, numbers[position], f"the node's answer has no {name!r}")


def check_headers(headers: pa.StructArray, numbers: Numbers) -> None:
    """Refuse headers without what ties them together, other blocks than those asked for, and broken links."""
    for name in ("number", "hash", "parentHash", "timestamp", "transactions"):
        check_no_nulls(headers.field(name), name, numbers)
    check_block_numbers(decode_uint64(headers.field("number")), numbers)
    check_links(decode_data(headers.field("hash"), 32), decode_data(headers.field("parentHash"), 32), numbers)
    times = decode_uint64(headers.field("timestamp")).to_numpy()
    position = first_true(times > _LAST_TIMESTAMP)
    if position is not None:
        _refuse(
            ErrorCode.NODE_ANSWER_MALFORMED,
            numbers[position],
            f"its timestamp {times[position]} is no Unix time in seconds before the year 2262",
        )


def refuse_null_elements(values: pa.Array, owners: Indices, name: str, numbers: Numbers) -> NoReturn:
    """Say which block's list ``name`` holds a null."""
    position = first_true(values.is_null().to_numpy(zero_copy_only=False)) or 0
    _refuse(ErrorCode.NODE_ANSWER_MALFORMED, numbers[int(owners[position])], f"its list of {name} holds a null")


def check_block_numbers(answered: pa.UInt64Array, numbers: Numbers) -> None:
    """Refuse another block than the one that was asked for."""
    position = first_true(_differs(answered, pa.array(numbers, pa.uint64())))
    if position is not None:
        _refuse(
            ErrorCode.BLOCK_NUMBER_MISMATCH,
            numbers[position],
            f"the node sent block {answered[position]} instead of it",
        )


def check_links(hashes: pa.Array, parent_hashes: pa.Array, numbers: Numbers) -> None:
    """Refuse consecutive blocks of which one does not name the other as its parent: two forks were mixed."""
    broken = first_true(_differs(parent_hashes.slice(1), hashes.slice(0, len(hashes) - 1)))
    if broken is not None:
        _refuse(
            ErrorCode.PARENT_HASH_MISMATCH,
            numbers[broken + 1],
            f"its parent hash is not the hash of block {numbers[broken]}: the node answered from two forks, or the "
            "chain reorganised",
        )


def check_transactions(headers: pa.StructArray, transactions: Rows, numbers: Numbers) -> None:
    """Refuse transactions that are out of order or of another block, or whose lists are broken."""
    check_nested(transactions, numbers)
    transactions.decode_uint64s(*TRANSACTION_NUMBERS)
    order = pa.array(positions_within(transactions.block), pa.uint64())
    position = first_true(_differs(transactions.uint64("transactionIndex"), order))
    if position is not None:
        _refuse(
            ErrorCode.TRANSACTION_ORDER_MISMATCH,
            numbers[int(transactions.block[position])],
            f"the transaction at place {order[position]} says its index is "
            f"{transactions.field('transactionIndex')[position]}",
        )
    position = first_true(_names_other_block(transactions, headers))
    if position is not None:
        _refuse(
            ErrorCode.TRANSACTION_ORDER_MISMATCH,
            numbers[int(transactions.block[position])],
            f"transaction {order[position]} names another block hash than the block's",
        )


def check_receipts(headers: pa.StructArray, transactions: Rows, receipts: Rows, numbers: Numbers) -> None:
    """Refuse receipts that are too few, too many, of another block, or not in the order of the transactions."""
    wanted = np.bincount(transactions.block, minlength=len(numbers))
    given = np.bincount(receipts.block, minlength=len(numbers))
    position = first_true(wanted != given)
    if position is not None:
        _refuse(
            ErrorCode.RECEIPT_COUNT_MISMATCH,
            numbers[position],
            f"it has {wanted[position]} transactions, the node sent {given[position]} receipts",
        )
    position = first_true(_names_other_block(receipts, headers))
    if position is not None:
        _refuse(
            ErrorCode.RECEIPT_BLOCK_MISMATCH,
            numbers[int(receipts.block[position])],
            f"receipt {position - int(np.argmax(receipts.block == receipts.block[position]))} belongs to block hash "
            f"{receipts.field('blockHash')[position]}, not to this block's",
        )
    receipts.decode_uint64s(*RECEIPT_NUMBERS)
    _check_receipt_order(transactions, receipts, numbers)
    position = first_true(pc.greater(receipts.uint64("status"), 1).fill_null(False).to_numpy(False))
    if position is not None:
        _refuse(
            ErrorCode.NODE_ANSWER_MALFORMED,
            numbers[int(receipts.block[position])],
            f"a receipt has status {receipts.field('status')[position]}, which is neither 0x0 nor 0x1 (EIP-658)",
        )


def _check_receipt_order(transactions: Rows, receipts: Rows, numbers: Numbers) -> None:
    order = pa.array(positions_within(receipts.block), pa.uint64())
    if _is_same_text(receipts.field("transactionHash"), transactions.field("hash")):
        receipts.know("transactionHash", transactions.hashes("hash"))
    wrong_hash = _differs(receipts.hashes("transactionHash"), transactions.hashes("hash"))
    wrong_index = _differs(receipts.uint64("transactionIndex"), order)
    position = first_true(wrong_hash | wrong_index)
    if position is not None:
        _refuse(
            ErrorCode.RECEIPT_ORDER_MISMATCH,
            numbers[int(receipts.block[position])],
            f"receipt {order[position]} is of transaction {receipts.field('transactionHash')[position]} with index "
            f"{receipts.field('transactionIndex')[position]}: receipts are missing, doubled or out of order",
        )


def check_logs(headers: pa.StructArray, receipts: Rows, logs: Rows, log_receipt: Indices, numbers: Numbers) -> None:
    """Refuse logs that were removed by a reorg, belong elsewhere, or are not numbered 0, 1, 2, … through their
    block.
    """
    _check_topics(logs, numbers)
    removed = logs.field("removed").fill_null(False).to_numpy(zero_copy_only=False)
    position = first_true(removed)
    if position is not None:
        _refuse(
            ErrorCode.LOG_REMOVED,
            numbers[int(logs.block[position])],
            "a log is marked as removed: the block was reorganised",
        )
    owners = pa.array(log_receipt)
    wrong_place = _names_other_block(logs, headers)
    for name, decoded in (("transactionHash", receipts.hashes), ("transactionIndex", receipts.uint64)):
        of_receipt = decoded(name).take(owners)
        if _is_same_text(logs.field(name), receipts.field(name).take(owners)):
            logs.know(name, of_receipt)
    wrong_place |= _differs(logs.hashes("transactionHash"), receipts.hashes("transactionHash").take(owners))
    wrong_place |= _differs(logs.uint64("transactionIndex"), receipts.uint64("transactionIndex").take(owners))
    position = first_true(wrong_place)
    if position is not None:
        _refuse(
            ErrorCode.RECEIPT_BLOCK_MISMATCH,
            numbers[int(logs.block[position])],
            f"log {logs.field('logIndex')[position]} names another block or transaction than its receipt",
        )
    _check_log_indexes(logs, numbers)


def _check_topics(logs: Rows, numbers: Numbers) -> None:
    topics = logs.field("topics")
    check_no_nulls(topics, "topics", numbers, logs.block)
    values = topics.flatten()
    if values.null_count:
        refuse_null_elements(values, logs.block[pc.list_parent_indices(topics).to_numpy()], "topics", numbers)
    position = first_true(pc.list_value_length(topics).to_numpy() > _MOST_TOPICS)
    if position is not None:
        _refuse(ErrorCode.NODE_ANSWER_MALFORMED, numbers[int(logs.block[position])], "a log has more than four topics")


def check_nested(transactions: Rows, numbers: Numbers) -> None:
    """Refuse transactions whose lists hold nulls, or entries without what every entry needs."""
    for name, required in (
        ("accessList", ("address",)),
        ("blobVersionedHashes", ()),
        ("authorizationList", ("address", "nonce")),
    ):
        lists = transactions.field(name)
        entries = lists.flatten()
        if not len(entries):
            continue
        owners = transactions.block[pc.list_parent_indices(lists).to_numpy()]
        if entries.null_count:
            refuse_null_elements(entries, owners, name, numbers)
        for key in required:
            check_no_nulls(entries.field(key), f"{name}.{key}", numbers, owners)
        if name == "accessList":
            keys = entries.field("storageKeys")
            if keys.flatten().null_count:
                places = pc.list_parent_indices(keys).to_numpy()
                refuse_null_elements(keys.flatten(), owners[places], "storageKeys", numbers)


def _check_log_indexes(logs: Rows, numbers: Numbers) -> None:
    order = pa.array(positions_within(logs.block), pa.uint64())
    position = first_true(_differs(logs.uint64("logIndex"), order))
    if position is not None:
        _refuse(
            ErrorCode.LOG_INDEX_MISMATCH,
            numbers[int(logs.block[position])],
            f"the log at place {order[position]} has log index {logs.field('logIndex')[position]}: "
            "logs are missing or misnumbered",
        )


def check_required_columns(tables: dict[str, pa.Table]) -> None:
    """Refuse an answer that leaves out what the table schema requires."""
    for name, table in tables.items():
        for field in TABLES[name]:
            column = table.column(field.name)
            if field.nullable or not column.null_count:
                continue
            position = first_true(column.is_null().to_numpy())
            _refuse(
                ErrorCode.NODE_ANSWER_MALFORMED,
                table.column("_block_num")[position].as_py(),
                f"the node's answer leaves out what column {name}.{field.name} needs",
            )
