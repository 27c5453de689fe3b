"""JSON-RPC answers read by Arrow's JSON reader, straight into columns of text.

An answer body is one JSON object, so several bodies, one per line, are one input for the reader. Keys that these
schemas do not name make the reader refuse the input (``strict``): the caller then reads again without them and keeps
them as ``extra``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.json as pa_json

_TEXT: Final = pa.string()
_TEXTS: Final = pa.list_(_TEXT)


def _object(texts: str, **others: pa.DataType) -> pa.StructType:
    return pa.struct([(name, _TEXT) for name in texts.split()] + list(others.items()))


ACCESS_LIST: Final = pa.list_(_object("address", storageKeys=_TEXTS))
AUTHORIZATION_LIST: Final = pa.list_(_object("chainId address nonce yParity v r s"))

TRANSACTION: Final = _object(
    "hash nonce blockHash blockNumber blockTimestamp transactionIndex from to value gas gasPrice maxFeePerGas"
    " maxPriorityFeePerGas maxFeePerBlobGas input r s v yParity chainId type",
    accessList=ACCESS_LIST,
    blobVersionedHashes=_TEXTS,
    authorizationList=AUTHORIZATION_LIST,
)
WITHDRAWAL: Final = _object("index validatorIndex address amount")
BLOCK: Final = _object(
    "number hash parentHash nonce sha3Uncles logsBloom transactionsRoot stateRoot receiptsRoot miner difficulty"
    " totalDifficulty extraData size gasLimit gasUsed timestamp mixHash baseFeePerGas withdrawalsRoot blobGasUsed"
    " excessBlobGas parentBeaconBlockRoot requestsHash",
    uncles=_TEXTS,
    transactions=pa.list_(TRANSACTION),
    withdrawals=pa.list_(WITHDRAWAL),
)
LOG: Final = _object(
    "address data blockNumber blockHash blockTimestamp transactionHash transactionIndex logIndex",
    topics=_TEXTS,
    removed=pa.bool_(),
)
RECEIPT: Final = _object(
    "transactionHash transactionIndex blockHash blockNumber blockTimestamp from to cumulativeGasUsed gasUsed"
    " effectiveGasPrice contractAddress logsBloom status root type blobGasUsed blobGasPrice",
    logs=pa.list_(LOG),
)


def _answer(result: pa.DataType) -> pa.Schema:
    return pa.schema([("jsonrpc", _TEXT), ("id", pa.int64()), ("result", result)])


BLOCK_ANSWER: Final = _answer(BLOCK)
RECEIPTS_ANSWER: Final = _answer(pa.list_(RECEIPT))


# Keys that repeat what the block says, and that nodes write in different JSON types. Nobody reads them.
_REDUNDANT_KEYS: Final = frozenset({"blockTimestamp"})


class UnknownKeysError(Exception):
    """An answer holds keys that no column of the schema names, or has not quite the standard form otherwise."""


@cache
def _without_redundant_keys(schema: pa.Schema) -> pa.Schema:
    return pa.schema([(field.name, _pruned(field.type)) for field in schema])


def _pruned(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_pruned(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _pruned(field.type)) for field in kind if field.name not in _REDUNDANT_KEYS])
    return kind


def read_answers(bodies: Sequence[bytes], schema: pa.Schema, *, strict: bool) -> pa.Table:
    """Read ``bodies`` into one row each, with the columns ``id`` and ``result``.

    :raises UnknownKeysError: with ``strict``, when the answers are not exactly what ``schema`` says.
    :raises pyarrow.ArrowInvalid: without ``strict``, when a value has another JSON type than it should.
    """
    text = b"\n".join(body.replace(b"\n", b" ") if b"\n" in body else body for body in bodies)
    try:
        table = pa_json.read_json(
            pa.BufferReader(text),
            # One piece: the reader's own threads would only fight with ours, and pieces must not cut an answer.
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pa_json.ParseOptions(
                explicit_schema=schema if strict else _without_redundant_keys(schema),
                unexpected_field_behavior="error" if strict else "ignore",
            ),
        )
    except pa.ArrowInvalid:
        if strict:
            raise UnknownKeysError from None
        raise
    if table.num_rows != len(bodies):
        raise pa.ArrowInvalid(f"{table.num_rows} JSON values where {len(bodies)} answers were expected")
    return table
