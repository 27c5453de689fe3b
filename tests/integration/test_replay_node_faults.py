"""Faults that a replay node puts into its answers on demand: each reaches the client as it would from a real node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ampd.replay_node import (
    ChangeResult,
    Delay,
    DropConnection,
    ErrorAnswer,
    Fault,
    HttpAnswer,
    ReplaceResult,
    ReplayChain,
    ReplayNode,
    RpcCall,
    load_recorded_chain,
)

MAINNET = Path(__file__).parents[1] / "data" / "blocks" / "ethereum-17686110-17686132"
FIRST = 17686110

CHAIN_ID_CALL = {"jsonrpc": "2.0", "id": 3, "method": "eth_chainId"}
RECEIPTS_CALL = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockReceipts", "params": [hex(FIRST)]}
BLOCK_CALL = {"jsonrpc": "2.0", "id": 2, "method": "eth_getBlockByNumber", "params": [hex(FIRST), False]}


@pytest.fixture(scope="module")
def chain() -> ReplayChain:
    return load_recorded_chain(MAINNET)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def send(session: aiohttp.ClientSession, node: ReplayNode, message: Any) -> Any:
    async with session.post(node.url, json=message) as response:
        assert response.status == 200
        return await response.json()


class FaultyNode:
    """A node whose calls of ``eth_getBlockReceipts`` meet one fault; it keeps the calls that it saw."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self.seen: list[RpcCall] = []

    def choose(self, call: RpcCall) -> Fault | None:
        self.seen.append(call)
        return self._fault if call.method == "eth_getBlockReceipts" else None


async def test_a_fault_can_be_an_http_answer(session: aiohttp.ClientSession, chain: ReplayChain) -> None:
    fault = HttpAnswer(429, "<html>slow down</html>", {"Retry-After": "3"})
    async with ReplayNode(chain, faults=FaultyNode(fault).choose) as node:
        for body in (RECEIPTS_CALL, [BLOCK_CALL, RECEIPTS_CALL]):
            async with session.post(node.url, json=body) as response:
                assert response.status == 429
                assert response.headers["Retry-After"] == "3"
                assert response.content_type == "text/html"
                assert await response.text() == "<html>slow down</html>"
        assert (await send(session, node, CHAIN_ID_CALL))["result"] == "0x1"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (ReplaceResult(None), {"result": None}),
        (ReplaceResult([{"status": "0x1"}]), {"result": [{"status": "0x1"}]}),
        (ErrorAnswer(-32005, "limit exceeded"), {"error": {"code": -32005, "message": "limit exceeded"}}),
        (
            ErrorAnswer(-32000, "busy", data={"retry": 1}),
            {"error": {"code": -32000, "message": "busy", "data": {"retry": 1}}},
        ),
        (ChangeResult(len), {"result": 179}),
        (Delay(0.01, then=ReplaceResult(5)), {"result": 5}),
    ],
)
async def test_a_fault_can_be_the_answer_of_one_call(
    session: aiohttp.ClientSession, chain: ReplayChain, fault: Fault, expected: dict[str, Any]
) -> None:
    faulty = FaultyNode(fault)
    async with ReplayNode(chain, faults=faulty.choose) as node:
        block, receipts = await send(session, node, [BLOCK_CALL, RECEIPTS_CALL])
    assert block["result"]["number"] == hex(FIRST)
    assert receipts == {"jsonrpc": "2.0", "id": 1, **expected}
    assert faulty.seen == [
        RpcCall("eth_getBlockByNumber", [hex(FIRST), False], 0),
        RpcCall("eth_getBlockReceipts", [hex(FIRST)], 1),
    ]


async def test_a_fault_can_drop_the_connection(session: aiohttp.ClientSession, chain: ReplayChain) -> None:
    async with ReplayNode(chain, faults=FaultyNode(DropConnection()).choose) as node:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await send(session, node, RECEIPTS_CALL)
        assert (await send(session, node, CHAIN_ID_CALL))["result"] == "0x1"


async def test_a_fault_can_cut_the_answer_in_its_middle(session: aiohttp.ClientSession, chain: ReplayChain) -> None:
    async with ReplayNode(chain, faults=FaultyNode(DropConnection(after_bytes=1000)).choose) as node:
        async with session.post(node.url, json=RECEIPTS_CALL) as response:
            assert response.status == 200
            received = b""
            with pytest.raises(aiohttp.ClientPayloadError):
                while chunk := await response.content.readany():
                    received += chunk
        assert received.startswith(b'{"jsonrpc":"2.0","id":1,"result":[{')
        assert len(received) == 1000
        assert (await send(session, node, CHAIN_ID_CALL))["result"] == "0x1"


async def test_a_fault_can_delay_one_call_while_others_go_on(
    session: aiohttp.ClientSession, chain: ReplayChain
) -> None:
    async with ReplayNode(chain, faults=FaultyNode(Delay(0.3)).choose) as node:
        slow = asyncio.create_task(send(session, node, RECEIPTS_CALL))
        await send(session, node, BLOCK_CALL)
        assert not slow.done()
        assert len((await slow)["result"]) == 179
