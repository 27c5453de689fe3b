"""The cookie of a session: no script reads it, and no page of another site sends it."""

from __future__ import annotations

from typing import Final, Literal, TypedDict

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

SESSION_COOKIE: Final = "ampd_session"


class _Attributes(TypedDict):
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["strict"]


def secret_in(headers: Headers) -> str | None:
    """Return what the cookie of a request holds; None when it has none."""
    return cookie_parser(headers.get("cookie", "")).get(SESSION_COOKIE) or None


def set_cookie(response: Response, secret: str, scheme: str) -> None:
    """Let the browser keep a session until it is closed. How long the session lasts is known by the database."""
    response.set_cookie(SESSION_COOKIE, secret, **_attributes(scheme))


def clear_cookie(response: Response, scheme: str) -> None:
    """Let the browser forget its session."""
    response.delete_cookie(SESSION_COOKIE, **_attributes(scheme))


def _attributes(scheme: str) -> _Attributes:
    return {"path": "/", "secure": scheme == "https", "httponly": True, "samesite": "strict"}
