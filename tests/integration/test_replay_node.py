"""The replay node over HTTP: JSON-RPC as real nodes speak it, compression, and the process of the command."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ampd.chain.header import header_hash
from ampd.errors import AmpError, ErrorCode
from ampd.replay_node import (
    RecordedBlock,
    ReplayChain,
    ReplayNode,
    build_chain,
    read_recorded_blocks,
)

DATA = Path(__file__).parents[1] / "data"
MAINNET = DATA / "blocks" / "ethereum-17686110-17686132"
FIRST = 17686110


@pytest.fixture(scope="module")
def mainnet() -> list[RecordedBlock]:
    return read_recorded_blocks(MAINNET)


@pytest.fixture(scope="module")
def chain(mainnet: list[RecordedBlock]) -> ReplayChain:
    return build_chain(mainnet, length=100)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def node(chain: ReplayChain) -> AsyncIterator[ReplayNode]:
    async with ReplayNode(chain, gzip=False) as node:
        yield node


class Client:
    """Sends JSON-RPC to a node and hands back the decoded answers."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def send(self, message: Any) -> Any:
        async with self._session.post(self._url, json=message) as response:
            assert response.status == 200
            assert response.content_type == "application/json"
            return await response.json()

    async def call(self, method: str, *params: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.send({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
        return answer

    async def result(self, method: str, *params: Any) -> Any:
        answer = await self.call(method, *params)
        assert "error" not in answer
        return answer["result"]

    async def error(self, method: str, *params: Any) -> tuple[int, str]:
        answer = await self.call(method, *params)
        assert "result" not in answer
        return answer["error"]["code"], answer["error"]["message"]


@pytest.fixture
def client(session: aiohttp.ClientSession, node: ReplayNode) -> Client:
    return Client(session, node.url)


async def test_every_block_of_a_repeated_chain_verifies_from_its_served_json(client: Client) -> None:
    parent, timestamp = None, 0
    for number in range(FIRST, FIRST + 100):
        block = await client.result("eth_getBlockByNumber", hex(number), True)
        receipts = await client.result("eth_getBlockReceipts", hex(number))
        assert int(block["number"], 16) == number
        assert block["hash"] == header_hash(block)
        assert parent in (None, block["parentHash"])
        assert int(block["timestamp"], 16) > timestamp
        assert [each["transactionHash"] for each in receipts] == [each["hash"] for each in block["transactions"]]
        logs = [log for receipt in receipts for log in receipt["logs"]]
        places = {(each["blockHash"], each["blockNumber"]) for each in [*block["transactions"], *receipts, *logs]}
        assert places == {(block["hash"], block["number"])}
        parent, timestamp = block["hash"], int(block["timestamp"], 16)


async def test_the_node_tells_who_it_is(client: Client) -> None:
    assert await client.result("eth_chainId") == "0x1"
    assert await client.result("net_version") == "1"
    assert "replay" in await client.result("web3_clientVersion")
    assert await client.result("eth_blockNumber") == hex(FIRST + 99)


@pytest.mark.parametrize(
    ("tag", "offset"), [("latest", 99), ("pending", 99), ("safe", 67), ("finalized", 35), ("earliest", 0)]
)
async def test_tags_name_blocks(client: Client, tag: str, offset: int) -> None:
    block = await client.result("eth_getBlockByNumber", tag, False)
    assert int(block["number"], 16) == FIRST + offset
    receipts = await client.result("eth_getBlockReceipts", tag)
    assert receipts[0]["blockHash"] == block["hash"]


async def test_safe_and_finalized_are_never_below_the_first_block(client: Client, node: ReplayNode) -> None:
    node.head = FIRST + 3
    for tag in ("safe", "finalized"):
        assert (await client.result("eth_getBlockByNumber", tag, False))["number"] == hex(FIRST)


async def test_a_block_is_the_same_by_number_and_by_hash(client: Client) -> None:
    for full in (True, False):
        block = await client.result("eth_getBlockByNumber", hex(FIRST + 40), full)
        assert await client.result("eth_getBlockByHash", block["hash"], full) == block
        assert isinstance(block["transactions"][0], dict if full else str)


async def test_receipts_are_found_by_number_by_hash_and_by_the_objects_of_eip_1898(client: Client) -> None:
    number = hex(FIRST + 40)
    receipts = await client.result("eth_getBlockReceipts", number)
    block_hash = receipts[0]["blockHash"]
    for place in (block_hash, {"blockHash": block_hash, "requireCanonical": True}, {"blockNumber": number}):
        assert await client.result("eth_getBlockReceipts", place) == receipts


async def test_transactions_and_receipts_are_found_by_hash_at_their_first_occurrence(client: Client) -> None:
    block = await client.result("eth_getBlockByNumber", hex(FIRST + 5), True)
    receipts = await client.result("eth_getBlockReceipts", hex(FIRST + 5))
    transaction = block["transactions"][17]
    again = await client.result("eth_getBlockByNumber", hex(FIRST + 5 + 23), False)
    assert again["transactions"][17] == transaction["hash"]
    assert await client.result("eth_getTransactionByHash", transaction["hash"]) == transaction
    assert await client.result("eth_getTransactionReceipt", transaction["hash"]) == receipts[17]


async def test_what_is_above_the_head_does_not_exist_until_the_chain_grows(client: Client, node: ReplayNode) -> None:
    above = await client.result("eth_getBlockByNumber", hex(FIRST + 6), True)
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("eth_getBlockByNumber", (above["number"], True)),
        ("eth_getBlockByHash", (above["hash"], True)),
        ("eth_getBlockReceipts", (above["number"],)),
        ("eth_getBlockReceipts", (above["hash"],)),
        ("eth_getTransactionByHash", (above["transactions"][0]["hash"],)),
        ("eth_getTransactionReceipt", (above["transactions"][0]["hash"],)),
    ]
    node.head = FIRST + 5
    assert await client.result("eth_blockNumber") == hex(FIRST + 5)
    for method, params in calls:
        assert await client.result(method, *params) is None
    assert (await client.error("eth_getLogs", {"blockHash": above["hash"]}))[1] == "unknown block"
    node.head = FIRST + 6
    for method, params in calls:
        assert await client.result(method, *params) is not None


@pytest.mark.parametrize("head", [FIRST - 1, FIRST + 100])
async def test_the_head_stays_inside_the_chain(node: ReplayNode, head: int) -> None:
    with pytest.raises(ValueError, match="outside the chain"):
        node.head = head
    assert node.head == FIRST + 99


async def test_blocks_below_the_first_are_null(client: Client) -> None:
    assert await client.result("eth_getBlockByNumber", hex(FIRST - 1), True) is None
    assert await client.result("eth_getBlockReceipts", "0x0") is None


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("eth_getBlockByNumber", ["0x1"], -32602),
        ("eth_getBlockByNumber", ["0x1", True, 1], -32602),
        ("eth_getBlockByNumber", ["0x1", "true"], -32602),
        ("eth_getBlockByNumber", ["1", True], -32602),
        ("eth_getBlockByNumber", [1, True], -32602),
        ("eth_getBlockByNumber", ["0x01", True], -32602),
        ("eth_getBlockByNumber", ["0x", True], -32602),
        ("eth_getBlockByNumber", ["newest", True], -32602),
        ("eth_getBlockByNumber", [None, True], -32602),
        ("eth_getBlockByHash", ["0x1", True], -32602),
        ("eth_getBlockReceipts", [], -32602),
        ("eth_getBlockReceipts", [{}], -32602),
        ("eth_getBlockReceipts", [{"blockHash": "0x" + "00" * 32, "blockNumber": "0x1"}], -32602),
        ("eth_getTransactionReceipt", ["0x12"], -32602),
        ("eth_chainId", [1], -32602),
        ("eth_getLogs", ["latest"], -32602),
        ("eth_getLogs", [{"address": "0x12"}], -32602),
        ("eth_getLogs", [{"topics": ["0x12"]}], -32602),
        ("eth_getLogs", [{"topics": "0x12"}], -32602),
        ("eth_getLogs", [{"topics": [None] * 5}], -32602),
        ("eth_getLogs", [{"fromBlock": "earliest"}], -32005),
        ("eth_getLogs", [{"fromBlock": hex(FIRST - 1)}], 4444),
        ("eth_sendRawTransaction", ["0x00"], -32601),
    ],
)
async def test_bad_calls_are_refused_with_the_code_of_real_nodes(
    client: Client, method: str, params: list[Any], code: int
) -> None:
    assert (await client.error(method, *params))[0] == code


CHAIN_INDEPENDENT_CASES = [
    "eth_getBlockByHash/get-block-by-empty-hash",
    "eth_getBlockByHash/get-block-by-notfound-hash",
    "eth_getBlockByNumber/get-block-notfound",
    "eth_getBlockReceipts/get-block-receipts-empty",
    "eth_getBlockReceipts/get-block-receipts-future",
    "eth_getBlockReceipts/get-block-receipts-not-found",
    "eth_getLogs/filter-error-future-block-range",
    "eth_getLogs/filter-error-invalid-blockHash-and-range",
    "eth_getLogs/filter-error-reversed-block-range",
    "eth_getTransactionByHash/get-empty-tx",
    "eth_getTransactionByHash/get-notfound-tx",
    "eth_getTransactionReceipt/get-empty-tx",
    "eth_getTransactionReceipt/get-notfound-tx",
]


@pytest.mark.parametrize("case", CHAIN_INDEPENDENT_CASES)
async def test_the_official_conformance_cases_hold(
    session: aiohttp.ClientSession, mainnet: list[RecordedBlock], case: str
) -> None:
    lines = (DATA / "conformance" / f"{case}.io").read_text().splitlines()
    request, expected = (json.loads(line[3:]) for line in lines if line[:3] in (">> ", "<< "))
    # The suite's chain has the blocks 0 to 0x36.
    async with ReplayNode(build_chain(mainnet, length=0x37, first_block=0)) as node:
        assert await Client(session, node.url).send(request) == expected


def logs_of(mainnet: list[RecordedBlock], first: int, last: int) -> list[dict[str, Any]]:
    return [log for each in mainnet[first : last + 1] for receipt in each.receipts for log in receipt["logs"]]


TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
SWAP = "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"
WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
USDT = "0xdac17f958d2ee523a2206206994597c13d831ec7"

LogTest = Callable[[dict[str, Any]], bool]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, lambda log: True),
        ({"address": [], "topics": []}, lambda log: True),
        ({"address": WETH}, lambda log: log["address"] == WETH.lower()),
        ({"address": [WETH, USDT]}, lambda log: log["address"] in (WETH.lower(), USDT)),
        ({"topics": [TRANSFER]}, lambda log: log["topics"][:1] == [TRANSFER]),
        ({"topics": [[TRANSFER, SWAP]]}, lambda log: log["topics"] and log["topics"][0] in (TRANSFER, SWAP)),
        ({"topics": [None, None, None]}, lambda log: len(log["topics"]) >= 3),
        ({"topics": [[], None, [None, TRANSFER]]}, lambda log: len(log["topics"]) >= 3),
        (
            {"address": USDT, "topics": [TRANSFER, None]},
            lambda log: log["address"] == USDT and log["topics"][:1] == [TRANSFER],
        ),
        ({"address": "0x" + "00" * 20}, lambda log: False),
    ],
)
async def test_logs_are_filtered_by_address_and_topics(
    session: aiohttp.ClientSession, mainnet: list[RecordedBlock], query: dict[str, Any], wanted: LogTest
) -> None:
    async with ReplayNode(build_chain(mainnet)) as node:
        span = {"fromBlock": hex(FIRST + 3), "toBlock": hex(FIRST + 7)}
        answer = await Client(session, node.url).result("eth_getLogs", {**span, **query})
    assert answer == [log for log in logs_of(mainnet, 3, 7) if wanted(log)]


async def test_logs_of_a_repeated_chain_are_those_of_its_receipts(client: Client) -> None:
    expected = []
    for number in range(FIRST + 20, FIRST + 27):
        receipts = await client.result("eth_getBlockReceipts", hex(number))
        expected += [log for receipt in receipts for log in receipt["logs"]]
    span = {"fromBlock": hex(FIRST + 20), "toBlock": hex(FIRST + 26)}
    assert await client.result("eth_getLogs", span) == expected
    last_hash = expected[-1]["blockHash"]
    of_last = [log for log in expected if log["blockHash"] == last_hash]
    assert await client.result("eth_getLogs", {"blockHash": last_hash}) == of_last


async def test_logs_without_a_range_are_those_of_the_head(client: Client) -> None:
    logs = await client.result("eth_getLogs", {})
    assert {log["blockNumber"] for log in logs} == {hex(FIRST + 99)}


async def test_too_many_logs_are_refused_with_a_range_that_works(client: Client) -> None:
    code, message = await client.error("eth_getLogs", {"fromBlock": hex(FIRST), "toBlock": hex(FIRST + 60)})
    assert code == -32005
    first, last = re.findall(r"0x[0-9a-f]+", message)
    assert len(await client.result("eth_getLogs", {"fromBlock": first, "toBlock": last})) > 5000


async def test_a_batch_is_answered_in_order_with_an_error_for_each_bad_call(client: Client) -> None:
    answers = await client.send(
        [
            {"jsonrpc": "2.0", "id": "a", "method": "eth_getBlockByNumber", "params": ["earliest", False]},
            {"jsonrpc": "2.0", "id": 2, "method": "eth_noSuchMethod"},
            5,
            {"jsonrpc": "2.0", "method": "eth_blockNumber"},
            {"jsonrpc": "1.0", "id": 3, "method": "eth_blockNumber"},
            {"jsonrpc": "2.0", "id": None, "method": "eth_chainId", "params": []},
            {"jsonrpc": "2.0", "id": 4.5, "method": "eth_getBlockByNumber", "params": {"number": "0x1"}},
            {"jsonrpc": "2.0", "id": {}, "method": "eth_chainId"},
            {"jsonrpc": "2.0", "id": 5},
        ]
    )
    assert [answer["id"] for answer in answers] == ["a", 2, None, 3, None, 4.5, None, 5]
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [None, -32601, -32600, -32600, None, -32602, -32600, -32600]
    assert answers[0]["result"]["number"] == hex(FIRST)
    assert answers[4]["result"] == "0x1"


async def test_a_batch_of_full_blocks_holds_what_single_calls_answer(client: Client) -> None:
    numbers = [hex(FIRST + offset) for offset in (0, 50, 99)]
    calls = [
        {"jsonrpc": "2.0", "id": number, "method": "eth_getBlockByNumber", "params": [number, True]}
        for number in numbers
    ]
    answers = await client.send(calls)
    singles = [await client.result("eth_getBlockByNumber", number, True) for number in numbers]
    assert [answer["result"] for answer in answers] == singles


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", -32600),
        (b"{", -32700),
        (b"", -32700),
        (b"\xff\xfe\xfd", -32700),
        (b"1", -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"eth_chainId"}', -32600),
        (json.dumps([{}] * 1001).encode(), -32600),
    ],
)
async def test_bodies_that_are_no_calls_get_one_error(
    session: aiohttp.ClientSession, node: ReplayNode, body: bytes, code: int
) -> None:
    async with session.post(node.url, data=body) as response:
        answer = await response.json()
    assert (answer["id"], answer["error"]["code"]) == (None, code)


@pytest.mark.parametrize("alone", [True, False])
async def test_notifications_get_no_answer(session: aiohttp.ClientSession, node: ReplayNode, alone: bool) -> None:
    call = {"jsonrpc": "2.0", "method": "eth_chainId"}
    async with session.post(node.url, json=call if alone else [call, call]) as response:
        assert (response.status, await response.read()) == (204, b"")


async def test_any_path_is_the_node_and_only_post_is_taken(session: aiohttp.ClientSession, node: ReplayNode) -> None:
    assert await Client(session, f"{node.url}/v3/some-key").result("eth_chainId") == "0x1"
    async with session.get(node.url) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_a_request_that_is_too_large_is_refused(session: aiohttp.ClientSession, node: ReplayNode) -> None:
    async with session.post(node.url, data=io.BytesIO(b" " * (6 * 1024 * 1024))) as response:
        assert response.status == 413


@pytest.mark.parametrize(
    ("allowed", "accepted", "compressed"),
    [
        (True, "gzip, deflate", True),
        (True, "br, *", True),
        (True, "GZIP;q=0.5", True),
        (True, "gzip;q=0", False),
        (True, "identity", False),
        (False, "gzip", False),
    ],
)
async def test_large_answers_are_compressed_when_client_and_node_want_it(
    chain: ReplayChain, allowed: bool, accepted: str, compressed: bool
) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["earliest", True]}
    async with (
        ReplayNode(chain, gzip=allowed) as node,
        aiohttp.ClientSession(auto_decompress=False) as raw,
        raw.post(node.url, json=call, headers={"Accept-Encoding": accepted}) as response,
    ):
        body = await response.read()
    assert (response.headers.get("Content-Encoding") == "gzip") is compressed
    assert int(response.headers["Content-Length"]) == len(body)
    answer = json.loads(gzip.decompress(body) if compressed else body)
    assert answer["result"] == json.loads(b"".join(chain.block(FIRST, full=True)))


async def test_a_client_that_decompresses_sees_the_same_answer(
    session: aiohttp.ClientSession, chain: ReplayChain, client: Client
) -> None:
    async with ReplayNode(chain, gzip=True) as compressing:
        packed = await Client(session, compressing.url).result("eth_getBlockReceipts", hex(FIRST + 70))
    assert packed == await client.result("eth_getBlockReceipts", hex(FIRST + 70))


async def test_latency_is_added_to_each_http_answer(session: aiohttp.ClientSession, chain: ReplayChain) -> None:
    loop = asyncio.get_running_loop()
    async with ReplayNode(chain, latency_seconds=0.2) as node:
        client, started = Client(session, node.url), loop.time()
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
        await asyncio.gather(client.send([call] * 10), client.send(call))
    assert 0.2 <= loop.time() - started < 2.0


async def test_a_taken_port_is_named(chain: ReplayChain, node: ReplayNode) -> None:
    port = int(node.url.rsplit(":", 1)[1])
    with pytest.raises(AmpError, match=f"127.0.0.1:{port}") as refused:
        await ReplayNode(chain, port=port).__aenter__()
    assert refused.value.code == ErrorCode.ADDRESS_IN_USE
    assert "another port" in refused.value.message


@pytest.mark.parametrize(("host", "port"), [("203.0.113.1", 0), ("127.0.0.1", 70000)])
async def test_an_address_that_is_not_ours_is_named(chain: ReplayChain, host: str, port: int) -> None:
    with pytest.raises(AmpError, match=f"{host}:{port}") as refused:
        await ReplayNode(chain, host=host, port=port).__aenter__()
    assert "another host or port" in refused.value.message


async def test_a_port_is_free_again_after_the_node(session: aiohttp.ClientSession, chain: ReplayChain) -> None:
    async with ReplayNode(chain) as node:
        url = node.url
        await Client(session, url).result("eth_chainId")
    async with ReplayNode(chain, port=int(url.rsplit(":", 1)[1])) as again:
        assert again.url == url
        assert await Client(session, url).result("eth_chainId") == "0x1"


SERVE = """
import sys
from pathlib import Path
from ampd.replay_node import run_replay_node
run_replay_node(
    blocks=Path(sys.argv[1]), host="127.0.0.1", port=0, length=50, chain_id=None, gzip=False
)
"""


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_says_where_it_listens_and_ends_on_a_signal(
    session: aiohttp.ClientSession, stop: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVE,
        str(MAINNET),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "0"},
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        said = re.fullmatch(
            r"replay node listening on (http://127\.0\.0\.1:\d+) \(chain id 1, blocks 17686110 to 17686159\)\n", line
        )
        assert said
        assert await Client(session, said[1]).result("eth_blockNumber") == hex(17686159)
        process.send_signal(stop)
        rest, errors = await asyncio.wait_for(process.communicate(), 30)
        assert (process.returncode, rest, errors) == (0, b"", b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
