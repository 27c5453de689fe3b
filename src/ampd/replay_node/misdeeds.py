"""What real nodes get wrong about receipts, blocks and batches, as changes of a true answer.

Each takes parsed JSON and returns what a node at fault would have answered instead; use them with
:class:`ampd.replay_node.ChangeResult` and :class:`ampd.replay_node.ChangeBatch`. :func:`of_lagging_node` is the fault
of a balancer, which leads a call to a node that is behind the others.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, Final

from ampd.replay_node.chain import ReplayChain
from ampd.replay_node.faults import ReplaceResult, RpcCall

_OTHER_HASH: Final = "0x" + "f0" * 32

# Receipts of a block (a list)


def null(_result: Any) -> None:
    """Answer null: the node does not have it."""


def of_another_fork(receipts: list[Any]) -> list[Any]:
    """Give the receipts of the same transactions in another block: only the block hash and the gas tell."""
    changed = copy.deepcopy(receipts)
    for receipt in changed:
        receipt["blockHash"] = _OTHER_HASH
        receipt["gasUsed"] = hex(int(receipt["gasUsed"], 16) + 1)
        for log in receipt["logs"]:
            log["blockHash"] = _OTHER_HASH
    return changed


def short(receipts: list[Any]) -> list[Any]:
    """Leave the last receipt out."""
    return receipts[:-1]


def empty(_receipts: list[Any]) -> list[Any]:
    """Give no receipts."""
    return []


def doubled(receipts: list[Any]) -> list[Any]:
    """Give the first receipt twice, in the place of the last: the count is right."""
    return [receipts[0], *receipts[:-1]] if len(receipts) > 1 else receipts * 2


def reordered(receipts: list[Any]) -> list[Any]:
    """Give the receipts from the last to the first."""
    return receipts[::-1] if len(receipts) > 1 else receipts * 2


def with_null(receipts: list[Any]) -> list[Any]:
    """Give null in the place of a receipt."""
    return [None, *receipts[1:]]


def with_broken_log_index(receipts: list[Any]) -> list[Any]:
    """Number logs from 0 in every receipt (as some chains did); where that is right by chance, from 1."""
    changed = copy.deepcopy(receipts)
    for first in (0, 1):
        for receipt in changed:
            for index, log in enumerate(receipt["logs"]):
                log["logIndex"] = hex(index + first)
        if changed != receipts:
            break
    return changed if changed != receipts else short(receipts)


def with_removed_log(receipts: list[Any]) -> list[Any]:
    """Mark the last log as removed by a reorg."""
    changed = copy.deepcopy(receipts)
    for receipt in reversed(changed):
        if receipt["logs"]:
            receipt["logs"][-1]["removed"] = True
            return changed
    return short(receipts)


WRONG_RECEIPTS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "null": null,
    "of another fork": of_another_fork,
    "short": short,
    "empty": empty,
    "doubled": doubled,
    "reordered": reordered,
    "with null": with_null,
    "broken log index": with_broken_log_index,
    "removed log": with_removed_log,
}

# A block (an object with full transactions)


def another_number(block: dict[str, Any]) -> dict[str, Any]:
    """Give another block than the one that was asked for."""
    return {**block, "number": hex(int(block["number"], 16) + 1)}


def another_parent(block: dict[str, Any]) -> dict[str, Any]:
    """Give a block that hangs on another fork."""
    return {**block, "parentHash": _OTHER_HASH}


def without_hash(block: dict[str, Any]) -> dict[str, Any]:
    """Leave out what ties a block to its chain."""
    return {key: value for key, value in block.items() if key != "hash"}


def without_a_transaction(block: dict[str, Any]) -> dict[str, Any]:
    """Leave out the first transaction."""
    return {**block, "transactions": block["transactions"][1:] or [None]}


WRONG_BLOCKS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "null": null,
    "another number": another_number,
    "another parent": another_parent,
    "without hash": without_hash,
    "without a transaction": without_a_transaction,
}

# The answers of a batch (a list)


def swapped(answers: list[Any]) -> list[Any]:
    """Give the answers from the last to the first: JSON-RPC allows any order."""
    return answers[::-1]


def without_one(answers: list[Any]) -> list[Any]:
    """Leave the first answer out."""
    return answers[1:]


def with_one_twice(answers: list[Any]) -> list[Any]:
    """Give the first answer a second time."""
    return [*answers, answers[0]]


def with_two_that_differ(answers: list[Any]) -> list[Any]:
    """Give a second, different answer to the first call."""
    return [*answers, {**answers[0], "result": None}]


def with_a_stranger(answers: list[Any]) -> list[Any]:
    """Add the answer to a call that nobody made."""
    return [{"jsonrpc": "2.0", "id": 987654321, "result": None}, *answers]


def with_one_rate_limited(answers: list[Any]) -> list[Any]:
    """Refuse one call of the batch, inside HTTP 200 (as Alchemy does)."""
    error = {"code": 429, "message": "Your app has exceeded its compute units per second capacity"}
    return [*answers[:-1], {"jsonrpc": "2.0", "id": answers[-1]["id"], "error": error}]


def with_one_failed(answers: list[Any]) -> list[Any]:
    """Fail one call of the batch."""
    failed = {"jsonrpc": "2.0", "id": answers[0]["id"], "error": {"code": -32000, "message": "header not found"}}
    return [failed, *answers[1:]]


def one_error(_answers: list[Any]) -> dict[str, Any]:
    """Give one error in the place of all answers."""
    return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch too large"}}


def one_rate_limit(_answers: list[Any]) -> dict[str, Any]:
    """Refuse the whole batch, inside HTTP 200."""
    return {"jsonrpc": "2.0", "id": None, "error": {"code": -32005, "message": "rate limit exceeded"}}


WRONG_BATCHES: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "swapped": swapped,
    "without one": without_one,
    "one twice": with_one_twice,
    "two that differ": with_two_that_differ,
    "a stranger": with_a_stranger,
    "one rate limited": with_one_rate_limited,
    "one failed": with_one_failed,
    "one error": one_error,
    "one rate limit": one_rate_limit,
}

# A balancer


def of_lagging_node(call: RpcCall, chain: ReplayChain, blocks_behind: int) -> ReplaceResult | None:
    """Answer as a node does that lacks the last blocks of ``chain``; None when it knows as much as the others."""
    head = max(chain.first_block, chain.last_block - blocks_behind)
    match call.method, call.params:
        case "eth_blockNumber", _:
            return ReplaceResult(hex(head))
        case "eth_getBlockByNumber", ["latest", bool(full)]:
            return ReplaceResult(json.loads(b"".join(chain.block(head, full=full))))
        case ("eth_getBlockByNumber", [str(name), _]) | ("eth_getBlockReceipts", [str(name)]):
            number = chain.number_of_hash(name) if len(name) == 66 else _number(name)
            return ReplaceResult(None) if number is not None and number > head else None
    return None


def _number(text: str) -> int | None:
    return int(text, 16) if text.startswith("0x") else None
