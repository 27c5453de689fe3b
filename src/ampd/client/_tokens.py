"""Tokens in the client: what they are, the calls, the resource of each client."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import httpx

from ampd.client._transport import Call, Send, SendAsync, path

Json = dict[str, Any]
Role = Literal["viewer", "operator", "admin"]


@dataclass(frozen=True)
class Token:
    """Who gets in. ``namespaces`` None: it sees everything. ``status``: ACTIVE, EXPIRED or REVOKED. ``last_used_at`` is
    to the minute. ``token`` is there in the answer to the call that made it, and never again.
    """

    id: int
    name: str
    role: str
    namespaces: tuple[str, ...] | None
    prefix: str
    status: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    token: str | None = field(repr=False)
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Json) -> Token:
        """Read an entry of GET /tokens, or the answer of POST /tokens."""
        namespaces = data["namespaces"]
        return cls(
            **{name: data[name] for name in ("id", "name", "role", "prefix", "status", "created_by")},
            namespaces=None if namespaces is None else tuple(namespaces),
            created_at=datetime.fromisoformat(data["created_at"]),
            expires_at=_instant(data["expires_at"]),
            last_used_at=_instant(data["last_used_at"]),
            revoked_at=_instant(data["revoked_at"]),
            token=data.get("token"),
            raw=data,
        )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _token(response: httpx.Response) -> Token:
    return Token.from_json(response.json())


def _create(
    role: Role, name: str | None, namespaces: Sequence[str] | None, expires_in_secs: float | None
) -> Call[Token]:
    body = {
        "role": role,
        "name": name,
        "namespaces": None if namespaces is None else list(namespaces),
        "expires_in_secs": expires_in_secs,
    }
    return Call("POST", "/tokens", _token, body=body)


def _list() -> Call[builtins.list[Token]]:
    return Call("GET", "/tokens", lambda response: [Token.from_json(each) for each in response.json()["tokens"]])


def _revoke(token_id: int) -> Call[None]:
    return Call("DELETE", path("tokens", token_id), lambda _response: None)


class Tokens:
    """Tokens: who gets in."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def create(
        self,
        role: Role,
        *,
        name: str | None = None,
        namespaces: Sequence[str] | None = None,
        expires_in_secs: float | None = None,
    ) -> Token:
        """Make a token and return it with what it is: ``token``. It sees everything and never expires, unless said."""
        return self._send(_create(role, name, namespaces, expires_in_secs))

    def list(self) -> builtins.list[Token]:
        """Return all tokens, also those that open nothing any more."""
        return self._send(_list())

    def revoke(self, token_id: int) -> None:
        """End a token: from now on it opens nothing. One that is not there is a success too."""
        self._send(_revoke(token_id))


class AsyncTokens:
    """Tokens: who gets in."""

    def __init__(self, send: SendAsync) -> None:
        self._send = send

    async def create(
        self,
        role: Role,
        *,
        name: str | None = None,
        namespaces: Sequence[str] | None = None,
        expires_in_secs: float | None = None,
    ) -> Token:
        """Make a token and return it with what it is: ``token``. It sees everything and never expires, unless said."""
        return await self._send(_create(role, name, namespaces, expires_in_secs))

    async def list(self) -> builtins.list[Token]:
        """Return all tokens, also those that open nothing any more."""
        return await self._send(_list())

    async def revoke(self, token_id: int) -> None:
        """End a token: from now on it opens nothing. One that is not there is a success too."""
        await self._send(_revoke(token_id))
