"""Blocks of edge values, sealed by the slow path with other libraries: they verify, and no change in them does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ampd.chain.tables import TABLES
from oracle.consensus import kind_of
from oracle.made_up import block, transaction
from oracle.recorded import Recorded
from oracle.verified import Tables, assert_verified, broken, column_values, tables_of, with_value

Json = Any
Draw = Callable[[st.SearchStrategy[Any]], Any]

MODERATE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EDGES = [0, 1, 127, 128, 255, 256, 2**63 - 1, 2**64 - 1, 2**64, 2**128, 10**38 - 1, 10**38, 2**256 - 1]


def quantity(largest: int) -> st.SearchStrategy[str]:
    numbers = st.integers(0, largest) | st.sampled_from([edge for edge in EDGES if edge <= largest])
    return numbers.map(hex)


def data(least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.binary(min_size=least, max_size=least if most is None else most).map(lambda content: "0x" + content.hex())


UINT64, AMOUNT, WORD, HASH, ADDRESS = (
    quantity(2**64 - 1),
    quantity(2**256 - 1),
    quantity(2**256 - 1),
    data(32),
    data(20),
)
INPUT = data(0, 70) | st.sampled_from(
    ["0x", "0x00", "0x7f", "0x80", "0x" + "11" * 55, "0x" + "11" * 56, "0x" + "22" * 300]
)
ACCESSES = st.lists(st.fixed_dictionaries({"address": ADDRESS, "storageKeys": st.lists(HASH, max_size=3)}), max_size=3)
AUTHORIZATIONS = st.lists(
    st.fixed_dictionaries(
        {
            **{"chainId": AMOUNT, "address": ADDRESS, "nonce": UINT64},
            **{"yParity": st.sampled_from(["0x0", "0x1"]), "r": WORD, "s": WORD},
        }
    ),
    max_size=3,
)
SIGNED = quantity(2**256 - 1).filter(lambda text: text != "0x0")


@st.composite
def transactions(draw: Draw) -> dict[str, Json]:
    kind = draw(st.integers(0, 4))
    stated = {"nonce": draw(UINT64), "gas": draw(UINT64), "value": draw(AMOUNT), "input": draw(INPUT)}
    stated |= {"gasPrice": draw(AMOUNT), "from": draw(ADDRESS), "to": draw(ADDRESS), "r": draw(SIGNED), "s": draw(WORD)}
    if kind < 3 and draw(st.booleans()):
        stated["to"] = None
    if kind == 0:
        stated["v"] = draw(st.sampled_from([27, 28, 35, 36, 37, 309, 2**53, 2**64 - 1]).map(hex))
        return transaction(kind, **stated)
    stated |= {"chainId": draw(UINT64), "yParity": draw(st.sampled_from(["0x0", "0x1"])), "accessList": draw(ACCESSES)}
    stated["v"] = stated["yParity"]
    if kind >= 2:
        stated |= {"maxFeePerGas": draw(AMOUNT), "maxPriorityFeePerGas": draw(AMOUNT)}
    if kind == 3:
        hashes = draw(st.lists(HASH, min_size=1, max_size=3))
        stated |= {"maxFeePerBlobGas": draw(SIGNED), "blobVersionedHashes": hashes}
    if kind == 4:
        stated["authorizationList"] = draw(AUTHORIZATIONS)
    return transaction(kind, **stated)


WITHDRAWALS = st.lists(
    st.fixed_dictionaries({"index": UINT64, "validatorIndex": UINT64, "address": ADDRESS, "amount": UINT64}),
    max_size=20,
)


@st.composite
def forks(draw: Draw) -> dict[str, Json]:
    """Return the header fields that some fork has, and a state root in place of the status in the oldest one."""
    fields = {"gasLimit": draw(UINT64), "difficulty": draw(AMOUNT), "extraData": draw(INPUT), "miner": draw(ADDRESS)}
    fork = draw(st.sampled_from(["frontier", "byzantium", "london", "shanghai", "prague"]))
    fields["baseFeePerGas"] = None if fork in ("frontier", "byzantium") else draw(AMOUNT)
    if fork in ("shanghai", "prague"):
        fields |= {"withdrawals": draw(WITHDRAWALS), "withdrawalsRoot": "0x" + "00" * 32}
    if fork == "prague":
        fields |= {"blobGasUsed": "0x0", "excessBlobGas": draw(UINT64)}
        fields |= {"parentBeaconBlockRoot": draw(HASH), "requestsHash": draw(HASH)}
    return fields | ({"before_byzantium": True} if fork == "frontier" else {})


@st.composite
def blocks(draw: Draw, most: int = 6) -> Recorded:
    stated = draw(forks())
    count = draw(st.integers(0, most))
    drawn = [draw(transactions()) for _ in range(count)]
    if stated.get("blobGasUsed") is None:
        drawn = [one for one in drawn if kind_of(one) != 3]
    outcome = {"status": None, "root": draw(HASH)} if stated.pop("before_byzantium", False) else {}
    parts = [outcome or {"status": draw(st.sampled_from(["0x0", "0x1"]))} for _ in drawn]
    return block(drawn, logs_of=[draw(st.integers(0, 5)) for _ in drawn], receipt_parts=parts, **stated)


@MODERATE
@given(one=blocks())
def test_a_block_of_edge_values_verifies(one: Recorded) -> None:
    assert assert_verified(tables_of(one)) == []


@settings(MODERATE, max_examples=20)
@given(chain=st.lists(blocks(most=3), min_size=2, max_size=4))
def test_blocks_of_edge_values_in_one_call_do_not_mix(chain: list[Recorded]) -> None:
    separate = [tables_of(one) for one in chain]
    for position, tables in enumerate(separate):
        separate[position] = {name: moved(table, position) for name, table in tables.items()}
    together = {name: pa.concat_tables([tables[name] for tables in separate]) for name in TABLES}
    one_by_one = [broken(tables) for tables in separate]
    assert broken(together) == set().union(*one_by_one)


def moved(table: pa.Table, distance: int) -> pa.Table:
    """Return the table with other block numbers: true but for the header's hash."""
    for column in ("_block_num", "block_num"):
        numbers = [number + 2 * distance for number in column_values(table, column)]
        position = table.schema.get_field_index(column)
        table = table.set_column(position, table.schema.field(column), pa.array(numbers, pa.uint64()))
    return table


# What nothing covers: see test_verify_changed_values.
FREE = {"total_difficulty", "total_difficulty_raw", "extra", "from", "blob_gas_price", "blob_gas_price_raw"}


def a_changed_value(draw: Draw, tables: Tables) -> tuple[str, str, int, Any]:
    name = draw(st.sampled_from([name for name in TABLES if tables[name].num_rows]))
    table = tables[name]
    column = draw(st.sampled_from([field.name for field in TABLES[name] if not draw_free(field)]))
    row = draw(st.integers(0, table.num_rows - 1))
    before = column_values(table, column)[row]
    kind = table.schema.field(column).type
    # No blob gas, and none of it, say the same.
    same = {before, 0} if column == "blob_gas_used" and before is None else {before}
    return name, column, row, draw(values_of(kind).filter(lambda value: value not in same))


def draw_free(field: pa.Field) -> bool:
    return field.name in FREE or pa.types.is_nested(field.type) or pa.types.is_timestamp(field.type)


def values_of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    if pa.types.is_binary(kind):
        return st.binary(max_size=60)
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_string(kind):
        return st.integers(0, 2**256 - 1).map(str) | st.text(max_size=5)
    if pa.types.is_decimal(kind):
        return st.integers(-(10**38) + 1, 10**38 - 1)
    return st.integers(0, 2 ** (kind.bit_width - 1) - 1)


@MODERATE
@given(data=st.data())
def test_no_changed_value_verifies(data: st.DataObject) -> None:
    tables = tables_of(data.draw(blocks(most=4)))
    name, column, row, value = a_changed_value(data.draw, tables)
    changed = {**tables, name: with_value(tables[name], column, row, value)}
    assert broken(changed), f"{name}.{column} row {row} became {value!r}"
