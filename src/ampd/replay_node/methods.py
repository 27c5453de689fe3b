"""The JSON-RPC methods of the node: what each takes and answers (Ethereum execution API)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ampd.replay_node.chain import ReplayChain
from ampd.replay_node.errors import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PRUNED_HISTORY,
    SERVER_ERROR,
    JsonRpcError,
)
from ampd.replay_node.logs import matching_logs, parse_log_filter

CLIENT_VERSION = "ampd-replay-node/1"
SAFE_DISTANCE = 32  # blocks behind the head: one epoch
FINALIZED_DISTANCE = 64  # blocks behind the head: two epochs

_NULL = [b"null"]
_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]*)")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


class ChainMethods:
    """Answers JSON-RPC methods from a chain of which only the blocks up to ``head`` exist so far.

    Answers are lists of JSON pieces to be joined.
    """

    def __init__(self, chain: ReplayChain) -> None:
        self.chain = chain
        self.head = chain.last_block
        self._methods: dict[str, Callable[[list[Any]], list[bytes]]] = {
            "eth_chainId": self._chain_id,
            "net_version": self._net_version,
            "web3_clientVersion": self._client_version,
            "eth_blockNumber": self._block_number,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getTransactionByHash": self._transaction_by_hash,
            "eth_getTransactionReceipt": self._transaction_receipt,
            "eth_getLogs": self._logs,
        }

    def answer(self, method: str, params: list[Any]) -> list[bytes]:
        """Return a method's result. Raises :class:`JsonRpcError` for an unknown method and bad parameters."""
        handler = self._methods.get(method)
        if handler is None:
            raise JsonRpcError(METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")
        return handler(params)

    def _chain_id(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 0)
        return _json(hex(self.chain.chain_id))

    def _net_version(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 0)
        return _json(str(self.chain.chain_id))

    def _client_version(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 0)
        return _json(CLIENT_VERSION)

    def _block_number(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 0)
        return _json(hex(self.head))

    def _block_by_number(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 2)
        number = self._number(params[0])
        return self._block(number, full=_boolean(params[1], 1))

    def _block_by_hash(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 2)
        number = self._number_of_hash(params[0])
        return self._block(number, full=_boolean(params[1], 1))

    def _block(self, number: int | None, *, full: bool) -> list[bytes]:
        if number is None or not self._exists(number):
            return _NULL
        return self.chain.block(number, full=full)

    def _block_receipts(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 1)
        number = self._number_or_hash(params[0])
        if number is None or not self._exists(number):
            return _NULL
        return self.chain.receipts(number)

    def _transaction_by_hash(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 1)
        found = self.chain.transaction(_hash(params[0]))
        if found is None or not self._exists(found[0]):
            return _NULL
        return found[1].parts(self.chain.identity(found[0]))

    def _transaction_receipt(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 1)
        found = self.chain.receipt(_hash(params[0]))
        if found is None or not self._exists(found[0]):
            return _NULL
        return found[1].parts(self.chain.identity(found[0]))

    def _logs(self, params: list[Any]) -> list[bytes]:
        _check_count(params, 1)
        filter_object = params[0]
        if not isinstance(filter_object, dict):
            raise JsonRpcError(INVALID_PARAMS, "invalid argument 0: the filter must be an object")
        log_filter = parse_log_filter(filter_object)
        first, last = self._log_range(filter_object)
        return matching_logs(self.chain, first, last, log_filter)

    def _log_range(self, filter_object: dict[str, Any]) -> tuple[int, int]:
        from_block, to_block = filter_object.get("fromBlock"), filter_object.get("toBlock")
        if filter_object.get("blockHash") is not None:
            if from_block is not None or to_block is not None:
                raise JsonRpcError(
                    INVALID_PARAMS,
                    "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
                )
            number = self._number_of_hash(filter_object["blockHash"])
            if number is None or not self._exists(number):
                raise JsonRpcError(SERVER_ERROR, "unknown block")
            return number, number
        first = self._number("latest" if from_block is None else from_block)
        last = self._number("latest" if to_block is None else to_block)
        if first > last:
            raise JsonRpcError(INVALID_PARAMS, "invalid block range params")
        if last > self.head:
            raise JsonRpcError(INVALID_PARAMS, "block range extends beyond current head block")
        if first < self.chain.first_block:
            raise JsonRpcError(PRUNED_HISTORY, "pruned history unavailable")
        return first, last

    def _exists(self, number: int) -> bool:
        return self.chain.first_block <= number <= self.head

    def _number(self, value: Any, argument: int = 0) -> int:
        """Read a block number or tag. ``pending`` is the head: no block is in the making here."""
        if not isinstance(value, str):
            raise JsonRpcError(INVALID_PARAMS, f"invalid argument {argument}: a block number is hex text or a tag")
        first = self.chain.first_block
        tags = {
            "latest": self.head,
            "pending": self.head,
            "safe": max(self.head - SAFE_DISTANCE, first),
            "finalized": max(self.head - FINALIZED_DISTANCE, first),
            "earliest": first,
        }
        if value in tags:
            return tags[value]
        if not _QUANTITY.fullmatch(value):
            raise JsonRpcError(
                INVALID_PARAMS,
                f"invalid argument {argument}: {value!r:.80} is not a block number "
                "(hex text with 0x, without leading zeros) or tag",
            )
        return int(value, 16)

    def _number_of_hash(self, value: Any) -> int | None:
        return self.chain.number_of_hash(_hash(value))

    def _number_or_hash(self, value: Any) -> int | None:
        """Read a number, a tag, a hash, or the object of EIP-1898."""
        if isinstance(value, dict):
            if ("blockHash" in value) == ("blockNumber" in value):
                raise JsonRpcError(INVALID_PARAMS, "invalid argument 0: give exactly one of blockHash and blockNumber")
            if "blockHash" in value:
                return self._number_of_hash(value["blockHash"])
            return self._number(value["blockNumber"])
        if isinstance(value, str) and _HASH.fullmatch(value):
            return self._number_of_hash(value)
        return self._number(value)


def _json(value: str) -> list[bytes]:
    return [json.dumps(value).encode()]


def _check_count(params: list[Any], count: int) -> None:
    if len(params) > count:
        raise JsonRpcError(INVALID_PARAMS, f"too many arguments, want at most {count}")
    if len(params) < count:
        raise JsonRpcError(INVALID_PARAMS, f"missing value for required argument {len(params)}")


def _boolean(value: Any, argument: int) -> bool:
    if not isinstance(value, bool):
        raise JsonRpcError(INVALID_PARAMS, f"invalid argument {argument}: {value!r:.80} is not a boolean")
    return value


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise JsonRpcError(INVALID_PARAMS, f"invalid argument 0: {value!r:.80} is not a hash of 32 bytes")
    return value.lower()
