"""Providers: where blocks come from. Their secrets never leave the server."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from ampd.admin_api.bodies.models import ProviderBody, ProviderListBody
from ampd.admin_api.bodies.present import provider_body
from ampd.admin_api.bodies.requests import RegisterProviderRequest
from ampd.admin_api.bodies.shapes import PROVIDER_NAME
from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import WHOLE_ADMIN, WHOLE_VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.errors import ErrorCode

router = APIRouter(prefix="/providers", tags=["providers"])

ProviderName = Annotated[str, Path(alias="name", description="name of the provider", json_schema_extra=PROVIDER_NAME)]


@router.get("", operation_id="list_providers", dependencies=[WHOLE_VIEWER], responses=error_responses())
async def list_providers(services: ServicesParameter) -> ProviderListBody:
    """List all providers, by name, with their secrets replaced."""
    return ProviderListBody(providers=[provider_body(item) for item in await services.providers.list_all()])


@router.post(
    "",
    operation_id="register_provider",
    dependencies=[WHOLE_ADMIN],
    status_code=201,
    response_class=Response,
    responses=error_responses(
        ErrorCode.INVALID_REQUEST_BODY,
        ErrorCode.DATA_CONVERSION_ERROR,
        ErrorCode.INVALID_PROVIDER_NAME,
        ErrorCode.INVALID_PROVIDER,
        ErrorCode.REQUEST_TOO_LARGE,
    ),
)
async def register_provider(body: RegisterProviderRequest, services: ServicesParameter) -> Response:
    """Store a provider; one of the same name is replaced."""
    await services.providers.put(body.name, body.kind, dict(body.model_extra or {}))
    return Response(status_code=201)


@router.get(
    "/{name}",
    operation_id="get_provider",
    dependencies=[WHOLE_VIEWER],
    responses=error_responses(ErrorCode.INVALID_PROVIDER_NAME, ErrorCode.PROVIDER_NOT_FOUND),
)
async def get_provider(provider_name: ProviderName, services: ServicesParameter) -> ProviderBody:
    """Return a provider with its secrets replaced."""
    return provider_body(await services.providers.get(provider_name))


@router.delete(
    "/{name}",
    operation_id="delete_provider",
    dependencies=[WHOLE_ADMIN],
    status_code=204,
    response_class=Response,
    responses=error_responses(ErrorCode.INVALID_PROVIDER_NAME),
)
async def delete_provider(provider_name: ProviderName, services: ServicesParameter) -> Response:
    """Remove a provider; one that does not exist is a success too."""
    await services.providers.delete(provider_name)
    return Response(status_code=204)
