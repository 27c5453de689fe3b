"""Rows that are missing, doubled, swapped or added are found, in every table and place."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from ampd.chain.commitments import Commitment
from ampd.chain.verification import verify_blocks
from oracle.made_up import block, transaction
from oracle.recorded import recorded
from oracle.verified import (
    Tables,
    assert_verified,
    broken,
    column_values,
    recorded_tables,
    tables_of,
    with_column,
    with_value,
)

C = Commitment
NAMES = ["ethereum/4369999", "ethereum/18000000", "ethereum/19433903", "polygon/50000000"]
Order = Callable[[int, int], list[int]]


def without(row: int, rows: int) -> list[int]:
    return [at for at in range(rows) if at != row]


def doubled(row: int, rows: int) -> list[int]:
    return sorted([*range(rows), row])


def doubled_at_the_end(row: int, rows: int) -> list[int]:
    return [*range(rows), row]


def swapped(row: int, rows: int) -> list[int]:
    """Swap a row with the next one (the last one with the one before it)."""
    order, other = list(range(rows)), row + 1 if row + 1 < rows else row - 1
    order[row], order[other] = order[other], order[row]
    return order


def replaced(row: int, rows: int) -> list[int]:
    """Put another row in the place of this one."""
    return [(row + 1) % rows if at == row else at for at in range(rows)]


def reversed_rows(row: int, rows: int) -> list[int]:
    return list(range(rows))[::-1]


CHANGES: list[Order] = [without, doubled, doubled_at_the_end, swapped, replaced, reversed_rows]
# The last log may go without a gap in the numbering: then the roots tell.
BREAKS: dict[str, set[C]] = {
    "transactions": {C.TRANSACTIONS_ROOT, C.RECEIPTS_ROOT},
    "logs": {C.RECEIPTS_ROOT},
    "withdrawals": {C.WITHDRAWALS_ROOT},
}
INDEX = {"transactions": C.TRANSACTION_INDEX, "logs": C.LOG_INDEX, "withdrawals": C.WITHDRAWALS_ROOT}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("table", BREAKS)
@pytest.mark.parametrize("name", NAMES)
def test_changed_rows_are_found(name: str, table: str, change: Order) -> None:
    tables = recorded_tables(name)
    rows = tables[table].num_rows
    for row in {0, rows // 2, rows - 1} if rows else set():
        changed = tables[table].take(pa.array(change(row, rows)))
        found = broken({**tables, table: changed}, network="mainnet")
        is_out_of_order = change not in (without, doubled_at_the_end) or row < rows - 1
        # Logs that were only numbered otherwise are put right, and give the root: their order is what is wrong.
        wanted = {INDEX[table]} if is_out_of_order else BREAKS[table]
        assert wanted <= found, f"row {row}: {found}"
        if change in (without, doubled, replaced):
            assert BREAKS[table] <= found, f"row {row}: {found}"


@pytest.mark.parametrize("change", [without, doubled, swapped], ids=lambda change: change.__name__)
@pytest.mark.parametrize("table", ["transactions", "logs", "withdrawals"])
def test_renumbering_the_rest_does_not_hide_a_changed_row(table: str, change: Order) -> None:
    """A decoder that numbers rows itself would write such a table."""
    tables = recorded_tables("ethereum/18000000")
    rows = tables[table].num_rows
    changed = tables[table].take(pa.array(change(rows // 2, rows)))
    column = {"transactions": "tx_index", "logs": "log_index", "withdrawals": "index"}[table]
    numbers = column_values(tables[table], column)
    changed = with_column(changed, column, list(range(numbers[0], numbers[0] + changed.num_rows)))
    assert BREAKS[table] <= broken({**tables, table: changed})


@pytest.mark.parametrize("table", BREAKS)
def test_all_rows_missing_is_found(table: str) -> None:
    tables = recorded_tables("ethereum/18000000")
    assert BREAKS[table] <= broken({**tables, table: tables[table].slice(0, 0)})


@pytest.mark.parametrize("table", BREAKS)
def test_rows_of_a_block_that_is_not_there_are_found(table: str) -> None:
    tables = recorded_tables("ethereum/18000000")
    others = recorded_tables("ethereum/18500000")
    for both in ([tables[table], others[table]], [others[table], tables[table]]):
        outcome = verify_blocks({**tables, table: pa.concat_tables(both)})
        (violation,) = outcome.violations
        assert (violation.block_num, violation.commitment) == (18500000, C.ROW_LINKS)
        assert violation.detail.startswith(f"{table} has {others[table].num_rows} rows of this block")


def test_a_log_moved_to_another_transaction_is_found() -> None:
    tables = recorded_tables("ethereum/18000000")
    logs = tables["logs"]
    indices = logs.column("tx_index").to_pylist()
    row = next(row for row, index in enumerate(indices) if index != indices[row + 1])
    moved = with_value(logs, "tx_index", row, indices[row + 1])
    hashes = logs.column("tx_hash").to_pylist()
    moved = with_value(moved, "tx_hash", row, hashes[row + 1])
    assert broken({**tables, "logs": moved}) == {C.RECEIPTS_ROOT}


def test_a_log_of_a_transaction_that_the_block_does_not_have_is_found() -> None:
    tables = recorded_tables("ethereum/18000000")
    logs = with_value(tables["logs"], "tx_index", tables["logs"].num_rows - 1, 4000)
    found = {one.commitment: one.detail for one in verify_blocks({**tables, "logs": logs}).violations}
    assert {C.ROW_LINKS, C.RECEIPTS_ROOT} <= set(found)
    assert "transaction 4000, which the block does not have" in found[C.ROW_LINKS]


def chain(length: int) -> Tables:
    """Return blocks that follow each other, more than are looked at at once."""
    blocks, parent = [], "0x" + "00" * 32
    for height in range(length):
        transfers = [transaction(0, v="0x1b", r=hex(height + 1), nonce=hex(index)) for index in range(height % 4)]
        stated = {"number": hex(900 + height), "parentHash": parent, "difficulty": hex(5 + height)}
        total = 10**20 + sum(5 + each for each in range(height + 1))
        blocks.append(block(transfers, logs_of=[2, 0, 3], totalDifficulty=hex(total), **stated))
        parent = blocks[-1].block["hash"]
    return tables_of(*blocks)


@pytest.fixture(scope="module")
def long_chain() -> Tables:
    return chain(70)


def test_a_chain_of_many_blocks_verifies(long_chain: Tables) -> None:
    assert assert_verified(long_chain, expected=range(900, 970)) == []


@pytest.mark.parametrize("height", [0, 31, 32, 63, 64, 69])
def test_the_broken_block_of_many_is_named(long_chain: Tables, height: int) -> None:
    wrong = with_value(long_chain["blocks"], "gas_limit", height, 1)
    (violation,) = verify_blocks({**long_chain, "blocks": wrong}).violations
    assert (violation.block_num, violation.commitment) == (900 + height, C.HEADER_HASH)
    rows = long_chain["logs"].column("block_num").to_pylist()
    row = rows.index(min(number for number in rows if number >= 900 + min(height, 67)))
    wrong = with_value(long_chain["logs"], "data", row, b"something else")
    (violation,) = verify_blocks({**long_chain, "logs": wrong}).violations
    assert (violation.block_num, violation.commitment) == (rows[row], C.RECEIPTS_ROOT)


@pytest.mark.parametrize("height", [1, 32, 69])
def test_a_block_of_another_fork_is_found(long_chain: Tables, height: int) -> None:
    wrong = with_value(long_chain["blocks"], "parent_hash", height, bytes(32))
    assert broken({**long_chain, "blocks": wrong}) == {C.PARENT_HASH, C.HEADER_HASH}
    wrong = with_value(long_chain["blocks"], "hash", height - 1, bytes(32))
    assert {C.PARENT_HASH, C.HEADER_HASH} <= broken({**long_chain, "blocks": wrong})


@pytest.mark.parametrize("height", [0, 32, 69])
def test_a_wrong_total_difficulty_is_found_where_a_neighbour_is_there(long_chain: Tables, height: int) -> None:
    wrong = with_value(long_chain["blocks"], "total_difficulty", height, 3)
    assert broken({**long_chain, "blocks": wrong}) == {C.TOTAL_DIFFICULTY}
    unknown = with_value(long_chain["blocks"], "total_difficulty", height, None)
    assert broken({**long_chain, "blocks": unknown}) == set()


def test_blocks_that_are_missing_doubled_swapped_or_too_many_are_found(long_chain: Tables) -> None:
    blocks = long_chain["blocks"]
    expected = range(900, 970)
    for order, number in ((without(40, 70), 940), (without(0, 70), 900), (without(69, 70), 969)):
        fewer = {name: rows_without(table, number) for name, table in long_chain.items()}
        fewer["blocks"] = blocks.take(pa.array(order))
        assert broken(fewer) == set(), "blocks may be any"
        (violation,) = verify_blocks(fewer, expected=expected).violations
        assert (violation.block_num, violation.commitment) == (number, C.BLOCK_ORDER)
    for order in (doubled(40, 70), doubled_at_the_end(40, 70), swapped(40, 70)):
        assert broken({**long_chain, "blocks": blocks.take(pa.array(order))}, expected=expected) == {C.BLOCK_ORDER}
    assert broken(long_chain, expected=range(900, 969)) == {C.BLOCK_ORDER}


def rows_without(table: pa.Table, number: int) -> pa.Table:
    keep = [row for row, own in enumerate(table.column("block_num").to_pylist()) if own != number]
    return table.take(pa.array(keep, pa.int64()))


@pytest.mark.parametrize("table", ["transactions", "logs"])
def test_rows_out_of_the_order_of_their_blocks_are_found_and_put_right(long_chain: Tables, table: str) -> None:
    numbers = long_chain[table].column("block_num").to_pylist()
    turned = sorted(range(len(numbers)), key=lambda row: numbers[row] < 935)
    outcome = verify_blocks({**long_chain, table: long_chain[table].take(pa.array(turned))})
    index = INDEX[table]
    assert {violation.commitment for violation in outcome.violations} == {index}
    assert "follows one of block 969" in outcome.violations[0].detail


def test_unlike_blocks_in_one_call_do_not_mix() -> None:
    """Forks and chains beside each other: state roots and statuses, blobs and none, withdrawals and none."""
    names = ["ethereum/1000000", "ethereum/4369999", "ethereum/18000000", "ethereum/19433903", "polygon/50000000"]
    every = [tables_of(recorded(name)) for name in names]
    tables = {name: pa.concat_tables([one[name] for one in every]) for name in every[0]}
    assert assert_verified(tables) == []
