"""The replay node's chain: as recorded, and repeated with true links, numbers and hashes."""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ampd.chain.header import header_hash
from ampd.errors import AmpError, ErrorCode
from ampd.replay_node import RecordedBlock, ReplayChain, build_chain, load_recorded_chain, read_recorded_blocks

BLOCKS = Path(__file__).parents[1] / "data" / "blocks"
MAINNET = BLOCKS / "ethereum-17686110-17686132"


@pytest.fixture(scope="module")
def mainnet() -> list[RecordedBlock]:
    return read_recorded_blocks(MAINNET)


def recorded(name: str) -> RecordedBlock:
    content = json.loads(gzip.decompress((BLOCKS / f"{name}.json.gz").read_bytes()))
    return RecordedBlock(content["chain"], content["block"], content["receipts"])


def block_of(chain: ReplayChain, number: int, *, full: bool = True) -> dict[str, Any]:
    block: dict[str, Any] = json.loads(b"".join(chain.block(number, full=full)))
    return block


def receipts_of(chain: ReplayChain, number: int) -> list[dict[str, Any]]:
    receipts: list[dict[str, Any]] = json.loads(b"".join(chain.receipts(number)))
    return receipts


def without_place(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what says which block it belongs to."""
    place = {"blockHash", "blockNumber", "blockTimestamp", "number", "hash", "parentHash", "timestamp"}
    if "input" in value:
        place.remove("hash")  # a transaction's own
    return {key: item for key, item in value.items() if key not in place}


def test_without_a_length_every_answer_is_as_recorded(mainnet: list[RecordedBlock]) -> None:
    chain = load_recorded_chain(MAINNET)
    assert (chain.chain_id, chain.first_block, chain.last_block, len(chain)) == (1, 17686110, 17686132, 23)
    for each in mainnet:
        number = each.identity.number
        assert block_of(chain, number) == each.block
        assert receipts_of(chain, number) == each.receipts
        assert chain.number_of_hash(each.block["hash"]) == number


@pytest.mark.parametrize("name", ["polygon/50000000", "arbitrum/150000000", "ethereum/1000000", "ethereum/19433903"])
def test_other_chains_and_forks_are_served_as_recorded(name: str) -> None:
    each = recorded(name)
    chain = build_chain([each])
    assert block_of(chain, chain.first_block) == each.block
    assert receipts_of(chain, chain.first_block) == each.receipts


def test_a_repeated_chain_is_linked_by_true_header_hashes(mainnet: list[RecordedBlock]) -> None:
    chain = build_chain(mainnet, length=30)
    parent = mainnet[0].block["parentHash"]
    for offset, number in enumerate(range(17686110, 17686140)):
        block = block_of(chain, number)
        assert block["number"] == hex(number)
        assert block["parentHash"] == parent
        assert int(block["timestamp"], 16) == int(mainnet[0].block["timestamp"], 16) + 12 * offset
        assert block["hash"] == header_hash(block)
        parent = block["hash"]


def test_transactions_receipts_and_logs_of_a_repeated_block_name_it(mainnet: list[RecordedBlock]) -> None:
    chain = build_chain(mainnet, length=30)
    block, receipts = block_of(chain, 17686110 + 25), receipts_of(chain, 17686110 + 25)
    logs = [log for receipt in receipts for log in receipt["logs"]]
    assert len(logs) > 100
    for member in [*block["transactions"], *receipts, *logs]:
        assert (member["blockHash"], member["blockNumber"]) == (block["hash"], block["number"])


def test_repeating_changes_nothing_but_the_place(mainnet: list[RecordedBlock]) -> None:
    chain, source = build_chain(mainnet, length=30), mainnet[2]
    block, receipts = block_of(chain, 17686110 + 25), receipts_of(chain, 17686110 + 25)
    changed = {**without_place(block), "transactions": [without_place(each) for each in block["transactions"]]}
    original = {
        **without_place(source.block),
        "transactions": [without_place(each) for each in source.block["transactions"]],
    }
    assert changed == original
    for receipt, as_recorded in zip(receipts, source.receipts, strict=True):
        assert without_place({**receipt, "logs": []}) == without_place({**as_recorded, "logs": []})
        assert [without_place(log) for log in receipt["logs"]] == [without_place(log) for log in as_recorded["logs"]]


def test_the_timestamps_inside_a_block_follow() -> None:
    each = recorded("ethereum/1000000")
    chain = build_chain([each], length=3)
    block, receipts = block_of(chain, 1000002), receipts_of(chain, 1000002)
    assert int(block["timestamp"], 16) == int(each.block["timestamp"], 16) + 24
    logs = [log for receipt in receipts for log in receipt["logs"]]
    members = [member for member in [*block["transactions"], *logs] if "blockTimestamp" in member]
    assert len(members) > 2
    assert {member["blockTimestamp"] for member in members} == {block["timestamp"]}


def test_numbers_may_grow_in_length(mainnet: list[RecordedBlock]) -> None:
    chain = build_chain(mainnet, length=20, first_block=0)
    assert (chain.first_block, chain.last_block) == (0, 19)
    for number in (0, 15, 16, 19):
        block = block_of(chain, number)
        assert block["number"] == hex(number)
        assert block["hash"] == header_hash(block)
        assert {receipt["blockNumber"] for receipt in receipts_of(chain, number)} == {hex(number)}


def test_ten_thousand_blocks_are_linked_and_found_by_hash(mainnet: list[RecordedBlock]) -> None:
    chain = build_chain(mainnet, length=10_000)
    identities = [chain.identity(number) for number in range(17686110, 17686110 + 10_000)]
    assert all(after.parent_hash == before.hash for before, after in itertools.pairwise(identities))
    assert len({identity.hash for identity in identities}) == 10_000
    assert chain.number_of_hash(identities[-1].hash) == 17686110 + 9_999
    last = block_of(chain, 17686110 + 9_999)
    assert header_hash(last) == last["hash"] == identities[-1].hash


def test_a_block_outside_the_chain_is_no_block(mainnet: list[RecordedBlock]) -> None:
    chain = build_chain(mainnet)
    for number in (17686109, 17686133):
        assert number not in chain
        with pytest.raises(KeyError):
            chain.block(number, full=True)


def test_the_short_form_of_a_block_holds_transaction_hashes(mainnet: list[RecordedBlock]) -> None:
    chain = build_chain(mainnet)
    source = mainnet[0].block
    hashes = [transaction["hash"] for transaction in source["transactions"]]
    assert block_of(chain, chain.first_block, full=False) == {**source, "transactions": hashes}


def test_a_repeated_transaction_is_found_at_its_first_occurrence(mainnet: list[RecordedBlock]) -> None:
    chain = build_chain(mainnet, length=60)
    transaction = mainnet[1].block["transactions"][3]
    found, receipt = chain.transaction(transaction["hash"]), chain.receipt(transaction["hash"])
    assert found is not None
    assert receipt is not None
    assert found[0] == receipt[0] == 17686111
    assert without_place(json.loads(b"".join(found[1].parts(chain.identity(17686111))))) == without_place(transaction)
    assert chain.transaction("0x" + "00" * 32) is None


def test_transactions_beyond_a_short_chain_do_not_exist(mainnet: list[RecordedBlock]) -> None:
    chain = build_chain(mainnet, length=1)
    assert chain.transaction(mainnet[0].block["transactions"][0]["hash"]) is not None
    assert chain.transaction(mainnet[1].block["transactions"][0]["hash"]) is None


def test_what_contradicts_its_block_is_served_as_recorded(mainnet: list[RecordedBlock]) -> None:
    defective = copy.deepcopy(mainnet[0])
    defective.receipts[0]["blockHash"] = "0x" + "ab" * 32
    chain = build_chain([defective])
    assert receipts_of(chain, chain.first_block) == defective.receipts


def test_the_chain_id_comes_from_the_transactions_then_from_the_name_then_from_the_option() -> None:
    assert build_chain([recorded("polygon/50000000")]).chain_id == 137
    assert build_chain([recorded("bittensor-testnet/6646068")]).chain_id == 0x3B1
    before_eip_155 = recorded("ethereum/1000000")
    assert build_chain([before_eip_155]).chain_id == 1
    unknown = RecordedBlock("somewhere", before_eip_155.block, before_eip_155.receipts)
    assert build_chain([unknown], chain_id=5).chain_id == 5
    with pytest.raises(AmpError, match="give the chain id"):
        build_chain([unknown])


def test_a_given_chain_id_wins() -> None:
    assert build_chain([recorded("polygon/50000000")], chain_id=80002).chain_id == 80002


def test_a_header_that_cannot_be_hashed_again_cannot_be_repeated(mainnet: list[RecordedBlock]) -> None:
    substrate = recorded("bittensor-testnet/6646068")
    assert build_chain([substrate]).last_block == 6646068
    with pytest.raises(AmpError, match="has no mixHash") as missing:
        build_chain([substrate], length=10)
    assert missing.value.code == ErrorCode.RECORDED_BLOCKS_INVALID
    tampered = copy.deepcopy(mainnet[0])
    tampered.block["gasUsed"] = "0x1"
    with pytest.raises(AmpError, match="not to its recorded hash"):
        build_chain([tampered], length=10)


@pytest.mark.parametrize(("length", "first_block"), [(0, None), (-1, None), (1, -1)])
def test_a_chain_without_blocks_is_refused(mainnet: list[RecordedBlock], length: int, first_block: int | None) -> None:
    with pytest.raises(AmpError) as refused:
        build_chain(mainnet, length=length, first_block=first_block)
    assert refused.value.code == ErrorCode.RECORDED_BLOCKS_INVALID


def refusal(directory: Path) -> str:
    with pytest.raises(AmpError) as refused:
        load_recorded_chain(directory)
    assert refused.value.code == ErrorCode.RECORDED_BLOCKS_INVALID
    assert str(directory) in refused.value.message
    return refused.value.message


def copy_blocks(directory: Path, *numbers: int) -> None:
    for number in numbers:
        shutil.copy(MAINNET / f"{number}.json.gz", directory)


def test_plain_json_files_are_read_too(tmp_path: Path) -> None:
    copy_blocks(tmp_path, 17686110)
    second = gzip.decompress((MAINNET / "17686111.json.gz").read_bytes())
    (tmp_path / "17686111.json").write_bytes(second)
    chain = load_recorded_chain(tmp_path)
    assert (chain.first_block, chain.last_block) == (17686110, 17686111)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")


def test_an_empty_directory_is_named(tmp_path: Path) -> None:
    assert "holds no recorded block" in refusal(tmp_path)


def test_a_gap_is_named(tmp_path: Path) -> None:
    copy_blocks(tmp_path, 17686110, 17686111, 17686113)
    assert "block 17686113 follows block 17686111" in refusal(tmp_path)


def test_a_doubled_block_is_named(tmp_path: Path) -> None:
    copy_blocks(tmp_path, 17686110)
    shutil.copy(MAINNET / "17686110.json.gz", tmp_path / "again.json.gz")
    assert "block 17686110 follows block 17686110" in refusal(tmp_path)


def test_blocks_that_are_not_linked_are_named(tmp_path: Path) -> None:
    copy_blocks(tmp_path, 17686110)
    content = json.loads(gzip.decompress((MAINNET / "17686111.json.gz").read_bytes()))
    content["block"]["parentHash"] = "0x" + "00" * 32
    (tmp_path / "17686111.json").write_text(json.dumps(content))
    assert "block 17686111 is not the child of block 17686110" in refusal(tmp_path)


@pytest.mark.parametrize("cut", [5, 2000])
def test_a_cut_file_is_named(tmp_path: Path, cut: int) -> None:
    data = (MAINNET / "17686110.json.gz").read_bytes()
    (tmp_path / "17686110.json.gz").write_bytes(data[:cut])
    assert "17686110.json.gz cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "cannot be read"),
        ("[]", "no chain name"),
        ('{"chain": "x"}', "block or receipts are missing"),
        ('{"chain": "x", "block": {}, "receipts": []}', "the block's number is missing"),
    ],
)
def test_a_file_that_is_no_recorded_block_is_named(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "1.json").write_text(content)
    message = refusal(tmp_path)
    assert problem in message
    assert "1.json" in message


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("block", "number"), "0x010dde5e", "number is missing or malformed"),
        (("block", "hash"), "0x12", "hash is missing or malformed"),
        (("block", "transactions"), ["0x" + "00" * 32], "transactions are not objects"),
        (("receipts", 0), {}, "a receipt has no transactionHash"),
        (("receipts", 0, "logs"), None, "a receipt has no logs"),
    ],
)
def test_a_recorded_block_with_a_malformed_part_is_named(
    tmp_path: Path, path: tuple[Any, ...], value: Any, problem: str
) -> None:
    content = json.loads(gzip.decompress((MAINNET / "17686110.json.gz").read_bytes()))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "17686110.json").write_text(json.dumps(content))
    assert problem in refusal(tmp_path)
