"""The errors of JSON-RPC answers: the codes of JSON-RPC 2.0 and those that Ethereum nodes add."""

from __future__ import annotations

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
SERVER_ERROR = -32000  # what nodes answer for an unknown block in eth_getLogs
LIMIT_EXCEEDED = -32005  # EIP-1474
PRUNED_HISTORY = 4444  # Ethereum execution API: history below the node's first block


class JsonRpcError(Exception):
    """An error answer: ``code``, ``message`` and, when there is any, ``data``."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def to_json(self) -> dict[str, Any]:
        """Return the ``error`` object of the answer."""
        error = {"code": self.code, "message": self.message}
        return error if self.data is None else {**error, "data": self.data}
