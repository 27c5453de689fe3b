"""The receipts of blocks from one node: all of a block at once, or one by one where a node knows only that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import numpy as np
import structlog

from ampd.errors import AmpError, ErrorCode
from ampd.sources.evm_rpc.classify import INVALID_PARAMS, Reaction
from ampd.sources.evm_rpc.client import GoOn, always
from ampd.sources.evm_rpc.decode import DecodedBlocks
from ampd.sources.evm_rpc.faults import NodeFault
from ampd.sources.evm_rpc.fetch import fetch
from ampd.sources.evm_rpc.json_pieces import joined_results
from ampd.sources.evm_rpc.pool import Node
from ampd.sources.evm_rpc.transport import Call

_log = structlog.get_logger(__name__)

_OF_BLOCK = "eth_getBlockReceipts"
_OF_TRANSACTION = "eth_getTransactionReceipt"

StoreReceipts = Callable[[int, bytes], None]


async def fetch_receipts(
    node: Node, blocks: DecodedBlocks, positions: Sequence[int], store: StoreReceipts, *, go_on: GoOn = always
) -> None:
    """Ask for the receipts of the blocks at ``positions``; ``store`` gets block number and answer. No further block is
    begun when ``go_on`` says no.

    Only a node that does not know the method is asked for single receipts: never one that is out of breath.

    :raises AmpError: what the node did wrong; what is stored stays stored.
    """
    missing = list(positions)

    def keep(number: int, body: bytes) -> None:
        missing.remove(number - blocks.numbers[0])
        store(number, body)

    if node.gives_block_receipts:
        try:
            await _of_blocks(node, blocks, missing, keep, go_on)
        except NodeFault as fault:
            if fault.verdict.reaction is not Reaction.UNSUPPORTED or fault.method != _OF_BLOCK:
                raise
            _log.warning("node.lacks_block_receipts", endpoint=node.shown_url, error=fault.message)
        else:
            return
    await _of_transactions(node, blocks, list(missing), keep)


async def _of_blocks(
    node: Node, blocks: DecodedBlocks, missing: Sequence[int], keep: StoreReceipts, go_on: GoOn
) -> None:
    """Ask by the hash of the block, so that receipts cannot be of another fork; by number where a node knows only that.

    Either way every receipt's block hash is compared when it is decoded.
    """

    def calls() -> list[Call]:
        return [
            Call(
                blocks.numbers[position],
                _OF_BLOCK,
                [hex(blocks.numbers[position]) if node.receipts_by_number else blocks.hashes[position]],
            )
            for position in missing
        ]

    try:
        await fetch(node.client, calls(), lambda call, body: keep(call.id, body), go_on=go_on)
    except NodeFault as fault:
        if fault.rpc_code != INVALID_PARAMS or node.receipts_by_number:
            raise
        node.receipts_by_number = True
        await fetch(node.client, calls(), lambda call, body: keep(call.id, body), go_on=go_on)


async def _of_transactions(node: Node, blocks: DecodedBlocks, missing: Sequence[int], keep: StoreReceipts) -> None:
    hashes = blocks.transactions.field("hash")
    calls: list[Call] = []
    owners: list[int] = []
    for position in missing:
        for row in np.flatnonzero(blocks.transactions.block == position):
            calls.append(Call(len(calls), _OF_TRANSACTION, [hashes[int(row)].as_py()]))
            owners.append(position)
    answers: list[bytes] = [b""] * len(calls)

    def store(call: Call, body: bytes) -> None:
        answers[call.id] = body

    try:
        await fetch(node.client, calls, store)
    except NodeFault as fault:
        if fault.call_id is not None:  # upwards of here blocks are spoken of
            fault.call_id = blocks.numbers[owners[fault.call_id]]
        raise
    for position in missing:
        own = [answer for answer, owner in zip(answers, owners, strict=True) if owner == position]
        number = blocks.numbers[position]
        keep(number, await asyncio.get_running_loop().run_in_executor(None, _joined, number, own))


def _joined(number: int, answers: Sequence[bytes]) -> bytes:
    """Return the answer that ``eth_getBlockReceipts`` would have been."""
    results = []
    for position, answer in enumerate(answers):
        try:
            result = json.loads(answer)["result"]
        except (ValueError, KeyError, TypeError):
            raise AmpError(
                ErrorCode.NODE_ANSWER_MALFORMED,
                f"block {number}: the node's answer for the receipt of transaction {position} has no result",
                recoverable=True,
                context={"block": number},
            ) from None
        if result is None:
            raise AmpError(
                ErrorCode.RECEIPTS_NOT_AVAILABLE,
                f"block {number}: the node answered null to {_OF_TRANSACTION} for transaction {position}: it does not "
                "have the receipt (yet)",
                recoverable=True,
                context={"block": number},
            )
        results.append(result)
    return joined_results(number, results)
