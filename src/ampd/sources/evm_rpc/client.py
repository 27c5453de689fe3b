"""Requests to one Ethereum JSON-RPC endpoint over HTTP.

A call gives the body of the answer as bytes: large answers are decoded elsewhere, by Arrow. What a node can do wrong
becomes an
:class:`ampd.errors.AmpError`; passing faults (connection, time-out, 5xx, 429) are tried again here first, a few times.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import structlog

from ampd.errors import AmpError, ErrorCode, describe_exception

_log = structlog.get_logger(__name__)

TRIES: Final = 5
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 30.0
# A null, an error or a page of HTML instead of a block is small: only answers up to this size are looked into here.
_SMALL_ANSWER_BYTES: Final = 4096
# Answers are large: with the library's buffer of 64 KiB reading pauses and resumes all the time.
_READ_BUFFER_BYTES: Final = 1024 * 1024
_HTTP_REFUSED: Final = frozenset({401, 403})
_HTTP_PASSING: Final = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_HTTP_TOO_MANY_REQUESTS: Final = 429
_METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
_RATE_LIMIT_CODES: Final = frozenset({429, -32005, -32029})


@dataclass(frozen=True)
class Endpoint:
    """An endpoint and how to use it; ``url`` and ``headers`` may hold secrets, ``shown_url`` never does."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    concurrency: int = 16
    timeout_seconds: float = 30.0

    @property
    def shown_url(self) -> str:
        """The URL without account, path and parameters: providers put keys into all of them."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}"


class NodeError(AmpError):
    """A JSON-RPC error object; ``rpc_code`` is its code."""

    def __init__(self, code: ErrorCode, message: str, *, recoverable: bool, rpc_code: int | None) -> None:
        super().__init__(code, message, recoverable=recoverable)
        self.rpc_code = rpc_code


class _PassingError(Exception):
    """A fault that may be over at the next try; ``pause_seconds`` is what the node asked for, if it did."""

    def __init__(self, error: AmpError, pause_seconds: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.pause_seconds = pause_seconds


class RpcClient:
    """Calls methods of one endpoint, at most ``endpoint.concurrency`` at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=endpoint.concurrency),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=endpoint.timeout_seconds),
            headers={"Content-Type": "application/json", **endpoint.headers},
            read_bufsize=_READ_BUFFER_BYTES,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def call(self, method: str, parameters: list[Any]) -> Any:
        """Return the result of a small call.

        :raises AmpError: the codes ``NODE_*``.
        """
        return json.loads(await self.call_raw(method, parameters, request_id=1))["result"]

    async def call_raw(self, method: str, parameters: list[Any], *, request_id: int) -> bytes:
        """Return the body of the answer; it is a JSON object with a ``result`` (perhaps null) as far as a look at its
        size tells.

        :raises AmpError: the codes ``NODE_*``.
        """
        request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": parameters}
        payload = json.dumps(request, separators=(",", ":")).encode()
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, TRIES + 1):
            try:
                async with self._slots:
                    return await self._post(method, payload)
            except _PassingError as passing:
                if attempt == TRIES:
                    raise passing.error from None
                wait = min(passing.pause_seconds or pause, _LONGEST_PAUSE_SECONDS)
                _log.info(
                    "node.retry", endpoint=self.endpoint.shown_url, method=method, error=str(passing), pause_s=wait
                )
            await asyncio.sleep(wait)
            pause *= 2
        raise AssertionError("unreachable")

    async def _post(self, method: str, payload: bytes) -> bytes:
        try:
            async with self._session.post(self.endpoint.url, data=payload) as response:
                body = await response.read()
                status, retry_after = response.status, response.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _PassingError(self._unreachable(error)) from None
        if status != 200:
            self._raise_for_status(status, retry_after, method, body)
        if len(body) <= _SMALL_ANSWER_BYTES or body.lstrip()[:1] != b"{":
            self._look_into(body, method)
        return body

    def _unreachable(self, error: BaseException) -> AmpError:
        if isinstance(error, TimeoutError):
            what = "it did not answer in time"
        elif isinstance(error, aiohttp.ClientPayloadError):
            what = "it broke off its answer"
        else:
            what = " ".join(describe_exception(error).split()).rstrip(".")
        return AmpError(
            ErrorCode.NODE_UNREACHABLE,
            f"cannot reach the node at {self.endpoint.shown_url}: {what}. "
            "Check the provider's url and that the node is up",
            recoverable=True,
        )

    def _raise_for_status(self, status: int, retry_after: str | None, method: str, body: bytes) -> None:
        where = f"the node at {self.endpoint.shown_url} answered HTTP {status} to {method}"
        if status in _HTTP_REFUSED:
            raise AmpError(
                ErrorCode.NODE_REFUSED_ACCESS, f"{where}: check the provider's auth_token and url, then deploy again"
            )
        if status == _HTTP_TOO_MANY_REQUESTS:
            seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
            limited = AmpError(ErrorCode.NODE_RATE_LIMITED, f"{where}: too many requests", recoverable=True)
            raise _PassingError(limited, seconds)
        text = body[:200].decode("utf-8", "replace").strip()
        error = AmpError(
            ErrorCode.NODE_ANSWERED_ERROR, f"{where}: {text!r}. Check the provider's url", recoverable=True
        )
        if status in _HTTP_PASSING:
            raise _PassingError(error)
        raise error

    def _look_into(self, body: bytes, method: str) -> None:
        """Find error objects and answers that are no JSON-RPC at all."""
        try:
            answer = json.loads(body)
        except ValueError:
            text = body[:80].decode("utf-8", "replace").strip()
            raise AmpError(
                ErrorCode.NODE_ANSWER_NOT_JSON,
                f"{self.endpoint.shown_url} did not answer {method} with JSON but with {text!r}: "
                "is the provider's url that of a JSON-RPC endpoint?",
                recoverable=True,
            ) from None
        if isinstance(answer, dict) and answer.get("error") is not None:
            self._raise_rpc_error(answer["error"], method)
        if not isinstance(answer, dict) or "result" not in answer:
            raise AmpError(
                ErrorCode.NODE_ANSWER_MALFORMED,
                f"{self.endpoint.shown_url} answered {method} with JSON that has neither result nor error",
                recoverable=True,
            )

    def _raise_rpc_error(self, error: Any, method: str) -> None:
        code = error.get("code") if isinstance(error, dict) else None
        text = str(error.get("message", error) if isinstance(error, dict) else error)[:300]
        where = f"the node at {self.endpoint.shown_url} answered {method} with an error: {text} (code {code})"
        if code == _METHOD_NOT_FOUND:
            raise NodeError(
                ErrorCode.NODE_METHOD_UNSUPPORTED,
                f"{where}. Extraction needs this method: use another provider",
                recoverable=False,
                rpc_code=code,
            )
        if code in _RATE_LIMIT_CODES:
            raise _PassingError(AmpError(ErrorCode.NODE_RATE_LIMITED, where, recoverable=True))
        raise NodeError(ErrorCode.NODE_ANSWERED_ERROR, where, recoverable=True, rpc_code=code)
