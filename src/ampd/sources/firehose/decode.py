"""From the bytes of blocks (``sf.ethereum.type.v2.Block``) to the tables of :mod:`ampd.chain.tables`, by the column.

ptars turns the bytes into Arrow columns without an object per message or field (docs/decisions/0028). Pure, and may run
on any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
from ptars import HandlerPool

from ampd.chain.tables import FIREHOSE_TABLES
from ampd.errors import AmpError, ErrorCode
from ampd.firehose_wire import ethereum_pb2
from ampd.sources.blocks import BlockBatch
from ampd.sources.firehose import checks, columns
from ampd.sources.firehose.byte_values import MalformedValueError


@cache
def _handler() -> object:
    pool = HandlerPool([ethereum_pb2.DESCRIPTOR])
    return pool.get_for_message(ethereum_pb2.Block.DESCRIPTOR)


def read_messages(payloads: Sequence[bytes]) -> pa.RecordBatch:
    """Return the messages as columns. Raises ``ValueError`` for what is no message."""
    batch: pa.RecordBatch = _handler().list_to_record_batch(list(payloads))  # type: ignore[attr-defined]
    return batch


def decode(numbers: Sequence[int], payloads: Sequence[bytes], *, chain_id: int, endpoint: str = "") -> BlockBatch:
    """Decode consecutive blocks; ``chain_id`` is that of their typed transactions, which do not name it.

    :raises AmpError: NODE_ANSWER_MALFORMED, BLOCK_NUMBER_MISMATCH, PARENT_HASH_MISMATCH, TRANSACTION_ORDER_MISMATCH,
        LOG_INDEX_MISMATCH, NETWORK_MISMATCH; the message names the block.
    """
    try:
        tables = _tables(numbers, payloads, chain_id)
    except (MalformedValueError, ValueError, OverflowError, pa.ArrowException) as error:
        if len(numbers) > 1:  # which of them?
            for number, payload in zip(numbers, payloads, strict=True):
                decode([number], [payload], chain_id=chain_id, endpoint=endpoint)
        raise AmpError(
            ErrorCode.NODE_ANSWER_MALFORMED,
            f"block {numbers[0]}: what the server sent is not a block of sf.ethereum.type.v2: {error}",
            recoverable=True,
            context={"block": numbers[0]},
        ) from None
    headers = tables["blocks"]
    return BlockBatch(
        start_block=numbers[0],
        end_block=numbers[-1],
        start_parent_hash=headers.column("parent_hash")[0].as_py(),
        end_hash=headers.column("hash")[-1].as_py(),
        end_timestamp=headers.column("timestamp")[-1].value // 1_000_000_000,
        tables=tables,
        source_bytes=sum(map(len, payloads)),
        endpoint=endpoint,
    )


def _tables(numbers: Sequence[int], payloads: Sequence[bytes], chain_id: int) -> dict[str, pa.Table]:
    context = _context(numbers, read_messages(payloads), chain_id)
    checks.check_signers(context, numbers)
    made = {
        "blocks": columns.blocks(context),
        "transactions": columns.transactions(context),
        "logs": columns.logs(context),
        "withdrawals": columns.withdrawals(context),
        "calls": columns.calls(context),
    }
    tables = {name: _table(name, made[name]) for name in FIREHOSE_TABLES}
    checks.check_links(tables["blocks"], numbers)
    checks.check_required_columns(tables)
    return tables


def _context(numbers: Sequence[int], blocks: pa.RecordBatch, chain_id: int) -> columns.Context:
    header = blocks.column("header")
    checks.check_headers(blocks, header, numbers)
    transactions, _ = columns.rows_of(blocks.column("transaction_traces"))
    checks.check_order(transactions.field("index"), transactions.block, numbers)
    receipts = transactions.field("receipt")
    checks.check_receipts(receipts, transactions.block, numbers)
    logs, log_owner = columns.rows_of(_lists_of(receipts, "logs"), transactions.block)
    checks.check_log_indexes(logs.field("block_index"), logs.block, numbers)
    checks.check_topics(logs.field("topics"), logs.block, numbers)
    calls, call_owner = columns.rows_of(transactions.field("calls"), transactions.block)
    checks.check_call_order(calls.field("index"), call_owner, calls.block, numbers)
    return columns.Context(
        blocks=blocks,
        header=header,
        transactions=transactions,
        receipts=receipts,
        logs=logs,
        log_owner=log_owner,
        calls=calls,
        call_owner=call_owner,
        chain_id=chain_id,
    )


def _lists_of(messages: pa.StructArray, name: str) -> pa.ListArray:
    lists = messages.field(name)
    return lists if not lists.null_count else pc.fill_null(lists, [])


def _table(name: str, made: columns.Columns) -> pa.Table:
    schema = FIREHOSE_TABLES[name]
    return pa.Table.from_arrays([made[field.name] for field in schema], schema=schema)
