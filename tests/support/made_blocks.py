"""Folders of made-up blocks that verify, for nodes to repeat: small ones with a bit of all, and very large ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from oracle.consensus import name_block, seal
from oracle.made_up import block, transaction
from oracle.recorded import Recorded, recorded

Json = Any

LARGE_LOGS = 10_000  # as mainnet's block 15537394 has them
_LARGE = "ethereum-17686110-17686132/17686120"  # it has 261 transactions
_WORD = "0x" + "00" * 32


def write_small_blocks(directory: Path, first_block: int) -> Path:
    """Write five blocks of a few kilobytes: without transactions, and with some of all types, logs and withdrawals."""
    made = [_small(count, seed) for seed, count in enumerate((3, 0, 5, 1, 8))]
    return _write(directory, made, first_block)


def write_large_blocks(directory: Path, first_block: int, count: int = 3) -> Path:
    """Write blocks with 10,000 logs each, several megabytes of JSON: the logs of a recorded block, again and again."""
    return _write(directory, [_large(seed) for seed in range(count)], first_block)


def _small(count: int, seed: int) -> Recorded:
    signed = {"r": "0x1" + "7" * 62, "s": "0x2" + "3" * 62}
    fees = {"chainId": "0x1", "yParity": "0x1", "v": "0x1", "accessList": []}
    dynamic = {**fees, "maxFeePerGas": "0x20", "maxPriorityFeePerGas": "0x2"}
    authorization = {"chainId": "0x1", "address": "0x" + "c1" * 20, "nonce": "0x7", "yParity": "0x1", **signed}
    kinds: list[tuple[int, dict[str, Json]]] = [
        (0, {"v": "0x25"}),
        (1, {**fees, "accessList": [{"address": "0x" + "c2" * 20, "storageKeys": [_WORD, "0x" + "ff" * 32]}]}),
        (2, dynamic),
        (4, {**dynamic, "authorizationList": [authorization]}),
    ]
    transactions = [
        transaction(kind, **signed, **stated, nonce=hex(100 * seed + at), value=hex(10**18 + at))
        for at, (kind, stated) in zip(range(count), cycle(kinds), strict=False)
    ]
    withdrawals = [
        {"index": hex(10 * seed + at), "validatorIndex": hex(at), "address": "0x" + "d1" * 20, "amount": hex(at + 1)}
        for at in range(seed)
    ]
    return block(transactions, logs_of=[at % 4 for at in range(count)], withdrawals=withdrawals, withdrawalsRoot=_WORD)


def _large(seed: int) -> Recorded:
    one = recorded(_LARGE)
    source = [log for receipt in one.receipts for log in receipt["logs"]]
    each, left = divmod(LARGE_LOGS, len(one.receipts))
    logs = cycle(source[seed:] + source[:seed])
    for at, receipt in enumerate(one.receipts):
        receipt["logs"] = [dict(next(logs)) for _ in range(each + (at < left))]
        receipt["logsBloom"] = "0x" + "00" * 256
    return seal(one)


def _write(directory: Path, made: Sequence[Recorded], first_block: int) -> Path:
    directory.mkdir(parents=True)
    parent = "0x" + "a1" * 32
    for at, one in enumerate(made):
        one.block.update(number=hex(first_block + at), parentHash=parent, timestamp=hex(1_700_000_000 + 12 * at))
        name_block(one)
        parent = one.block["hash"]
        content = {"chain": "ethereum", "block": one.block, "receipts": one.receipts}
        (directory / f"{first_block + at}.json").write_text(json.dumps(content), encoding="utf-8")
    return directory
