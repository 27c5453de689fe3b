"""What happens to every request: an id, a limit for its body, no writes from foreign web pages, no leaking failure."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ampd.admin_api.errors import INTERNAL_STATUS, STATUS_OF, error_response
from ampd.admin_api.gate.origins import is_own_origin
from ampd.errors import AmpError, ErrorCode

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
DEFAULT_REQUEST_SECONDS: Final = 30.0
REQUEST_ID_HEADER: Final = "X-Request-Id"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TOO_LARGE: Final = f"the body is larger than {MAX_BODY_BYTES} bytes, the most that the Admin API takes"


class RequestGuard:
    """ASGI middleware around the whole application.

    ``origins`` are the web pages that may change something; ``body_seconds`` is how long a body may take to arrive.
    """

    def __init__(
        self, app: ASGIApp, *, origins: tuple[str, ...] = (), body_seconds: float = DEFAULT_REQUEST_SECONDS
    ) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, self._body_seconds)
        refusal = _refusal(scope["method"], Headers(scope=scope), self._origins)
        if refusal is not None:
            response = error_response(refusal.code, refusal.message, STATUS_OF[refusal.code])
            await response(scope, receive, exchange.send)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            # Nobody is there for an answer, and nothing is wrong with us.
            log.info("admin_api.client_gone", request_id=exchange.request_id, path=scope["path"])
        except Exception:
            log.exception("request failed", request_id=exchange.request_id, method=scope["method"], path=scope["path"])
            if exchange.started:
                raise
            message = f"an unexpected error; the log of the Admin API has it under request id {exchange.request_id}"
            response = error_response(ErrorCode.INTERNAL_ERROR, message, INTERNAL_STATUS)
            await response(scope, receive, exchange.send)


class _Exchange:
    """One request and its answer: counts what comes in, marks what goes out."""

    def __init__(self, receive: Receive, send: Send, body_seconds: float) -> None:
        self.request_id = uuid4().hex
        self.started = False
        self._receive = receive
        self._send = send
        self._received_bytes = 0
        self._body_seconds = body_seconds
        self._body_ends_at = asyncio.get_running_loop().time() + body_seconds
        self._body_is_here = False

    async def receive(self) -> Message:
        message = await self._receive_in_time()
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > MAX_BODY_BYTES:
            raise HTTPException(STATUS_OF[ErrorCode.REQUEST_TOO_LARGE], _TOO_LARGE)
        return message

    async def _receive_in_time(self) -> Message:
        """Wait for more of the body no longer than all of it may take; what comes behind it only tells of the end."""
        if self._body_is_here:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._body_ends_at):
                message = await self._receive()
        except TimeoutError:
            what = f"the body did not arrive within {self._body_seconds:g} s; send it again, faster"
            raise HTTPException(STATUS_OF[ErrorCode.REQUEST_TIMEOUT], what, {"Connection": "close"}) from None
        self._body_is_here = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self.request_id
            # No browser takes an answer for a script or a page because of what stands in it.
            headers["X-Content-Type-Options"] = "nosniff"
        await self._send(message)


def _refusal(method: str, headers: Headers, origins: frozenset[str]) -> AmpError | None:
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        return AmpError(ErrorCode.REQUEST_TOO_LARGE, _TOO_LARGE)
    is_ours = headers.get("origin") in origins or is_own_origin(headers)
    if method not in _SAFE_METHODS and not is_ours:
        # A page of another site, open in an operator's browser, could otherwise stop jobs on localhost.
        return AmpError(
            ErrorCode.CROSS_ORIGIN_REFUSED,
            "requests that change something are not taken from web pages of another origin; "
            "use ampctl, or a client that sends no Origin header; admin_api.cors_origins names pages that may",
        )
    return None
