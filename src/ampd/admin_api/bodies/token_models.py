"""Tokens on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from ampd.access import NewToken, Role, Token, TokenStatus
from ampd.access.models import MAX_NAMESPACES, MAX_SECONDS, NAME_PATTERN
from ampd.admin_api.bodies.shapes import NAMESPACE, shaped
from ampd.admin_api.bodies.strict import Strict
from ampd.admin_api.bodies.timestamps import rfc3339

_NAME: Final = {"pattern": f"^{NAME_PATTERN}$"}
_SOME: Final = {"minItems": 1, "maxItems": MAX_NAMESPACES}
_LIFE: Final = {"exclusiveMinimum": 0, "maximum": MAX_SECONDS}


class CreateTokenRequest(Strict):
    """Body of POST /tokens."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"role": "operator", "name": "ci", "namespaces": ["ethereum"], "expires_in_secs": 2592000}]
        }
    )

    role: Role = Field(
        description="viewer reads; operator also runs jobs; admin also changes datasets, providers, webhooks and tokens"
    )
    name: Annotated[StrictStr, shaped(_NAME)] | None = Field(
        default=None, description="stands in the history of jobs; one is made up unless given"
    )
    namespaces: Annotated[list[Annotated[StrictStr, shaped(NAMESPACE)]], shaped(_SOME)] | None = Field(
        default=None, description="the namespaces of datasets that it sees; nothing else is there for it. null: all"
    )
    expires_in_secs: Annotated[StrictFloat | StrictInt, shaped(_LIFE)] | None = Field(
        default=None, description="for how many seconds from now it opens anything; null: until it is revoked"
    )

    def parse(self) -> NewToken:
        """Return what is asked for.

        :raises AmpError: INVALID_BODY.
        """
        namespaces = None if self.namespaces is None else tuple(self.namespaces)
        seconds = None if self.expires_in_secs is None else float(self.expires_in_secs)
        return NewToken(self.role, self.name, namespaces, seconds)


class TokenBody(BaseModel):
    """A token without its secret. ``prefix`` is how it starts. ``last_used_at`` is to the minute. ``created_by`` and
    ``revoked_by`` are as in the history of jobs.
    """

    id: int
    name: str
    role: Role
    namespaces: list[str] | None
    prefix: str
    status: TokenStatus
    created_by: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    revoked_by: str | None


class TokenWithSecretBody(TokenBody):
    """A new token. ``token`` is shown here and never again."""

    token: str


class TokenListBody(BaseModel):
    """All tokens, the oldest first."""

    tokens: list[TokenBody]


def token_fields(token: Token) -> dict[str, Any]:
    """Return the fields that a token has on the wire."""
    moments = {
        name: None if (moment := getattr(token, name)) is None else rfc3339(moment)
        for name in ("created_at", "expires_at", "last_used_at", "revoked_at")
    }
    namespaces = None if token.namespaces is None else list(token.namespaces)
    return {**vars(token), "namespaces": namespaces, **moments}
