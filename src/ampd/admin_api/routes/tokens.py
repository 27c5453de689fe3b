"""Tokens: who gets in. Operations for those who see everything."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from ampd.admin_api.bodies.strict import MAX_INT64
from ampd.admin_api.bodies.token_models import (
    CreateTokenRequest,
    TokenBody,
    TokenListBody,
    TokenWithSecretBody,
    token_fields,
)
from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import WHOLE_ADMIN
from ampd.admin_api.services import ServicesParameter
from ampd.errors import ErrorCode

router = APIRouter(prefix="/tokens", tags=["tokens"])

TokenId = Annotated[int, Path(alias="id", ge=1, le=MAX_INT64, description="id of a token")]


@router.post(
    "",
    operation_id="create_token",
    dependencies=[WHOLE_ADMIN],
    status_code=201,
    responses=error_responses(
        ErrorCode.INVALID_BODY, ErrorCode.TOKEN_CONFLICT, ErrorCode.REQUEST_TOO_LARGE, ErrorCode.METADATA_DB_UNREACHABLE
    ),
)
async def create_token(body: CreateTokenRequest, services: ServicesParameter) -> TokenWithSecretBody:
    """Make a token. The answer has it, which is shown here and never again.

    From the first token on nobody gets in without one, so the first must have the role admin and see all namespaces.
    """
    token, secret = await services.access.create(body.parse(), actor=services.actor)
    return TokenWithSecretBody(**token_fields(token), token=secret)


@router.get(
    "",
    operation_id="list_tokens",
    dependencies=[WHOLE_ADMIN],
    responses=error_responses(ErrorCode.METADATA_DB_UNREACHABLE),
)
async def list_tokens(services: ServicesParameter) -> TokenListBody:
    """List all tokens, the oldest first, also those that are revoked or have expired; never what they are."""
    return TokenListBody(tokens=[TokenBody(**token_fields(each)) for each in await services.access.list_all()])


@router.delete(
    "/{id}",
    operation_id="revoke_token",
    dependencies=[WHOLE_ADMIN],
    status_code=204,
    response_class=Response,
    responses=error_responses(ErrorCode.INVALID_TOKEN_ID, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def revoke_token(token_id: TokenId, services: ServicesParameter) -> Response:
    """End a token: from now on it opens nothing. One that is not there, or has ended, is a success too."""
    await services.access.revoke(token_id, actor=services.actor)
    return Response(status_code=204)
