"""Sessions: how people sign in to the dashboard. Public, since nobody has one before."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from ampd.access import SessionEndedError
from ampd.admin_api.bodies.session_models import SessionBody, SignInRequest, session_body
from ampd.admin_api.errors import error_responses
from ampd.admin_api.gate.entrance import Caller, Entrance, token_in
from ampd.admin_api.gate.session_cookie import clear_cookie, secret_in, set_cookie
from ampd.admin_api.rules import PUBLIC
from ampd.admin_api.services import Services
from ampd.errors import AmpError, ErrorCode

router = APIRouter(prefix="/session", tags=["sessions"])

_PRIVATE = {"Cache-Control": "no-store"}


class _Door:
    """The entrance as one request meets it."""

    def __init__(self, request: Request) -> None:
        services = cast(Services, request.app.state.services)
        self.entrance = cast(Entrance, request.app.state.entrance)
        self.store = services.access
        self.version = services.version
        self.request = request
        self.headers = request.headers
        self.scheme = request.url.scheme

    async def caller(self, response: Response) -> Caller | None:
        """Return who makes the request; None when nobody is signed in. A cookie that opens nothing is taken back.

        :raises AmpError: RATE_LIMITED, CSRF_TOKEN_INVALID, CROSS_ORIGIN_REFUSED, METADATA_DB_UNREACHABLE.
        """
        try:
            return await self.entrance.admit(self.store, self.request)
        except AmpError as error:
            if error.code is not ErrorCode.UNAUTHORIZED:
                raise
            if isinstance(error, SessionEndedError):
                clear_cookie(response, self.scheme)
            return None


DoorParameter = Annotated[_Door, Depends(_Door)]


@router.get(
    "",
    operation_id="get_session",
    dependencies=[PUBLIC],
    responses=error_responses(
        ErrorCode.CROSS_ORIGIN_REFUSED, ErrorCode.RATE_LIMITED, ErrorCode.METADATA_DB_UNREACHABLE
    ),
)
async def get_session(door: DoorParameter, response: Response) -> SessionBody:
    """Tell who the browser is signed in as, or that it has to sign in."""
    response.headers.update(_PRIVATE)
    return session_body(await door.caller(response), door.version)


@router.post(
    "",
    operation_id="sign_in",
    dependencies=[PUBLIC],
    responses=error_responses(
        ErrorCode.INVALID_BODY,
        ErrorCode.UNAUTHORIZED,
        ErrorCode.CROSS_ORIGIN_REFUSED,
        ErrorCode.REQUEST_TOO_LARGE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def sign_in(body: SignInRequest, door: DoorParameter, response: Response) -> SessionBody:
    """Begin a session of a token: the answer sets its cookie, which is never more than the token is. It ends after 12
    hours without use, and with the token. While the API asks nobody for a token there is nothing to begin.
    """
    client = door.request.client
    address = "" if client is None else client.host
    caller, secret = await door.entrance.sign_in(door.store, body.token.strip(), door.request, address)
    response.headers.update(_PRIVATE)
    if secret is not None:
        set_cookie(response, secret, door.scheme)
    return session_body(caller, door.version)


@router.delete(
    "",
    operation_id="sign_out",
    dependencies=[PUBLIC],
    status_code=204,
    response_class=Response,
    responses=error_responses(
        ErrorCode.CSRF_TOKEN_INVALID,
        ErrorCode.CROSS_ORIGIN_REFUSED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.METADATA_DB_UNREACHABLE,
    ),
)
async def sign_out(door: DoorParameter) -> Response:
    """End the session of the cookie, on all controllers, and take the cookie back. Without one it is a success too."""
    response = Response(status_code=204, headers=_PRIVATE)
    caller = await door.caller(response)
    secret = secret_in(door.headers)
    if secret is not None and token_in(door.headers) is None:
        if caller is not None and caller.session is not None:
            await door.store.sessions.end(secret)
        clear_cookie(response, door.scheme)
    return response
