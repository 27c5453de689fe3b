"""The command ``ampd replay-node``: what it says, what it refuses, how it ends."""

from __future__ import annotations

import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.chain import FIRST_BLOCK, MAINNET_BLOCKS
from support.daemons import Process, ampd
from support.forked import run_daemon


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start the command with options; it ends with the test."""
    started: list[Process] = []

    def start(*options: str) -> Process:
        log = tmp_path / f"node-{len(started)}.log"
        process = ampd("replay-node", "--blocks", str(MAINNET_BLOCKS), *options, log=log)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


def url_of(process: Process) -> str:
    line = process.wait_for_text("listening on")
    return next(word for word in line.split() if word.startswith("http://"))


def ask(url: str, method: str, *parameters: Any) -> Any:
    request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(parameters)}
    answer = httpx.post(url, json=request).json()
    assert answer["id"] == 7
    return answer["result"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_says_one_line_serves_the_recorded_blocks_and_ends_well(
    start: Callable[..., Process], stop: signal.Signals
) -> None:
    process = start("--port", "0")
    url = url_of(process)
    assert ask(url, "eth_chainId") == "0x1"
    assert ask(url, "eth_blockNumber") == hex(FIRST_BLOCK + 22)
    assert len(ask(url, "eth_getBlockReceipts", hex(FIRST_BLOCK))) > 0
    process.signal(stop)
    assert process.wait() == 0
    assert process.text() == f"replay node listening on {url} (chain id 1, blocks 17686110 to 17686132)\n"


def test_length_chain_id_and_port_are_as_given(start: Callable[..., Process], free_port: int) -> None:
    process = start("--port", str(free_port), "--length", "200", "--chain-id", "4242")
    assert url_of(process) == f"http://127.0.0.1:{free_port}"
    assert re.search(r"chain id 4242, blocks 17686110 to 17686309\)", process.text())
    assert ask(url_of(process), "eth_chainId") == hex(4242)
    assert ask(url_of(process), "eth_getBlockByNumber", "latest", False)["number"] == hex(17_686_309)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def refused(*options: str) -> str:
    """Run the command, check that it fails with one line, and return that line."""
    done = run_daemon("replay-node", *options)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_a_taken_port_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        line = refused("--blocks", str(MAINNET_BLOCKS), "--port", str(port))
    assert f"127.0.0.1:{port}" in line
    assert "another port" in line


def test_a_directory_that_is_missing_or_holds_no_blocks_is_named(tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing", tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no block")
    assert f"{missing} does not exist" in refused("--blocks", str(missing), "--port", "0")
    assert f"{empty} holds no recorded block" in refused("--blocks", str(empty), "--port", "0")


def test_a_broken_file_and_a_hole_in_the_chain_are_named(tmp_path: Path) -> None:
    broken, hole = tmp_path / "broken", tmp_path / "hole"
    broken.mkdir()
    (broken / "17686110.json.gz").write_bytes(b"\x1f\x8bnot gzip")
    hole.mkdir()
    for number in (FIRST_BLOCK, FIRST_BLOCK + 2):
        shutil.copy(MAINNET_BLOCKS / f"{number}.json.gz", hole)
    assert "17686110.json.gz cannot be read" in refused("--blocks", str(broken), "--port", "0")
    line = refused("--blocks", str(hole), "--port", "0")
    assert str(FIRST_BLOCK) in line or str(FIRST_BLOCK + 1) in line


def test_wrong_use_exits_2_and_tells_where_to_read_more() -> None:
    for options in ((), ("--blocks", str(MAINNET_BLOCKS), "--port", "many")):
        done = run_daemon("replay-node", *options)
        assert done.returncode == 2, done.stderr
        assert "ampd replay-node --help" in done.stderr
        assert "Traceback" not in done.stderr
