"""A live EVM node for tests: anvil, mining only when it is told to, so that every chain is exact."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from support.daemons import Process, free_port, wait_for

Json = Any

CHAIN_ID = 31337
START_TIME = 1_700_000_000
SECONDS_PER_BLOCK = 12
GWEI = 10**9
LOW_GAS, MUCH_GAS = 21_000, 400_000

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_PACKAGES = Path(__file__).parents[1] / "node" / "node_modules" / "@foundry-rs"
# Every block calls this contract of EIP-2935, which makes mining slower with each one; nothing else changes without it.
_HISTORY_CONTRACT = "0x0000F90827F1C53a10cb7A02335B175320002935"


def _emitter() -> bytes:
    """Return code that copies its call data and logs it five times: with 0, 1, 2, 3 and 4 topics (the words 1 to 4)."""
    copy_call_data = bytes.fromhex("3660006000" + "37")  # CALLDATACOPY(0, 0, CALLDATASIZE)
    logs = b""
    for count in range(5):
        topics = b"".join(bytes([0x60, topic]) for topic in range(count, 0, -1))
        logs += topics + bytes.fromhex("366000") + bytes([0xA0 + count])  # LOG<count>(0, CALLDATASIZE, topics)
    return copy_call_data + logs + b"\x00"


def _creation(runtime: bytes) -> str:
    """Return init code that leaves ``runtime`` (fewer than 256 bytes) as the contract's code."""
    size = len(runtime)
    init = bytes([0x60, size, 0x60, 12, 0x60, 0, 0x39, 0x60, size, 0x60, 0, 0xF3])
    return "0x" + (init + runtime).hex()


EMITTER = _creation(_emitter())
REVERTS = "0x60006000fd"


class Anvil:
    """One anvil process with ten unlocked, rich accounts."""

    def __init__(self, directory: Path, *options: str, chain_id: int = CHAIN_ID) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._http = httpx.Client(timeout=30)
        arguments = [str(_binary()), "--port", str(self.port), "--chain-id", str(chain_id)]
        arguments += ["--no-mining", "--order", "fifo", "--timestamp", str(START_TIME)]
        arguments += ["--prune-history", "64", "--no-request-size-limit", "--quiet", *options]
        # anvil writes states below its home: that is this test's own.
        home = {"HOME": str(directory)}
        self._process = Process(arguments, log=directory / f"anvil-{self.port}.log", environment=home)

    def __enter__(self) -> Self:
        wait_for("anvil", self._is_up)
        self.call("anvil_setCode", _HISTORY_CONTRACT, "0x")
        self.call("anvil_setBlockTimestampInterval", SECONDS_PER_BLOCK)
        self.accounts: list[str] = self.call("eth_accounts")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.end()
        self._http.close()

    def call(self, method: str, *parameters: Json) -> Json:
        """Return the result of one JSON-RPC call."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        answer = self._http.post(self.url, json=request).json()
        assert "error" not in answer, f"anvil answered {method} with {answer['error']}"
        return answer["result"]

    def send(self, sender: int, **fields: Json) -> str:
        """Put a transaction of account number ``sender`` into the next block; integers become quantities."""
        transaction = {key: hex(value) if isinstance(value, int) else value for key, value in fields.items()}
        transaction = {"from": self.accounts[sender], "gas": hex(MUCH_GAS), **transaction}
        return str(self.call("eth_sendTransaction", transaction))

    def mine(self, blocks: int = 1) -> int:
        """Mine and return the number of the newest block; what was sent goes into the first."""
        self.call("anvil_mine", hex(blocks))
        return self.head()

    def head(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

    def finalized(self) -> int:
        return int(self.call("eth_getBlockByNumber", "finalized", False)["number"], 16)

    def deploy(self, sender: int, code: str) -> str:
        """Mine a block that creates a contract and return its address."""
        transaction = self.send(sender, data=code)
        self.mine()
        return str(self.call("eth_getTransactionReceipt", transaction)["contractAddress"])

    def chain(self, numbers: Iterable[int]) -> list[tuple[Json, Json]]:
        """Return blocks with full transactions, each with its receipts, as the node states them."""
        return [
            (self.call("eth_getBlockByNumber", hex(number), True), self.call("eth_getBlockReceipts", hex(number)))
            for number in numbers
        ]

    def _is_up(self) -> bool:
        assert self._process.popen.poll() is None, f"anvil ended:\n{self._process.text()}"
        try:
            return bool(self.call("web3_clientVersion"))
        except httpx.TransportError:
            return False


def mine_colourful_chain(node: Anvil) -> int:
    """Mine creations, transfers, calls of all types, failures, logs with 0 to 4 topics, and empty blocks.

    Returns the number of the newest block.
    """
    emitter = node.deploy(0, EMITTER)
    reverter = node.deploy(0, _creation(bytes.fromhex(REVERTS[2:])))
    node.mine(3)
    node.send(1, to=node.accounts[2], value=10**21, gas=LOW_GAS, gasPrice=3 * GWEI)
    node.send(2, to=node.accounts[3], value=0, gas=LOW_GAS)
    node.send(3, to=emitter, data="0x" + "ab" * 700)
    node.mine()
    _send_every_type(node, emitter)
    node.mine()
    node.send(7, data=REVERTS)  # a creation that fails
    node.send(8, to=reverter, value=1)
    node.send(9, to=emitter, gas=LOW_GAS + 100)  # runs out of gas
    node.send(1, to=emitter)
    node.mine()
    return node.mine(4)


def _send_every_type(node: Anvil, emitter: str) -> None:
    accesses = [
        {"address": emitter, "storageKeys": ["0x" + "00" * 31 + "01", "0x" + "ff" * 32]},
        {"address": node.accounts[5], "storageKeys": []},
    ]
    # Nobody signed it, so that it delegates nothing; the transaction is valid all the same (EIP-7702).
    authorization = {
        "chainId": hex(CHAIN_ID),
        "address": emitter,
        "nonce": "0x7",
        "yParity": "0x1",
        "r": "0x1234",
        "s": "0x56",
    }
    node.send(1, to=emitter, data="0x01", type="0x0", gasPrice=4 * GWEI)
    node.send(2, to=emitter, data="0x0202", type="0x1", gasPrice=3 * GWEI, accessList=accesses)
    fees = {"maxFeePerGas": 5 * GWEI, "maxPriorityFeePerGas": GWEI}
    node.send(3, to=emitter, data="0x030303", type="0x2", accessList=accesses[:1], **fees)
    node.send(4, to=emitter, type="0x4", authorizationList=[authorization], **fees)


def _binary() -> Path:
    system, machine = platform.system().lower(), platform.machine().lower()
    package = f"anvil-{system}-{_ARCHITECTURES.get(machine, machine)}"
    binary = _PACKAGES / package / "bin" / "anvil"
    assert os.access(binary, os.X_OK), f"the EVM node of the tests is missing at {binary}: `make test` installs it"
    return binary
