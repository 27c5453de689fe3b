"""Tokens, and what a request may do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from ampd.errors import AmpError, ErrorCode

NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
_NAME: Final = re.compile(NAME_PATTERN)
# As long as datasets may have them.
_NAMESPACE: Final = re.compile(r"[a-z0-9_]{1,255}")
MAX_NAMESPACES: Final = 100
# Before the name of a token in the history of a job: no token can be named so that it looks like a worker. (Not
# "token:": logs hide what comes after that.)
ACTOR_PREFIX: Final = "admin-api:"
MAX_SECONDS: Final = 100 * 366 * 86_400.0


class Role(StrEnum):
    """What a token may do: a viewer reads; an operator also runs jobs; an admin also changes datasets, providers,
    webhooks and tokens.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Tell whether this role may do all that ``other`` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class TokenStatus(StrEnum):
    """Whether a token opens anything."""

    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


@dataclass(frozen=True)
class Access:
    """Who makes a request, and what is open to it.

    ``namespaces`` None: everything. ``token_id`` None: nobody was asked for a token.
    """

    actor: str
    role: Role
    namespaces: tuple[str, ...] | None = None
    token_id: int | None = None


@dataclass(frozen=True)
class NewToken:
    """A token that is asked for. ``name`` None: one that follows from its prefix. ``namespaces`` None: it sees
    everything. ``expires_in_seconds`` None: never.

    :raises AmpError: INVALID_BODY.
    """

    role: Role
    name: str | None = None
    namespaces: tuple[str, ...] | None = None
    expires_in_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.name is not None and _NAME.fullmatch(self.name) is None:
            raise _invalid("name", "want a letter or digit, then letters, digits, '_', '.' and '-', 64 at most")
        if self.namespaces is not None:
            self._check_namespaces(self.namespaces)
        if self.expires_in_seconds is not None and not 0 < self.expires_in_seconds <= MAX_SECONDS:
            raise _invalid("expires_in_secs", "want more than 0 and less than a hundred years")

    def _check_namespaces(self, namespaces: tuple[str, ...]) -> None:
        if not 0 < len(namespaces) <= MAX_NAMESPACES:
            raise _invalid("namespaces", f"want 1 to {MAX_NAMESPACES}, or none of them to see everything")
        for namespace in namespaces:
            if _NAMESPACE.fullmatch(namespace) is None:
                raise _invalid("namespaces", f"{namespace[:80]!r} is no namespace: want a-z, 0-9 and '_'")

    @property
    def opens_everything(self) -> bool:
        """Whether such a token can make all others."""
        return self.role is Role.ADMIN and self.namespaces is None


@dataclass(frozen=True)
class Token:
    """A token without its secret. ``last_used_at`` is to the minute. ``created_by`` and ``revoked_by`` are actors."""

    id: int
    name: str
    role: Role
    namespaces: tuple[str, ...] | None
    prefix: str
    status: TokenStatus
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


def namespaces_of(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return what the token of a row sees; None: everything."""
    return None if row["namespaces"] is None else tuple(row["namespaces"])


def access_of(row: Mapping[str, Any]) -> Access:
    """Return what the token of a row opens."""
    return Access(ACTOR_PREFIX + row["name"], Role(row["role"]), namespaces_of(row), row["id"])


def _invalid(field: str, message: str) -> AmpError:
    return AmpError(ErrorCode.INVALID_BODY, f"{field}: {message}")
