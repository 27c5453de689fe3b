"""One wrong value in any column of any recorded block is found, and the broken commitment is named (generated).

Every block of Ethereum and Polygon has one value of a column changed, all of them in one call; each must be found in
its own block. ``BREAKS`` says for each column which commitments a changed value breaks at least, and which it may break
besides, depending on the row. ``NOT_COVERED`` are the columns that nothing in a block commits to, with the reason: a
change there must break nothing, so that these lists stay true.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import pyarrow as pa
import pytest

from ampd.chain.commitments import Commitment
from ampd.chain.tables import TABLES
from ampd.chain.verification import verify_blocks
from oracle.recorded import names_of_all
from oracle.verified import Tables, broken, column_values, recorded_tables, with_column, with_value

# In the order of their numbers: some before and some after Byzantium, London, Shanghai and Cancun, some with creations,
# blobs, access lists, or withdrawals that the node left out, and one of another chain.
BLOCKS: Final = sorted(
    (name for name in names_of_all() if name.startswith(("ethereum", "polygon"))),
    key=lambda name: int(name.split("/")[1]),
)

C = Commitment
HASHED: Final = {C.TRANSACTION_HASH, C.TRANSACTIONS_ROOT}
LINKED: Final = {C.ROW_LINKS}
IN_LOGS: Final = {C.RECEIPTS_ROOT, C.LOGS_BLOOM}
MOVED: Final = {C.TRANSACTION_INDEX, C.TRANSACTIONS_ROOT, C.RECEIPTS_ROOT, C.GAS_USED, C.LOGS_BLOOM, C.BLOB_GAS}

Breaks = tuple[set[Commitment], set[Commitment]]

BREAKS: Final[dict[str, dict[str, Breaks]]] = {
    "blocks": {
        "_block_num": ({C.COLUMN_RULES}, set()),
        "block_num": ({C.COLUMN_RULES, C.HEADER_HASH}, LINKED | MOVED | {C.WITHDRAWALS_ROOT}),
        "timestamp": ({C.HEADER_HASH}, LINKED),
        "hash": ({C.HEADER_HASH}, LINKED),
        "transactions_root": ({C.HEADER_HASH, C.TRANSACTIONS_ROOT}, set()),
        "receipt_root": ({C.HEADER_HASH, C.RECEIPTS_ROOT}, set()),
        "logs_bloom": ({C.HEADER_HASH, C.LOGS_BLOOM}, set()),
        "gas_used": ({C.HEADER_HASH, C.GAS_USED}, set()),
        "base_fee_per_gas": ({C.HEADER_HASH}, {C.EFFECTIVE_GAS_PRICE}),
        "base_fee_per_gas_raw": ({C.HEADER_HASH}, {C.COLUMN_RULES, C.EFFECTIVE_GAS_PRICE}),
        "difficulty_raw": ({C.HEADER_HASH, C.COLUMN_RULES}, set()),
        "withdrawals_root": ({C.HEADER_HASH}, {C.WITHDRAWALS_ROOT}),
        "blob_gas_used": ({C.HEADER_HASH}, {C.BLOB_GAS}),  # 0 is as good as null for the sum
        **dict.fromkeys(
            [
                *("parent_hash", "ommers_hash", "miner", "state_root", "difficulty", "gas_limit", "extra_data"),
                *("mix_hash", "nonce", "excess_blob_gas", "parent_beacon_root", "requests_hash"),
            ],
            ({C.HEADER_HASH}, set()),
        ),
    },
    "transactions": {
        "_block_num": ({C.COLUMN_RULES}, set()),
        "block_num": (LINKED | {C.TRANSACTIONS_ROOT, C.RECEIPTS_ROOT}, MOVED),
        "block_hash": (LINKED, set()),
        "timestamp": (LINKED, set()),
        "tx_index": ({C.TRANSACTION_INDEX}, set()),
        "tx_hash": ({C.TRANSACTION_HASH}, LINKED),
        "to": (HASHED, {C.CONTRACT_ADDRESS}),
        "nonce": (HASHED, {C.CONTRACT_ADDRESS}),
        "gas_price": (HASHED, {C.EFFECTIVE_GAS_PRICE}),
        "gas_price_raw": (HASHED, {C.EFFECTIVE_GAS_PRICE, C.COLUMN_RULES}),
        "max_fee_per_gas": (HASHED, {C.EFFECTIVE_GAS_PRICE}),
        "max_fee_per_gas_raw": (HASHED, {C.EFFECTIVE_GAS_PRICE, C.COLUMN_RULES}),
        "max_priority_fee_per_gas": (HASHED, {C.EFFECTIVE_GAS_PRICE}),
        "max_priority_fee_per_gas_raw": (HASHED, {C.EFFECTIVE_GAS_PRICE, C.COLUMN_RULES}),
        "max_fee_per_blob_gas": (HASHED, {C.BLOB_GAS}),
        "max_fee_per_blob_gas_raw": (HASHED, {C.BLOB_GAS, C.COLUMN_RULES}),
        "blob_versioned_hashes": (HASHED, {C.BLOB_GAS}),
        "type": (HASHED, {C.RECEIPTS_ROOT, C.EFFECTIVE_GAS_PRICE, C.BLOB_GAS}),
        "cumulative_gas_used": ({C.RECEIPTS_ROOT, C.GAS_USED}, set()),
        "gas_used": ({C.GAS_USED}, set()),
        "status": ({C.RECEIPTS_ROOT}, set()),
        "state_root": ({C.RECEIPTS_ROOT}, set()),
        "effective_gas_price": ({C.EFFECTIVE_GAS_PRICE}, set()),
        "effective_gas_price_raw": ({C.EFFECTIVE_GAS_PRICE, C.COLUMN_RULES}, set()),
        "blob_gas_used": ({C.BLOB_GAS}, set()),
        "blob_gas_price": ({C.BLOB_GAS}, set()),
        "blob_gas_price_raw": ({C.BLOB_GAS}, {C.COLUMN_RULES}),
        "contract_address": ({C.CONTRACT_ADDRESS}, set()),
        "from": ({C.CONTRACT_ADDRESS}, set()),
        **dict.fromkeys(
            ["gas_limit", "value", "input", "r", "s", "v_parity", "chain_id", "access_list", "authorization_list"],
            (HASHED, set()),
        ),
    },
    "logs": {
        "_block_num": ({C.COLUMN_RULES}, set()),
        "block_num": (LINKED | {C.RECEIPTS_ROOT}, IN_LOGS | {C.LOG_INDEX}),
        "block_hash": (LINKED, set()),
        "timestamp": (LINKED, set()),
        "tx_hash": (LINKED, set()),
        "tx_index": (LINKED | {C.RECEIPTS_ROOT}, {C.LOG_INDEX, C.LOGS_BLOOM}),
        "log_index": ({C.LOG_INDEX}, set()),
        "data": ({C.RECEIPTS_ROOT}, set()),
        "address": ({C.RECEIPTS_ROOT}, {C.LOGS_BLOOM}),
        **{f"topic{place}": ({C.RECEIPTS_ROOT}, {C.LOGS_BLOOM, C.COLUMN_RULES}) for place in range(4)},
    },
    "withdrawals": {
        "_block_num": ({C.COLUMN_RULES}, set()),
        "block_num": (LINKED | {C.WITHDRAWALS_ROOT}, set()),
        "block_hash": (LINKED, set()),
        "timestamp": (LINKED, set()),
        **dict.fromkeys(["index", "validator_index", "address", "amount"], ({C.WITHDRAWALS_ROOT}, set())),
    },
}

SIGNATURE = "only the signature tells it, and recovering senders costs more than all else; of creations it is checked"
ONE_OF_A_KIND = "no header has it; blocks of one node that follow each other are checked"
PRICE = "the divisor changes with forks; all of a block pay the same, which is checked where there are two"
NOT_COVERED: Final[dict[str, dict[str, str]]] = {
    "blocks": {
        "total_difficulty": ONE_OF_A_KIND,
        "total_difficulty_raw": ONE_OF_A_KIND,
        "extra": "what a node says besides; only what says that withdrawals were left out counts",
    },
    "transactions": {"from": SIGNATURE, "blob_gas_price": PRICE, "blob_gas_price_raw": PRICE, "extra": "besides"},
    "logs": {"extra": "besides"},
    "withdrawals": {},
}


def other_values(kind: pa.DataType, value: Any) -> list[Any]:
    """Return changed values: another one, and null; for null some value."""
    if pa.types.is_list(kind):
        changed = [*(value or []), element(kind.value_type)]
    elif pa.types.is_fixed_size_binary(kind):
        changed = bytes(kind.byte_width - 1) + b"\5" if value is None else value[:-1] + bytes([value[-1] ^ 1])
    elif pa.types.is_binary(kind):
        changed = value + b"\5"
    elif pa.types.is_string(kind):
        changed = str(int(value) + 1) if (value or "x").isdigit() else '{"size":"0x5"}'
    elif pa.types.is_boolean(kind):
        changed = not value
    elif pa.types.is_timestamp(kind):
        changed = value + 1_000_000_000
    else:
        changed = 7 if value is None else value + 1
    return [changed] if value is None else [changed, None]


def element(kind: pa.DataType) -> Any:
    if not pa.types.is_struct(kind):
        return bytes(kind.byte_width)
    values: dict[str, Any] = {}
    for field in kind:
        if pa.types.is_list(field.type):
            values[field.name] = []
        elif pa.types.is_fixed_size_binary(field.type):
            values[field.name] = bytes(field.type.byte_width)
        else:
            values[field.name] = 0 if pa.types.is_integer(field.type) else False
    return values


@cache
def rows_to_change(block: str, name: str) -> list[int]:
    """Return the last row, and in transactions one of each type, the creations, and one with an access list."""
    table = recorded_tables(block)[name]
    rows = {table.num_rows - 1} if table.num_rows else set()
    if name == "transactions":
        kinds = table.column("type").to_pylist()
        rows |= {kinds.index(kind) for kind in set(kinds)}
        rows |= {row for row, to in enumerate(table.column("to").to_pylist()) if to is None}
        lists = table.column("access_list").to_pylist()
        rows |= set([row for row, accesses in enumerate(lists) if accesses][:1])
    return sorted(rows)


def is_no_change(name: str, table: pa.Table, column: str, row: int, value: Any) -> bool:
    """Tell of values that mean the same: no access list, and an empty one of a type that has one."""
    if (name, column) != ("transactions", "access_list"):
        return False
    return not value and not table.column(column)[row].as_py() and table.column("type")[row].as_py() > 0


def what_breaks(name: str, table: pa.Table, column: str, row: int, value: Any) -> Breaks:
    """Return ``BREAKS`` of a column, for the row at hand; nothing when the column is not covered there."""
    field = TABLES[name].field(column)
    needs, may = BREAKS[name].get(column, (set(), {C.COLUMN_RULES} if column == "total_difficulty_raw" else set()))
    if column in NOT_COVERED[name] and not is_covered_here(table, column, row):
        needs = set()
    if value is None and not field.nullable:
        # A null reads as zero where the chain may have a zero, too.
        return {C.COLUMN_RULES}, needs | may
    return needs, may


def is_covered_here(table: pa.Table, column: str, row: int) -> bool:
    if column == "from":
        return table.column("to")[row].as_py() is None
    if column.startswith("blob_gas_price"):
        return table.num_rows - table.column("blob_gas_price").null_count > 1
    return False


def with_tables(name: str) -> Tables:
    tables = recorded_tables(name)
    assert broken(tables) == set(), "the block itself must verify"
    return tables


@pytest.mark.parametrize("table", sorted(TABLES))
def test_each_column_is_listed_with_what_it_breaks_or_with_why_it_breaks_nothing(table: str) -> None:
    assert set(TABLES[table].names) == set(BREAKS[table]) | set(NOT_COVERED[table])


@pytest.fixture(scope="module")
def together() -> Tables:
    """All blocks as they would stand in one batch."""
    each = [recorded_tables(name) for name in BLOCKS]
    return {name: pa.concat_tables([tables[name] for tables in each]) for name in TABLES}


def broken_by_block(tables: Tables) -> dict[int, set[Commitment]]:
    found: dict[int, set[Commitment]] = {}
    for one in verify_blocks(tables, network="mainnet").violations:
        found.setdefault(one.block_num, set()).add(one.commitment)
    return found


def test_all_recorded_blocks_of_ethereum_and_polygon_verify_in_one_call(together: Tables) -> None:
    assert len(BLOCKS) == 23 + 6 + 1
    numbers = together["blocks"].column("block_num").to_pylist()
    assert verify_blocks(together, network="mainnet", expected=numbers).violations == []


COLUMNS = [(name, field.name) for name, schema in TABLES.items() for field in schema if field.name != "block_num"]


@pytest.mark.parametrize(("name", "column"), COLUMNS, ids=[".".join(pair) for pair in COLUMNS])
def test_one_wrong_value_in_any_block_is_found_and_named(together: Tables, name: str, column: str) -> None:
    field = TABLES[name].field(column)
    values, cases, offset = column_values(together[name], column), [], 0
    for position, block in enumerate(BLOCKS, TABLES[name].names.index(column)):
        table = recorded_tables(block)[name]
        rows = rows_to_change(block, name)
        if rows:
            # Other columns and other blocks have the turn of other rows (types, creations, access lists) and values.
            row = rows[position % len(rows)]
            choices = other_values(field.type, values[offset + row])
            value = choices[position % len(choices)]
            if not is_no_change(name, table, column, row, value):
                values[offset + row] = value
                cases.append((block, table, row, value))
        offset += table.num_rows
    found = broken_by_block({**together, name: with_column(together[name], column, values)})
    for case in cases:
        assert_named(found, name, column, *case)


def assert_named(
    found: dict[int, set[Commitment]], name: str, column: str, block: str, table: pa.Table, row: int, value: Any
) -> None:
    needs, may = what_breaks(name, table, column, row, value)
    if (name, column) == ("blocks", "extra") and "withdrawals" in str(table.column("extra")[0]):
        needs = {C.WITHDRAWALS_ROOT}
    own = found.get(int(block.split("/")[1]), set())
    case = f"{block} {name}.{column} row {row} becomes {value!r}: found {own}"
    assert needs <= own, f"{case}, not {needs - own}"
    assert own <= needs | may | BESIDE_NEIGHBOURS.get(column, set()), f"{case}, also {own - needs - may}"


# Some blocks follow each other: what ties them breaks with them.
BESIDE_NEIGHBOURS: Final = {
    **{"hash": {C.PARENT_HASH}, "parent_hash": {C.PARENT_HASH}, "difficulty": {C.TOTAL_DIFFICULTY}},
    **{name: {C.TOTAL_DIFFICULTY} for name in ("difficulty_raw", "total_difficulty", "total_difficulty_raw")},
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_row_with_another_block_number_is_found_and_named(block: str) -> None:
    """By itself: among its neighbours it would be taken for one of theirs."""
    for name, table in recorded_tables(block).items():
        if table.num_rows:
            row = table.num_rows - 1
            value = table.column("block_num")[row].as_py() + 1
            changed = {**recorded_tables(block), name: with_value(table, "block_num", row, value)}
            found = broken(changed, network="mainnet")
            needs, may = BREAKS[name]["block_num"]
            assert needs <= found <= needs | may, (block, name, found)


@pytest.mark.parametrize("kind", [-1, 5, 0x55, 0x6A, 0x7E, 0x78, 0x80, 2**31 - 1])
def test_a_standard_transaction_does_not_pass_for_one_of_an_unknown_type(kind: int) -> None:
    """What is of an unknown type is kept whole; a row that only says so is wrong."""
    tables = with_tables("ethereum/18000000")
    transactions = with_value(tables["transactions"], "type", 0, kind)
    assert C.COLUMN_RULES in broken({**tables, "transactions": transactions})


@pytest.mark.parametrize("name", ["ethereum/18000000", "ethereum/19433903"])
@pytest.mark.parametrize("nanoseconds", [1, 999_999_999])
def test_a_time_between_two_seconds_is_found(name: str, nanoseconds: int) -> None:
    tables = with_tables(name)
    time = column_values(tables["blocks"], "timestamp")[0]
    blocks = with_value(tables["blocks"], "timestamp", 0, time + nanoseconds)
    assert broken({**tables, "blocks": blocks}) == {C.COLUMN_RULES, C.ROW_LINKS}


@pytest.mark.parametrize("text", ["", "x", "-1", "+5", "1e3", "5.0", "007", "0x10", " 5", "9" * 78, "9" * 200])
def test_a_value_that_is_no_decimal_number_below_2_to_the_256_is_found(text: str) -> None:
    tables = with_tables("ethereum/1000000")
    transactions = with_value(tables["transactions"], "value", 0, text)
    assert broken({**tables, "transactions": transactions}) == HASHED | {C.COLUMN_RULES}


def test_two_topics_that_left_a_gap_are_found_though_they_hash_alike() -> None:
    tables = with_tables("ethereum/18000000")
    topics = tables["logs"].column("topic2").to_pylist()
    row = next(row for row, topic in enumerate(topics) if topic is not None and column_is_null(tables, "topic3", row))
    logs = with_value(tables["logs"], "topic3", row, topics[row])
    logs = with_value(logs, "topic2", row, None)
    assert broken({**tables, "logs": logs}) == {C.COLUMN_RULES}


def column_is_null(tables: Tables, column: str, row: int) -> bool:
    return tables["logs"].column(column)[row].as_py() is None


def test_a_violation_names_block_row_and_both_values() -> None:
    tables = with_tables("ethereum/18000000")
    wrong = bytes(31) + b"\1"
    (first, *_) = verify_blocks({**tables, "blocks": with_value(tables["blocks"], "state_root", 0, wrong)}).violations
    assert (first.block_num, first.commitment) == (18000000, C.HEADER_HASH)
    assert tables["blocks"].column("hash")[0].as_py().hex() in first.detail
    transactions = with_value(with_value(tables["transactions"], "gas_limit", 7, 1), "gas_limit", 20, 1)
    violations = verify_blocks({**tables, "transactions": transactions}).violations
    detail = next(one.detail for one in violations if one.commitment == C.TRANSACTION_HASH)
    assert detail.startswith("transaction 7 hashes to 0x")
    assert tables["transactions"].column("tx_hash")[7].as_py().hex() in detail
    assert detail.endswith("(and 1 more)")
