"""Firehose blocks: the recorded ones, and such as a server would have made of what a JSON-RPC node answered."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ampd.firehose_wire import ethereum_pb2 as pb
from ampd.replay_node.dbin import FirehoseBlock, read_firehose_blocks
from ampd.replay_node.firehose_chain import FirehoseChain, repeated_chain
from oracle.recorded import BLOCKS

FIREHOSE = Path(__file__).parents[1] / "data" / "firehose"
FIRST, LAST = 17_686_110, 17_686_115

Json = dict[str, Any]


@cache
def recorded_firehose_blocks() -> Sequence[FirehoseBlock]:
    return read_firehose_blocks(FIREHOSE)


def firehose_block(block: Json, receipts: Sequence[Json]) -> FirehoseBlock:
    """Return what a Firehose server sends for a block of an Ethereum node, with each transaction's own call alone."""
    message = pb.Block(hash=_data(block["hash"]), number=_int(block["number"]), size=_int(block["size"]))
    _fill_header(message.header, block)
    for uncle in block["uncles"]:
        message.uncles.add(hash=_data(uncle))
    for one in block.get("withdrawals") or []:
        message.withdrawals.add(
            index=_int(one["index"]),
            validator_index=_int(one["validatorIndex"]),
            address=_data(one["address"]),
            amount=_int(one["amount"]),
        )
    for transaction, receipt in zip(block["transactions"], receipts, strict=True):
        _fill_transaction(message.transaction_traces.add(), transaction, receipt)
    return FirehoseBlock(
        message.number,
        message.hash.hex(),
        message.header.parent_hash.hex(),
        message.header.timestamp.seconds,
        message.SerializeToString(),
    )


def _fill_header(header: Any, block: Json) -> None:
    hashes = {
        **{"parent_hash": "parentHash", "uncle_hash": "sha3Uncles", "coinbase": "miner", "state_root": "stateRoot"},
        **{"transactions_root": "transactionsRoot", "receipt_root": "receiptsRoot", "logs_bloom": "logsBloom"},
        **{"extra_data": "extraData", "mix_hash": "mixHash", "hash": "hash", "withdrawals_root": "withdrawalsRoot"},
        **{"parent_beacon_root": "parentBeaconBlockRoot", "requests_hash": "requestsHash"},
    }
    for field, key in hashes.items():
        if block.get(key) is not None:
            setattr(header, field, _data(block[key]))
    numbers = {"number": "number", "gas_limit": "gasLimit", "gas_used": "gasUsed", "nonce": "nonce"}
    for field, key in {**numbers, "blob_gas_used": "blobGasUsed", "excess_blob_gas": "excessBlobGas"}.items():
        if block.get(key) is not None:
            setattr(header, field, _int(block[key]))
    header.timestamp.seconds = _int(block["timestamp"])
    for field, key in {"total_difficulty": "totalDifficulty", "base_fee_per_gas": "baseFeePerGas"}.items():
        if block.get(key) is not None:
            getattr(header, field).value = _big(block[key])
    header.difficulty.value = _big(block["difficulty"]) or b"\0"


def _fill_transaction(trace: Any, transaction: Json, receipt: Json) -> None:
    creates = transaction["to"] is None
    kind = _int(transaction.get("type") or "0x0")
    trace.to = _data(receipt["contractAddress"] if creates else transaction["to"])
    trace.nonce, trace.gas_limit = _int(transaction["nonce"]), _int(transaction["gas"])
    trace.input, trace.type, trace.hash = _data(transaction["input"]), kind, _data(transaction["hash"])
    trace.index, trace.gas_used = _int(transaction["transactionIndex"]), _int(receipt["gasUsed"])
    trace.v, trace.r, trace.s = (_big(transaction[key]) for key in ("v", "r", "s"))
    trace.sender = _data(transaction["from"])
    trace.status = 1 if receipt.get("status") in (None, "0x1") else 3
    prices = {"gas_price": receipt.get("effectiveGasPrice") or transaction["gasPrice"], "value": transaction["value"]}
    prices["max_fee_per_gas"] = transaction.get("maxFeePerGas") if kind >= 2 else None
    prices["max_priority_fee_per_gas"] = transaction.get("maxPriorityFeePerGas") if kind >= 2 else None
    prices["blob_gas_fee_cap"] = transaction.get("maxFeePerBlobGas")
    _fill_amounts(trace, prices)
    for entry in transaction.get("accessList") or []:
        trace.access_list.add(address=_data(entry["address"]), storage_keys=map(_data, entry["storageKeys"]))
    trace.blob_hashes.extend(map(_data, transaction.get("blobVersionedHashes") or []))
    for one in transaction.get("authorizationList") or []:
        trace.set_code_authorizations.add(
            chain_id=_big(one["chainId"]),
            address=_data(one["address"]),
            nonce=_int(one["nonce"]),
            v=_int(one["yParity"]),
            r=_big(one["r"]),
            s=_big(one["s"]),
        )
    _fill_receipt(trace.receipt, receipt)
    call = trace.calls.add(index=1, call_type=5 if creates else 1, address=trace.to, input=trace.input)
    call.caller = trace.sender
    call.gas_limit, call.gas_consumed, call.state_reverted = trace.gas_limit, trace.gas_used, trace.status != 1


def _fill_receipt(message: Any, receipt: Json) -> None:
    if receipt.get("status") is None and receipt.get("root") is not None:
        message.state_root = _data(receipt["root"])
    message.cumulative_gas_used = _int(receipt["cumulativeGasUsed"])
    if receipt.get("blobGasUsed") is not None:
        message.blob_gas_used = _int(receipt["blobGasUsed"])
    _fill_amounts(message, {"blob_gas_price": receipt.get("blobGasPrice")})
    for log in receipt["logs"]:
        message.logs.add(
            address=_data(log["address"]),
            topics=map(_data, log["topics"]),
            data=_data(log["data"]),
            block_index=_int(log["logIndex"]),
        )


def _fill_amounts(message: Any, amounts: dict[str, str | None]) -> None:
    """Set the amounts that there are; Firehose leaves zero out."""
    for field, text in amounts.items():
        if text is not None and _int(text):
            getattr(message, field).value = _big(text)


def _int(text: str) -> int:
    return int(text, 16)


def _big(text: str) -> bytes:
    number = int(text, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _data(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def small_block() -> FirehoseBlock:
    """Return a recorded block of two transactions, as Firehose has it: what long chains are made of."""
    stored = json.loads(gzip.decompress((BLOCKS / "ethereum" / "1000000.json.gz").read_bytes()))
    return firehose_block(stored["block"], stored["receipts"])


def small_chain(length: int, *, first_block: int = 1_000_000) -> FirehoseChain:
    return repeated_chain([small_block()], length=length, first_block=first_block)
