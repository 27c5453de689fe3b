"""Webhooks: endpoints that are told of what happens to jobs, and the log of what was sent."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from ampd.admin_api.bodies.requests import MAX_LIMIT
from ampd.admin_api.bodies.strict import MAX_INT64
from ampd.admin_api.bodies.webhook_models import (
    DeliveryBody,
    DeliveryListBody,
    DeliveryListQuery,
    ReplayedBody,
    ReplayRequest,
    RotateRequest,
    WebhookBody,
    WebhookListBody,
    WebhookMaybeWithSecretBody,
    WebhookPatchRequest,
    WebhookRequest,
    WebhookWithSecretBody,
    delivery_body,
    webhook_fields,
)
from ampd.admin_api.errors import error_responses
from ampd.admin_api.rules import ADMIN, OPERATOR, VIEWER
from ampd.admin_api.services import ServicesParameter
from ampd.errors import AmpError, ErrorCode

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

WebhookId = Annotated[int, Path(alias="id", ge=1, le=MAX_INT64, description="id of a webhook")]
DeliveryId = Annotated[int, Path(ge=1, le=MAX_INT64, description="id of a delivery")]
_OF_ONE = (ErrorCode.INVALID_WEBHOOK_ID, ErrorCode.WEBHOOK_NOT_FOUND, ErrorCode.METADATA_DB_UNREACHABLE)
_CREATED: dict[int | str, dict[str, Any]] = {201: {"model": WebhookMaybeWithSecretBody, "description": "Created"}}
_SETTINGS = (ErrorCode.INVALID_BODY, ErrorCode.INVALID_WEBHOOK, ErrorCode.METADATA_DB_UNREACHABLE)


@router.post(
    "",
    operation_id="create_webhook",
    dependencies=[ADMIN],
    status_code=201,
    responses=error_responses(*_SETTINGS, ErrorCode.WEBHOOK_CONFLICT),
)
async def create_webhook(body: WebhookRequest, services: ServicesParameter) -> WebhookWithSecretBody:
    """Add a webhook. The answer has its secret, which is shown here and never again."""
    webhook, secret = await services.webhooks.create(body.settings(), secret=body.secret)
    return WebhookWithSecretBody(**webhook_fields(webhook), secret=secret)


@router.put(
    "/by-url",
    operation_id="put_webhook",
    dependencies=[ADMIN],
    response_model_exclude_unset=True,
    responses=_CREATED | error_responses(*_SETTINGS),
)
async def put_webhook(
    body: WebhookRequest, services: ServicesParameter, response: Response
) -> WebhookMaybeWithSecretBody:
    """Make the webhook of a URL be as the body says; the same request again changes nothing.

    A secret that differs from the webhook's replaces it, and the old one goes on signing for a day beside it. The
    answer has the secret when this request has set it.
    """
    webhook, secret, is_new = await services.webhooks.put(body.settings(), secret=body.secret)
    if is_new:
        response.status_code = 201
    shown = webhook_fields(webhook) if secret is None else {**webhook_fields(webhook), "secret": secret}
    return WebhookMaybeWithSecretBody(**shown)


@router.get(
    "",
    operation_id="list_webhooks",
    dependencies=[VIEWER],
    responses=error_responses(ErrorCode.METADATA_DB_UNREACHABLE),
)
async def list_webhooks(services: ServicesParameter) -> WebhookListBody:
    """List all webhooks, the oldest first, without their secrets."""
    return WebhookListBody(
        webhooks=[WebhookBody(**webhook_fields(each)) for each in await services.webhooks.list_all()]
    )


@router.get("/{id}", operation_id="get_webhook", dependencies=[VIEWER], responses=error_responses(*_OF_ONE))
async def get_webhook(webhook_id: WebhookId, services: ServicesParameter) -> WebhookBody:
    """Return one webhook, without its secret."""
    return WebhookBody(**webhook_fields(await services.webhooks.get(webhook_id)))


@router.patch(
    "/{id}",
    operation_id="update_webhook",
    dependencies=[ADMIN],
    responses=error_responses(*_OF_ONE, ErrorCode.INVALID_BODY, ErrorCode.INVALID_WEBHOOK, ErrorCode.WEBHOOK_CONFLICT),
)
async def update_webhook(webhook_id: WebhookId, body: WebhookPatchRequest, services: ServicesParameter) -> WebhookBody:
    """Change settings of a webhook; what the body does not name stays. What waited while it was disabled is sent when
    it is enabled.
    """
    return WebhookBody(**webhook_fields(await services.webhooks.update(webhook_id, body.change())))


@router.delete(
    "/{id}",
    operation_id="delete_webhook",
    dependencies=[ADMIN],
    status_code=204,
    response_class=Response,
    responses=error_responses(ErrorCode.INVALID_WEBHOOK_ID, ErrorCode.METADATA_DB_UNREACHABLE),
)
async def delete_webhook(webhook_id: WebhookId, services: ServicesParameter) -> Response:
    """Remove a webhook, with what waits for it; one that does not exist is a success too."""
    await services.webhooks.delete(webhook_id)
    return Response(status_code=204)


@router.post(
    "/{id}/rotate",
    operation_id="rotate_webhook_secret",
    dependencies=[ADMIN],
    responses=error_responses(*_OF_ONE, ErrorCode.INVALID_BODY, ErrorCode.INVALID_WEBHOOK),
)
async def rotate_webhook_secret(
    webhook_id: WebhookId, services: ServicesParameter, body: RotateRequest | None = None
) -> WebhookWithSecretBody:
    """Give a webhook a new secret. Until `rotation_ends_at` messages have two signatures, one by the old secret."""
    wanted = body or RotateRequest()
    webhook, secret = await services.webhooks.rotate(
        webhook_id, secret=wanted.secret, overlap_seconds=wanted.overlap_secs
    )
    return WebhookWithSecretBody(**webhook_fields(webhook), secret=secret)


@router.post(
    "/{id}/test",
    operation_id="test_webhook",
    dependencies=[OPERATOR],
    status_code=202,
    responses=error_responses(*_OF_ONE, ErrorCode.WEBHOOK_DISABLED),
)
async def test_webhook(webhook_id: WebhookId, services: ServicesParameter) -> DeliveryBody:
    """Send a message with the event `webhook.test`. The answer does not wait for it; see the log of deliveries."""
    return delivery_body(await services.webhooks.send_test(webhook_id))


@router.get(
    "/{id}/deliveries",
    operation_id="list_webhook_deliveries",
    dependencies=[VIEWER],
    response_model_exclude_unset=True,
    responses=error_responses(
        *_OF_ONE, ErrorCode.INVALID_QUERY_PARAMETERS, ErrorCode.LIMIT_INVALID, ErrorCode.LIMIT_TOO_LARGE
    ),
)
async def list_webhook_deliveries(
    webhook_id: WebhookId, query: Annotated[DeliveryListQuery, Query()], services: ServicesParameter
) -> DeliveryListBody:
    """List one page of what was sent, or waits to be, the newest first."""
    if query.limit < 1:
        raise AmpError(ErrorCode.LIMIT_INVALID, "limit must be greater than 0")
    if query.limit > MAX_LIMIT:
        message = f"limit {query.limit} exceeds maximum allowed limit of {MAX_LIMIT}"
        raise AmpError(ErrorCode.LIMIT_TOO_LARGE, message)
    found, more = await services.webhooks.deliveries(
        webhook_id, limit=query.limit, before_id=query.after, status=query.status
    )
    bodies = [delivery_body(each) for each in found]
    return (
        DeliveryListBody(deliveries=bodies, next_cursor=bodies[-1].id) if more else DeliveryListBody(deliveries=bodies)
    )


@router.get(
    "/{id}/deliveries/{delivery_id}",
    operation_id="get_webhook_delivery",
    dependencies=[VIEWER],
    responses=error_responses(*_OF_ONE, ErrorCode.DELIVERY_NOT_FOUND),
)
async def get_webhook_delivery(
    webhook_id: WebhookId, delivery_id: DeliveryId, services: ServicesParameter
) -> DeliveryBody:
    """Return one message with its body and what became of it."""
    return delivery_body(await services.webhooks.delivery(webhook_id, delivery_id))


@router.post(
    "/{id}/deliveries/{delivery_id}/replay",
    operation_id="replay_webhook_delivery",
    dependencies=[OPERATOR],
    status_code=202,
    responses=error_responses(*_OF_ONE, ErrorCode.DELIVERY_NOT_FOUND, ErrorCode.WEBHOOK_DISABLED),
)
async def replay_webhook_delivery(
    webhook_id: WebhookId, delivery_id: DeliveryId, services: ServicesParameter
) -> DeliveryBody:
    """Send a message again under the same id, whatever became of it."""
    return delivery_body(await services.webhooks.replay(webhook_id, delivery_id))


@router.post(
    "/{id}/replay",
    operation_id="replay_webhook",
    dependencies=[OPERATOR],
    status_code=202,
    responses=error_responses(*_OF_ONE, ErrorCode.INVALID_BODY, ErrorCode.WEBHOOK_DISABLED),
)
async def replay_webhook(webhook_id: WebhookId, body: ReplayRequest, services: ServicesParameter) -> ReplayedBody:
    """Send again all that a webhook did not get of what happened since a time, under the same ids."""
    return ReplayedBody(replayed=await services.webhooks.replay_failed(webhook_id, since=body.since))
