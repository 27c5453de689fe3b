"""Columns that follow from others: gas, prices, created addresses. No root covers most of them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow.compute as pc

from ampd.chain.block_rows import BlockRows, Numbers, Rows
from ampd.chain.byte_columns import Integers, Mask, valid_mask
from ampd.chain.commitments import Commitment, Values, hex_text
from ampd.chain.header_checks import amount
from ampd.chain.keccak import keccak256
from ampd.chain.rlp import rlp_bytes, rlp_integer, rlp_list
from ampd.chain.system_transactions import DEPOSIT_TYPE
from ampd.chain.transaction_encoding import LAST_STANDARD_TYPE

_FIRST_TYPE_WITH_FEES: Final = 2  # EIP-1559
_BLOB_TYPE: Final = 3  # EIP-4844
_GAS_PER_BLOB: Final = np.uint64(2**17)
_LONG_AMOUNT: Final = 2**63  # from here on sums of two may not fit 64 bits
_AMSTERDAM: Final = "from Amsterdam on receipts count gas before refunds (EIP-7778)"
_NO_PRICE: Final = "the node left the effective gas price out"
_FOOTPRINT: Final = "the OP stack may write another gas in its place (Jovian)"
_OTHER_NONCE: Final = "the chain's own transactions create contracts by other rules"
_ADDRESS_BYTES: Final = 20


def check_derived(blocks: BlockRows, transactions: Rows, state_sync: Mask) -> None:
    """Check GAS_USED, BLOB_GAS, EFFECTIVE_GAS_PRICE and CONTRACT_ADDRESS. ``state_sync`` rows take no part."""
    kinds = transactions.kinds
    standard = (kinds >= 0) & (kinds <= LAST_STANDARD_TYPE) & ~state_sync
    _check_gas(blocks, transactions, ~state_sync)
    _check_blob_gas(blocks, transactions, kinds)
    _check_prices(blocks, transactions, kinds, standard)
    _check_contracts(blocks, transactions, standard)


def _check_gas(blocks: BlockRows, transactions: Rows, counted: Mask) -> None:
    amsterdam = blocks.has_extra("blockAccessListHash")
    for block in np.flatnonzero(amsterdam).tolist():
        blocks.unknown(block, Commitment.GAS_USED, _AMSTERDAM)
    cumulative = np.where(counted, transactions.numbers("cumulative_gas_used"), 0)
    before = np.zeros_like(cumulative)
    before[1:] = cumulative[:-1]
    before[transactions.within == 0] = 0
    own = transactions.numbers("gas_used")
    bad = (cumulative - before != own) & counted & ~amsterdam[transactions.block]

    def describe(row: int) -> str:
        steps = f"from {before[row]} to {cumulative[row]}"
        return f"transaction {transactions.within[row]} used {own[row]}, cumulative gas goes {steps}"

    blocks.note(
        transactions, bad, Commitment.GAS_USED, describe, lambda row: (own[row], _step(before, cumulative, row))
    )
    totals = np.zeros(len(blocks.numbers), dtype=np.uint64)
    rows = np.flatnonzero(counted)
    totals[transactions.block[rows]] = cumulative[rows]  # the last one stays
    for block, values in enumerate(blocks.header_values):
        if totals[block] != values["gas_used"] and not amsterdam[block]:
            detail = f"its transactions used {totals[block]}, its header says {values['gas_used']}"
            blocks.broken(block, Commitment.GAS_USED, detail, (values["gas_used"], totals[block]))


def _step(before: Numbers, after: Numbers, row: int) -> int:
    return int(after[row]) - int(before[row])


def _check_blob_gas(blocks: BlockRows, transactions: Rows, kinds: Integers) -> None:
    own = transactions.numbers("blob_gas_used")
    blob_rows = kinds == _BLOB_TYPE
    if blob_rows.any():
        _check_blob_rows(blocks, transactions, blob_rows, own)
    deposits = set(transactions.block[kinds == DEPOSIT_TYPE].tolist())
    totals = np.zeros(len(blocks.numbers), dtype=np.uint64)
    np.add.at(totals, transactions.block, own)
    for block, values in enumerate(blocks.header_values):
        stated = values["blob_gas_used"] or 0
        if totals[block] == stated:
            continue
        if block in deposits:
            blocks.unknown(block, Commitment.BLOB_GAS, _FOOTPRINT)
        else:
            detail = f"its transactions used {totals[block]} of blob gas, its header says {stated}"
            blocks.broken(block, Commitment.BLOB_GAS, detail, (stated, totals[block]))


def _check_blob_rows(blocks: BlockRows, transactions: Rows, blob_rows: Mask, own: Numbers) -> None:
    """Blob gas follows from the number of blobs; all of a block pay one price, which none exceeds its limit."""
    hashes = pc.list_value_length(transactions.column("blob_versioned_hashes")).fill_null(0).to_numpy()
    due = hashes.astype(np.uint64) * _GAS_PER_BLOB
    bad = blob_rows & (own != due)

    def wrong_gas(row: int) -> str:
        return f"transaction {transactions.within[row]} used {own[row]} of blob gas for {hashes[row]} blobs"

    blocks.note(transactions, bad, Commitment.BLOB_GAS, wrong_gas, lambda row: (own[row], due[row]))
    price, limit = transactions.amounts("blob_gas_price"), transactions.amounts("max_fee_per_blob_gas")
    block_prices: dict[int, int] = {}
    bad = np.zeros(len(transactions), dtype=np.bool_)
    for row in np.flatnonzero(price.present).tolist():
        paid = price.exact(row)
        too_much = bool(blob_rows[row]) and paid > limit.exact(row)
        bad[row] = too_much or paid != block_prices.setdefault(int(transactions.block[row]), paid)
    # A node that left the price out of one receipt only has lost it.
    bad |= blob_rows & ~price.present & np.isin(transactions.block, list(block_prices))

    def wrong_price(row: int) -> str:
        what = "has another blob gas price than the block, or one above its limit"
        return f"transaction {transactions.within[row]} {what}"

    def values(row: int) -> Values:
        paid, common = price.exact(row), block_prices[int(transactions.block[row])]
        return paid, limit.exact(row) if paid == common else common

    blocks.note(transactions, bad, Commitment.BLOB_GAS, wrong_price, values)


def _check_prices(blocks: BlockRows, transactions: Rows, kinds: Integers, standard: Mask) -> None:
    """The price is the gas price, or what the base fee and the limits of EIP-1559 give."""
    names = ("effective_gas_price", "gas_price", "max_fee_per_gas", "max_priority_fee_per_gas")
    own, price, limit, tip = (transactions.amounts(name) for name in names)
    base_fees = [amount(values, "base_fee_per_gas") or 0 for values in blocks.header_values]
    # What is no fee at all, in a damaged file say, is compared in full too.
    short = [fee if 0 <= fee < _LONG_AMOUNT else _LONG_AMOUNT for fee in base_fees]
    base = np.array(short, dtype=np.uint64)[transactions.block]
    has_fees = kinds >= _FIRST_TYPE_WITH_FEES
    bad = own.low != np.where(has_fees, np.minimum(limit.low, base + tip.low), price.low)
    is_long = own.is_long | price.is_long | limit.is_long | tip.is_long | (base >= _LONG_AMOUNT)

    def due(row: int) -> int:
        if not has_fees[row]:
            return price.exact(row)
        return min(limit.exact(row), base_fees[int(transactions.block[row])] + tip.exact(row))

    for row in np.flatnonzero(standard & is_long).tolist():
        bad[row] = own.exact(row) != due(row)
    # Arbitrum's blocks name the root of their messages; the sequencer there takes no tip.
    bad &= ~(blocks.has_extra("sendRoot")[transactions.block] & (own.low == base) & ~own.is_long)
    bad = (bad | ~own.present) & standard
    bad[_rows_without_price(blocks, transactions, own.present, standard)] = False

    def describe(row: int) -> str:
        what = "its fees and the base fee give another price"
        return f"transaction {transactions.within[row]} paid {own.exact(row)}, {what}"

    def values(row: int) -> Values:
        return own.exact(row) if own.present[row] else None, due(row)

    blocks.note(transactions, bad, Commitment.EFFECTIVE_GAS_PRICE, describe, values)


def _rows_without_price(blocks: BlockRows, transactions: Rows, priced: Mask, standard: Mask) -> Mask:
    """Tell which rows are of blocks of which no transaction has a price, and report those blocks."""
    unpriced = np.zeros(len(blocks.numbers), dtype=np.bool_)
    unpriced[transactions.block[standard & ~priced]] = True
    unpriced[transactions.block[standard & priced]] = False
    for block in np.flatnonzero(unpriced).tolist():
        blocks.unknown(block, Commitment.EFFECTIVE_GAS_PRICE, _NO_PRICE)
    return unpriced[transactions.block]


def _check_contracts(blocks: BlockRows, transactions: Rows, standard: Mask) -> None:
    """A transaction without recipient creates keccak(rlp([from, nonce])); the others create nothing themselves."""
    creates = ~valid_mask(transactions.column("to"))
    created = transactions.column("contract_address")
    bad = valid_mask(created) & ~creates
    nonces = transactions.numbers("nonce")
    due: dict[int, bytes] = {}
    for row in np.flatnonzero(creates).tolist():
        if not standard[row]:
            blocks.unknown(int(transactions.block[row]), Commitment.CONTRACT_ADDRESS, _OTHER_NONCE)
            continue
        sender = transactions.column("from")[row].as_py()
        expected = keccak256(rlp_list([rlp_bytes(sender or b""), rlp_integer(int(nonces[row]))]))[-_ADDRESS_BYTES:]
        due[row] = expected
        stated = created[row].as_py()
        # Some nodes name no address when the creation failed.
        failed = transactions.column("status")[row].as_py() is False
        bad[row] = stated != expected and not (stated is None and failed)

    def describe(row: int) -> str:
        what = f"names the created address {hex_text(created[row].as_py())}"
        return f"transaction {transactions.within[row]} {what}, its sender, nonce and recipient give another"

    def values(row: int) -> Values:
        return hex_text(created[row].as_py()), hex_text(due.get(row))

    blocks.note(transactions, bad, Commitment.CONTRACT_ADDRESS, describe, values)
