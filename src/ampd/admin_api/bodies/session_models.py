"""Sessions on the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictStr, StringConstraints

from ampd.access import Role
from ampd.admin_api.bodies.strict import Strict
from ampd.admin_api.bodies.timestamps import rfc3339
from ampd.admin_api.gate.entrance import Caller


class SignInRequest(Strict):
    """Body of POST /session."""

    token: Annotated[StrictStr, StringConstraints(max_length=1000)] = Field(
        repr=False, description="the token to sign in with; it is neither kept nor told to anybody"
    )


class SessionBody(BaseModel):
    """Who the browser is signed in as. ``needs_token`` false: the API asks nobody for a token, so all are signed in.
    ``namespaces`` null: all. ``expires_at``: when the session ends unless something is asked before, or when its token
    does; null: there is none. ``csrf_token`` goes into the header X-CSRF-Token of what changes something.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "signed_in": True,
                    "needs_token": True,
                    "actor": "admin-api:ci",
                    "role": "operator",
                    "namespaces": ["ethereum"],
                    "expires_at": "2026-03-04T17:00:00Z",
                    "csrf_token": "jVJ7rrvHkrCVzIGSIkU2ZcUZr0NAsCQ3yb1m3wP0VQk",
                    "version": "0.1.0",
                }
            ]
        }
    )

    signed_in: bool
    needs_token: bool
    actor: str | None = None
    role: Role | None = None
    namespaces: list[str] | None = None
    expires_at: str | None = None
    csrf_token: str | None = None
    version: str


def session_body(caller: Caller | None, version: str) -> SessionBody:
    """Return what a browser is told; ``caller`` None: it has to sign in."""
    if caller is None:
        return SessionBody(signed_in=False, needs_token=True, version=version)
    access, session = caller.access, caller.session
    return SessionBody(
        signed_in=True,
        needs_token=access.token_id is not None,
        actor=access.actor,
        role=access.role,
        namespaces=None if access.namespaces is None else list(access.namespaces),
        expires_at=None if session is None else rfc3339(session.expires_at),
        csrf_token=None if session is None else session.csrf_token,
        version=version,
    )
