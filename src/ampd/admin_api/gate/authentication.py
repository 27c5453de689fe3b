"""Who makes a request: looked up before anything of it is read but its headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, cast

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ampd.access import Access, SessionEndedError
from ampd.admin_api.errors import response_of
from ampd.admin_api.gate.entrance import SAFE_METHODS, Caller, Entrance
from ampd.admin_api.gate.session_cookie import clear_cookie
from ampd.admin_api.rules import access_under_rule
from ampd.admin_api.services import Services
from ampd.errors import AmpError, ErrorCode

log = structlog.get_logger(__name__)

_AGAIN: Final = "identify_again"


class Authentication:
    """ASGI middleware: finds out who asks, and notes what they do. ``public`` are the paths of routes that answer
    everybody.
    """

    def __init__(self, app: ASGIApp, *, entrance: Entrance, public: Iterable[str]) -> None:
        self._app = app
        self._entrance = entrance
        paths = set(public)
        self._plain = frozenset(path for path in paths if "{" not in path)
        self._others = [compile_path(path)[0] for path in paths if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or self._is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        store = cast(Services, scope["app"].state.services).access
        request = HTTPConnection(scope)
        try:
            caller = await self._entrance.admit(store, request)
        except AmpError as error:
            await _refusal(error, scope["scheme"])(scope, receive, send)
            return

        async def identify_again() -> Access:
            return (await self._entrance.identify(store, request)).access

        scope.setdefault("state", {}).update({"access": caller.access, _AGAIN: identify_again})
        await self._app(scope, receive, _watched(scope, caller, send))

    def _is_public(self, path: str) -> bool:
        return path in self._plain or any(pattern.match(path) for pattern in self._others)


async def is_still_open(request: Request) -> bool:
    """Tell whether the same is open to a request as at its begin: an answer that goes on for hours asks now and then.

    :raises AmpError: METADATA_DB_UNREACHABLE.
    """
    try:
        access = await cast(Callable[[], Awaitable[Access]], getattr(request.state, _AGAIN))()
    except AmpError as error:
        if error.code is ErrorCode.UNAUTHORIZED:
            return False
        raise
    return access == access_under_rule(request)


def _refusal(error: AmpError, scheme: str) -> Response:
    response = response_of(error)
    if isinstance(error, SessionEndedError):
        clear_cookie(response, scheme)
    return response


def _watched(scope: Scope, caller: Caller, send: Send) -> Send:
    """Return ``send`` that also tells the log who has changed something, and lets no browser keep what a session was
    told.
    """
    is_noted = caller.access.token_id is not None and scope["method"] not in SAFE_METHODS
    if caller.session is None and not is_noted:
        return send

    async def watching(message: Message) -> None:
        if message["type"] == "http.response.start":
            if caller.session is not None:
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            if is_noted:
                log.info(
                    "admin_api.request",
                    actor=caller.access.actor,
                    method=scope["method"],
                    path=scope["path"],
                    status=message["status"],
                )
        await send(message)

    return watching
