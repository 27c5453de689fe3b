"""What a node's JSON hashes to: envelopes, receipts, roots, blooms and header hashes, one object at a time.

Written from the EIPs and the chains' specifications on top of public libraries (rlp, trie, eth-bloom), without a look
at ``ampd.chain``: so blocks can be made up that are as true as recorded ones (:func:`seal`).
"""

from __future__ import annotations

from typing import Any, Final

import rlp
from eth_bloom import BloomFilter
from eth_hash.auto import keccak
from trie import HexaryTrie

from oracle.recorded import Recorded

Json = Any

QUANTITIES: Final = (
    "nonce gas gasPrice maxFeePerGas maxPriorityFeePerGas maxFeePerBlobGas value chainId v yParity r s"
    " maxRefund submissionFeeRefund l1BaseFee depositValue retryValue maxSubmissionFee mint"
    " difficulty number gasLimit gasUsed timestamp baseFeePerGas blobGasUsed excessBlobGas slotNumber"
    " index validatorIndex amount"
)
NUMBERS: Final = frozenset(QUANTITIES.split())
FEES: Final = "chainId nonce maxPriorityFeePerGas maxFeePerGas gas to value input accessList"
FIELDS: Final = {
    0: "nonce gasPrice gas to value input v r s",
    1: "chainId nonce gasPrice gas to value input accessList yParity r s",
    2: f"{FEES} yParity r s",
    3: f"{FEES} maxFeePerBlobGas blobVersionedHashes yParity r s",
    4: f"{FEES} authorizationList yParity r s",
    0x64: "chainId requestId from to value",
    0x65: "chainId from nonce maxFeePerGas gas to value input",
    0x66: "chainId requestId from maxFeePerGas gas to value input",
    0x68: "chainId nonce from maxFeePerGas gas to value input ticketId refundTo maxRefund submissionFeeRefund",
    0x69: "chainId requestId from l1BaseFee depositValue maxFeePerGas gas retryTo retryValue beneficiary"
    " maxSubmissionFee refundTo retryData",
    0x6A: "chainId input",
    0x7E: "sourceHash from to mint value gas isSystemTx input",
}
FRONTIER: Final = (
    "parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit gasUsed"
    " timestamp extraData mixHash nonce"
)
LATER: Final = (
    "baseFeePerGas withdrawalsRoot blobGasUsed excessBlobGas parentBeaconBlockRoot requestsHash blockAccessListHash"
    " slotNumber"
)


def number(text: str) -> int:
    return int(text, 16)


def data(text: str | None) -> bytes:
    return bytes.fromhex((text or "0x")[2:])


def item(name: str, stated: dict[str, Json]) -> Any:
    """Return the RLP item behind a key."""
    value = stated.get(name)
    if name == "accessList":
        return [[data(one["address"]), [data(key) for key in one["storageKeys"]]] for one in value or []]
    if name == "blobVersionedHashes":
        return [data(one) for one in value]
    if name == "authorizationList":
        return [authorization(one) for one in value]
    if name == "isSystemTx":
        return 1 if value else 0
    if name in {"v", "yParity"} or (name in NUMBERS and value is not None):
        return number(value)
    return b"" if value is None else data(value)


def authorization(one: dict[str, Json]) -> list[Any]:
    parity, r, s = (number(one[name]) for name in ("yParity", "r", "s"))
    return [number(one["chainId"]), data(one["address"]), number(one["nonce"]), parity, r, s]


def kind_of(stated: dict[str, Json]) -> int:
    return number(stated.get("type") or "0x0")


def envelope(transaction: dict[str, Json]) -> bytes:
    kind = kind_of(transaction)
    encoded = rlp.encode([item(name, transaction) for name in FIELDS[kind].split()])
    return encoded if kind == 0 else bytes([kind]) + encoded


def log_values(log: dict[str, Json]) -> list[bytes]:
    return [data(log["address"]), *map(data, log["topics"])]


def bloom(logs: list[dict[str, Json]]) -> bytes:
    return int(BloomFilter.from_iterable(value for log in logs for value in log_values(log))).to_bytes(256, "big")


def receipt(stated: dict[str, Json], kind: int) -> bytes:
    outcome = data(stated["root"]) if stated.get("status") is None else number(stated["status"])
    logs = [[data(one["address"]), list(map(data, one["topics"])), data(one["data"])] for one in stated["logs"]]
    fields = [outcome, number(stated["cumulativeGasUsed"]), bloom(stated["logs"]), logs]
    if kind == 0x7E and stated.get("depositReceiptVersion") is not None:
        fields += [number(stated["depositNonce"]), number(stated["depositReceiptVersion"])]
    return bytes(rlp.encode(fields)) if kind == 0 else bytes([kind]) + rlp.encode(fields)


def withdrawal(stated: dict[str, Json]) -> bytes:
    return rlp.encode([item(name, stated) for name in ("index", "validatorIndex", "address", "amount")])


def root(values: list[bytes]) -> bytes:
    trie = HexaryTrie({})
    for index, value in enumerate(values):
        trie[rlp.encode(index)] = value
    return bytes(trie.root_hash)


def header_hash(block: dict[str, Json]) -> bytes:
    names = FRONTIER.split() + [name for name in LATER.split() if block.get(name) is not None]
    # The header's nonce is eight bytes, a transaction's a number.
    items = [data(block[name]) if name in {"nonce", "extraData"} else item(name, block) for name in names]
    return bytes(keccak(rlp.encode(items)))


def hex_of(content: bytes) -> str:
    return "0x" + content.hex()


def seal(one: Recorded, *, outside: int = 0) -> Recorded:
    """Make hashes, indexes, roots, bloom and gas of a made-up block true, in place.

    Its last ``outside`` transactions stand outside the roots.
    """
    block, inside = one.block, len(one.receipts) - outside
    number_logs(one)
    for index, (transaction, stated) in enumerate(zip(block["transactions"], one.receipts, strict=True)):
        if index < inside and kind_of(transaction) in FIELDS:
            transaction["hash"] = hex_of(keccak(envelope(transaction)))
        for part in (stated, *stated["logs"]):
            part["transactionHash"] = transaction["hash"]
            part["transactionIndex"] = hex(index)
        transaction["transactionIndex"] = hex(index)
    pairs = list(zip(block["transactions"], one.receipts, strict=True))[:inside]
    block["logsBloom"] = hex_of(bloom([log for _, stated in pairs for log in stated["logs"]]))
    if all(kind_of(transaction) in FIELDS for transaction, _ in pairs):
        block["transactionsRoot"] = hex_of(root([envelope(transaction) for transaction, _ in pairs]))
    block["receiptsRoot"] = hex_of(root([receipt(stated, kind_of(transaction)) for transaction, stated in pairs]))
    block["gasUsed"] = pairs[-1][1]["cumulativeGasUsed"] if pairs else "0x0"
    if block.get("withdrawals") is not None:
        block["withdrawalsRoot"] = hex_of(root([withdrawal(each) for each in block["withdrawals"]]))
    name_block(one)
    return one


def number_logs(one: Recorded) -> None:
    logs = [log for stated in one.receipts for log in stated["logs"]]
    for index, log in enumerate(logs):
        log["logIndex"] = hex(index)


def name_block(one: Recorded) -> None:
    """Give the block its hash, and all its parts the block's hash and number."""
    block = one.block
    block["hash"] = hex_of(header_hash(block))
    logs = [log for stated in one.receipts for log in stated["logs"]]
    for part in (*block["transactions"], *one.receipts, *logs):
        part["blockHash"], part["blockNumber"] = block["hash"], block["number"]
