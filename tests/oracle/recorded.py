"""Recorded blocks as a node would answer them, and through the decoder."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ampd.chain.tables import TABLES
from ampd.sources.blocks import BlockBatch
from ampd.sources.evm_rpc.decode import decode_blocks, decode_receipts
from oracle.slow_rows import difference, rows_of, slow_rows

Json = Any

DATA = Path(__file__).parents[1] / "data"
BLOCKS = DATA / "blocks"
EMPTY_BLOOM = "0x" + "00" * 256


@dataclass(frozen=True)
class Recorded:
    """A block and its receipts, as the node wrote them."""

    block: dict[str, Json]
    receipts: list[dict[str, Json]]

    @property
    def number(self) -> int:
        return int(self.block["number"], 16)


def read_json(path: Path) -> Json:
    content = path.read_bytes()
    return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)


@cache
def _text_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def recorded(name: str) -> Recorded:
    """Return a fresh copy of ``tests/data/blocks/<name>.json.gz``, free to change."""
    stored = json.loads(_text_of(BLOCKS / f"{name}.json.gz"))
    return Recorded(stored["block"], stored["receipts"])


def names_of_all() -> list[str]:
    """Return the names of all recorded blocks that have receipts."""
    files = sorted(BLOCKS.glob("*/[0-9]*.json.gz"))
    return [f"{file.parent.name}/{file.name.split('.')[0]}" for file in files if "block-only" not in file.name]


def rise_block() -> Recorded:
    """Return the OP-stack block with receipts made up for it: its own were not recorded."""
    block = read_json(BLOCKS / "rise" / "7941842.block-only.json.gz")
    receipts, logs, gas = [], 0, 0
    for index, transaction in enumerate(block["transactions"]):
        gas += 21000 + index
        common = {
            "blockHash": block["hash"],
            "blockNumber": block["number"],
            "transactionHash": transaction["hash"],
            "transactionIndex": hex(index),
        }
        log = {
            **common,
            "address": transaction["to"] or transaction["from"],
            "topics": [transaction["hash"]] * (index % 5),
            "data": "0x" + "ab" * index,
            "logIndex": hex(logs),
            "removed": False,
        }
        count = index % 2
        logs += count
        receipts.append(
            {
                **common,
                "from": transaction["from"],
                "to": transaction["to"],
                "type": transaction["type"],
                "contractAddress": None,
                "gasUsed": hex(21000 + index),
                "cumulativeGasUsed": hex(gas),
                "effectiveGasPrice": transaction["gasPrice"],
                "status": hex(count),
                "logs": [log] * count,
                "logsBloom": EMPTY_BLOOM,
                "l1Fee": "0x1234",
                "l1FeeScalar": "0.684",
                **({"depositNonce": transaction["nonce"]} if transaction["type"] == "0x7e" else {}),
            }
        )
    return Recorded(block, receipts)


def answer(number: int | str | None, result: Json) -> bytes:
    """Return the body of a node's answer to the call with this id."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()


def follow_on(chain: Sequence[Recorded], *, start: int = 5_000_000) -> None:
    """Renumber blocks of different chains, in place, so that each is the parent of the next."""
    parent = None
    for number, one in enumerate(chain, start):
        one.block["number"] = hex(number)
        one.block["parentHash"] = parent or one.block["parentHash"]
        parent = one.block["hash"]
        logs = [log for receipt in one.receipts for log in receipt["logs"]]
        for stated in [*one.block["transactions"], *one.receipts, *logs]:
            stated["blockNumber"] = hex(number)


def decoded(chain: Sequence[Recorded], *, expect_unknown_keys: bool) -> BlockBatch:
    """Return what the decoder makes of consecutive blocks."""
    blocks = decode_blocks(
        [one.number for one in chain],
        [answer(one.number, one.block) for one in chain],
        expect_unknown_keys=expect_unknown_keys,
    )
    wanted = [chain[position] for position in blocks.blocks_with_transactions()]
    bodies = [answer(one.number, one.receipts) for one in wanted]
    return decode_receipts(blocks, bodies, expect_unknown_keys=expect_unknown_keys)


def assert_rows_equal_slow_path(chain: Sequence[Recorded], *, expect_unknown_keys: bool = False) -> None:
    """Fail with table, row, column and both values where the decoder and the slow path differ."""
    batch = decoded(chain, expect_unknown_keys=expect_unknown_keys)
    slow = [slow_rows(one.block, one.receipts) for one in chain]
    assert set(batch.tables) == set(TABLES)
    for name, schema in TABLES.items():
        table = batch.tables[name]
        assert table.schema.equals(schema), f"{name}: the schema is {table.schema}"
        table.validate(full=True)
        for field, column in zip(schema, table.columns, strict=True):
            assert field.nullable or not column.null_count, f"{name}: null in required column {field.name}"
        expected = [row for rows in slow for row in rows[name]]
        found = difference(name, expected, rows_of(table))
        assert found is None, found
