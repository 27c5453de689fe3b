"""Recorded blocks verify from their tables alone, and what cannot be verified is said."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampd.chain.commitments import Commitment, NotChecked
from ampd.chain.tables import TABLES
from ampd.chain.verification import verify_blocks
from oracle.consensus import seal
from oracle.made_up import conformance
from oracle.recorded import Recorded, names_of_all, recorded, rise_block
from oracle.verified import assert_verified, broken, not_checked, recorded_tables, tables_of

CONSECUTIVE = [f"ethereum-17686110-17686132/{number}" for number in range(17686110, 17686133)]
NUMBERS = range(17686110, 17686133)
STANDARD = [name for name in names_of_all() if name.startswith(("ethereum", "polygon", "arbitrum"))]
# In this recording the header has a withdrawals root and the list is missing.
LEFT_OUT = "the node left the withdrawals out"


def test_all_recorded_blocks_are_here() -> None:
    assert len(STANDARD) == 23 + 6 + 1 + 1


@pytest.mark.parametrize("name", STANDARD)
def test_a_recorded_block_verifies(name: str) -> None:
    unknown = assert_verified(recorded_tables(name), network=name.split("-", maxsplit=1)[0].split("/", maxsplit=1)[0])
    number = int(name.split("/")[1])
    expected = [NotChecked(number, Commitment.WITHDRAWALS_ROOT, LEFT_OUT)] if name in CONSECUTIVE else []
    assert unknown == expected


@pytest.fixture(scope="module")
def mainnet() -> dict[str, pa.Table]:
    return tables_of(*[recorded(name) for name in CONSECUTIVE])


def test_23_blocks_verify_in_one_call(mainnet: dict[str, pa.Table]) -> None:
    unknown = assert_verified(mainnet, network="mainnet", expected=NUMBERS)
    assert {(one.commitment, one.reason) for one in unknown} == {(Commitment.WITHDRAWALS_ROOT, LEFT_OUT)}
    assert [one.block_num for one in unknown] == list(NUMBERS)


def test_blocks_verify_from_parquet_files_in_several_row_groups(mainnet: dict[str, pa.Table]) -> None:
    read = {}
    for name, table in mainnet.items():
        file = io.BytesIO()
        pq.write_table(table, file, row_group_size=1000, compression="zstd")
        read[name] = pq.read_table(file)
    assert read["logs"].column("data").num_chunks > 1
    assert_verified(read, network="mainnet", expected=NUMBERS)


def test_more_columns_in_another_order_and_wider_types_do_not_matter(mainnet: dict[str, pa.Table]) -> None:
    logs = mainnet["logs"].cast(
        pa.schema([f.with_type(pa.large_binary()) if f.name == "data" else f for f in TABLES["logs"]])
    )
    logs = logs.select(logs.schema.names[::-1]).append_column("note", pa.nulls(logs.num_rows, pa.string()))
    assert_verified({**mainnet, "logs": logs})


def test_an_empty_block_verifies() -> None:
    one = recorded("ethereum/4369999")
    one.block["transactions"] = []
    tables = tables_of(seal(Recorded(one.block, [])))
    assert assert_verified(tables) == []
    assert tables["logs"].num_rows == tables["transactions"].num_rows == 0


def test_no_blocks_at_all_verify() -> None:
    tables = {name: schema.empty_table() for name, schema in TABLES.items()}
    assert assert_verified(tables) == []


def test_a_block_of_the_prague_fork_verifies() -> None:
    block = conformance("eth_getBlockByNumber", "get-latest")
    receipts = conformance("eth_getBlockReceipts", "get-block-receipts-latest")
    assert block["requestsHash"]
    assert assert_verified(tables_of(Recorded(block, receipts))) == []


def test_what_a_substrate_chain_hashes_otherwise_is_not_taken_for_broken() -> None:
    tables = recorded_tables("bittensor-testnet/6646068")
    assert_verified(tables, network="bittensor-testnet")
    assert not_checked(tables) == {
        Commitment.HEADER_HASH,
        Commitment.TRANSACTION_HASH,
        Commitment.TRANSACTIONS_ROOT,
    }
    assert broken(tables, network="mainnet") == {Commitment.HEADER_HASH}, "Ethereum's own headers have one hash"


def test_of_a_block_without_its_receipts_the_rest_verifies() -> None:
    """The OP-stack block has made-up receipts: exactly what they carry is broken; deposit and all hashes are right."""
    tables = tables_of(rise_block())
    assert broken(tables) == {Commitment.RECEIPTS_ROOT, Commitment.LOGS_BLOOM, Commitment.GAS_USED}
    assert not_checked(tables) == {Commitment.WITHDRAWALS_ROOT}


def test_a_sample_looks_at_no_other_block(mainnet: dict[str, pa.Table]) -> None:
    wrong = mainnet["blocks"].column("block_num").to_pylist()[5]
    values = mainnet["blocks"].column("gas_limit").to_pylist()
    values[5] += 1
    position = mainnet["blocks"].schema.get_field_index("gas_limit")
    blocks = mainnet["blocks"].set_column(position, TABLES["blocks"].field("gas_limit"), pa.array(values, pa.uint64()))
    tables = {**mainnet, "blocks": blocks}
    outcome = verify_blocks(tables, sample=[NUMBERS[0], NUMBERS[7]], expected=NUMBERS)
    assert (outcome.blocks, outcome.violations) == (2, [])
    assert broken(tables, sample=[wrong]) == {Commitment.HEADER_HASH}
    assert broken(tables, sample=[NUMBERS[-1] + 1]) == {Commitment.BLOCK_ORDER}, "a block that is not there"


@pytest.mark.parametrize(
    ("absent", "commitments"),
    [
        ("withdrawals", {Commitment.WITHDRAWALS_ROOT}),
        ("logs", {Commitment.RECEIPTS_ROOT, Commitment.LOGS_BLOOM, Commitment.LOG_INDEX}),
        (
            "transactions",
            {
                *(Commitment.TRANSACTIONS_ROOT, Commitment.TRANSACTION_HASH, Commitment.TRANSACTION_INDEX),
                *(Commitment.RECEIPTS_ROOT, Commitment.LOGS_BLOOM, Commitment.GAS_USED, Commitment.BLOB_GAS),
                *(Commitment.EFFECTIVE_GAS_PRICE, Commitment.CONTRACT_ADDRESS),
            },
        ),
    ],
)
def test_a_table_that_the_dataset_does_not_have_is_not_checked(absent: str, commitments: set[Commitment]) -> None:
    tables = recorded_tables("ethereum/19433903")
    del tables[absent]
    assert {one.commitment for one in assert_verified(tables)} == commitments


def test_tables_that_are_none_of_ours_are_refused() -> None:
    tables = recorded_tables("ethereum/1000000")
    with pytest.raises(ValueError, match="needs the table blocks"):
        verify_blocks({"logs": tables["logs"]})
    with pytest.raises(ValueError, match="logs has no column topic2"):
        verify_blocks({**tables, "logs": tables["logs"].drop_columns(["topic2"])})
    with pytest.raises(ValueError, match="logs has a column of another kind"):
        position = tables["logs"].schema.get_field_index("address")
        words = pa.array(["nobody"], pa.string())
        verify_blocks({**tables, "logs": tables["logs"].set_column(position, "address", words)})
    with pytest.raises(ValueError, match="logs has a row without block_num"):
        position = tables["logs"].schema.get_field_index("block_num")
        nobody = pa.nulls(1, pa.uint64())
        verify_blocks({**tables, "logs": tables["logs"].set_column(position, "block_num", nobody)})
