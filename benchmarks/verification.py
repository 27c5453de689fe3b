"""Verification of the 23 recorded mainnet blocks beside their decoding, in one process on one core.

    make bench-verify

Times are CPU milliseconds a block, the best of several rounds. The last line of the output is one JSON object:
``decode_ms`` is what the decoder alone takes (extraction fetches and writes besides), ``verify_ms`` a complete
verification of all blocks in one call, ``one_block_ms`` of the middle block alone, ``keccak_ms`` what hashing alone
takes of ``verify_ms``, ``first_ms`` the first call of a process, which knows no address, topic or trie yet.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.compute as pc
from sha3 import keccak_256

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from ampd.chain.verification import verify_blocks  # noqa: E402
from ampd.demo.run import recorded_blocks  # noqa: E402
from ampd.replay_node import load_recorded_chain  # noqa: E402
from ampd.sources.evm_rpc.decode import decode_blocks, decode_receipts  # noqa: E402

ROUNDS = 15


def main() -> None:
    chain = load_recorded_chain(recorded_blocks())
    numbers = range(chain.first_block, chain.last_block + 1)
    blocks = [answer(number, chain.block(number, full=True)) for number in numbers]
    receipts = [answer(number, chain.receipts(number)) for number in numbers]

    def decode() -> Any:
        headers = decode_blocks(numbers, blocks, expect_unknown_keys=False)
        return decode_receipts(headers, receipts, expect_unknown_keys=False)

    tables = decode().tables
    middle = numbers[len(numbers) // 2]
    one = {name: table.filter(pc.equal(table["block_num"], middle)) for name, table in tables.items()}
    first = milliseconds(lambda: verify_blocks(tables, network="mainnet"), rounds=1)
    hashed = hashed_values(lambda: verify_blocks(tables, network="mainnet"))
    result = {
        "blocks": len(numbers),
        "decode_ms": milliseconds(decode) / len(numbers),
        "verify_ms": milliseconds(lambda: verify_blocks(tables, network="mainnet")) / len(numbers),
        "one_block_ms": milliseconds(lambda: verify_blocks(one, network="mainnet")),
        "keccak_ms": milliseconds(lambda: [keccak_256(value).digest() for value in hashed]) / len(numbers),
        "first_ms": first / len(numbers),
        "hashes": len(hashed) / len(numbers),
        "hashed_kb": sum(map(len, hashed)) / len(numbers) / 1000,
    }
    print(json.dumps({name: round(value, 2) for name, value in result.items()}, separators=(",", ":")))


def answer(number: int, parts: list[bytes]) -> bytes:
    """Return a node's answer from the JSON pieces of its result."""
    return b"".join([f'{{"jsonrpc":"2.0","id":{number},"result":'.encode(), *parts, b"}"])


def milliseconds(work: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """Return the CPU time of the fastest round."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best * 1000


def hashed_values(work: Callable[[], object]) -> list[bytes]:
    """Return all that ``work`` hashes."""
    values: list[bytes] = []

    def recording(value: bytes) -> Any:
        values.append(bytes(value))
        return keccak_256(value)

    with (
        mock.patch("ampd.chain.byte_columns.keccak_256", recording),
        mock.patch("ampd.chain.keccak.keccak_256", recording),
    ):
        work()
    return values


if __name__ == "__main__":
    main()
