"""Who makes a request: looked up before anything of it is read but its headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, cast

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ampd.access import Access, AccessStore, Role
from ampd.admin_api.errors import response_of
from ampd.admin_api.rules import access_under_rule
from ampd.admin_api.services import ACTOR, Services
from ampd.errors import AmpError, ErrorCode

log = structlog.get_logger(__name__)

# Nobody was asked for a token: this machine, or a network that guards itself (--insecure).
_ANYBODY: Final = Access(ACTOR, Role.ADMIN)
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SCHEME: Final = "bearer "
_AGAIN: Final = "identify_again"
# So much may come at once: what the rate allows in so many seconds.
_BURST_SECONDS: Final = 10.0


class RequestPace:
    """How many requests each token may make: a bucket that fills steadily. Each controller counts for itself.

    ``per_minute`` 0: as many as it likes.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = monotonic) -> None:
        self._per_second = per_minute / 60
        self._most = max(1.0, self._per_second * _BURST_SECONDS)
        self._clock = clock
        self._left: dict[int, tuple[float, float]] = {}

    def take(self, token_id: int) -> None:
        """Count a request.

        :raises AmpError: RATE_LIMITED.
        """
        if not self._per_second:
            return
        now = self._clock()
        left, at = self._left.get(token_id, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_second)
        self._left[token_id] = (max(0.0, left - 1), now) if left >= 1 else (left, now)
        if left < 1:
            raise AmpError(
                ErrorCode.RATE_LIMITED,
                f"this token makes more than {self._per_second * 60:g} requests a minute; go on after the seconds that "
                "the header Retry-After tells, or raise admin_api.requests_per_minute",
                retry_after_seconds=(1 - left) / self._per_second,
            )


class Authentication:
    """ASGI middleware: finds out who asks, and counts and notes what they do.

    ``requires_token``: also while there are no tokens yet. ``public`` are the paths that need none.
    """

    def __init__(self, app: ASGIApp, *, requires_token: bool, pace: RequestPace, public: frozenset[str]) -> None:
        self._app = app
        self._requires_token = requires_token
        self._pace = pace
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in self._public:
            await self._app(scope, receive, send)
            return
        store = cast(Services, scope["app"].state.services).access
        try:
            access = await self._identify(store, Headers(scope=scope))
            if access.token_id is not None:
                self._pace.take(access.token_id)
        except AmpError as error:
            await response_of(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["access"] = access
        scope["state"][_AGAIN] = lambda: self._identify(store, Headers(scope=scope))
        is_noted = access.token_id is not None and scope["method"] not in _READING
        await self._app(scope, receive, _noted(scope, access, send) if is_noted else send)

    async def _identify(self, store: AccessStore, headers: Headers) -> Access:
        header = headers.get("authorization", "")
        if header[: len(_SCHEME)].lower() == _SCHEME:
            token = header[len(_SCHEME) :].strip()
            try:
                return await store.identify(token)
            except AmpError as error:
                # While there are no tokens a client that sends one all the same is served like any other.
                if error.code is ErrorCode.UNAUTHORIZED and not self._requires_token and not await store.has_tokens():
                    return _ANYBODY
                raise
        if self._requires_token or await store.has_tokens():
            raise AmpError(
                ErrorCode.UNAUTHORIZED,
                "the Admin API wants a token: give one with --auth-token or AMP_AUTH_TOKEN (the header 'Authorization: "
                "Bearer TOKEN'); 'ampd token create' on the controller's machine makes one",
            )
        return _ANYBODY


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


def _noted(scope: Scope, access: Access, send: Send) -> Send:
    """Return ``send`` that also tells the log who has changed something."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            log.info(
                "admin_api.request",
                actor=access.actor,
                method=scope["method"],
                path=scope["path"],
                status=message["status"],
            )
        await send(message)

    return noting
