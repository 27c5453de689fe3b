"""Blocks from Firehose: the same rows as from JSON-RPC, calls as another reading has them, wrong ones refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import ampd
from ampd.chain.tables import CALLS, FIREHOSE_TABLES, TABLES
from ampd.chain.verification import verify_blocks
from ampd.errors import AmpError, ErrorCode
from ampd.firehose_wire import ethereum_pb2 as pb
from ampd.sources.firehose.decode import decode
from oracle.recorded import Recorded, decoded, recorded
from oracle.slow_firehose import slow_calls
from oracle.slow_rows import difference, rows_of
from support.firehose_blocks import FIRST, LAST, firehose_block, recorded_firehose_blocks

NUMBERS = list(range(FIRST, LAST + 1))


def recorded_payloads() -> list[bytes]:
    return [block.payload for block in recorded_firehose_blocks()]


def assert_same(got: dict[str, pa.Table], wanted: dict[str, pa.Table]) -> None:
    for name in TABLES:
        assert got[name].schema.equals(wanted[name].schema), name
        for column in TABLES[name].names:
            mine, other = got[name].column(column), wanted[name].column(column)
            assert mine.equals(other), f"{name}.{column}: {mine.to_pylist()[:3]} and {other.to_pylist()[:3]}"


def of_json_rpc(*names: str) -> dict[str, pa.Table]:
    return decoded([recorded(name) for name in names], expect_unknown_keys=False).tables


def test_six_recorded_blocks_have_the_rows_that_json_rpc_gives() -> None:
    batch = decode(NUMBERS, recorded_payloads(), chain_id=1)
    assert_same(batch.tables, of_json_rpc(*(f"ethereum-17686110-17686132/{number}" for number in NUMBERS)))
    assert list(batch.tables) == list(FIREHOSE_TABLES)
    assert (batch.start_block, batch.end_block) == (FIRST, LAST)
    assert batch.source_bytes == sum(map(len, recorded_payloads()))


@pytest.mark.parametrize(
    ("blocks", "count"), [(1, 905), pytest.param(6, 4816, marks=pytest.mark.long)], ids=["one block", "six blocks"]
)
def test_calls_are_those_of_an_independent_reading_of_the_same_bytes(blocks: int, count: int) -> None:
    """All six are compared in the lake: tests/chaos/test_kill_firehose.py."""
    payloads = recorded_payloads()[:blocks]
    calls = decode(NUMBERS[:blocks], payloads, chain_id=1).tables["calls"]
    assert calls.schema.equals(CALLS)
    expected = [row for payload in payloads for row in slow_calls(payload)]
    assert len(expected) == count
    assert (found := difference("calls", expected, rows_of(calls))) is None, found


def test_recorded_blocks_verify_from_their_rows() -> None:
    batch = decode(NUMBERS, recorded_payloads(), chain_id=1)
    outcome = verify_blocks(batch.tables, network="mainnet", expected=NUMBERS)
    assert not outcome.violations
    assert {one.commitment.value for one in outcome.not_checked} == {"withdrawals_root"}  # not in the recording


@pytest.mark.parametrize(
    ("name", "chain_id"),
    [
        pytest.param("ethereum/1000000", 1, id="before EIP-155 and Byzantium"),
        pytest.param("ethereum/4369999", 1, id="the last one before Byzantium"),
        pytest.param("ethereum/18000000", 1, id="withdrawals"),
        pytest.param("ethereum/19433903", 1, id="blobs"),
    ],
)
def test_a_block_of_each_fork_has_the_rows_that_json_rpc_gives(name: str, chain_id: int) -> None:
    stated = recorded(name)
    made = firehose_block(stated.block, stated.receipts)
    assert_same(decode([made.number], [made.payload], chain_id=chain_id).tables, of_json_rpc(name))


@pytest.mark.parametrize("delegated_chain", [0, 945, 2**64], ids=["any chain", "this chain", "too wide for its column"])
def test_authorizations_have_the_rows_that_json_rpc_gives(delegated_chain: int) -> None:
    stated = with_authorization(delegated_chain)
    made = firehose_block(stated.block, stated.receipts)
    tables = decode([made.number], [made.payload], chain_id=945).tables
    assert_same(tables, decoded([stated], expect_unknown_keys=False).tables)
    (entry,) = tables["transactions"].column("authorization_list")[0].as_py()
    assert entry["chain_id"] == (None if delegated_chain == 2**64 else delegated_chain)


def with_authorization(chain_id: int) -> Recorded:
    """Return a block with a transaction of type 4, said as the standard has it: its node has words of its own."""
    stated = recorded("bittensor-testnet/6646068")
    (transaction,) = (one for one in stated.block["transactions"] if one["type"] == "0x4")
    (entry,) = transaction["authorizationList"]
    common = {"address": entry["address"], "nonce": entry["nonce"], "r": "0x1", "s": "0x" + "ff" * 32}
    transaction["authorizationList"] = [{"chainId": hex(chain_id), "yParity": "0x1"} | common]
    if chain_id == 2**64:  # the order in which `extra` has them
        order = ("chainId", "address", "nonce", "yParity", "r", "s")
        (said,) = transaction["authorizationList"]
        transaction["authorizationList"] = [{key: said[key] for key in order}]
    stated.block.pop("author")
    for one in stated.block["transactions"]:
        for key in ("creates", "publicKey", "raw", "standardV"):
            one.pop(key, None)
    return stated


def test_an_amount_of_more_than_38_digits_is_kept_exactly() -> None:
    def change(block: Any) -> None:
        block.transaction_traces[0].value.value = b"\xff" * 32
        block.transaction_traces[0].gas_price.value = b"\x01" + bytes(31)
        block.transaction_traces[0].calls[0].value.value = b"\xff" * 32

    tables = decode([FIRST], [changed(change)], chain_id=1).tables
    first = tables["transactions"].slice(0, 1).to_pylist()[0]
    assert first["value"] == str(2**256 - 1)
    assert (first["effective_gas_price"], first["effective_gas_price_raw"]) == (None, b"\x01" + bytes(31))
    assert tables["calls"].column("value_raw")[0].as_py() == b"\xff" * 32


def test_a_transaction_of_an_unknown_type_is_kept_with_all_that_is_known_of_it() -> None:
    def change(block: Any) -> None:
        block.transaction_traces[0].type = 126

    table = decode([FIRST], [changed(change)], chain_id=1).tables["transactions"]
    assert (table.column("type")[0].as_py(), table.column("chain_id")[0].as_py()) == (126, None)
    assert '"firehose":{"to":"0x' in table.column("extra")[0].as_py()
    outcome = verify_blocks(decode([FIRST], [changed(change)], chain_id=1).tables, network="mainnet")
    assert "the node left out sourceHash of a transaction of type 0x7e" in {one.reason for one in outcome.not_checked}


def test_a_creation_is_told_by_its_address_where_there_are_no_calls() -> None:
    def change(block: Any) -> None:
        for trace in block.transaction_traces:
            del trace.calls[:]

    payloads = [changed(change, block=block.payload) for block in recorded_firehose_blocks()]
    wanted = decode(NUMBERS, recorded_payloads(), chain_id=1).tables["transactions"]
    got = decode(NUMBERS, payloads, chain_id=1).tables["transactions"]
    assert got.equals(wanted)
    assert wanted.column("contract_address").null_count < wanted.num_rows


def changed(change: Callable[[Any], object], *, block: bytes | None = None) -> bytes:
    """Return a recorded block that is not as it was any more."""
    message = pb.Block.FromString(recorded_firehose_blocks()[0].payload if block is None else block)
    change(message)
    return message.SerializeToString()


def _drop_receipt(block: Any) -> None:
    block.transaction_traces[3].ClearField("receipt")


def _swap(block: Any) -> None:
    block.transaction_traces[1].index, block.transaction_traces[2].index = 2, 1


def _drop_log(block: Any) -> None:
    del next(trace for trace in block.transaction_traces if trace.receipt.logs).receipt.logs[0]


def _long_hash(block: Any) -> None:
    block.header.state_root = bytes(33)


def _no_state_root(block: Any) -> None:
    block.header.ClearField("state_root")


def _no_header(block: Any) -> None:
    block.ClearField("header")


def _other_number(block: Any) -> None:
    block.number += 1


def _other_hash(block: Any) -> None:
    block.hash = bytes(32)


def _no_status(block: Any) -> None:
    block.transaction_traces[0].status = 0


def _five_topics(block: Any) -> None:
    logs = next(trace for trace in block.transaction_traces if trace.receipt.logs).receipt.logs
    logs[0].topics.extend([bytes(32)] * 5)


def _later_call_first(block: Any) -> None:
    calls = next(trace for trace in block.transaction_traces if len(trace.calls) > 1).calls
    calls[0].index, calls[1].index = calls[1].index, calls[0].index


def _other_chain(block: Any) -> None:
    next(trace for trace in block.transaction_traces if trace.type == 0).v = bytes([35 + 2 * 56])


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (_drop_receipt, ErrorCode.RECEIPTS_NOT_AVAILABLE, "without its receipt"),
        (_swap, ErrorCode.TRANSACTION_ORDER_MISMATCH, "at place 1 says its index is 2"),
        (_drop_log, ErrorCode.LOG_INDEX_MISMATCH, "at place 0 has log index 1"),
        (_long_hash, ErrorCode.NODE_ANSWER_MALFORMED, "33 bytes, not 32"),
        (_no_state_root, ErrorCode.NODE_ANSWER_MALFORMED, "blocks.state_root"),
        (_no_header, ErrorCode.NODE_ANSWER_MALFORMED, "without a header"),
        (_other_number, ErrorCode.BLOCK_NUMBER_MISMATCH, f"sent block {FIRST + 1}"),
        (_other_hash, ErrorCode.NODE_ANSWER_MALFORMED, "different hashes"),
        (_no_status, ErrorCode.NODE_ANSWER_MALFORMED, "status of transaction 0"),
        (_five_topics, ErrorCode.NODE_ANSWER_MALFORMED, "more than four topics"),
        (_later_call_first, ErrorCode.NODE_ANSWER_MALFORMED, "call 1 of a transaction comes after call 2"),
    ],
)
def test_a_wrong_block_is_refused_with_its_number(change: Callable[[Any], None], code: ErrorCode, words: str) -> None:
    payloads = [changed(change), *recorded_payloads()[1:]]
    with pytest.raises(AmpError) as caught:
        decode(NUMBERS, payloads, chain_id=1)
    assert caught.value.code is code
    assert f"block {FIRST}:" in caught.value.message
    assert words in caught.value.message
    assert caught.value.recoverable


def test_a_block_of_another_chain_ends_the_job() -> None:
    with pytest.raises(AmpError) as caught:
        decode([FIRST], [changed(_other_chain)], chain_id=1)
    assert (caught.value.code, caught.value.recoverable) == (ErrorCode.NETWORK_MISMATCH, False)
    assert "chain 56" in caught.value.message


@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_bytes_that_end_too_soon_are_refused_with_the_number_of_their_block(cut: int) -> None:
    payloads = recorded_payloads()
    payloads[2] = payloads[2][:-cut]
    with pytest.raises(AmpError) as caught:
        decode(NUMBERS, payloads, chain_id=1)
    assert caught.value.code is ErrorCode.NODE_ANSWER_MALFORMED
    assert f"block {FIRST + 2}:" in caught.value.message


def test_blocks_of_two_forks_are_refused() -> None:
    def change(block: Any) -> None:
        block.header.parent_hash = bytes(32)

    payloads = recorded_payloads()
    payloads[3] = changed(change, block=payloads[3])
    with pytest.raises(AmpError) as caught:
        decode(NUMBERS, payloads, chain_id=1)
    assert caught.value.code is ErrorCode.PARENT_HASH_MISMATCH
    assert f"block {FIRST + 3}:" in caught.value.message


def test_an_empty_block_has_its_row_and_no_others() -> None:
    stated: Recorded = recorded("ethereum/18000000")
    stated.block["transactions"].clear()
    made = firehose_block(stated.block, [])
    tables = decode([made.number], [made.payload], chain_id=1).tables
    assert [tables[name].num_rows for name in ("blocks", "transactions", "logs", "calls")] == [1, 0, 0, 0]


def test_the_compiled_modules_are_those_of_the_proto_files(tmp_path: Path) -> None:
    source = Path(ampd.__file__).parents[1]
    files = sorted(Path(ampd.__file__).parent.glob("firehose_wire/*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={source}", f"--python_out={tmp_path}"]
    subprocess.run([*command, f"--pyi_out={tmp_path}", *map(str, files)], check=True)
    made = sorted(tmp_path.rglob("*_pb2.py*"))
    assert len(made) == 2 * len(files) > 0
    for file in made:
        committed = source / file.relative_to(tmp_path)
        assert file.read_text() == committed.read_text(), f"{committed} is not of its .proto file: `make proto`"
