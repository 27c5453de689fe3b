"""Blocks that no chain has, true in everything that a block commits to (:func:`oracle.consensus.seal`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import rlp
from eth_hash.auto import keccak

from oracle.consensus import data, hex_of, kind_of, number, seal
from oracle.recorded import DATA, Recorded

Json = Any

ZERO_ADDRESS = "0x" + "00" * 20
EMPTY_LIST_HASH = hex_of(keccak(rlp.encode([])))
BLOB_GAS = 2**17


def conformance(method: str, case: str) -> Json:
    """Return the result of a case of the official conformance suite."""
    lines = (DATA / "conformance" / method / f"{case}.io").read_text().splitlines()
    return json.loads(next(line for line in lines if line.startswith("<< "))[3:])["result"]


def header(**stated: Json) -> dict[str, Json]:
    """Return a header of Paris, to which ``stated`` is added."""
    return {
        "number": "0x989680",
        "parentHash": "0x" + "a1" * 32,
        "sha3Uncles": EMPTY_LIST_HASH,
        "miner": "0x" + "a2" * 20,
        "stateRoot": "0x" + "a3" * 32,
        "transactionsRoot": "0x" + "a5" * 32,
        "difficulty": "0x0",
        "gasLimit": "0x1c9c380",
        "timestamp": "0x6553f100",
        "extraData": "0xabcdef",
        "mixHash": "0x" + "a4" * 32,
        "nonce": "0x0000000000000000",
        "baseFeePerGas": "0x7",
        "size": "0x1234",
        "uncles": [],
        **stated,
    }


def transaction(kind: int, **stated: Json) -> dict[str, Json]:
    """Return a transaction with what every type has in a node's answer; ``stated`` brings the rest."""
    return {
        "type": hex(kind),
        "hash": "0x" + "ff" * 32,
        "from": "0x" + "b1" * 20,
        "to": "0x" + "b2" * 20,
        "nonce": "0x5",
        "gas": "0x5208",
        "gasPrice": "0x9",
        "value": "0xde0b6b3a7640000",
        "input": "0xa9059cbb",
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
        **stated,
    }


def log(seed: int, topics: int) -> dict[str, Json]:
    """Return a log with as many topics."""
    address = f"0x{seed:040x}"
    return {
        "address": address,
        "topics": [f"0x{seed + 7 * place:064x}" for place in range(topics)],
        "data": "0x" + f"{seed % 256:02x}" * (seed % 90),
        "removed": False,
    }


def receipt(
    of: dict[str, Json], gas_before: int, base_fee: int, logs: Sequence[Json], **stated: Json
) -> dict[str, Json]:
    """Return a receipt of a transaction, in which all derived fields are right; ``stated`` is put over it."""
    gas = 21_000 + 3 * len(logs)
    blobs = of.get("blobVersionedHashes") if kind_of(of) == 3 else None
    return {
        "type": of["type"],
        "from": of["from"],
        "to": of["to"],
        "contractAddress": created_address(of) if of["to"] is None else None,
        "gasUsed": hex(gas),
        "cumulativeGasUsed": hex(gas_before + gas),
        "effectiveGasPrice": hex(price(of, base_fee)),
        "status": "0x1",
        "logs": list(logs),
        "logsBloom": "0x" + "00" * 256,
        **({} if blobs is None else {"blobGasUsed": hex(BLOB_GAS * len(blobs)), "blobGasPrice": "0x1"}),
        **stated,
    }


def price(of: dict[str, Json], base_fee: int) -> int:
    if kind_of(of) < 2 or of.get("maxFeePerGas") is None:
        return number(of["gasPrice"])
    return min(number(of["maxFeePerGas"]), base_fee + number(of.get("maxPriorityFeePerGas", "0x0")))


def created_address(of: dict[str, Json]) -> str:
    return hex_of(keccak(rlp.encode([data(of["from"]), number(of["nonce"])]))[12:])


def block(
    transactions: Sequence[Json],
    *,
    logs_of: Sequence[int] = (),
    receipt_parts: Sequence[Json] = (),
    outside: int = 0,
    **stated: Json,
) -> Recorded:
    """Return a sealed block of these transactions.

    ``logs_of`` says how many logs the first transactions have, ``receipt_parts`` what is put over their receipts.
    ``stated`` is put over the header. The last ``outside`` transactions stand outside the roots.
    """
    parts = header(**stated)
    base_fee = number(parts.get("baseFeePerGas") or "0x0")
    receipts: list[Json] = []
    gas = 0
    for index, one in enumerate(transactions):
        count = logs_of[index] if index < len(logs_of) else 0
        over = receipt_parts[index] if index < len(receipt_parts) else {}
        logs = [log(1000 * index + place, place % 5) for place in range(count)]
        receipts.append(receipt(one, gas, base_fee, logs, **over))
        gas = number(receipts[-1]["cumulativeGasUsed"])
    blobs = sum(number(one.get("blobGasUsed") or "0x0") for one in receipts)
    if parts.get("blobGasUsed") is not None:
        parts["blobGasUsed"] = hex(blobs)
    return seal(Recorded({**parts, "transactions": list(transactions)}, receipts), outside=outside)
