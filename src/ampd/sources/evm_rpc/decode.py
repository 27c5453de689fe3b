"""From the bodies of JSON-RPC answers to the tables of :mod:`ampd.chain.tables`, a column at a time (design 7.2).

Decoding has two steps, because receipts are asked for by the hash of their block: :func:`decode_blocks`, then
:func:`decode_receipts`. Both are pure and may run on any thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.hex_columns import MalformedHexError
from ampd.errors import AmpError, ErrorCode
from ampd.sources.arrays import Indices
from ampd.sources.blocks import BlockBatch
from ampd.sources.evm_rpc import checks, columns, extras
from ampd.sources.evm_rpc.answers import (
    BLOCK_ANSWER,
    RECEIPTS_ANSWER,
    UnknownKeysError,
    read_answers,
)
from ampd.sources.evm_rpc.rows import Rows


@dataclass(frozen=True)
class DecodedBlocks:
    """Consecutive blocks whose receipts are still to come.

    ``headers`` and ``transactions`` are the node's objects as columns of text; ``hashes`` are the block hashes as the
    node wrote them; ``has_unknown_keys`` says that there is more in ``bodies`` than in the columns.
    """

    numbers: Sequence[int]
    bodies: Sequence[bytes]
    headers: pa.StructArray
    transactions: Rows
    hashes: list[str]
    has_unknown_keys: bool

    def blocks_with_transactions(self) -> list[int]:
        """Return the positions of the blocks that have receipts."""
        return [int(position) for position in np.unique(self.transactions.block)]


def decode_blocks(numbers: Sequence[int], bodies: Sequence[bytes], *, expect_unknown_keys: bool) -> DecodedBlocks:
    """Decode answers of ``eth_getBlockByNumber(number, true)``; the answers' ids are the block numbers.

    :raises AmpError: NODE_ANSWER_MALFORMED, NODE_ANSWERED_ERROR, BLOCK_NOT_AVAILABLE, BLOCK_NUMBER_MISMATCH,
        PARENT_HASH_MISMATCH, TRANSACTION_ORDER_MISMATCH; the message names the block.
    """
    try:
        return _decode_blocks(numbers, bodies, expect_unknown_keys)
    except _UnreadableAnswerError as error:
        for number, body in zip(numbers, bodies, strict=True):
            _named(number, lambda: _decode_blocks([number], [body], expect_unknown_keys))  # noqa: B023 - called at once
        raise error.of_blocks(numbers) from None


def decode_receipts(blocks: DecodedBlocks, bodies: Sequence[bytes], *, expect_unknown_keys: bool) -> BlockBatch:
    """Decode answers of ``eth_getBlockReceipts`` for the :meth:`DecodedBlocks.blocks_with_transactions`, and put the
    tables together.

    :raises AmpError: NODE_ANSWER_MALFORMED, NODE_ANSWERED_ERROR, RECEIPTS_NOT_AVAILABLE, RECEIPT_COUNT_MISMATCH,
        RECEIPT_BLOCK_MISMATCH, RECEIPT_ORDER_MISMATCH, LOG_INDEX_MISMATCH, LOG_REMOVED; the message names the block.
    """
    positions = blocks.blocks_with_transactions()
    if len(bodies) != len(positions):
        raise ValueError(f"{len(positions)} blocks have receipts, {len(bodies)} answers were given")
    try:
        return _decode_receipts(blocks, bodies, expect_unknown_keys)
    except _UnreadableAnswerError as error:
        receipts_of = dict(zip(positions, bodies, strict=True))
        for position, number in enumerate(blocks.numbers):
            one = _decode_blocks([number], [blocks.bodies[position]], expect_unknown_keys)
            own = [receipts_of[position]] if position in receipts_of else []
            _named(number, lambda: _decode_receipts(one, own, expect_unknown_keys))  # noqa: B023 - called at once
        raise error.of_blocks(blocks.numbers) from None


class _UnreadableAnswerError(Exception):
    """Some answer among several has not the form that it should; which one is found by reading them one at a time."""

    def of_blocks(self, numbers: Sequence[int]) -> AmpError:
        where = f"block {numbers[0]}" if len(numbers) == 1 else f"blocks {numbers[0]} to {numbers[-1]}"
        return AmpError(
            ErrorCode.NODE_ANSWER_MALFORMED,
            f"{where}: the node's answer does not have the form of the Ethereum JSON-RPC API: {self}",
            recoverable=True,
            context={"block": numbers[0]},
        )


def _named(number: int, decode: Callable[[], object]) -> None:
    """Run ``decode`` for one block, so that its error names that block."""
    try:
        decode()
    except _UnreadableAnswerError as error:
        raise error.of_blocks([number]) from None


@contextmanager
def _reading() -> Iterator[None]:
    """Turn everything that a malformed answer makes Arrow or the decoding of hex raise into one error."""
    try:
        yield
    except (
        MalformedHexError,
        pa.ArrowInvalid,
        pa.ArrowNotImplementedError,
        UnicodeDecodeError,
        OverflowError,
    ) as error:
        raise _UnreadableAnswerError(str(error)) from None


def _decode_blocks(numbers: Sequence[int], bodies: Sequence[bytes], expect_unknown_keys: bool) -> DecodedBlocks:
    with _reading():
        table, has_unknown_keys = _read(bodies, BLOCK_ANSWER, expect_unknown_keys)
        headers = _whole(table.column("result"))
        _refuse_errors(headers, bodies, numbers)
        checks.check_answer_ids(table.column("id"), numbers)
        checks.check_all_present(headers, numbers)
        checks.check_headers(headers, numbers)
        lists = headers.field("transactions")
        transactions = Rows(*_flatten(lists, "transactions", numbers))
        checks.check_transactions(headers, transactions, numbers)
        return DecodedBlocks(
            numbers=numbers,
            bodies=bodies,
            headers=headers,
            transactions=transactions,
            hashes=headers.field("hash").to_pylist(),
            has_unknown_keys=has_unknown_keys,
        )


def _decode_receipts(blocks: DecodedBlocks, bodies: Sequence[bytes], expect_unknown_keys: bool) -> BlockBatch:
    positions = np.asarray(blocks.blocks_with_transactions(), dtype=np.int64)
    numbers = blocks.numbers
    with _reading():
        receipts, has_unknown_keys = _read_receipts(bodies, positions, numbers, expect_unknown_keys)
        checks.check_receipts(blocks.headers, blocks.transactions, receipts, numbers)
        checks.check_no_nulls(receipts.field("logs"), "logs", numbers, receipts.block)
        log_objects, log_receipt = _flatten(receipts.field("logs"), "logs", numbers, receipts.block)
        logs = Rows(log_objects, receipts.block[log_receipt])
        checks.check_logs(blocks.headers, receipts, logs, log_receipt, numbers)
        context = columns.Context(blocks.headers, blocks.transactions, receipts, logs)
        tables = columns.build_tables(context)
        if blocks.has_unknown_keys or has_unknown_keys or columns.needs_whole_objects(tables["transactions"]):
            tables = extras.add_extras(tables, blocks.bodies, bodies)
    checks.check_required_columns(tables)
    return _batch(blocks, tables, sum(map(len, blocks.bodies)) + sum(map(len, bodies)))


def _refuse_errors(results: pa.Array, bodies: Sequence[bytes], numbers: Sequence[int]) -> None:
    """Tell an error object from a null: both leave ``result`` null, and they mean different things."""
    for position in map(int, np.flatnonzero(results.is_null().to_numpy(zero_copy_only=False))):
        error = json.loads(bodies[position]).get("error")
        if error is not None:
            checks.refuse_error(error, numbers[position])


def _read_receipts(
    bodies: Sequence[bytes], positions: Indices, numbers: Sequence[int], expect_unknown_keys: bool
) -> tuple[Rows, bool]:
    """Return all receipts, and whether there are unknown keys."""
    if not len(bodies):
        empty = pa.array([], RECEIPTS_ANSWER.field("result").type.value_type)
        return Rows(empty, np.zeros(0, dtype=np.int64)), False
    table, has_unknown_keys = _read(bodies, RECEIPTS_ANSWER, expect_unknown_keys)
    lists = _whole(table.column("result"))
    asked = [numbers[position] for position in positions]
    _refuse_errors(lists, bodies, asked)
    checks.check_answer_ids(table.column("id"), asked)
    checks.check_receipts_present(lists, asked)
    receipts, receipt_answer = _flatten(lists, "receipts", asked)
    return Rows(receipts, positions[receipt_answer]), has_unknown_keys


def _read(bodies: Sequence[bytes], schema: pa.Schema, expect_unknown_keys: bool) -> tuple[pa.Table, bool]:
    if not expect_unknown_keys:
        try:
            return read_answers(bodies, schema, strict=True), False
        except UnknownKeysError:
            pass  # not an error: the keys become `extra`
    return read_answers(bodies, schema, strict=False), True


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)  # putting one piece together would copy it
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _flatten(
    lists: pa.ListArray, name: str, numbers: Sequence[int], block_of_list: Indices | None = None
) -> tuple[pa.StructArray, Indices]:
    """Return the elements of all lists, and the position of each element's list."""
    values = lists.flatten()
    parents = pc.list_parent_indices(lists).to_numpy()
    if values.null_count:
        owners = parents if block_of_list is None else block_of_list[parents]
        checks.refuse_null_elements(values, owners, name, numbers)
    return values, parents


def _batch(blocks: DecodedBlocks, tables: dict[str, pa.Table], source_bytes: int) -> BlockBatch:
    headers = tables["blocks"]
    return BlockBatch(
        start_block=blocks.numbers[0],
        end_block=blocks.numbers[-1],
        start_parent_hash=headers.column("parent_hash")[0].as_py(),
        end_hash=headers.column("hash")[-1].as_py(),
        end_timestamp=headers.column("timestamp")[-1].value // 1_000_000_000,
        tables=tables,
        source_bytes=source_bytes,
    )
