"""Header hashes recomputed from recorded answers are the recorded hashes, over every fork's header."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ampd.chain.header import (
    HeaderFieldError,
    hash_of_header_fields,
    header_fields,
    header_hash,
    replace_header_fields,
)
from ampd.chain.keccak import keccak256
from ampd.chain.rlp import rlp_bytes, rlp_integer, rlp_list

DATA = Path(__file__).parents[1] / "data"
RECORDED = sorted(
    path
    for chain in ("ethereum*", "polygon", "arbitrum", "rise")
    for path in (DATA / "blocks").glob(f"{chain}/*.json.gz")
)
CONFORMANCE = sorted((DATA / "conformance" / "eth_getBlockByNumber").glob("*.io"))


def recorded_block(path: Path) -> dict[str, Any]:
    content = json.loads(gzip.decompress(path.read_bytes()))
    block: dict[str, Any] = content.get("block", content)
    return block


def conformance_block(path: Path) -> dict[str, Any] | None:
    answer = next(line for line in path.read_text().splitlines() if line.startswith("<< "))
    block: dict[str, Any] | None = json.loads(answer[3:])["result"]
    return block


def test_recorded_blocks_of_every_chain_are_there() -> None:
    assert len(RECORDED) == 23 + 6 + 1 + 1 + 1


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_recorded_header_hashes_to_its_recorded_hash(path: Path) -> None:
    block = recorded_block(path)
    assert header_hash(block) == block["hash"]


@pytest.mark.parametrize("path", CONFORMANCE, ids=lambda path: path.stem)
def test_a_header_of_each_fork_up_to_prague_hashes_to_its_hash(path: Path) -> None:
    block = conformance_block(path)
    if block is None:
        assert path.stem == "get-block-notfound"
    else:
        assert header_hash(block) == block["hash"]


@pytest.mark.parametrize("name", ["parentHash", "logsBloom", "extraData", "gasUsed", "requestsHash", "withdrawalsRoot"])
def test_each_field_is_part_of_the_hash(name: str) -> None:
    block = conformance_block(DATA / "conformance" / "eth_getBlockByNumber" / "get-block-prague-fork.io")
    assert block is not None
    assert header_hash({**block, name: block[name] + "00"}) != block["hash"]


def test_replaced_fields_hash_like_a_header_that_has_them() -> None:
    block = recorded_block(RECORDED[-1])
    parent = bytes(range(32))
    changed = {**block, "number": "0x0", "timestamp": "0x7f", "parentHash": "0x" + parent.hex()}
    fields = header_fields(block)
    replaced = replace_header_fields(fields, {"number": 0, "timestamp": 0x7F, "parentHash": parent})
    assert "0x" + hash_of_header_fields(replaced).hex() == header_hash(changed)
    assert "0x" + hash_of_header_fields(fields).hex() == block["hash"]


def test_a_missing_field_is_named() -> None:
    block = recorded_block(RECORDED[0])
    del block["mixHash"]
    with pytest.raises(HeaderFieldError, match="no mixHash"):
        header_hash(block)


def test_a_gap_among_the_appended_fields_is_named() -> None:
    block = conformance_block(DATA / "conformance" / "eth_getBlockByNumber" / "get-block-prague-fork.io")
    assert block is not None
    with pytest.raises(HeaderFieldError, match="no excessBlobGas"):
        header_hash({**block, "excessBlobGas": None})


@pytest.mark.parametrize("value", ["0xzz", "12", 12, "0x-1"])
def test_a_malformed_field_is_named(value: Any) -> None:
    with pytest.raises(HeaderFieldError, match="gasLimit is not hex text"):
        header_hash({**recorded_block(RECORDED[0]), "gasLimit": value})


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (rlp_bytes(b""), "80"),
        (rlp_bytes(b"\x00"), "00"),
        (rlp_bytes(b"\x7f"), "7f"),
        (rlp_bytes(b"\x80"), "8180"),
        (rlp_bytes(b"dog"), "83646f67"),
        (rlp_bytes(b"a" * 55), "b7" + "61" * 55),
        (rlp_bytes(b"a" * 56), "b838" + "61" * 56),
        (rlp_bytes(b"a" * 256), "b90100" + "61" * 256),
        (rlp_integer(0), "80"),
        (rlp_integer(15), "0f"),
        (rlp_integer(1024), "820400"),
        (rlp_list([]), "c0"),
        (rlp_list([rlp_bytes(b"cat"), rlp_bytes(b"dog")]), "c88363617483646f67"),
        (rlp_list([rlp_bytes(b"a" * 55)]), "f838b7" + "61" * 55),
    ],
)
def test_rlp_is_that_of_the_specification(encoded: bytes, expected: str) -> None:
    assert encoded.hex() == expected


def test_the_hash_is_keccak_and_not_sha3() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
