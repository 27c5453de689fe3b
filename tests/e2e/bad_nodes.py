"""Nodes that do wrong, and what a job shall say of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from ampd.replay_node import (
    ChangeResult,
    DropConnection,
    ErrorAnswer,
    Fault,
    HttpAnswer,
    RecordedBlock,
    ReplaceResult,
    RpcCall,
    build_chain,
    load_recorded_chain,
)
from oracle.recorded import read_json
from support.nodes import FIRST_BLOCK, MAINNET, http_server, replay_node

DEFECTIVE = Path(__file__).parents[1] / "data" / "defective"


async def _silent(_request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


def _http(status: int, body: str, content_type: str = "text/html") -> AbstractAsyncContextManager[str]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type=content_type)

    return http_server(answer)


def _on(method: str, fault: Fault) -> AbstractAsyncContextManager[str]:
    """The recorded blocks from a node that does ``fault`` to every call of ``method``."""

    def choose(call: RpcCall) -> Fault | None:
        wanted = call.method == method and (method != "eth_getBlockByNumber" or call.params[1] is True)
        return fault if wanted else None

    return replay_node(load_recorded_chain(MAINNET), choose)


def _receipts(change: Callable[[Any], Any]) -> AbstractAsyncContextManager[str]:
    return _on("eth_getBlockReceipts", ChangeResult(change))


def _defective(name: str) -> AbstractAsyncContextManager[str]:
    return replay_node(build_chain([_defective_block(name)], chain_id=25))


def _defective_block(name: str) -> RecordedBlock:
    folder = DEFECTIVE / name
    [block] = folder.glob("block.json*")
    return RecordedBlock("cronos", read_json(block), read_json(folder / "receipts.json"))


@dataclass(frozen=True)
class BadNode:
    """A node that does wrong, and what the job shall say of it."""

    serve: Callable[[], AbstractAsyncContextManager[str]]
    code: str
    says: str
    ends: bool = False  # no retry can mend it
    start_block: int = FIRST_BLOCK
    settings: dict[str, Any] = field(default_factory=dict)


BAD_NODES = {
    "html": BadNode(lambda: _http(200, "<html>Welcome</html>"), "NODE_ANSWER_NOT_JSON", "Welcome"),
    "null_body": BadNode(lambda: _http(200, "null", "application/json"), "NODE_ANSWER_MALFORMED", "eth_chainId"),
    "null_result": BadNode(lambda: _on("eth_chainId", ReplaceResult(None)), "NODE_ANSWER_MALFORMED", "eth_chainId"),
    "null_block": BadNode(
        lambda: _on("eth_getBlockByNumber", ReplaceResult(None)), "BLOCK_NOT_AVAILABLE", f"block {FIRST_BLOCK}"
    ),
    "null_receipts": BadNode(
        lambda: _on("eth_getBlockReceipts", ReplaceResult(None)), "RECEIPTS_NOT_AVAILABLE", f"block {FIRST_BLOCK}"
    ),
    "rpc_error": BadNode(
        lambda: _on("eth_getBlockByNumber", ErrorAnswer(-32000, "no backend is healthy")),
        "NODE_ANSWERED_ERROR",
        "no backend is healthy",
    ),
    "no_such_method": BadNode(
        lambda: _on("eth_getBlockByNumber", ErrorAnswer(-32601, "the method does not exist")),
        "NODE_METHOD_UNSUPPORTED",
        "eth_getBlockByNumber",
        ends=True,
    ),
    "http_401": BadNode(lambda: _http(401, "who are you"), "NODE_REFUSED_ACCESS", "HTTP 401", ends=True),
    "http_404": BadNode(lambda: _http(404, "no such path"), "NODE_ANSWERED_ERROR", "HTTP 404"),
    "http_429": BadNode(
        lambda: _on("eth_chainId", HttpAnswer(429, headers={"Retry-After": "1"})), "NODE_RATE_LIMITED", "HTTP 429"
    ),
    "http_500": BadNode(lambda: _http(500, "oops"), "NODE_ANSWERED_ERROR", "HTTP 500"),
    "silence": BadNode(
        lambda: http_server(_silent), "NODE_UNREACHABLE", "did not answer in time", settings={"timeout_secs": 0.3}
    ),
    "hangs_up": BadNode(
        lambda: _on("eth_getBlockByNumber", DropConnection(after_bytes=1000)), "NODE_UNREACHABLE", "127.0.0.1"
    ),
    # a well-known network: the node's chain id is held against it
    "sepolia": BadNode(lambda: replay_node(load_recorded_chain(MAINNET)), "NETWORK_MISMATCH", "11155111", ends=True),
    "short_receipts": BadNode(lambda: _receipts(lambda all_: all_[:-1]), "RECEIPT_COUNT_MISMATCH", "receipts"),
    "receipts_out_of_order": BadNode(
        lambda: _receipts(lambda all_: all_[::-1]), "RECEIPT_ORDER_MISMATCH", "out of order"
    ),
    "cronos_6541": BadNode(lambda: _defective("cronos-6541"), "RECEIPT_COUNT_MISMATCH", "block 6541", start_block=6541),
    "cronos_68216": BadNode(
        lambda: _defective("cronos-68216"), "RECEIPT_COUNT_MISMATCH", "block 68216", start_block=68216
    ),
    "cronos_131465": BadNode(
        lambda: _defective("cronos-131465"), "RECEIPT_COUNT_MISMATCH", "block 131465", start_block=131465
    ),
    "cronos_11446765": BadNode(
        lambda: _defective("cronos-11446765"), "LOG_INDEX_MISMATCH", "block 11446765", start_block=11446765
    ),
}
