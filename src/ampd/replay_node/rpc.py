"""JSON-RPC 2.0 over one HTTP body: single calls, batches, notifications, errors (https://www.jsonrpc.org/specification)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from ampd.replay_node.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, JsonRpcError
from ampd.replay_node.faults import (
    BatchFaultChooser,
    ChangeResult,
    Delay,
    DropConnection,
    ErrorAnswer,
    Fault,
    FaultChooser,
    HttpAnswer,
    ReplaceResult,
    RpcCall,
)
from ampd.replay_node.methods import ChainMethods

MAX_BATCH_CALLS = 1000  # as geth has it


@dataclass
class RpcResponse:
    """The answer to one HTTP request: JSON pieces to be joined (none: nothing to say), perhaps an HTTP fault."""

    parts: list[bytes] = field(default_factory=list)
    fault: HttpAnswer | DropConnection | None = None


class RpcEndpoint:
    """Reads request bodies, answers the calls from ``methods``, lets ``choose_fault`` meddle with valid ones."""

    def __init__(
        self,
        methods: ChainMethods,
        choose_fault: FaultChooser | None = None,
        choose_batch_fault: BatchFaultChooser | None = None,
    ) -> None:
        self._methods = methods
        self._choose_fault = choose_fault
        self._choose_batch_fault = choose_batch_fault
        self._calls_seen = 0
        self._batches_seen = 0

    async def respond(self, body: bytes) -> RpcResponse:
        """Answer an HTTP body: one call or a batch, whose answers come in the order of its calls."""
        response = RpcResponse()
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            _write_error(response, None, JsonRpcError(PARSE_ERROR, "parse error: the body is not JSON"))
            return response
        if isinstance(message, list):
            await self._answer_batch(response, message)
        else:
            await self._answer(response, message)
        return response

    async def _answer_batch(self, response: RpcResponse, batch: list[Any]) -> None:
        if not batch or len(batch) > MAX_BATCH_CALLS:
            problem = "batch too large" if batch else "empty batch"
            _write_error(response, None, JsonRpcError(INVALID_REQUEST, problem))
            return
        for message in batch:
            end = len(response.parts)
            await self._answer(response, message)
            if len(response.parts) > end:
                response.parts.insert(end, b"," if end else b"[")
        if response.parts:
            response.parts.append(b"]")
            self._change_batch(response)

    def _change_batch(self, response: RpcResponse) -> None:
        if self._choose_batch_fault is None or response.fault is not None:
            return
        answers = json.loads(b"".join(response.parts))
        fault = self._choose_batch_fault(self._batches_seen, answers)
        self._batches_seen += 1
        if fault is not None:
            response.parts = [json.dumps(fault.change(answers), separators=(",", ":")).encode()]

    async def _answer(self, response: RpcResponse, message: Any) -> None:
        try:
            method, params = _parse_call(message)
        except JsonRpcError as error:
            _write_error(response, _id_of(message), error)
            return
        if "id" not in message:
            return  # a notification; all methods only read, so that there is nothing to do
        call_id = message["id"]
        try:
            if not isinstance(params, list):
                raise JsonRpcError(INVALID_PARAMS, "non-array args")
            fault = await self._fault_of(method, params)
            if isinstance(fault, HttpAnswer | DropConnection):
                response.fault = fault
            result = self._result(method, params, fault)
        except JsonRpcError as error:
            _write_error(response, call_id, error)
            return
        response.parts.append(b'{"jsonrpc":"2.0","id":' + json.dumps(call_id).encode() + b',"result":')
        response.parts.extend(result)
        response.parts.append(b"}")

    async def _fault_of(self, method: str, params: list[Any]) -> Fault | None:
        if self._choose_fault is None:
            return None
        fault = self._choose_fault(RpcCall(method, params, self._calls_seen))
        self._calls_seen += 1
        while isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
            fault = fault.then
        return fault

    def _result(self, method: str, params: list[Any], fault: Fault | None) -> list[bytes]:
        match fault:
            case ErrorAnswer():
                raise JsonRpcError(fault.code, fault.message, fault.data)
            case ReplaceResult():
                return [json.dumps(fault.result).encode()]
            case ChangeResult():
                result = json.loads(b"".join(self._methods.answer(method, params)))
                return [json.dumps(fault.change(result)).encode()]
            case _:
                return self._methods.answer(method, params)


def _parse_call(message: Any) -> tuple[str, Any]:
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise JsonRpcError(INVALID_REQUEST, 'invalid request: not an object with "jsonrpc": "2.0"')
    method = message.get("method")
    if not isinstance(method, str):
        raise JsonRpcError(INVALID_REQUEST, "invalid request: no method")
    if not _is_id(message.get("id")):
        raise JsonRpcError(INVALID_REQUEST, "invalid request: the id is not a string, a number or null")
    return method, message.get("params", [])


def _id_of(message: Any) -> Any:
    """Return the id that an invalid request is answered with: its own when it can be told, else null."""
    call_id = message.get("id") if isinstance(message, dict) else None
    return call_id if _is_id(call_id) else None


def _is_id(value: Any) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def _write_error(response: RpcResponse, call_id: Any, error: JsonRpcError) -> None:
    answer = {"jsonrpc": "2.0", "id": call_id, "error": error.to_json()}
    response.parts.append(json.dumps(answer, separators=(",", ":")).encode())
