"""What the rows of a block hash to: transaction hashes, the three roots, the bloom."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import pyarrow as pa

from ampd.chain.block_rows import BlockRows, Rows
from ampd.chain.byte_columns import Integers, Mask, keccak_of_rows, matrix_of, valid_mask
from ampd.chain.commitments import Commitment, Values, hex_text
from ampd.chain.receipt_encoding import Receipts, encode_receipts
from ampd.chain.rlp_columns import rlp_lists, rlp_uint64s, rlp_words
from ampd.chain.system_transactions import DEPOSIT_TYPE, KNOWN_TYPES, state_sync_hash
from ampd.chain.transaction_encoding import LAST_STANDARD_TYPE, Envelopes, encode_transactions
from ampd.chain.trie import ordered_trie_roots

_ETHEREUM: Final = 1
_ETHEREUM_BYZANTIUM: Final = 4_370_000  # the first block whose receipts have a status (EIP-658)
_STATE_SYNC: Final = "Polygon's state sync transaction and its logs stand outside all roots"
_NO_OUTCOME: Final = "the node gives neither status nor state root of these receipts"
_LOST_STATE_ROOTS: Final = "the node does not keep the state roots of receipts before Byzantium"
_LEFT_OUT: Final = "the node left the withdrawals out"
_STORAGE_ROOT: Final = "the OP stack keeps the root of a contract's storage in its place (Isthmus)"

_STATE_SYNC_ROW: Final = {
    **{"from": bytes(20), "to": bytes(20), "r": bytes(32), "s": bytes(32), "value": "0", "input": b""},
    **{"nonce": 0, "gas_limit": 0, "gas_used": 0},
}


def state_sync_rows(blocks: BlockRows, transactions: Rows) -> Mask:
    """Tell which rows are Polygon's state sync transaction: by its hash, or by looking like nothing else."""
    found = np.zeros(len(transactions), dtype=np.bool_)
    unsigned = ~np.any([matrix_of(transactions.column(name)).any(axis=1) for name in ("r", "s")], axis=0)
    without_gas = transactions.numbers("gas_limit") == 0
    legacy = transactions.kinds == 0
    for row in np.flatnonzero(legacy & (unsigned | without_gas)).tolist():
        by_nobody = not any(transactions.column("from")[row].as_py() or b"")
        is_it = transactions.column("tx_hash")[row].as_py() == _state_sync_hash(blocks, transactions, row)
        found[row] = is_it or bool(unsigned[row] and without_gas[row] and by_nobody)
    return found


def _state_sync_hash(blocks: BlockRows, transactions: Rows, row: int) -> bytes:
    block = int(transactions.block[row])
    return state_sync_hash(blocks.number_of(block), matrix_of(blocks.headers.column("hash"))[block].tobytes())


def check_transactions(blocks: BlockRows, transactions: Rows, state_sync: Mask) -> None:
    """Check TRANSACTION_HASH and TRANSACTIONS_ROOT."""
    envelopes = encode_transactions(transactions)
    malformed = np.isin(np.arange(len(transactions)), list(envelopes.malformed))

    def describe(row: int) -> str:
        return f"transaction {transactions.within[row]}: {envelopes.malformed[row]}"

    blocks.note(transactions, malformed, Commitment.COLUMN_RULES, describe)
    unknown = _unknown_blocks(blocks, transactions, envelopes)
    _check_hashes(blocks, transactions, envelopes, state_sync)
    _check_state_sync(blocks, transactions, state_sync)
    encoded, counts = _without(state_sync, envelopes.encoded, transactions)
    roots = ordered_trie_roots(encoded, counts)
    _compare_roots(blocks, roots, "transactions_root", Commitment.TRANSACTIONS_ROOT, lambda i: i in unknown)


def _unknown_blocks(blocks: BlockRows, transactions: Rows, envelopes: Envelopes) -> set[int]:
    """Report the rows whose encoding cannot be made; return the positions of their blocks."""
    unknown = set()
    for row, reason in envelopes.unknown.items():
        block = int(transactions.block[row])
        unknown.add(block)
        for commitment in (Commitment.TRANSACTION_HASH, Commitment.TRANSACTIONS_ROOT):
            blocks.unknown(block, commitment, reason)
    return unknown


def _check_hashes(blocks: BlockRows, transactions: Rows, envelopes: Envelopes, state_sync: Mask) -> None:
    computed = keccak_of_rows(envelopes.encoded)
    if state_sync.any():
        computed = computed.copy()
        for row in np.flatnonzero(state_sync).tolist():
            computed[row] = np.frombuffer(_state_sync_hash(blocks, transactions, row), dtype=np.uint8)
    stated = matrix_of(transactions.column("tx_hash"))
    bad = (computed != stated).any(axis=1)
    bad[list(envelopes.unknown)] = False

    def values(row: int) -> Values:
        return hex_text(stated[row].tobytes()), hex_text(computed[row].tobytes())

    def describe(row: int) -> str:
        own, other = values(row)
        return f"transaction {transactions.within[row]} hashes to {other}, its hash is {own}"

    blocks.note(transactions, bad, Commitment.TRANSACTION_HASH, describe, values)


def _check_state_sync(blocks: BlockRows, transactions: Rows, state_sync: Mask) -> None:
    """Only its hash can be recomputed, but most of its columns are always the same."""
    for row in np.flatnonzero(state_sync).tolist():
        block = int(transactions.block[row])
        blocks.unknown(block, Commitment.RECEIPTS_ROOT, _STATE_SYNC)
        (values,) = transactions.batch.slice(row, 1).to_pylist()
        for name in [name for name, value in _STATE_SYNC_ROW.items() if values[name] != value]:
            place = int(transactions.within[row])
            detail = f"the state sync transaction {place} has a {name} that is not nothing"
            blocks.broken(block, Commitment.COLUMN_RULES, detail, row=place)


def check_receipts(blocks: BlockRows, transactions: Rows, logs: Rows, state_sync: Mask, chain_id: int | None) -> None:
    """Check RECEIPTS_ROOT and LOGS_BLOOM."""
    receipts = encode_receipts(transactions, logs, blocks.log_transactions)
    _check_bloom(blocks, transactions, receipts, state_sync)
    encoded, counts = _without(state_sync, receipts.encoded, transactions)
    roots = ordered_trie_roots(encoded, counts)

    def excused(block: int) -> bool:
        reason = _why_not(blocks, transactions, block, chain_id)
        if reason is not None:
            blocks.unknown(block, Commitment.RECEIPTS_ROOT, reason)
        return reason is not None

    _compare_roots(blocks, roots, "receipt_root", Commitment.RECEIPTS_ROOT, excused)


def _why_not(blocks: BlockRows, transactions: Rows, block: int, chain_id: int | None) -> str | None:
    """Return why receipts that do not give the root may be right all the same, if there is a reason."""
    rows = slice(int(transactions.starts[block]), int(transactions.starts[block + 1]))
    for kind in np.unique(transactions.kinds[rows]).tolist():
        if not 0 <= kind <= LAST_STANDARD_TYPE and kind not in KNOWN_TYPES:
            return f"the receipts of transactions of type {kind:#x} may have fields of their own"
    has_status = valid_mask(transactions.column("status"))[rows]
    has_root = valid_mask(transactions.column("state_root"))[rows]
    if len(has_status) and not has_status.any() and not has_root.any():
        return _NO_OUTCOME
    if chain_id == _ETHEREUM and blocks.number_of(block) < _ETHEREUM_BYZANTIUM and not has_root.any():
        return _LOST_STATE_ROOTS
    return None


def _check_bloom(blocks: BlockRows, transactions: Rows, receipts: Receipts, state_sync: Mask) -> None:
    blooms = receipts.blooms
    if state_sync.any():
        blooms = np.where(state_sync[:, None], 0, blooms)
    for block, values in enumerate(blocks.header_values):
        own = blooms[transactions.starts[block] : transactions.starts[block + 1]]
        computed = np.bitwise_or.reduce(own, axis=0).tobytes()
        if computed != values["logs_bloom"]:
            detail = "the addresses and topics of its logs give another bloom"
            both = hex_text(values["logs_bloom"]), hex_text(computed)
            blocks.broken(block, Commitment.LOGS_BLOOM, detail, both)


def check_withdrawals(blocks: BlockRows, withdrawals: Rows) -> None:
    """Check WITHDRAWALS_ROOT (EIP-4895)."""
    encoded = rlp_lists(
        rlp_uint64s(withdrawals.numbers("index")),
        rlp_uint64s(withdrawals.numbers("validator_index")),
        rlp_words(matrix_of(withdrawals.column("address"))),
        rlp_uint64s(withdrawals.numbers("amount")),
    )
    counts = withdrawals.counts.tolist()
    roots = ordered_trie_roots(encoded, counts)
    deposits = _blocks_with_deposits(blocks)

    def excused(block: int) -> bool:
        root = blocks.header_values[block]["withdrawals_root"]
        if counts[block]:
            return False
        if root is None:  # before Shanghai, and on chains without withdrawals
            return True
        extra = blocks.extras[block]
        reason = _LEFT_OUT if extra.get("withdrawals", ()) is None else _STORAGE_ROOT if block in deposits else None
        if reason is not None:
            blocks.unknown(block, Commitment.WITHDRAWALS_ROOT, reason)
        return reason is not None

    _compare_roots(blocks, roots, "withdrawals_root", Commitment.WITHDRAWALS_ROOT, excused)


def _blocks_with_deposits(blocks: BlockRows) -> set[int]:
    if blocks.transactions is None:
        return set()
    deposits = blocks.transactions.kinds == DEPOSIT_TYPE
    return set(blocks.transactions.block[deposits].tolist())


def _without(state_sync: Mask, encoded: pa.BinaryArray, transactions: Rows) -> tuple[pa.BinaryArray, list[int]]:
    """Return the encodings that belong into a root, and how many each block has."""
    if not state_sync.any():
        return encoded, transactions.counts.tolist()
    outside: Integers = np.bincount(transactions.block[state_sync], minlength=len(transactions.starts) - 1)
    return encoded.filter(pa.array(~state_sync)), (transactions.counts - outside).tolist()


def _compare_roots(
    blocks: BlockRows,
    roots: Iterable[bytes],
    column: str,
    commitment: Commitment,
    excused: Callable[[int], bool],
) -> None:
    """Report the blocks whose root is not that of the header, save those that are ``excused``."""
    for block, (values, root) in enumerate(zip(blocks.header_values, roots, strict=True)):
        if root != values[column] and not excused(block):
            both = hex_text(values[column]), hex_text(root)
            blocks.broken(block, commitment, f"its rows give {both[1]}, its header says {both[0]}", both)
