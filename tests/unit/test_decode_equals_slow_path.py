"""The vectorised decoder against the slow path, on every recorded block and in every column."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ampd.chain.tables import TABLES
from oracle.recorded import (
    Recorded,
    assert_rows_equal_slow_path,
    decoded,
    follow_on,
    names_of_all,
    recorded,
    rise_block,
)
from oracle.slow_rows import difference, rows_of, slow_rows

CONSECUTIVE = [f"ethereum-17686110-17686132/{number}" for number in range(17686110, 17686133)]


def test_all_recorded_blocks_are_here() -> None:
    names = names_of_all()
    assert set(CONSECUTIVE) <= set(names)
    assert len(names) == 32
    assert {name.split("/")[0] for name in names} >= {"ethereum", "polygon", "arbitrum", "bittensor-testnet"}


@pytest.mark.parametrize("name", names_of_all())
def test_one_recorded_block_equals_the_slow_path(name: str) -> None:
    assert_rows_equal_slow_path([recorded(name)])


@pytest.mark.parametrize(
    "name", ["arbitrum/150000000", "bittensor-testnet/6646068", "polygon/50000000", "ethereum/19433903"]
)
def test_expecting_unknown_keys_changes_no_row(name: str) -> None:
    assert_rows_equal_slow_path([recorded(name)], expect_unknown_keys=True)


@pytest.mark.parametrize("expect_unknown_keys", [False, True])
def test_an_op_stack_block_with_a_deposit_equals_the_slow_path(expect_unknown_keys: bool) -> None:
    assert_rows_equal_slow_path([rise_block()], expect_unknown_keys=expect_unknown_keys)


def test_23_consecutive_blocks_in_one_call_equal_the_slow_path() -> None:
    assert_rows_equal_slow_path([recorded(name) for name in CONSECUTIVE])


def test_two_consecutive_blocks_around_a_blob_transaction_equal_the_slow_path() -> None:
    assert_rows_equal_slow_path([recorded("ethereum/19433902"), recorded("ethereum/19433903")])


def chain_of_everything() -> list[Recorded]:
    """Blocks of all chains and forks, and empty ones among them, as if they were neighbours."""
    others = [name for name in names_of_all() if name not in CONSECUTIVE]
    chain = [recorded(name) for name in others]
    chain.append(rise_block())
    for position in (0, 4, len(chain)):
        empty = Recorded(recorded("ethereum/4369999").block, [])
        empty.block.update(transactions=[], hash=f"0x{position + 1:064x}")
        chain.insert(position, empty)
    follow_on(chain)
    return chain


@pytest.mark.parametrize("expect_unknown_keys", [False, True])
def test_unlike_blocks_in_one_call_do_not_mix_their_values(expect_unknown_keys: bool) -> None:
    assert_rows_equal_slow_path(chain_of_everything(), expect_unknown_keys=expect_unknown_keys)


def test_a_block_without_unknown_keys_beside_one_with_them_gets_no_extra_of_its_neighbour() -> None:
    chain = [recorded("ethereum/1000000"), recorded("arbitrum/150000000"), recorded("ethereum/4369999")]
    follow_on(chain)
    assert_rows_equal_slow_path(chain)


def test_a_batch_knows_its_ends() -> None:
    chain = [recorded(name) for name in CONSECUTIVE[:3]]
    batch = decoded(chain, expect_unknown_keys=False)
    assert (batch.start_block, batch.end_block) == (17686110, 17686112)
    assert batch.start_parent_hash.hex() == chain[0].block["parentHash"][2:]
    assert batch.end_hash.hex() == chain[-1].block["hash"][2:]
    assert batch.end_timestamp == int(chain[-1].block["timestamp"], 16)
    assert batch.source_bytes > 1_000_000


def test_the_slow_path_itself_agrees_with_facts_known_from_elsewhere() -> None:
    """Values of block 1000000 as any block explorer shows them: the slow path is checked by more than the decoder."""
    one = recorded("ethereum/1000000")
    rows = slow_rows(one.block, one.receipts)
    first, second = rows["transactions"]
    assert (rows["blocks"][0]["timestamp"], rows["blocks"][0]["gas_used"]) == (1455404053, 50244)
    assert (first["value"], first["gas_used"], second["gas_used"]) == ("100000000000000000000", 29244, 21000)
    assert (first["chain_id"], first["v_parity"], first["status"]) == (None, True, None)
    assert second["cumulative_gas_used"] == 50244
    assert rows["blocks"][0]["extra"] == {"size": "0x300"}


@pytest.mark.parametrize("table", sorted(TABLES))
def test_the_comparison_sees_one_wrong_value_in_any_column(table: str) -> None:
    """The tests above are worth as much as this: every column, once made wrong, is named."""
    one = recorded("ethereum/19433903")
    rows = slow_rows(one.block, one.receipts)[table]
    good = decoded([one], expect_unknown_keys=False).tables[table]
    assert difference(table, rows, rows_of(good)) is None
    for column in good.column_names:
        position = good.column_names.index(column)
        shifted = pa.nulls(good.num_rows, good.schema.field(column).type)
        if good[column].null_count == good.num_rows:
            rows_with_other = [{**rows[0], column: "something"}, *rows[1:]]
            found = difference(table, rows_with_other, rows_of(good))
        else:
            found = difference(table, rows, rows_of(good.set_column(position, column, shifted)))
        assert found is not None
        assert f"column {column}:" in found
