"""The receipts that a block's receipts root is made of, from the columns of transactions and logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ampd.chain.block_rows import Rows
from ampd.chain.bloom import BLOOM_BYTES, log_blooms
from ampd.chain.byte_columns import (
    Bytes,
    Integers,
    lengths_of,
    matrix_of,
    merge_neighbours,
    piece,
    repeated,
    type_bytes,
    valid_mask,
)
from ampd.chain.rlp import rlp_integer
from ampd.chain.rlp_columns import list_prefixes, rlp_lists, rlp_uint64s, rlp_words, string_prefixes
from ampd.chain.system_transactions import DEPOSIT_TYPE, integer
from ampd.chain.transaction_encoding import stated_by_node

_TOPICS: Final = ("topic0", "topic1", "topic2", "topic3")
_TOPIC_PREFIX: Final = b"\xa0"
_BLOOM_PREFIX: Final = bytes([0xB9, BLOOM_BYTES >> 8, BLOOM_BYTES & 0xFF])
_ENCODED_TOPIC_BYTES: Final = 33
_LAST_TYPE: Final = 0x7F  # EIP-2718


@dataclass(frozen=True)
class Receipts:
    """One receipt per transaction, and its bloom as rows (n, 256)."""

    encoded: pa.BinaryArray
    blooms: Bytes


def encode_receipts(transactions: Rows, logs: Rows, log_transactions: Integers) -> Receipts:
    """Return the receipts as they stand in the receipts root (EIP-658, EIP-2718; of deposits the OP stack's).

    ``log_transactions`` is the row of each log's transaction; it ascends.
    """
    count = len(transactions)
    topics = [logs.column(name) for name in _TOPICS]
    blooms = log_blooms([logs.column("address"), *topics], log_transactions, count)
    payloads = merge_neighbours(_encode_logs(logs, topics), np.bincount(log_transactions, minlength=count))
    kinds = transactions.kinds
    typed = (kinds > 0) & (kinds <= _LAST_TYPE)
    encoded = rlp_lists(
        *_outcome(transactions),
        rlp_uint64s(transactions.numbers("cumulative_gas_used")),
        repeated(_BLOOM_PREFIX, count),
        piece(blooms.reshape(-1), np.arange(count + 1) * BLOOM_BYTES),
        list_prefixes(lengths_of(payloads)),
        payloads,
        *_deposit_fields(transactions, kinds),
        before=type_bytes(kinds, typed),
    )
    return Receipts(encoded, blooms)


def _encode_logs(logs: Rows, topics: list[pa.Array]) -> pa.BinaryArray:
    lengths = np.sum([valid_mask(topic) for topic in topics], axis=0) * _ENCODED_TOPIC_BYTES
    # A topic is always 32 bytes: its prefix is put between the topics that there are.
    words = [pc.cast(topic, pa.binary()) for topic in topics]
    encoded_topics = pc.binary_join_element_wise(list_prefixes(lengths), *words, _TOPIC_PREFIX, null_handling="skip")
    data = logs.column("data")
    return rlp_lists(rlp_words(matrix_of(logs.column("address"))), encoded_topics, string_prefixes(data), data)


def _outcome(transactions: Rows) -> list[pa.BinaryArray]:
    """Return status (EIP-658), and the state root before Byzantium. A receipt with both or neither is none."""
    status = transactions.column("status")
    succeeded = np.asarray(status.fill_null(False).to_numpy(zero_copy_only=False)).astype(np.uint64)
    pieces = [rlp_uint64s(succeeded, valid_mask(status))]
    root = transactions.column("state_root")
    if root.null_count < len(root):
        pieces.append(rlp_words(matrix_of(root), valid_mask(root)))
    return pieces


def _deposit_fields(transactions: Rows, kinds: Integers) -> list[pa.BinaryArray]:
    """Return what the OP stack appends to receipts of deposits: nonce and version, from Canyon on."""
    (places,) = np.nonzero(kinds == DEPOSIT_TYPE)
    if not len(places):
        return []
    fields = [b""] * len(kinds)
    for place in places.tolist():
        stated = stated_by_node(transactions, place, "receipt")
        # Before Canyon receipts have a nonce but no version, and neither is part of the receipts root.
        if stated.get("depositReceiptVersion") is not None:
            nonce = stated.get("depositNonce", int(transactions.numbers("nonce")[place]))
            fields[place] = _integers(nonce, stated["depositReceiptVersion"])
    return [pa.array(fields, pa.binary())]


def _integers(*values: object) -> bytes:
    try:
        return b"".join(rlp_integer(integer(value)) for value in values)
    except (TypeError, ValueError, OverflowError):
        return b""
