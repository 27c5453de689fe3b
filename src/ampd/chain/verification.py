"""Verification: recompute from the tables alone what blocks commit to (design section 7.3).

The rows of a block are checked against its hash, which covers its header columns, which hold the roots of transactions,
receipts and withdrawals and the bloom, which cover nearly all columns of the other tables. The rest follows from
columns that are covered, or is repeated from another table. What nothing covers: docs/decisions/0009.

Pure, so that extraction checks a batch before it is written as ``ampctl verify`` checks files long after.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa

from ampd.chain.arrangement import normal_tables, only_blocks, order_blocks, runs_of_blocks
from ampd.chain.block_rows import BlockRows
from ampd.chain.commitments import Commitment, Findings, Verification
from ampd.chain.derived_checks import check_derived
from ampd.chain.header_checks import check_chain, check_headers, check_presence
from ampd.chain.networks import CHAIN_IDS
from ampd.chain.root_checks import check_receipts, check_transactions, check_withdrawals, state_sync_rows
from ampd.chain.row_checks import check_rows

# What cannot be checked when the dataset does not have a table.
_OF_TRANSACTIONS = (
    *(Commitment.TRANSACTIONS_ROOT, Commitment.TRANSACTION_HASH, Commitment.TRANSACTION_INDEX, Commitment.GAS_USED),
    *(Commitment.BLOB_GAS, Commitment.EFFECTIVE_GAS_PRICE, Commitment.CONTRACT_ADDRESS),
)
_OF_RECEIPTS = (Commitment.RECEIPTS_ROOT, Commitment.LOGS_BLOOM)


def verify_blocks(
    tables: Mapping[str, pa.Table],
    *,
    network: str | None = None,
    expected: Collection[int] | None = None,
    sample: Collection[int] | None = None,
) -> Verification:
    """Verify all blocks of ``tables``, by the names and schemas of :data:`ampd.chain.tables.TABLES`.

    ``network`` is the dataset's name for its chain. With ``expected`` the tables must have exactly these blocks (a
    ``range``, say). With ``sample`` only these blocks are verified: each must be there, and rows of others are not
    looked at. A table other than blocks may be left out when the dataset does not have it; what depends on it is then
    listed as not checked.

    Whatever the rows hold is reported, not raised; ``ValueError`` means that these are not the tables, with the first
    missing or foreign column.
    """
    findings = Findings()
    normal = normal_tables(tables)
    if sample is not None:
        numbers = np.array(sorted(sample), dtype=np.uint64)
        normal = {name: only_blocks(table, numbers) for name, table in normal.items()}
    normal["blocks"] = order_blocks(normal["blocks"], findings)
    wanted = expected if sample is None else frozenset(sample)
    if wanted is not None:
        check_presence(normal["blocks"], wanted, findings)
    check_chain(normal["blocks"], findings)
    chain_id = None if network is None else CHAIN_IDS.get(network)
    for blocks in runs_of_blocks(normal, findings):
        _verify_run(blocks, chain_id)
    return findings.outcome(normal["blocks"].num_rows)


def _verify_run(blocks: BlockRows, chain_id: int | None) -> None:
    check_headers(blocks, chain_id)
    check_rows(blocks)
    transactions = blocks.transactions
    if transactions is None:
        _note_absent(blocks, "transactions", (*_OF_TRANSACTIONS, *_OF_RECEIPTS))
    else:
        state_sync = state_sync_rows(blocks, transactions)
        check_transactions(blocks, transactions, state_sync)
        check_derived(blocks, transactions, state_sync)
        if blocks.logs is None:
            _note_absent(blocks, "logs", (*_OF_RECEIPTS, Commitment.LOG_INDEX))
        else:
            check_receipts(blocks, transactions, blocks.logs, state_sync, chain_id)
    if blocks.withdrawals is None:
        _note_absent(blocks, "withdrawals", (Commitment.WITHDRAWALS_ROOT,))
    else:
        check_withdrawals(blocks, blocks.withdrawals)


def _note_absent(blocks: BlockRows, table: str, commitments: Collection[Commitment]) -> None:
    for block in range(len(blocks.numbers)):
        for commitment in commitments:
            blocks.unknown(block, commitment, f"the dataset has no table {table}")
