"""The node of ``benchmarks/extraction.py``: the replay node's answers, served with as little work as Python allows.

    python extraction_node.py LENGTH [LATENCY_MS]

It must not be what is measured: the replay node itself needs 2 to 3 ms of a core for a block when cryo asks, most of it
for HTTP and for ``eth_getLogs``, which it filters log by log. Here a connection is a thread that joins prepared pieces
and sends them: 0.4 ms a block for ours, 0.9 ms for cryo, which asks for more. The answers are the same, byte for
byte.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

from ampd.demo.run import recorded_blocks
from ampd.replay_node import RecordedBlock, build_chain, read_recorded_blocks
from ampd.replay_node.chain import ReplayChain
from ampd.replay_node.errors import JsonRpcError
from ampd.replay_node.methods import ChainMethods
from ampd.replay_node.template import Template, with_gaps

_HEADERS_END = b"\r\n\r\n"
_RECEIVE_BYTES = 64 * 1024
_BACKLOG = 1024
_ONE_BLOCK = frozenset({"fromBlock", "toBlock"})


class PreparedMethods(ChainMethods):
    """The replay node's methods, with templates kept for what the peers ask: logs of a block, receipts one by one."""

    def __init__(self, chain: ReplayChain, recorded: list[RecordedBlock]) -> None:
        super().__init__(chain)
        self._logs_of = [
            Template(with_gaps([log for receipt in each.receipts for log in receipt["logs"]], each.identity))
            for each in recorded
        ]
        self._receipt_template = cache(chain.receipt)

    def answer(self, method: str, params: list[Any]) -> list[bytes]:
        if method == "eth_getLogs":
            return self._one_blocks_logs(params[0]) or super().answer(method, params)
        if method == "eth_getTransactionReceipt":
            found = self._receipt_template(params[0])
            return [b"null"] if found is None else found[1].parts(self.chain.identity(found[0]))
        return super().answer(method, params)

    def _one_blocks_logs(self, asked: dict[str, Any]) -> list[bytes] | None:
        """Return all logs of a block, None when something else is asked for."""
        given = {key for key, value in asked.items() if value not in (None, [])}
        if given != _ONE_BLOCK or asked["fromBlock"] != asked["toBlock"] or not asked["fromBlock"].startswith("0x"):
            return None
        number = int(asked["fromBlock"], 16)
        if number not in self.chain:
            return None
        template = self._logs_of[(number - self.chain.first_block) % len(self._logs_of)]
        return template.parts(self.chain.identity(number))


def serve(methods: ChainMethods, listener: socket.socket, latency_seconds: float) -> None:
    """Answer every connection on a thread of its own, for ever, each request ``latency_seconds`` late."""
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_converse, args=(methods, connection, latency_seconds), daemon=True).start()


def _converse(methods: ChainMethods, connection: socket.socket, latency_seconds: float) -> None:
    received = b""
    with connection:
        try:
            while True:
                while (end := received.find(_HEADERS_END)) < 0:
                    received += _receive(connection)
                start = end + len(_HEADERS_END)
                length = _content_length(received[:end])
                while len(received) < start + length:
                    received += _receive(connection)
                body, received = received[start : start + length], received[start + length :]
                time.sleep(latency_seconds)
                connection.sendall(_response(methods, json.loads(body)))
        except ConnectionError:
            return  # the client has what it wanted


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(_RECEIVE_BYTES)
    if not received:
        raise ConnectionAbortedError
    return received


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise ConnectionAbortedError("a request without Content-Length")


def _response(methods: ChainMethods, message: Any) -> bytes:
    parts: list[bytes] = []
    if isinstance(message, list):
        for position, call in enumerate(message):
            parts.append(b"," if position else b"[")
            parts.extend(_answer(methods, call))
        parts.append(b"]")
    else:
        parts.extend(_answer(methods, message))
    length = sum(map(len, parts))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length
    return b"".join([head, *parts])


def _answer(methods: ChainMethods, call: dict[str, Any]) -> list[bytes]:
    call_id = json.dumps(call["id"]).encode()
    try:
        result = methods.answer(call["method"], call.get("params") or [])
    except JsonRpcError as error:
        return [b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (call_id, json.dumps(error.to_json()).encode())]
    return [b'{"jsonrpc":"2.0","id":%b,"result":' % call_id, *result, b"}"]


def main() -> None:
    recorded = read_recorded_blocks(Path(recorded_blocks()))
    chain = build_chain(recorded, length=int(sys.argv[1]))
    latency_seconds = float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        print(f"node listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        serve(PreparedMethods(chain, recorded), listener, latency_seconds)


if __name__ == "__main__":
    main()
