"""Who makes a request, by its token or by the cookie of a session: the one place that knows both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from ampd.access import Access, AccessStore, Role, Session, is_csrf_token
from ampd.admin_api.gate.origins import is_foreign_name, is_same_origin
from ampd.admin_api.gate.pace import RequestPace, SignInPace
from ampd.admin_api.gate.session_cookie import secret_in
from ampd.admin_api.services import ACTOR
from ampd.errors import AmpError, ErrorCode

log = structlog.get_logger(__name__)

# Nobody was asked for a token: this machine, or a network that guards itself (--insecure).
_ANYBODY: Final = Access(ACTOR, Role.ADMIN)
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER: Final = "X-CSRF-Token"
_SCHEME: Final = "bearer "


@dataclass(frozen=True)
class Caller:
    """Who makes a request. ``session``: when they are known by a cookie."""

    access: Access
    session: Session | None = None


class Entrance:
    """Lets requests in. ``requires_token``: also while there are no tokens yet."""

    def __init__(self, *, requires_token: bool, pace: RequestPace, sign_ins: SignInPace) -> None:
        self._requires_token = requires_token
        self._pace = pace
        self._sign_ins = sign_ins

    async def admit(self, store: AccessStore, request: HTTPConnection) -> Caller:
        """Return who makes a request, after all that is to be looked at before it is read.

        :raises AmpError: UNAUTHORIZED, which is a SessionEndedError for a cookie; RATE_LIMITED; CSRF_TOKEN_INVALID;
            CROSS_ORIGIN_REFUSED.
        """
        caller = await self.identify(store, request)
        self._count(caller.access)
        # A browser sends its cookie along whoever has made the request; the header comes only from pages of ours.
        if caller.session is not None and request.scope["method"] not in SAFE_METHODS:
            _check_csrf(caller.session, request.headers.get(CSRF_HEADER))
        return caller

    async def identify(self, store: AccessStore, request: HTTPConnection) -> Caller:
        """Return who makes a request. A cookie beside a token does not count.

        :raises AmpError: UNAUTHORIZED, which is a SessionEndedError for a cookie; CROSS_ORIGIN_REFUSED.
        """
        token = token_in(request.headers)
        secret = secret_in(request.headers) if token is None else None
        try:
            if token is not None:
                return Caller(await store.identify(token))
            if secret is not None:
                session = await store.sessions.identify(secret)
                return Caller(session.access, session)
        except AmpError as error:
            # While there are no tokens, one that comes all the same, or the cookie of another ampd on this machine, is
            # served like any other.
            if error.code is ErrorCode.UNAUTHORIZED and await self.is_open(store):
                return _anybody(request)
            raise
        if await self.is_open(store):
            return _anybody(request)
        raise AmpError(
            ErrorCode.UNAUTHORIZED,
            "the Admin API wants a token: give one with --auth-token or AMP_AUTH_TOKEN (the header 'Authorization: "
            "Bearer TOKEN'); 'ampd token create' on the controller's machine makes one",
        )

    async def is_open(self, store: AccessStore) -> bool:
        """Tell whether anybody gets in without a token."""
        return not self._requires_token and not await store.has_tokens()

    async def sign_in(
        self, store: AccessStore, token: str, request: HTTPConnection, address: str
    ) -> tuple[Caller, str | None]:
        """Begin a session of a token; return who has signed in, and the secret of the session. None of these while
        nobody needs a token. The session that the request had before is over.

        :raises AmpError: CROSS_ORIGIN_REFUSED, RATE_LIMITED, UNAUTHORIZED.
        """
        if not is_same_origin(request.headers):
            # Or a page elsewhere could sign its reader in, as somebody else.
            raise AmpError(
                ErrorCode.CROSS_ORIGIN_REFUSED,
                "only the dashboard's own pages sign in; a client elsewhere sends its token as the header "
                "'Authorization: Bearer TOKEN'",
            )
        self._sign_ins.take(address)
        if await self.is_open(store):
            return _anybody(request), None
        access = await self._owner_of(store, token, address)
        before = secret_in(request.headers)
        if before is not None:
            await store.sessions.end(before)
        session, secret = await store.sessions.begin(access)
        log.info("admin_api.signed_in", actor=access.actor, address=address)
        return Caller(session.access, session), secret

    async def _owner_of(self, store: AccessStore, token: str, address: str) -> Access:
        try:
            access = await store.identify(token)
        except AmpError as error:
            if error.code is ErrorCode.UNAUTHORIZED:
                log.warning("admin_api.sign_in_refused", address=address, error=error.message)
            raise
        self._count(access)
        return access

    def _count(self, access: Access) -> None:
        if access.token_id is not None:
            self._pace.take(access.token_id)


def _anybody(request: HTTPConnection) -> Caller:
    """Return who makes a request while nobody needs a token.

    :raises AmpError: CROSS_ORIGIN_REFUSED for a page of somebody else.
    """
    host = request.headers.get("host", "")
    server: tuple[str, int | None] | None = request.scope.get("server")
    if server is not None and is_foreign_name(host, server[0]):
        raise AmpError(
            ErrorCode.CROSS_ORIGIN_REFUSED,
            f"{host!r} is not a name of this machine. While nobody needs a token, its own address takes requests under "
            "its own names only, such as 127.0.0.1 and localhost: use one of these, or make a token with 'ampctl token "
            "create'",
        )
    return Caller(_ANYBODY)


def token_in(headers: Headers) -> str | None:
    """Return the token of a request; None when it has none."""
    header = headers.get("authorization", "")
    return header[len(_SCHEME) :].strip() if header[: len(_SCHEME)].lower() == _SCHEME else None


def _check_csrf(session: Session, shown: str | None) -> None:
    if shown is None or not is_csrf_token(shown, session.csrf_token):
        what = "is not that of this session" if shown else "is missing"
        raise AmpError(
            ErrorCode.CSRF_TOKEN_INVALID,
            f"the header {CSRF_HEADER} {what}: a request that changes something by the cookie of a session needs the "
            "csrf_token that GET /session tells; load the page again, or send a token as 'Authorization: Bearer TOKEN'",
        )
