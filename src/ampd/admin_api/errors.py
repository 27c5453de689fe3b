"""How errors leave the Admin API: one table from error codes to HTTP statuses, one body for all of them."""

from __future__ import annotations

from collections import defaultdict
from math import ceil
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ampd.admin_api.bodies.models import ErrorBody
from ampd.errors import AmpError, ErrorCode

log = structlog.get_logger(__name__)

# What can be wrong with SQL of derived tables.
SQL_REFUSALS: Final = (
    ErrorCode.EMPTY_TABLES_AND_FUNCTIONS,
    ErrorCode.INVALID_TABLE_NAME,
    ErrorCode.INVALID_TABLE_SQL,
    ErrorCode.NO_TABLE_REFERENCES,
    ErrorCode.CATALOG_QUALIFIED_TABLE,
    ErrorCode.TABLE_REFERENCE_RESOLUTION,
    ErrorCode.SELF_REFERENCING_TABLE,
    ErrorCode.SELF_REF_TABLE_NOT_FOUND,
    ErrorCode.CYCLIC_DEPENDENCY,
    ErrorCode.INVALID_PLAN,
    ErrorCode.NON_INCREMENTAL_QUERY,
)
_STATUS_GROUPS: Final[dict[int, tuple[ErrorCode, ...]]] = {
    400: (
        ErrorCode.INVALID_PATH,
        ErrorCode.INVALID_BODY,
        ErrorCode.INVALID_QUERY_PARAMETERS,
        ErrorCode.INVALID_QUERY_PARAM,
        ErrorCode.LIMIT_TOO_LARGE,
        ErrorCode.LIMIT_INVALID,
        ErrorCode.INVALID_JOB_ID,
        ErrorCode.INVALID_WORKER_ID,
        ErrorCode.INVALID_PAYLOAD_FORMAT,
        ErrorCode.INVALID_MANIFEST,
        ErrorCode.MANIFEST_VALIDATION_ERROR,
        ErrorCode.INVALID_REFERENCE,
        ErrorCode.INVALID_HASH,
        ErrorCode.INVALID_REQUEST_BODY,
        ErrorCode.DATA_CONVERSION_ERROR,
        ErrorCode.INVALID_PROVIDER_NAME,
        ErrorCode.INVALID_PROVIDER,
        ErrorCode.UNKNOWN_JOB_KIND,
        ErrorCode.INVALID_JOB_INPUT,
        ErrorCode.DEPENDENCY_NOT_FOUND,
        ErrorCode.INVALID_SCHEDULE,
        ErrorCode.INVALID_WEBHOOK_ID,
        ErrorCode.INVALID_WEBHOOK,
        ErrorCode.INVALID_TOKEN_ID,
        ErrorCode.INVALID_PATH_PARAMETERS,
        ErrorCode.INVALID_FILE_ID,
        ErrorCode.CANNOT_DELETE_LATEST_VERSION,
        *SQL_REFUSALS,
    ),
    401: (ErrorCode.UNAUTHORIZED,),
    403: (ErrorCode.FORBIDDEN, ErrorCode.CROSS_ORIGIN_REFUSED, ErrorCode.CSRF_TOKEN_INVALID),
    404: (
        ErrorCode.NOT_FOUND,
        ErrorCode.JOB_NOT_FOUND,
        ErrorCode.EVENT_NOT_FOUND,
        ErrorCode.WORKER_NOT_FOUND,
        ErrorCode.MANIFEST_NOT_FOUND,
        ErrorCode.DATASET_NOT_FOUND,
        ErrorCode.PROVIDER_NOT_FOUND,
        ErrorCode.WEBHOOK_NOT_FOUND,
        ErrorCode.DELIVERY_NOT_FOUND,
        ErrorCode.TABLE_NOT_IN_MANIFEST,
        ErrorCode.TABLE_NOT_REGISTERED,
        ErrorCode.TABLE_NOT_FOUND,
        ErrorCode.REVISION_NOT_FOUND,
        ErrorCode.FILE_NOT_FOUND,
        ErrorCode.RESTORE_NOT_FOUND,
    ),
    405: (ErrorCode.METHOD_NOT_ALLOWED,),
    408: (ErrorCode.REQUEST_TIMEOUT,),
    409: (
        ErrorCode.TOKEN_CONFLICT,
        ErrorCode.JOB_CONFLICT,
        ErrorCode.ACTIVE_JOB_CONFLICT,
        ErrorCode.DEPENDENCY_CYCLE,
        ErrorCode.IDEMPOTENCY_KEY_REUSED,
        ErrorCode.WEBHOOK_CONFLICT,
        ErrorCode.WEBHOOK_DISABLED,
        ErrorCode.MANIFEST_LINKED,
        ErrorCode.REVISION_CONFLICT,
        ErrorCode.REVISION_IS_ACTIVE,
        ErrorCode.WRITER_JOB_NOT_TERMINAL,
        ErrorCode.FILE_METADATA_REMAINING,
        ErrorCode.EVENTS_DISABLED,
    ),
    410: (ErrorCode.EVENTS_EXPIRED,),
    413: (ErrorCode.REQUEST_TOO_LARGE,),
    429: (ErrorCode.RATE_LIMITED,),
    503: (ErrorCode.METADATA_DB_UNREACHABLE, ErrorCode.TOO_MANY_STREAMS),
}
STATUS_OF: Final[dict[ErrorCode, int]] = {code: status for status, codes in _STATUS_GROUPS.items() for code in codes}
INTERNAL_STATUS: Final = 500

# What a bad path parameter is called, by the first part of the path.
_PATH_CODES: Final = {
    "jobs": ErrorCode.INVALID_JOB_ID,
    "workers": ErrorCode.INVALID_WORKER_ID,
    "providers": ErrorCode.INVALID_PROVIDER_NAME,
    "webhooks": ErrorCode.INVALID_WEBHOOK_ID,
    "tokens": ErrorCode.INVALID_TOKEN_ID,
    "revisions": ErrorCode.INVALID_PATH_PARAMETERS,
    "files": ErrorCode.INVALID_FILE_ID,
}
# What a bad body is called, by the route; elsewhere INVALID_BODY.
_BODY_CODES: Final = {
    "/datasets": ErrorCode.INVALID_PAYLOAD_FORMAT,
    "/manifests": ErrorCode.INVALID_PAYLOAD_FORMAT,
    "/providers": ErrorCode.INVALID_REQUEST_BODY,
    "/schema": ErrorCode.INVALID_PAYLOAD_FORMAT,
}
_HTTP_CODES: Final = {
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    408: ErrorCode.REQUEST_TIMEOUT,
    413: ErrorCode.REQUEST_TOO_LARGE,
}


class RequestRefusedError(AmpError):
    """An error whose HTTP status is another one than that of its code in :data:`STATUS_OF`."""

    def __init__(self, code: ErrorCode, message: str, *, status: int) -> None:
        super().__init__(code, message)
        self.status = status


def status_of(error: AmpError) -> int:
    """Return the HTTP status of ``error``."""
    if isinstance(error, RequestRefusedError):
        return error.status
    return STATUS_OF.get(error.code, INTERNAL_STATUS)


def response_of(error: AmpError) -> JSONResponse:
    """Return the answer that tells ``error``, with the headers that go with its status."""
    headers = {}
    if error.code is ErrorCode.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, ceil(error.retry_after_seconds)))
    return error_response(error.code, error.message, status_of(error), headers)


def error_response(code: ErrorCode, message: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the one form of an error: ``{"error_code", "error_message"}``."""
    body = ErrorBody(error_code=code, error_message=message)
    return JSONResponse(body.model_dump(mode="json"), status_code=status, headers=headers)


def error_responses(
    *codes: ErrorCode, bad_request: ErrorCode | None = None, not_found: ErrorCode | None = None
) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route for the specification: its error codes, grouped by status.

    ``bad_request`` is a code that this route answers with 400 although it has another status elsewhere, ``not_found``
    one that it answers with 404.
    """
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    if bad_request is not None:
        by_status[400].append(bad_request)
    if not_found is not None:
        by_status[404].append(not_found)
    for code in (*codes, ErrorCode.INTERNAL_ERROR):
        by_status[STATUS_OF.get(code, INTERNAL_STATUS)].append(code)
    return {
        status: {"model": ErrorBody, "description": " or ".join(group)} for status, group in sorted(by_status.items())
    }


def install_error_handlers(app: FastAPI) -> None:
    """Give every error of ``app`` its body: ours, those of request parsing, and those of routing."""
    app.add_exception_handler(AmpError, _on_amp_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_amp_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AmpError)  # noqa: S101 - narrows the type that Starlette declares
    status = status_of(error)
    if status >= INTERNAL_STATUS:
        log.error("request failed", error_code=error.code, error_message=error.message)
    return response_of(error)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = error.errors()
    place = str(errors[0]["loc"][0])
    code = _validation_code(place, request)
    return error_response(code, _describe(place, errors, request), STATUS_OF[code])


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = _HTTP_CODES.get(error.status_code, ErrorCode.INVALID_BODY)
    messages = {
        404: f"there is no {request.url.path} here; /openapi.json lists the operations",
        405: f"{request.url.path} does not take {request.method}; /openapi.json lists the operations",
    }
    message = messages.get(error.status_code, str(error.detail))
    headers = dict(error.headers) if error.headers else None
    return error_response(code, message, error.status_code, headers)


def _validation_code(place: str, request: Request) -> ErrorCode:
    if place == "query":
        return ErrorCode.INVALID_QUERY_PARAMETERS
    if place == "path":
        return _PATH_CODES.get(request.url.path.split("/")[1], ErrorCode.INVALID_PATH)
    return _BODY_CODES.get(request.url.path, ErrorCode.INVALID_BODY)


def _describe(place: str, errors: Any, request: Request) -> str:
    """Return what is wrong, without repeating values that the client sent: they may be secrets."""
    if errors[0]["type"] == "json_invalid":
        return f"the body is not JSON: {errors[0]['ctx']['error']} (character {errors[0]['loc'][-1]})"
    media_type = request.headers.get("content-type", "")
    if place == "body" and "json" not in media_type:
        return "the body must be JSON: send it with the header 'Content-Type: application/json'"
    return "; ".join(dict.fromkeys(_describe_one(error) for error in errors))


def _describe_one(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"][1:])
    what = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {what}" if where else what
